//! Lists of chunks, by the largest block that is free in them: one list for each order, a bitmap of chunks.
//!
//! The words of all lists for the same chunks lie side by side. Above them lie summaries, a bit for each word that is not zero: one word
//! for a list of up to `BITS` words, else words, and one word above.

use super::{BITS, ORDERS};

/// Where the lists are in the caller's words, and the top of each.
#[derive(Debug)]
pub(super) struct Directory {
    /// The first word of the lists.
    at: usize,
    /// The first word of their summaries, if there are more than the tops. Else 0.
    sums: usize,
    /// For each list its last summary.
    tops: [usize; ORDERS],
    /// The orders whose list has chunks.
    orders: usize,
}

impl Directory {
    /// Words for the lists of so many chunks.
    pub(super) const fn words(chunks: usize) -> usize {
        let len = chunks.div_ceil(BITS);
        ORDERS * if len > BITS { len + len.div_ceil(BITS) } else { len }
    }

    /// No chunk is in a list. The words from `at` on are zero.
    pub(super) const fn new(at: usize, chunks: usize) -> Self {
        let len = chunks.div_ceil(BITS);
        Directory { at, sums: if len > BITS { at + ORDERS * len } else { 0 }, tops: [0; ORDERS], orders: 0 }
    }

    /// The tightest list that has blocks of an order.
    #[inline]
    pub(super) fn tightest(&self, order: usize) -> Option<usize> {
        let some = self.orders & usize::MAX << (order % BITS);
        (some != 0).then(|| some.trailing_zeros() as usize)
    }

    /// The largest order that is free.
    pub(super) fn largest(&self) -> Option<usize> {
        self.orders.checked_ilog2().map(|order| order as usize)
    }

    /// The lowest chunk of a list.
    #[inline]
    pub(super) fn lowest(&self, words: &[usize], list: usize) -> Option<usize> {
        let mut word = (*self.tops.get(list)?).trailing_zeros() as usize;
        if self.sums > 0 {
            word = word * BITS + words.get(self.sums + word * ORDERS + list)?.trailing_zeros() as usize;
        }
        Some(word * BITS + words.get(self.at + word * ORDERS + list)?.trailing_zeros() as usize)
    }

    /// The highest chunk of a list.
    #[inline]
    pub(super) fn highest(&self, words: &[usize], list: usize) -> Option<usize> {
        let mut word = self.tops.get(list)?.checked_ilog2()? as usize;
        if self.sums > 0 {
            word = word * BITS + words.get(self.sums + word * ORDERS + list)?.checked_ilog2()? as usize;
        }
        Some(word * BITS + words.get(self.at + word * ORDERS + list)?.checked_ilog2()? as usize)
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
        let (Some(bits), Some(top)) =
            (words.get_mut(self.at + word * ORDERS + list), self.tops.get_mut(list))
        else {
            return;
        };
        *bits |= 1 << (chunk % BITS);
        if self.sums > 0 {
            let bit = 1 << (word % BITS);
            word /= BITS;
            let Some(sum) = words.get_mut(self.sums + word * ORDERS + list) else { return };
            *sum |= bit;
        }
        *top |= 1 << (word % BITS);
        self.orders |= 1 << list;
    }

    #[inline]
    fn leave(&mut self, words: &mut [usize], chunk: usize, list: usize) {
        let mut word = chunk / BITS;
        let (Some(bits), Some(top)) =
            (words.get_mut(self.at + word * ORDERS + list), self.tops.get_mut(list))
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
            let Some(sum) = words.get_mut(self.sums + word * ORDERS + list) else { return };
            *sum &= !bit;
            if *sum != 0 {
                return;
            }
        }
        *top &= !(1 << (word % BITS));
        if *top == 0 {
            self.orders &= !(1 << list);
        }
    }
}
