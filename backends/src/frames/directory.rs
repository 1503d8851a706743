//! Lists of chunks, by the largest block that is free in them: one list for each order, a tree of bits.
//!
//! A list is a heap of words and, behind them, chunks. Word `n` has a bit for each of the nodes from `n * BITS + 1` on: whether a word is
//! not zero, or whether a chunk is in the list. Chunks of the deepest level are found first. Up to `BITS` chunks are all at one level: then
//! the first one is the lowest.
//!
//! A chunk that changes its list often changes back with the next call. So that change is made late: see [`Directory::relist`].

use super::tree::{self, LARGE, LISTS, TOP, Tree, order_of};
use super::{BITS, ORDERS};
use core::ops::Range;

/// Where the lists are in the caller's words.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where the first list is.
    at: usize,
    /// Words of a list: the first node that is a chunk.
    len: usize,
    /// The lists that have chunks.
    some: usize,
    /// The chunk that changed last. It is still in the list `from`.
    last: Move,
}

/// A chunk moves from one list into another. `0` is no list, and `n` that of order `n - 1`.
#[derive(Debug)]
struct Move {
    chunk: usize,
    from: usize,
    to: usize,
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
        Directory { at, len: len(chunks), some: 0, last: Move { chunk: usize::MAX, from: 0, to: 0 } }
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

    /// The first chunk of a list.
    #[inline]
    pub(super) fn first(&self, words: &[usize], list: usize) -> Option<usize> {
        let at = self.at + list * self.len;
        let mut node = 0;
        loop {
            node = node * BITS + 1 + words.get(at + node)?.trailing_zeros() as usize;
            if let Some(chunk) = node.checked_sub(self.len) {
                return Some(chunk);
            }
        }
    }

    /// Notes the list of a chunk whose tree changed. It is moved there by [`settle`](Directory::settle): the caller does that before a
    /// change of [another chunk](Directory::is_behind), and before it asks for a list.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub(super) fn relist(&mut self, tree: &mut Tree, chunk: usize, is_large: bool) {
        let (from, to) = tree::relist(tree, is_large);
        if from == to {
            return;
        }
        if chunk != self.last.chunk {
            (self.last.chunk, self.last.from) = (chunk, from);
        }
        self.last.to = to;
    }

    /// Puts chunks that are in no list into one.
    pub(super) fn fill(&mut self, words: &mut [usize], list: usize, chunks: Range<usize>) {
        let words = words.get_mut(self.at + list * self.len..).unwrap_or_default();
        let mut nodes = self.len + chunks.start..self.len + chunks.end;
        while nodes.end > 1 {
            for above in nodes.start.max(1) - 1..nodes.end - 1 {
                if let Some(word) = words.get_mut(above / BITS) {
                    *word |= 1 << (above % BITS);
                }
            }
            nodes = nodes.start.saturating_sub(1) / BITS..(nodes.end - 2) / BITS + 1;
        }
        self.some |= 1 << list;
    }

    /// Whether another chunk is to be moved, before this one changes.
    #[inline]
    pub(super) fn is_behind(&self, chunk: usize) -> bool {
        self.last.from != self.last.to && self.last.chunk != chunk
    }

    /// Moves the chunk that changed last into its list.
    #[inline]
    pub(super) fn settle(&mut self, words: &mut [usize]) {
        if self.last.from != self.last.to {
            self.make_last(words);
        }
    }

    #[inline(never)]
    fn make_last(&mut self, words: &mut [usize]) {
        let Move { chunk, from, to } = self.last;
        self.last.from = to;
        let node = self.len + chunk;
        self.change(words, from, node);
        self.change(words, to, node);
    }

    /// Changes the bit of a node in a list, and those above as far as words become zero, or are zero no more.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn change(&mut self, words: &mut [usize], list: usize, mut node: usize) {
        let Some(list) = list.checked_sub(1) else { return };
        let at = self.at + list * self.len;
        while let Some(up) = node.checked_sub(1) {
            let bit = 1 << (up % BITS);
            node = up / BITS;
            let Some(word) = words.get_mut(at + node) else { return };
            let was = *word;
            *word = was ^ bit;
            if was != 0 && was != bit {
                return;
            }
        }
        self.some ^= 1 << list;
    }
}
