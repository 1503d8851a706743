//! Bits in words that the caller lent, with the first set one found in a few steps.

const BITS: usize = usize::BITS as usize;

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

pub(crate) fn get(words: &[usize], bit: usize) -> bool {
    words.get(bit / BITS).is_some_and(|w| w & (1 << (bit % BITS)) != 0)
}

pub(crate) fn set(words: &mut [usize], bit: usize) {
    if let Some(word) = words.get_mut(bit / BITS) {
        *word |= 1 << (bit % BITS);
    }
}

pub(crate) fn clear(words: &mut [usize], bit: usize) {
    if let Some(word) = words.get_mut(bit / BITS) {
        *word &= !(1 << (bit % BITS));
    }
}

/// Sets a bit of a summed bitmap of `bits` bits. O(log bits), base the word size, as are the next two.
///
/// Invariant of a summed bitmap: a bit of a summary is set exactly if its word below is not zero.
pub(crate) fn set_summed(mut words: &mut [usize], mut bits: usize, mut bit: usize) {
    loop {
        set(words, bit);
        let level = plain_words(bits);
        if level <= 1 {
            return;
        }
        (bits, bit) = (level, bit / BITS);
        words = words.get_mut(level..).unwrap_or_default();
    }
}

/// Clears a bit of a summed bitmap of `bits` bits.
pub(crate) fn clear_summed(mut words: &mut [usize], mut bits: usize, mut bit: usize) {
    loop {
        clear(words, bit);
        let level = plain_words(bits);
        if level <= 1 || words.get(bit / BITS).is_some_and(|w| *w != 0) {
            return;
        }
        (bits, bit) = (level, bit / BITS);
        words = words.get_mut(level..).unwrap_or_default();
    }
}

/// The first set bit of a summed bitmap of `bits` bits.
pub(crate) fn first_summed(words: &[usize], bits: usize) -> Option<usize> {
    let level = plain_words(bits);
    let word = if level <= 1 { 0 } else { first_summed(words.get(level..)?, level)? };
    match words.get(word) {
        Some(w) if *w != 0 => Some(word * BITS + w.trailing_zeros() as usize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: first set bit, with any number of levels, and after any change.
    #[test]
    fn first_set_bit_is_found_at_every_size() {
        for bits in [1, 63, 64, 65, 4096, 4097, 64 * 64 * 64 + 1] {
            let mut words = [0; 5000];
            assert!(summed_words(bits) <= words.len());
            assert_eq!(first_summed(&words, bits), None);
            for bit in [bits - 1, bits / 2, 0] {
                set_summed(&mut words, bits, bit);
                assert_eq!(first_summed(&words, bits), Some(bit));
            }
            clear_summed(&mut words, bits, 0);
            assert_eq!(first_summed(&words, bits), (bits > 1).then_some(bits / 2));
            clear_summed(&mut words, bits, bits / 2);
            clear_summed(&mut words, bits, bits - 1);
            assert_eq!(first_summed(&words, bits), None);
            assert!(words.iter().all(|w| *w == 0), "bits outside the bitmap");
        }
    }
}
