//! A buddy allocator of frame numbers. Each call is one whole operation, for one lock of the caller.
//!
//! Memory is divided into chunks of 1,024 pages, each with a [tree](super::tree) of what is free in it. A chunk with free blocks is
//! in one [list](super::directory), that of the largest of them. A block is taken from the chunk whose largest block is smallest, the
//! first in its list, so that large blocks stay whole. Blocks of large orders are in chunks of their own, as long as there are whole
//! chunks. So a call costs the same however much memory there is.

use super::directory::Directory;
use super::pieces::{self, PieceError};
use super::tree::{self, CHUNK, TOP, Tree};
use super::{SHORT_SECTIONS, Words, blocks};
use core::ops::Range;
use forebay::{Order, Pages, Pfn};

/// Free frames of one range.
///
/// # Invariants
/// 1. The bit of a block in the tree of its chunk is set if that very block is free; two free buddies below the largest order are one
///    larger free block. 2. A chunk with free blocks is in one list, of the largest of them: that of its order, or that of the chunks
///    for large blocks, if the chunk is one. No other chunk is in a list. The chunk that changed last is in its old list until it is
///    [settled](Buddy::settle). 3. `free` is the number of free pages.
#[derive(Debug)]
pub(crate) struct Buddy<W> {
    /// The trees, the lists, the pieces.
    pub(super) words: W,
    /// The first frame of the first chunk. It is aligned to every block that the range can have.
    pub(super) base: usize,
    pub(super) directory: Directory,
    pub(super) free: usize,
    pub(super) lowest: usize,
    pieces: usize,
}

/// Blocks of one order that were taken together: their first frames.
pub(crate) struct Run {
    first: usize,
    order: usize,
    bits: usize,
}

impl Iterator for Run {
    type Item = Pfn;

    fn next(&mut self) -> Option<Pfn> {
        let bit = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits.checked_sub(1)?;
        Some(Pfn(self.first + (bit << self.order)))
    }
}

/// The alignment of the first chunk, for a range of `pages` pages: no block of the range is larger.
const fn alignment(pages: usize) -> usize {
    if pages < CHUNK { pages.next_power_of_two() } else { CHUNK }
}

impl<W: Words> Buddy<W> {
    /// Words that a range of `pages` pages needs at most, wherever it lies, whose memory may be added in `pieces` pieces that do not
    /// touch.
    pub(crate) const fn words(pages: usize, pieces: usize) -> usize {
        let chunks = (pages + alignment(pages) - 1).div_ceil(CHUNK);
        chunks * tree::WORDS + Directory::words(chunks) + pieces * pieces::WORDS
    }

    /// Nothing is free yet. `words` must have at least [`Buddy::words`] words; what is more than the trees and lists need is for pieces.
    pub(crate) fn new(frames: &Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        Self::in_words(frames, words)
    }

    /// The words are, or will be, zero.
    fn in_words(frames: &Range<usize>, words: W) -> Self {
        let align = alignment(frames.len());
        let base = frames.start / align * align;
        let chunks = (frames.end - base).div_ceil(CHUNK);
        let lists = chunks * tree::WORDS;
        Buddy {
            words,
            base,
            directory: Directory::new(lists, chunks),
            free: 0,
            lowest: 0,
            pieces: lists + Directory::words(chunks),
        }
    }

    /// All of `frames` are free.
    pub(crate) fn whole(frames: &Range<usize>, words: W) -> Self {
        let whole = blocks(frames, TOP as u8);
        let (mut buddy, mut rest) = if SHORT_SECTIONS || whole.is_empty() {
            (Self::new(frames, words), frames.clone())
        } else {
            Self::filled(frames, whole, words)
        };
        buddy.lowest = frames.len();
        pieces::first(buddy.words.as_mut().get_mut(buddy.pieces..).unwrap_or_default(), frames);
        while buddy.put_next(&mut rest) {}
        buddy
    }

    /// The `whole` chunks in `frames` are free, and what is before them. Also what is behind them. Each word is written once. Small
    /// machines have few chunks, and go without.
    fn filled(frames: &Range<usize>, whole: Range<usize>, words: W) -> (Self, Range<usize>) {
        let mut buddy = Self::in_words(frames, words);
        let base = buddy.base / CHUNK;
        let chunks = whole.start - base..whole.end - base;
        let all = (frames.end - buddy.base).div_ceil(CHUNK);
        let words = buddy.words.as_mut();
        words.get_mut(all * tree::WORDS..).unwrap_or_default().fill(0);
        for chunk in 0..all {
            if let Some(tree) = tree_of(words, chunk) {
                tree.fill(0);
                if chunks.contains(&chunk) {
                    tree::fill(tree);
                }
            }
        }
        buddy.free = chunks.len() * CHUNK;
        buddy.directory.fill(buddy.words.as_mut(), TOP, chunks);
        let mut before = frames.start..whole.start << TOP;
        while buddy.put_next(&mut before) {}
        (buddy, whole.end << TOP..frames.end)
    }

    /// The words.
    pub(crate) fn into_words(self) -> W {
        self.words
    }

    /// All free pages.
    pub(crate) fn free(&self) -> Pages {
        Pages::new(self.free)
    }

    /// The least that was ever free.
    pub(crate) fn lowest(&self) -> Pages {
        Pages::new(self.lowest)
    }

    /// All pages, free or not.
    pub(crate) fn total(&self) -> Pages {
        self.pages_in(Order::PAGE)
    }

    /// Pages in all blocks of that order, free or not.
    pub(crate) fn pages_in(&self, order: Order) -> Pages {
        let pieces = self.words.as_ref().get(self.pieces..).unwrap_or_default();
        Pages::new(pieces::pages_in(pieces, order.get()))
    }

    /// Notes memory that will be [put](Buddy::put_next) in. It is one piece with what it touches.
    pub(crate) fn note(&mut self, frames: Range<usize>) -> Result<(), PieceError> {
        let pages = frames.len();
        pieces::note(self.words.as_mut().get_mut(self.pieces..).unwrap_or_default(), frames)?;
        self.lowest += pages;
        Ok(())
    }

    /// Frees the first block of `rest`, the largest that there is, and takes it off there. Returns whether there was one: then try again,
    /// under another lock.
    pub(crate) fn put_next(&mut self, rest: &mut Range<usize>) -> bool {
        let Some(most) = rest.len().checked_ilog2() else { return false };
        // Below the alignment of the first chunk all of the range is one block at most.
        let order = most.min((rest.start - self.base).trailing_zeros()).min(TOP as u32) as usize;
        if self.insert(rest.start, order) {
            rest.start += 1 << order;
        }
        true
    }

    /// All chunks are in the lists of the largest blocks in them.
    #[inline]
    pub(super) fn settle(&mut self) {
        self.directory.settle(self.words.as_mut());
    }

    /// Puts the chunk that changed last into its list, if it is another one. Returns whether that is all that is to be done under this
    /// lock, as sections are short.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn makes_way(&mut self, chunk: usize) -> bool {
        let is_behind = self.directory.is_behind(chunk);
        if is_behind {
            self.settle();
        }
        SHORT_SECTIONS && is_behind
    }

    /// The chunk from which a block of that order is taken: of those whose largest block is smallest, the first of the list. O(1).
    #[inline]
    pub(crate) fn find(&mut self, order: Order) -> Option<usize> {
        self.settle();
        let list = self.directory.tightest(order.get().into())?;
        self.directory.first(self.words.as_ref(), list)
    }

    /// Takes a block. As [`take_from`](Buddy::take_from).
    #[inline(never)] // so that what does without it is short
    pub(crate) fn take(&mut self, order: Order) -> Option<Pfn> {
        let chunk = self.find(order)?;
        self.take_from(chunk, order)
    }

    /// Takes a block from a chunk. O(orders). Nothing if the chunk has none, and also if the smallest that is large enough is much
    /// larger: then that is split; and if another chunk changed since this one was found. So, as long as a chunk is
    /// [found](Buddy::find), try again, under another lock.
    #[inline(always)]
    pub(crate) fn take_from(&mut self, chunk: usize, order: Order) -> Option<Pfn> {
        if SHORT_SECTIONS && self.makes_way(chunk) {
            return None;
        }
        let n = usize::from(order.get());
        let tree = tree_of(self.words.as_mut(), chunk)?;
        let page = tree::take(tree, n);
        self.directory.relist(tree, chunk, tree::is_large_without(tree, n));
        let page = page?;
        self.took(1 << n);
        Some(Pfn(self.base + chunk * CHUNK + page))
    }

    /// Takes several blocks of one order, at the cost of one: up to `count`, a power of two below the bits of a word, at least one.
    /// As [`take`](Buddy::take).
    #[inline]
    pub(crate) fn take_several(&mut self, chunk: usize, order: Order, count: usize) -> Option<Run> {
        if SHORT_SECTIONS && self.makes_way(chunk) {
            return None;
        }
        let n = usize::from(order.get());
        let tree = tree_of(self.words.as_mut(), chunk)?;
        let taken = tree::take_several(tree, n, count);
        self.directory.relist(tree, chunk, false);
        let (page, bits) = taken?;
        self.took((bits.count_ones() as usize) << n);
        Some(Run { first: self.base + chunk * CHUNK + page, order: n, bits })
    }

    /// Pages are not free any more.
    #[inline]
    pub(super) fn took(&mut self, pages: usize) {
        self.free -= pages;
        if self.free < self.lowest {
            self.lowest = self.free;
        }
    }

    /// Whether there is a block of that order. O(1).
    pub(crate) fn has(&mut self, order: Order) -> bool {
        self.settle();
        self.directory.tightest(order.get().into()).is_some()
    }

    /// The largest order of which there is a block. O(1).
    pub(crate) fn largest(&mut self) -> Option<Order> {
        self.settle();
        self.directory.largest().and_then(|order| Order::new(order as u8))
    }

    /// Frees a block of this range, none of whose frames is free. Joins it with its buddies. O(orders). Returns whether it is free: if
    /// not, try again, under another lock.
    #[inline]
    #[must_use]
    pub(crate) fn put(&mut self, pfn: Pfn, order: Order) -> bool {
        self.insert(pfn.0, usize::from(order.get()))
    }

    #[inline(never)]
    pub(super) fn insert(&mut self, pfn: usize, order: usize) -> bool {
        let at = pfn.wrapping_sub(self.base);
        if self.makes_way(at / CHUNK) {
            return false;
        }
        let Some(tree) = tree_of(self.words.as_mut(), at / CHUNK) else { return true };
        tree::put(tree, at % CHUNK, order);
        self.directory.relist(tree, at / CHUNK, tree::is_large_with(tree, order));
        self.free += 1 << order;
        true
    }
}

/// The tree of a chunk.
#[inline]
pub(super) fn tree_of(words: &mut [usize], chunk: usize) -> Option<&mut Tree> {
    words.get_mut(chunk * tree::WORDS..)?.first_chunk_mut()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::BITS;
    use super::*;
    use std::{vec, vec::Vec};

    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            ((self.0 >> 11) % n as u64) as usize
        }
    }

    /// A buddy, and what is free page by page.
    struct Model {
        buddy: Buddy<Vec<usize>>,
        first: usize,
        free: Vec<bool>,
        held: Vec<(usize, Order)>,
    }

    impl Model {
        fn new(frames: Range<usize>) -> Self {
            let words = vec![usize::MAX; Buddy::<Vec<usize>>::words(frames.len(), 1)];
            let free = vec![true; frames.len()];
            Model { buddy: Buddy::whole(&frames, words), first: frames.start, free, held: vec![] }
        }

        /// Whether the free pages make a block of that order.
        fn has(&self, order: usize) -> bool {
            let skip = self.first.next_multiple_of(1 << order) - self.first;
            self.free
                .get(skip..)
                .unwrap_or_default()
                .chunks_exact(1 << order)
                .any(|block| block.iter().all(|free| *free))
        }

        fn set(&mut self, pfn: usize, order: Order, to: bool) {
            let at = pfn - self.first;
            for page in &mut self.free[at..at + order.pages().get()] {
                assert_ne!(core::mem::replace(page, to), to, "a page twice");
            }
        }

        fn take(&mut self, order: Order) -> bool {
            let Some(Pfn(pfn)) = self.buddy.take_now(order) else { return false };
            assert_eq!(pfn % order.pages().get(), 0);
            self.set(pfn, order, false);
            self.held.push((pfn, order));
            true
        }

        fn take_several(&mut self, order: Order, count: usize) -> bool {
            let run = loop {
                let Some(chunk) = self.buddy.find(order) else { break None };
                let run = self.buddy.take_several(chunk, order, count);
                if run.is_some() {
                    break run;
                }
            };
            let pages: Vec<_> = run.into_iter().flatten().map(|pfn| pfn.0).collect();
            assert!(pages.len() <= count && pages.is_sorted());
            for pfn in &pages {
                assert_eq!(pfn % order.pages().get(), 0);
                self.set(*pfn, order, false);
                self.held.push((*pfn, order));
            }
            !pages.is_empty()
        }

        fn put(&mut self, n: usize) {
            let (pfn, order) = self.held.swap_remove(n);
            self.set(pfn, order, true);
            self.buddy.put_now(Pfn(pfn), order);
        }

        /// Each chunk is in the list of its largest block, and lists have their ends right.
        fn check(&mut self) {
            self.buddy.settle();
            let chunks = self.free.chunks(CHUNK).map(|pages| {
                let is_whole =
                    |order: usize| pages.chunks_exact(1 << order).any(|block| block.iter().all(|free| *free));
                (0..=TOP).rev().find(|order| is_whole(*order))
            });
            let largest: Vec<_> = chunks.collect();
            let (words, directory) = (&self.buddy.words, &self.buddy.directory);
            let list = |chunk: usize| words[chunk * tree::WORDS].checked_sub(1);
            for (chunk, largest) in largest.iter().enumerate() {
                assert_eq!(list(chunk).map(tree::order_of), *largest, "chunk {chunk}");
            }
            for list_number in 0..tree::LISTS {
                let of = |chunk: &usize| list(*chunk) == Some(list_number);
                let lowest = (0..largest.len()).find(of);
                assert_eq!(directory.has(list_number), lowest.is_some(), "list {list_number}");
                if let Some(lowest) = lowest {
                    let first = directory.first(words, list_number).unwrap();
                    assert!(of(&first), "list {list_number}");
                    assert!(first == lowest || largest.len() > BITS, "list {list_number}");
                }
            }
            assert_eq!(directory.largest(), largest.iter().flatten().copied().max());
            assert_eq!(self.buddy.free, self.free.iter().filter(|free| **free).count());
        }
    }

    fn order(n: usize) -> Order {
        Order::new(n as u8).unwrap()
    }

    /// Rule: there is a block of an order exactly if the free pages have one, whatever was taken and freed before.
    #[test]
    fn has_what_the_free_pages_have() {
        for (seed, frames) in
            [0..4096, 5000..9001, 511..513, 3..3001, 7..200, 1 << 20..(1 << 20) + 1].into_iter().enumerate()
        {
            let (mut m, mut random) = (Model::new(frames.clone()), Random(seed as u64 + 1));
            for step in 0..20_000 {
                let k = random.below(TOP + 1).min(random.below(TOP + 1));
                if random.below(2) == 0 {
                    let has = m.has(k);
                    assert_eq!(m.buddy.has(order(k)), has);
                    let count = 1 << random.below(BITS.ilog2() as usize);
                    let is_one = k > 5 || random.below(3) == 0;
                    let taken = if is_one { m.take(order(k)) } else { m.take_several(order(k), count) };
                    assert_eq!(taken, has, "order {k}");
                } else if !m.held.is_empty() {
                    let n = random.below(m.held.len());
                    m.put(n);
                }
                if step % 64 == 0 && frames.start % CHUNK == 0 {
                    m.check();
                }
            }
        }
    }

    /// Rule: lists of chunks hold with one level of summaries and with two, and a nearly full range stays right.
    #[test]
    fn lists_hold_however_much_there_is() {
        for chunks in [2, 70, BITS * BITS + 70] {
            let (mut m, mut random) = (Model::new(0..chunks * CHUNK), Random(7));
            let steps = if chunks > 100 { 4000 } else { 50_000 };
            while m.take(Order::TEN) {}
            for step in 0..steps {
                let k = (random.below(1 << 12).trailing_zeros() as usize).min(TOP);
                if !m.take(order(k)) || random.below(2) == 0 {
                    let n = random.below(m.held.len());
                    m.put(n);
                }
                if step % (steps / 8) == 0 {
                    m.check();
                }
            }
        }
    }

    /// Rule: a large block is of a chunk for large blocks, or of a whole one; a smaller one of the tightest of the other chunks, the
    /// first of those.
    #[test]
    fn blocks_are_where_they_spare_large_ones() {
        let mut m = Model::new(0..4 * CHUNK);
        let mut take = |k| m.buddy.take_now(order(k)).map(|pfn| pfn.0);
        assert_eq!((take(10), take(0)), (Some(0), Some(CHUNK)));
        assert_eq!(take(9), Some(2 * CHUNK), "a chunk for large blocks");
        assert_eq!(take(3), Some(CHUNK + 8), "not of that");
        assert_eq!(take(9), Some(2 * CHUNK + 512));
        assert_eq!((take(10), take(10)), (Some(3 * CHUNK), None));
        assert_eq!(take(9), Some(CHUNK + 512), "nothing else is left");
        let mut m = Model::new(0..2 * CHUNK);
        let mut take = |k| m.buddy.take_now(order(k)).map(|pfn| pfn.0);
        assert_eq!((take(8), take(9)), (Some(0), Some(512)));
        assert_eq!((take(10), take(0)), (Some(CHUNK), Some(256)), "a small one of the last large one");
        m.buddy.put_now(Pfn(0), order(8));
        m.buddy.put_now(Pfn(256), order(0));
        m.buddy.put_now(Pfn(512), order(9));
        assert_eq!(m.buddy.take_now(order(10)), Some(Pfn(0)), "whole again");
    }
}
