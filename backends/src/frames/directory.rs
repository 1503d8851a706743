//! Lists of chunks, by the largest block that is free in them: one list for each order, a bitmap of chunks.
//!
//! The words of all lists for the same chunks lie side by side. Above them lie summaries, a bit for each word that is not zero: one word
//! for a list of up to `BITS` words, else words, and one word above.

use super::tree::{LARGE, LISTS, TOP, order_of};
use super::{BITS, ORDERS};

/// Where the lists are in the caller's words, and the top of each.
#[derive(Debug)]
pub(super) struct Directory {
    /// The first word of the lists.
    at: usize,
    /// The first word of their summaries, if there are more than the tops. Else 0.
    sums: usize,
    /// For each list its last summary.
    tops: [usize; LISTS],
    /// The lists that have chunks.
    some: usize,
}

impl Directory {
    /// Words for the lists of so many chunks.
    pub(super) const fn words(chunks: usize) -> usize {
        let len = chunks.div_ceil(BITS);
        LISTS * if len > BITS { len + len.div_ceil(BITS) } else { len }
    }

    /// No chunk is in a list. The words from `at` on are zero.
    pub(super) const fn new(at: usize, chunks: usize) -> Self {
        let len = chunks.div_ceil(BITS);
        Directory { at, sums: if len > BITS { at + LISTS * len } else { 0 }, tops: [0; LISTS], some: 0 }
    }

    /// The list whose chunks have a block of an order and are spared least. For a large order: chunks for large blocks, then whole ones,
    /// then others. For a smaller one: other chunks, the tightest first, then whole ones, then those for large blocks.
    #[inline]
    pub(super) fn tightest(&self, order: usize) -> Option<usize> {
        let mut some = self.some & usize::MAX << (order % BITS);
        if order >= LARGE {
            some = self.for_large(some, order);
        }
        (some != 0).then(|| some.trailing_zeros() as usize)
    }

    /// Of lists that have blocks of a large order, those that are spared least.
    const fn for_large(&self, some: usize, order: usize) -> usize {
        let large = self.some & usize::MAX << (order + ORDERS - LARGE);
        if large != 0 {
            return large;
        }
        let whole = some & 1 << TOP;
        if whole != 0 { whole } else { some & ((1 << TOP) - 1) }
    }

    /// Whether a list has chunks.
    #[cfg(test)]
    pub(super) fn has(&self, list: usize) -> bool {
        self.some >> list & 1 != 0
    }

    /// The largest order that is free.
    pub(super) fn largest(&self) -> Option<usize> {
        (0..LISTS).filter(|list| self.some >> list & 1 != 0).map(order_of).max()
    }

    /// The lowest chunk of a list.
    #[inline]
    pub(super) fn lowest(&self, words: &[usize], list: usize) -> Option<usize> {
        let mut word = (*self.tops.get(list)?).trailing_zeros() as usize;
        if self.sums > 0 {
            word = word * BITS + words.get(self.sums + word * LISTS + list)?.trailing_zeros() as usize;
        }
        Some(word * BITS + words.get(self.at + word * LISTS + list)?.trailing_zeros() as usize)
    }

    /// A chunk moves from one list into another. `0` is no list, and `n` that of order `n - 1`.
    #[inline]
    pub(super) fn relist(&mut self, words: &mut [usize], chunk: usize, from: usize, to: usize) {
        if from > 0 {
            self.leave(words, chunk, from - 1);
        }
        if to > 0 {
            self.enter(words, chunk, to - 1);
        }
    }

    #[inline]
    fn enter(&mut self, words: &mut [usize], chunk: usize, list: usize) {
        let mut word = chunk / BITS;
        let (Some(bits), Some(top)) = (words.get_mut(self.at + word * LISTS + list), self.tops.get_mut(list))
        else {
            return;
        };
        *bits |= 1 << (chunk % BITS);
        if self.sums > 0 {
            let bit = 1 << (word % BITS);
            word /= BITS;
            let Some(sum) = words.get_mut(self.sums + word * LISTS + list) else { return };
            *sum |= bit;
        }
        *top |= 1 << (word % BITS);
        self.some |= 1 << list;
    }

    #[inline]
    fn leave(&mut self, words: &mut [usize], chunk: usize, list: usize) {
        let mut word = chunk / BITS;
        let (Some(bits), Some(top)) = (words.get_mut(self.at + word * LISTS + list), self.tops.get_mut(list))
        else {
            return;
        };
        *bits &= !(1 << (chunk % BITS));
        if *bits != 0 {
            return;
        }
        if self.sums > 0 {
            let bit = 1 << (word % BITS);
            word /= BITS;
            let Some(sum) = words.get_mut(self.sums + word * LISTS + list) else { return };
            *sum &= !bit;
            if *sum != 0 {
                return;
            }
        }
        *top &= !(1 << (word % BITS));
        if *top == 0 {
            self.some &= !(1 << list);
        }
    }
}
