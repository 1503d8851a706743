//! Free frames by their place: the free frames of a run are taken out and put back.

use super::tree::{self, CHUNK};
use super::{Buddy, Words, buddy};
use core::ops::Range;
use forebay::{Order, Pfn};

impl<W: Words> Buddy<W> {
    /// Takes a block, in as many steps as that needs.
    pub(crate) fn take_now(&mut self, order: Order) -> Option<Pfn> {
        while self.has(order) {
            if let Some(pfn) = self.take(order) {
                return Some(pfn);
            }
        }
        None
    }

    /// Frees a block, in as many steps as that needs.
    pub(crate) fn put_now(&mut self, pfn: Pfn, order: Order) {
        while !self.put(pfn, order) {}
    }

    /// Frees a run of frames, none of which is free, in the largest blocks that they make.
    pub(crate) fn put_run(&mut self, mut run: Range<usize>) {
        while self.put_next(&mut run) {}
    }

    /// Takes out the frames of a run that are free: the first of them, as long as they follow each other, from `at`
    /// on. An empty run if there is none before `end`. O(orders) for each free block, and for each frame that is not free.
    pub(crate) fn take_run(&mut self, mut at: usize, end: usize) -> Range<usize> {
        while at < end && self.free_block(at).is_none() {
            at += 1;
        }
        let start = at;
        while let Some(block) = self.free_block(at).filter(|_| at < end) {
            self.remove(&block);
            self.put_run(block.start..at.max(block.start));
            self.put_run(end.min(block.end)..block.end);
            at = block.end.min(end);
        }
        start..at.min(end).max(start)
    }

    /// The frames of the free block that a frame is in.
    pub(crate) fn free_block(&mut self, pfn: usize) -> Option<Range<usize>> {
        let at = pfn.checked_sub(self.base)?;
        let order = tree::free_block(buddy::tree_of(self.words.as_mut(), at / CHUNK)?, at % CHUNK)?;
        let first = self.base + (at >> order << order);
        Some(first..first + (1 << order))
    }

    /// Takes a block that is free.
    fn remove(&mut self, block: &Range<usize>) {
        self.settle();
        let (at, order) = (block.start - self.base, block.len().trailing_zeros() as usize);
        let Some(tree) = buddy::tree_of(self.words.as_mut(), at / CHUNK) else { return };
        tree::remove(tree, at % CHUNK, order);
        self.directory.relist(tree, at / CHUNK, tree::is_large_with(tree, order));
        self.took(block.len());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use forebay::Pages;
    use std::{vec, vec::Vec};

    fn buddy(frames: Range<usize>) -> Buddy<Vec<usize>> {
        let words = vec![0; Buddy::<Vec<usize>>::words(frames.len(), 1)];
        Buddy::whole(&frames, words)
    }

    fn order(n: u8) -> Order {
        Order::new(n).unwrap()
    }

    /// Rule: blocks that are taken and freed in any order give the same set of free blocks as at the start.
    #[test]
    fn everything_back_joins_to_the_same_blocks() {
        for frames in [0..1, 5..6, 0..1024, 3..1029, 1000..1100, 0..4096, 77..5000] {
            let mut b = buddy(frames.clone());
            let mut rng = 88_172_645_463_325_252_u64;
            let mut held: Vec<(Pfn, Order)> = Vec::new();
            for _ in 0..2000 {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                if rng % 3 != 0 {
                    let o = order((rng >> 8) as u8 % 11);
                    if let Some(pfn) = b.take_now(o) {
                        assert!(pfn.0 % o.pages().get() == 0 && frames.contains(&pfn.0));
                        assert!(pfn.0 + o.pages().get() <= frames.end);
                        let mine = pfn.0..pfn.0 + o.pages().get();
                        assert!(
                            held.iter().all(|(p, o)| p.0 >= mine.end || p.0 + o.pages().get() <= mine.start)
                        );
                        held.push((pfn, o));
                    }
                } else if !held.is_empty() {
                    let (pfn, o) = held.swap_remove(rng as usize % held.len());
                    b.put_now(pfn, o);
                }
                let out: Pages = held.iter().map(|(_, o)| o.pages()).sum();
                assert_eq!((out + b.free()).get(), frames.len());
            }
            for (pfn, o) in held.drain(..) {
                b.put_now(pfn, o);
            }
            let blocks = |b: &mut Buddy<Vec<usize>>| -> Vec<_> {
                frames.clone().map(|frame| b.free_block(frame)).collect()
            };
            let after = blocks(&mut b);
            assert!(after == blocks(&mut buddy(frames.clone())), "{frames:?}");
        }
    }

    /// Rule: a part of a block may be freed by itself.
    #[test]
    fn halves_come_back_one_by_one() {
        let mut b = buddy(0..16);
        let pfn = b.take_now(order(4)).unwrap();
        assert_eq!(b.take_now(Order::PAGE), None);
        for page in [3, 9, 0, 15, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14] {
            b.put_now(Pfn(pfn.0 + page), Order::PAGE);
        }
        assert_eq!(b.take_now(order(4)), Some(pfn));
    }

    /// Rule: taking out a run takes what is free in it and nothing else, and giving it back makes everything as before.
    #[test]
    fn runs_are_taken_out_and_come_back() {
        for frames in [0..64, 3..1029, 77..5000] {
            let mut b = buddy(frames.clone());
            let held = [
                b.take_now(order(2)).unwrap(),
                b.take_now(Order::PAGE).unwrap(),
                b.take_now(order(3)).unwrap(),
            ];
            b.settle();
            let (before, free) = (b.words.clone(), b.free());
            for (from, to) in [(frames.start, frames.end), (frames.start + 5, frames.start + 33)] {
                let is_free: Vec<bool> = (from..to).map(|n| b.free_block(n).is_some()).collect();
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
                assert!((from..to).all(|n| b.free_block(n).is_none()), "nothing of it is free now");
                let pages: usize = runs.iter().map(Range::len).sum();
                assert_eq!(b.free() + Pages::new(pages), free);
                runs.into_iter().for_each(|run| b.put_run(run));
                b.settle();
                assert_eq!((&b.words, b.free()), (&before, free));
            }
            assert!(held.iter().all(|pfn| b.free_block(pfn.0).is_none()));
        }
    }

    /// Rule: where frames lie makes no difference, not at the end of the numbers either; no frames are none.
    #[test]
    fn ranges_at_the_ends() {
        for frames in [usize::MAX - 2100..usize::MAX, usize::MAX - 1..usize::MAX, 0..3, 7..7] {
            let mut b = buddy(frames.clone());
            for o in (0..16).filter_map(Order::new) {
                if let Some(pfn) = b.take_now(o) {
                    assert!(frames.contains(&pfn.0) && o.pages().get() <= frames.end - pfn.0);
                    b.put_now(pfn, o);
                }
            }
            assert_eq!(b.free(), Pages::new(frames.len()));
        }
    }

    /// Rule: metadata is at most a twentieth of a per cent of memory at pages of 4 KiB, a tenth at 512 B, and no
    /// more than the `const fn` says.
    #[test]
    fn metadata_is_small() {
        let bytes = |pages| Buddy::<Vec<usize>>::words(pages, 1) * size_of::<usize>();
        assert!(bytes(1 << 20) * 2000 <= (1 << 20) * 4096);
        assert!(bytes(1 << 16) * 1000 <= (1 << 16) * 512);
    }
}
