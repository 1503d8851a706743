//! Many bits at once, a word at a time.

use super::BITS;
use core::ops::Range;

/// The first set bit from `from` on.
pub(crate) fn next(words: &[usize], from: usize) -> Option<usize> {
    let first = from / BITS;
    (first..words.len()).find_map(|at| {
        let kept = if at == first { usize::MAX << (from % BITS) } else { usize::MAX };
        let word = *words.get(at)? & kept;
        (word != 0).then(|| at * BITS + word.trailing_zeros() as usize)
    })
}

/// Sets a run of bits.
pub(crate) fn set(words: &mut [usize], run: Range<usize>) {
    masks(run).for_each(|(at, mask)| {
        if let Some(word) = words.get_mut(at) {
            *word |= mask;
        }
    });
}

/// Clears a run of bits; how many of them were set.
pub(crate) fn clear(words: &mut [usize], run: Range<usize>) -> u32 {
    let cleared = masks(run).map(|(at, mask)| match words.get_mut(at) {
        Some(word) => {
            let set = (*word & mask).count_ones();
            *word &= !mask;
            set
        }
        None => 0,
    });
    cleared.sum()
}

/// Whether a bit of a run is set.
pub(crate) fn any(words: &[usize], run: Range<usize>) -> bool {
    masks(run).any(|(at, mask)| words.get(at).is_some_and(|word| word & mask != 0))
}

/// The words that a run touches, and which of their bits.
fn masks(run: Range<usize>) -> impl Iterator<Item = (usize, usize)> {
    (run.start / BITS..run.end.div_ceil(BITS)).map(move |at| {
        let from = run.start.saturating_sub(at * BITS);
        let to = (run.end - at * BITS).min(BITS);
        let bits = to.saturating_sub(from);
        let ones = if bits == BITS { usize::MAX } else { (1 << bits) - 1 };
        (at, if bits == 0 { 0 } else { ones << from })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a run is its bits and no others, wherever it begins and ends.
    #[test]
    fn runs_are_just_their_bits() {
        for start in [0, 1, 63, 64, 65, 127, 130] {
            for end in [start, start + 1, start + 63, start + 64, start + 65, 256] {
                let mut words = [0; 4];
                set(&mut words, start..end);
                for bit in 0..256 {
                    let is = words[bit / 64] & (1 << (bit % 64)) != 0;
                    assert_eq!(is, (start..end).contains(&bit), "{bit} of {start}..{end}");
                }
                assert_eq!(next(&words, 0), (start < end).then_some(start));
                assert_eq!(next(&words, end), None);
                assert_eq!(any(&words, 0..256), start < end);
                assert!(!any(&words, 0..start) && !any(&words, end..256));
                let inner = start + usize::from(start < end)..end;
                assert_eq!(clear(&mut words, inner.clone()) as usize, inner.len());
                assert_eq!(clear(&mut words, 0..256), u32::from(start < end));
                assert_eq!(words, [0; 4]);
            }
        }
    }
}
