//! Which blocks were put away: what makes a forged number no second owner.

use super::{ORDERS, Words, bitmap, blocks};
use core::ops::Range;
use forebay::{Order, Pfn};

/// A mark for each naturally aligned block of a range, of each order: just this was put away. Two bits a page.
#[derive(Debug)]
pub(crate) struct Away<W> {
    words: W,
    frames: Range<usize>,
}

impl<W: Words> Away<W> {
    /// Words that a range of `pages` pages needs at most, wherever it lies.
    pub(crate) const fn words(pages: usize) -> usize {
        let mut bits = 0;
        let mut order = 0;
        while order < ORDERS {
            bits += pages >> order;
            order += 1;
        }
        bitmap::plain_words(bits)
    }

    /// Nothing is marked. Without words, nothing ever is.
    pub(crate) fn new(frames: Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        Away { words, frames }
    }

    /// Marks a block; whether the range has it.
    pub(crate) fn mark(&mut self, pfn: Pfn, order: Order) -> bool {
        let bit = self.bit(pfn, order);
        bit.inspect(|bit| bitmap::set(self.words.as_mut(), *bit)).is_some()
    }

    /// Takes a mark away; whether there was one.
    pub(crate) fn unmark(&mut self, pfn: Pfn, order: Order) -> bool {
        let bit = self.bit(pfn, order).filter(|bit| bitmap::get(self.words.as_ref(), *bit));
        bit.inspect(|bit| bitmap::clear(self.words.as_mut(), *bit)).is_some()
    }

    /// Whether a block is marked.
    pub(crate) fn is_marked(&self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some_and(|bit| bitmap::get(self.words.as_ref(), bit))
    }

    /// Whether the range has such a block: aligned, and wholly inside.
    pub(crate) fn has(&self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some()
    }

    fn bit(&self, pfn: Pfn, order: Order) -> Option<usize> {
        let here = blocks(&self.frames, order.get());
        let number = pfn.get() >> order.get();
        if usize::from(order.get()) >= ORDERS || !pfn.is_aligned(order) || !here.contains(&number) {
            return None;
        }
        let below: usize = (0..order.get()).map(|k| blocks(&self.frames, k).len()).sum();
        Some(below + number - here.start)
    }
}
