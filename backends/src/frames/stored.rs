//! Which blocks were put stored: what makes a forged number no second owner.

use super::bitmap::{self, Bit};
use super::{ORDERS, Words};
use core::ops::Range;
use forebay::{Order, Pfn};

/// A mark for each naturally aligned block of a range, of each order: exactly this block is stored. Two bits a page.
///
/// The marks lie like the nodes of a binary tree in order: the mark of a block is between the marks of its halves. So the place
/// of a mark follows from number and order.
#[derive(Debug)]
pub(crate) struct StoredSet<W> {
    words: W,
    frames: Range<usize>,
}

impl<W: Words> StoredSet<W> {
    /// Words that a range of `pages` pages needs.
    pub(crate) const fn words(pages: usize) -> usize {
        bitmap::plain_words(2 * pages)
    }

    /// Nothing is marked. Without words, nothing ever is.
    pub(crate) fn new(frames: Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        StoredSet { words, frames }
    }

    /// The place of the mark of a block, if the block is aligned and inside of these frames.
    fn mark_of(frames: &Range<usize>, pfn: Pfn, order: Order) -> Option<Bit> {
        let (first, pages) = (pfn.0, order.pages().get());
        if usize::from(order.get()) >= ORDERS || first & (pages - 1) != 0 {
            return None;
        }
        let inside = first >= frames.start && first <= frames.end.checked_sub(pages)?;
        inside.then(|| Bit::new(2 * (first - frames.start) + pages - 1))
    }

    /// Sets a mark of these frames.
    fn set(&mut self, mark: Bit) {
        mark.set(self.words.as_mut());
    }

    /// Clears a mark of these frames. Returns whether it was set.
    fn clear(&mut self, mark: Bit) -> bool {
        let was = self.is_set(mark);
        mark.clear(self.words.as_mut());
        was
    }

    /// Whether a mark of these frames is set.
    fn is_set(&self, mark: Bit) -> bool {
        mark.is_set(self.words.as_ref())
    }

    /// Marks a block, if the range has it. Returns whether it has.
    #[inline]
    pub(crate) fn mark(&mut self, pfn: Pfn, order: Order) -> bool {
        let mark = self.bit(pfn, order);
        if let Some(mark) = mark {
            self.set(mark);
        }
        mark.is_some()
    }

    /// Removes a mark. Returns whether there was one.
    pub(crate) fn unmark(&mut self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some_and(|mark| self.clear(mark))
    }

    /// Whether a block is marked.
    pub(crate) fn is_marked(&self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some_and(|mark| self.is_set(mark))
    }

    /// Whether the range has such a block: aligned, and inside of it.
    pub(crate) fn has(&self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some()
    }

    fn bit(&self, pfn: Pfn, order: Order) -> Option<Bit> {
        Self::mark_of(&self.frames, pfn, order)
    }
}
