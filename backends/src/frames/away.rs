//! Which blocks were put away: what makes a forged number no second owner.

use super::bitmap::{self, Bit};
use super::{ORDERS, Words};
use core::ops::Range;
use forebay::{Order, Pfn};

/// A mark for each naturally aligned block of a range, of each order: just this was put away. Two bits a page.
///
/// They lie as the nodes of a binary tree do that is walked in order: between the marks of the two halves of a block is its
/// own. So where a mark is follows from number and order alone.
#[derive(Debug)]
pub(crate) struct Away<W> {
    words: W,
    frames: Range<usize>,
}

impl<W: Words> Away<W> {
    /// Words that a range of `pages` pages needs.
    pub(crate) const fn words(pages: usize) -> usize {
        bitmap::plain_words(2 * pages)
    }

    /// Nothing is marked. Without words, nothing ever is.
    pub(crate) fn new(frames: Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        Away { words, frames }
    }

    /// No frames at all.
    pub(crate) const fn without(words: W) -> Self {
        Away { words, frames: 0..0 }
    }

    /// Those whose blocks may be marked.
    pub(crate) fn frames(&self) -> Range<usize> {
        self.frames.clone()
    }

    /// Where the mark of a block is, if such frames have it: aligned, and wholly inside.
    pub(crate) fn mark_of(frames: &Range<usize>, pfn: Pfn, order: Order) -> Option<Bit> {
        if usize::from(order.get()) >= ORDERS || !pfn.is_aligned(order) {
            return None;
        }
        let (first, pages) = (pfn.get(), order.pages().get());
        let inside = first >= frames.start && first <= frames.end.checked_sub(pages)?;
        inside.then(|| Bit::new(0, 2 * (first - frames.start) + pages - 1))
    }

    /// Sets a mark of these frames.
    pub(crate) fn set(&mut self, mark: Bit) {
        mark.set(self.words.as_mut());
    }

    /// Clears a mark of these frames; whether it was set.
    pub(crate) fn clear(&mut self, mark: Bit) -> bool {
        let was = self.is_set(mark);
        mark.clear(self.words.as_mut());
        was
    }

    /// Whether a mark of these frames is set.
    pub(crate) fn is_set(&self, mark: Bit) -> bool {
        mark.is_set(self.words.as_ref())
    }
}

/// By block, for one who has all of it for himself.
#[cfg(all(feature = "shmem", target_os = "linux"))]
impl<W: Words> Away<W> {
    /// Marks a block, if the range has it.
    pub(crate) fn mark(&mut self, pfn: Pfn, order: Order) {
        if let Some(mark) = self.bit(pfn, order) {
            self.set(mark);
        }
    }

    /// Takes a mark away; whether there was one.
    pub(crate) fn unmark(&mut self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some_and(|mark| self.clear(mark))
    }

    /// Whether a block is marked.
    pub(crate) fn is_marked(&self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some_and(|mark| self.is_set(mark))
    }

    /// Whether the range has such a block: aligned, and wholly inside.
    pub(crate) fn has(&self, pfn: Pfn, order: Order) -> bool {
        self.bit(pfn, order).is_some()
    }

    fn bit(&self, pfn: Pfn, order: Order) -> Option<Bit> {
        Self::mark_of(&self.frames, pfn, order)
    }
}
