//! Lists of chunks, by the largest block that is free in them: one list for each order, a tree of bits.
//!
//! A list is a heap of words and, behind them, chunks. Word `n` has a bit for each of the nodes from `n * BITS + 1` on: whether a word is
//! not zero, or whether a chunk is in the list. The chunks of the deepest level come first, so chunks are in order from left to right.

use super::tree::{LARGE, LISTS, TOP, order_of};
use super::{BITS, ORDERS};

/// Where the lists are in the caller's words.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where the first list is.
    at: usize,
    /// Words of a list: the first node that is a chunk.
    len: usize,
    /// The number of chunks.
    chunks: usize,
    /// The node of chunk 0: the first one of the deepest level.
    deepest: usize,
    /// The lists that have chunks.
    some: usize,
}

/// Words of a list.
const fn len(chunks: usize) -> usize {
    if chunks > 1 { (chunks - 1).div_ceil(BITS - 1) } else { 1 }
}

impl Directory {
    /// Words for the lists of that many chunks.
    pub(super) const fn words(chunks: usize) -> usize {
        LISTS * len(chunks)
    }

    /// No chunk is in a list. The words from `at` on are zero.
    pub(super) const fn new(at: usize, chunks: usize) -> Self {
        let (len, mut deepest) = (len(chunks), 1);
        while deepest * BITS + 1 < len + chunks {
            deepest = deepest * BITS + 1;
        }
        Directory { at, len, chunks, deepest, some: 0 }
    }

    /// The list from which a block of that order is taken. For a large order: chunks for large blocks, then whole ones, then others. For a
    /// smaller one: other chunks, the tightest first, then whole ones, then those for large blocks.
    #[inline]
    pub(super) fn tightest(&self, order: usize) -> Option<usize> {
        let mut some = self.some & usize::MAX << (order % BITS);
        if order >= LARGE {
            some = self.for_large(some, order);
        }
        (some != 0).then(|| some.trailing_zeros() as usize)
    }

    /// Of lists that have blocks of a large order, those from which one is taken.
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
        let words = words.get(self.at + list * self.len..)?;
        let mut node = 0;
        while node < self.len {
            node = node * BITS + 1 + words.get(node)?.trailing_zeros() as usize;
        }
        Some(if node < self.deepest { node + self.chunks } else { node } - self.deepest)
    }

    /// A chunk moves from one list into another. `0` is no list, and `n` that of order `n - 1`.
    #[inline(always)]
    pub(super) fn relist(&mut self, words: &mut [usize], chunk: usize, from: usize, to: usize) {
        if from == to {
            return;
        }
        let mut node = chunk + self.deepest;
        if node >= self.len + self.chunks {
            node -= self.chunks;
        }
        let (word, bit) = ((node - 1) / BITS, 1 << ((node - 1) % BITS));
        self.change(words, from, word, bit);
        self.change(words, to, word, bit);
    }

    /// Changes a bit of a list, and those above as far as words become zero, or are zero no more.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn change(&mut self, words: &mut [usize], list: usize, mut node: usize, mut bit: usize) {
        let Some(list) = list.checked_sub(1) else { return };
        let at = self.at + list * self.len;
        loop {
            let Some(word) = words.get_mut(at + node) else { return };
            let was = *word;
            *word = was ^ bit;
            if was != 0 && was != bit {
                return;
            }
            let Some(up) = node.checked_sub(1) else { break };
            (node, bit) = (up / BITS, 1 << (up % BITS));
        }
        self.some ^= 1 << list;
    }
}
