//! Bits in words of the caller.

use super::BITS;

/// How many words `bits` bits take.
pub(crate) const fn plain_words(bits: usize) -> usize {
    bits.div_ceil(BITS)
}

/// The place of a bit: a word, and a mask in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bit {
    word: usize,
    mask: usize,
}

impl Bit {
    pub(crate) const fn new(bit: usize) -> Self {
        Bit { word: bit / BITS, mask: 1 << (bit % BITS) }
    }

    pub(crate) fn is_set(self, words: &[usize]) -> bool {
        words.get(self.word).is_some_and(|word| word & self.mask != 0)
    }

    pub(crate) fn set(self, words: &mut [usize]) {
        if let Some(word) = words.get_mut(self.word) {
            *word |= self.mask;
        }
    }

    pub(crate) fn clear(self, words: &mut [usize]) {
        if let Some(word) = words.get_mut(self.word) {
            *word &= !self.mask;
        }
    }
}

/// Bit number `bit` of these words.
pub(crate) fn get(words: &[usize], bit: usize) -> bool {
    Bit::new(bit).is_set(words)
}
