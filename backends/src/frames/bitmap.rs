//! Bits in words of the caller. The first set bit is found in a few steps.

pub(crate) const BITS: usize = usize::BITS as usize;

/// How many words `bits` bits take, with a summary of a bit for each word above them, one above that, and so on
/// up to a single word.
pub(crate) const fn summed_words(bits: usize) -> usize {
    let mut words = plain_words(bits);
    let mut sum = words;
    while words > 1 {
        words = plain_words(words);
        sum += words;
    }
    sum
}

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
    /// Bit number `bit` of the bits that begin at that word.
    pub(crate) const fn new(start: usize, bit: usize) -> Self {
        Bit { word: start + bit / BITS, mask: 1 << (bit % BITS) }
    }

    /// No bit: it is never set.
    pub(crate) const NONE: Self = Bit { word: 0, mask: 0 };

    pub(crate) fn is_set(self, words: &[usize]) -> bool {
        words.get(self.word).is_some_and(|word| word & self.mask != 0)
    }

    /// Sets it. Returns the word before.
    pub(crate) fn set(self, words: &mut [usize]) -> usize {
        words.get_mut(self.word).map_or(0, |word| core::mem::replace(word, *word | self.mask))
    }

    /// Clears it. Returns the word after.
    pub(crate) fn clear(self, words: &mut [usize]) -> usize {
        words.get_mut(self.word).map_or(0, |word| {
            *word &= !self.mask;
            *word
        })
    }
}

/// Bit number `bit` of these words.
#[cfg(all(feature = "shmem", target_os = "linux"))]
pub(crate) fn get(words: &[usize], bit: usize) -> bool {
    Bit::new(0, bit).is_set(words)
}

/// Where the bits of a summed bitmap are: level 0 are the bits themselves, and each level above has a bit for each word of
/// the one below, up to a single word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summed {
    start: usize,
    bits: usize,
}

impl Summed {
    /// `bits` bits whose words begin with word `start`.
    pub(crate) const fn new(start: usize, bits: usize) -> Self {
        Summed { start, bits }
    }

    /// The level above. `None` if this is a single word.
    pub(crate) const fn above(self) -> Option<Self> {
        let words = plain_words(self.bits);
        if words > 1 { Some(Summed { start: self.start + words, bits: words }) } else { None }
    }

    /// Bit number `bit` of this level.
    pub(crate) const fn bit(self, bit: usize) -> Bit {
        Bit::new(self.start, bit)
    }

    /// The number of this level's first word that holds bit number `bit`.
    pub(crate) const fn word_of(self, bit: usize) -> usize {
        self.start + bit / BITS
    }
}
