//! A buddy allocator of frame numbers.
//!
//! One bit for each naturally aligned block that lies wholly in the range, for each order, says whether it is
//! free as a block of that order. That is at most two bits a page, and the summaries above them. The lowest
//! address is used first, which keeps the high ones whole; neighbours join whatever the order in which they come
//! back.

use super::{ORDERS, Words, bitmap, blocks};
use core::ops::Range;
use forebay::{Order, Pages, Pfn};

/// Free frames of one range.
///
/// # Invariants
/// 1. A frame is free in at most one bit. 2. Two free buddies below the largest order are one larger free block.
#[derive(Debug)]
pub(crate) struct Buddy<W> {
    words: W,
    frames: Range<usize>,
    /// Where the words of each order begin.
    starts: [u32; ORDERS],
    free: Pages,
}

impl<W: Words> Buddy<W> {
    /// Words that a range of `pages` pages needs at most, wherever it lies.
    pub(crate) const fn words(pages: usize) -> usize {
        let mut sum = 0;
        let mut order = 0;
        while order < ORDERS {
            sum += bitmap::summed_words(pages >> order);
            order += 1;
        }
        sum
    }

    /// All of `frames` free. `words` must be [`Buddy::words`] long at least, or frames are missing.
    pub(crate) fn new(frames: Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        let mut starts = [0; ORDERS];
        let mut next = 0;
        for (order, start) in (0..).zip(&mut starts) {
            *start = u32::try_from(next).unwrap_or(u32::MAX);
            next += bitmap::summed_words(blocks(&frames, order).len());
        }
        let mut buddy = Buddy { words, frames: frames.clone(), starts, free: Pages::ZERO };
        buddy.put_run(frames);
        buddy
    }

    pub(crate) fn frames(&self) -> Range<usize> {
        self.frames.clone()
    }

    pub(crate) fn free(&self) -> Pages {
        self.free
    }

    /// Whether a frame of this range is free. O(orders).
    pub(crate) fn is_free(&self, pfn: Pfn) -> bool {
        self.free_block(pfn.get()).is_some()
    }

    /// The order of the free block that a frame is in, and the number of that block among those of its order.
    fn free_block(&self, pfn: usize) -> Option<(u8, usize)> {
        (0..ORDERS as u8).find_map(|k| {
            let (blocks, number) = (self.blocks(k), pfn >> k);
            let free = blocks.contains(&number) && bitmap::get(self.order(k), number - blocks.start);
            free.then(|| (k, number - blocks.start))
        })
    }

    /// The lowest block among the smallest that are large enough. O(orders · log pages).
    pub(crate) fn take(&mut self, order: Order) -> Option<Pfn> {
        let wanted = order.get();
        let (found, index) = (wanted..ORDERS as u8)
            .find_map(|k| Some((k, bitmap::first_summed(self.order(k), self.blocks(k).len())?)))?;
        self.clear(found, index);
        let pfn = (self.blocks(found).start + index) << found;
        for k in (wanted..found).rev() {
            self.set(k, (pfn >> k) + 1 - self.blocks(k).start); // the upper half stays free
        }
        self.free -= order.pages();
        Some(Pfn::new(pfn))
    }

    /// Takes back a block of frames of this range that are not free. Joins it with its free buddies. O(orders ·
    /// log pages).
    pub(crate) fn put(&mut self, pfn: Pfn, order: Order) {
        self.free += order.pages();
        let (mut pfn, mut k) = (pfn.get(), order.get());
        while usize::from(k) + 1 < ORDERS {
            let blocks = self.blocks(k);
            let Some(buddy) = blocks.contains(&((pfn >> k) ^ 1)).then(|| ((pfn >> k) ^ 1) - blocks.start)
            else {
                break;
            };
            if !bitmap::get(self.order(k), buddy) {
                break;
            }
            self.clear(k, buddy);
            pfn &= !(1 << k);
            k += 1;
        }
        let index = (pfn >> k) - self.blocks(k).start;
        self.set(k, index);
    }

    /// Takes a run of frames back, none of which is free, in the largest blocks that they make.
    pub(crate) fn put_run(&mut self, run: Range<usize>) {
        let mut at = run.start;
        while at < run.end {
            let fits = (run.end - at).ilog2().min(at.trailing_zeros()).min(ORDERS as u32 - 1);
            let order = Order::new(fits as u8).unwrap_or(Order::PAGE);
            self.put(Pfn::new(at), order);
            at += order.pages().get();
        }
    }

    /// Takes out the frames of a run that are free: the first of them, as long as they follow each other, from `at`
    /// on. An empty run if there is none before `end`. O(orders · log pages) for each free block, and O(orders) for
    /// each frame that is not free.
    #[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
    pub(crate) fn take_run(&mut self, mut at: usize, end: usize) -> Range<usize> {
        while at < end && self.free_block(at).is_none() {
            at += 1;
        }
        let start = at;
        while let Some((k, index)) = self.free_block(at).filter(|_| at < end) {
            let first = (self.blocks(k).start + index) << k;
            let block = first..first + (1 << k);
            self.clear(k, index);
            self.free -= Pages::new(block.len());
            self.put_run(block.start..at.max(block.start));
            self.put_run(end.min(block.end)..block.end);
            at = block.end.min(end);
        }
        start..at.min(end).max(start)
    }

    fn blocks(&self, order: u8) -> Range<usize> {
        blocks(&self.frames, order)
    }

    fn order(&self, order: u8) -> &[usize] {
        self.starts
            .get(usize::from(order))
            .and_then(|s| self.words.as_ref().get(*s as usize..))
            .unwrap_or_default()
    }

    fn order_mut(&mut self, order: u8) -> &mut [usize] {
        self.starts
            .get(usize::from(order))
            .and_then(|s| self.words.as_mut().get_mut(*s as usize..))
            .unwrap_or_default()
    }

    fn set(&mut self, order: u8, index: usize) {
        let bits = self.blocks(order).len();
        bitmap::set_summed(self.order_mut(order), bits, index);
    }

    fn clear(&mut self, order: u8, index: usize) {
        let bits = self.blocks(order).len();
        bitmap::clear_summed(self.order_mut(order), bits, index);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    fn buddy(frames: Range<usize>) -> Buddy<Vec<usize>> {
        let words = vec![0; Buddy::<Vec<usize>>::words(frames.len())];
        Buddy::new(frames, words)
    }

    fn order(n: u8) -> Order {
        Order::new(n).unwrap()
    }

    /// Rule: whatever is taken and in whatever order it comes back, the end is the set of free blocks of the start.
    #[test]
    fn everything_back_joins_to_the_same_blocks() {
        for frames in [0..1, 5..6, 0..1024, 3..1029, 1000..1100, 0..4096, 77..5000] {
            let mut b = buddy(frames.clone());
            let before = b.words.to_vec();
            let mut rng = 88_172_645_463_325_252_u64;
            let mut held: Vec<(Pfn, Order)> = Vec::new();
            for _ in 0..2000 {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                if !rng.is_multiple_of(3) {
                    let o = order((rng >> 8) as u8 % 11);
                    if let Some(pfn) = b.take(o) {
                        assert!(pfn.is_aligned(o) && frames.contains(&pfn.get()));
                        assert!(pfn.get() + o.pages().get() <= frames.end);
                        let mine = pfn.get()..pfn.get() + o.pages().get();
                        assert!(
                            held.iter()
                                .all(|(p, o)| p.get() >= mine.end || p.get() + o.pages().get() <= mine.start)
                        );
                        held.push((pfn, o));
                    }
                } else if !held.is_empty() {
                    let (pfn, o) = held.swap_remove(rng as usize % held.len());
                    b.put(pfn, o);
                }
                let out: Pages = held.iter().map(|(_, o)| o.pages()).sum();
                assert_eq!((out + b.free()).get(), frames.len());
            }
            for (pfn, o) in held.drain(..) {
                b.put(pfn, o);
            }
            assert_eq!(b.words.to_vec(), before, "{frames:?}");
        }
    }

    /// Rule: a part of a block may come home by itself.
    #[test]
    fn halves_come_back_one_by_one() {
        let mut b = buddy(0..16);
        let pfn = b.take(order(4)).unwrap();
        assert_eq!(b.take(Order::PAGE), None);
        for page in [3, 9, 0, 15, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14] {
            b.put(Pfn::new(pfn.get() + page), Order::PAGE);
        }
        assert_eq!(b.take(order(4)), Some(pfn));
    }

    /// Rule: taking out a run takes what is free in it and nothing else, and giving it back makes everything as before.
    #[test]
    fn runs_are_taken_out_and_come_back() {
        for frames in [0..64, 3..1029, 77..5000] {
            let mut b = buddy(frames.clone());
            let held = [b.take(order(2)).unwrap(), b.take(Order::PAGE).unwrap(), b.take(order(3)).unwrap()];
            let (before, free) = (b.words.clone(), b.free());
            for (from, to) in [(frames.start, frames.end), (frames.start + 5, frames.start + 33)] {
                let is_free: Vec<bool> = (from..to).map(|n| b.is_free(Pfn::new(n))).collect();
                let mut runs = Vec::new();
                let mut at = from;
                loop {
                    let run = b.take_run(at, to);
                    if run.is_empty() {
                        break;
                    }
                    at = run.end;
                    runs.push(run);
                }
                let taken: Vec<bool> = (from..to).map(|n| runs.iter().any(|r| r.contains(&n))).collect();
                assert_eq!(taken, is_free);
                assert!((from..to).all(|n| !b.is_free(Pfn::new(n))), "nothing of it is free now");
                let pages: usize = runs.iter().map(Range::len).sum();
                assert_eq!(b.free() + Pages::new(pages), free);
                runs.into_iter().for_each(|run| b.put_run(run));
                assert_eq!((&b.words, b.free()), (&before, free));
            }
            assert!(held.iter().all(|pfn| !b.is_free(*pfn)));
        }
    }

    /// Rule: metadata is at most a twentieth of a per cent of memory at pages of 4 KiB, a tenth at 512 B, and no
    /// more than the `const fn` says.
    #[test]
    fn metadata_is_small() {
        let bytes = |pages| Buddy::<Vec<usize>>::words(pages) * size_of::<usize>();
        assert!(bytes(1 << 20) * 2000 <= (1 << 20) * 4096);
        assert!(bytes(1 << 16) * 1000 <= (1 << 16) * 512);
    }
}
