//! Dropping contents: by their owner; or by a reclaim, where the owner said that they are not needed.

use crate::cell::Held;
use crate::event::{self, Event};
use crate::ladder::Walk;
use crate::state::{Inner, Marks};
use crate::{
    BackingStore, Buffer, Busy, Context, Evict, ModeRefused, OwnedBlock, Pages, Platform, Pooled, Refused,
    Slots, StayReason,
};

/// What the owner of a buffer says of its contents (the `madvise` of GEM objects).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Advice {
    /// They are needed. So it is with every buffer unless told otherwise.
    WillNeed,
    /// They can be made again: a reclaim with [`Evict::PURGE`] may drop them, which costs least of all.
    DontNeed,
}

/// Whether the contents of a buffer are there still.
#[must_use = "contents that were dropped have to be made again"]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Retained {
    /// No reclaim dropped them. (What the owner purged, or the store lost, is gone all the same.)
    Yes,
    /// A reclaim dropped them: the buffer reads as zeros. The answer stays the same until somebody writes to it, or it
    /// begins with what is stored.
    No,
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Says whether the contents are needed, and learns whether they are still there. Counts as no use of the buffer.
    ///
    /// # Errors
    /// [`Busy`], and nothing changed, if a guard is alive or somebody moves it.
    ///
    /// # Context
    /// O(1), also in an interrupt.
    pub fn advise(&self, advice: Advice) -> Result<Retained, Busy> {
        let mut held = self.cell.hold_quietly()?;
        held.marks.set(Marks::PURGEABLE, advice == Advice::DontNeed);
        Ok(if held.marks.contains(Marks::PURGED) { Retained::No } else { Retained::Yes })
    }

    /// Drops the contents, wherever they are: blocks to the pool, handles to the store. It reads as zeros
    /// afterwards. Whoever has it mapped is told first, by the hook before an eviction. A block that its caching mode
    /// keeps from going stays, wiped.
    ///
    /// # Errors
    /// [`Busy`], and nothing changed, if a guard is alive, somebody moves it, or the hook refuses.
    ///
    /// # Context
    /// Linear in the slots. (TTM's purge, after which a plain restore would show old memory.)
    pub fn purge(&self, cx: Context) -> Result<(), Busy> {
        let mut held = self.cell.hold()?;
        self.unmap(&mut held, cx)?;
        self.clear(&mut held, cx, |block| self.home.pool.give(block, cx));
        event::send(Event::Purged(self.id));
        Ok(())
    }

    /// The buffer, if a reclaim may purge it, and did not try that before: lately used or not.
    pub(crate) fn hold_to_purge(&self, how: Evict) -> Option<Held<'_, P::Lock, Inner<T>>> {
        if !how.contains(Evict::PURGE) {
            return None;
        }
        let held = self.cell.hold_quietly().ok()?;
        (may_be_purged(held.marks, how) && !held.marks.contains(Marks::PURGED)).then_some(held)
    }

    /// Whether a reclaim purged it, and what is there since is not needed either: wiped blocks that could not go, or zeros
    /// that somebody read. Such a buffer has its second chance.
    pub(crate) fn was_purged(&self) -> bool {
        let marks = Marks::PURGEABLE | Marks::PURGED;
        self.cell.inspect(|inner| inner.marks.contains(marks)).unwrap_or(false)
    }

    /// Drops everything for a reclaim: blocks go home, past the pool.
    pub(crate) fn purge_held(&self, held: &mut Held<'_, P::Lock, Inner<T>>, walk: &mut Walk) {
        if self.unmap(held, walk.cx).is_err() {
            return walk.refuse(Pages::ZERO, StayReason::Hook);
        }
        let cx = walk.cx;
        let uncovered = self.clear(held, cx, |block| {
            let pages = block.block().pages();
            let sent = self.home.pool.send_home(block, cx);
            match &sent {
                Ok(()) => walk.sum.purged += pages,
                Err(refused) => walk.refuse(pages, StayReason::Mode(refused.why)),
            }
            sent
        });
        walk.sum.purged += uncovered;
        held.marks.insert(Marks::PURGED);
    }

    /// Drops all contents, rids itself of each block, and wipes those that stay. How many pages came to light in the store
    /// and went home.
    pub(crate) fn clear(
        &self,
        inner: &mut Inner<T>,
        cx: Context,
        mut rid: impl FnMut(Pooled<P>) -> Result<(), Refused<Pooled<P>, ModeRefused>>,
    ) -> Pages {
        let advice = inner.marks & (Marks::PURGEABLE | Marks::PURGED);
        inner.marks.remove(Marks::READY);
        inner.marks.insert(Marks::LOST); // as it would be in part, if a port panicked now
        self.unmap_all(inner, cx);
        let (mut uncovered, mut stuck) = (Pages::ZERO, Marks::empty());
        for slot in inner.slots.slots_mut() {
            if let Some(copy) = slot.copy.take() {
                uncovered += self.home.discard(copy);
            }
            if let Some(Err(mut refused)) = slot.block.take().map(&mut rid) {
                refused.item.zero();
                slot.block = Some(refused.item);
                stuck = Marks::BLOCKS;
            }
        }
        self.uncharge(inner);
        inner.marks &= Marks::UNMAPPED;
        inner.marks |= advice | stuck;
        inner.next = 0;
        uncovered
    }
}

/// Whether there is something, and it is not needed.
pub(crate) fn may_be_purged(marks: Marks, how: Evict) -> bool {
    let contents = Marks::BLOCKS | Marks::STORED | Marks::LOST;
    how.contains(Evict::PURGE) && marks.contains(Marks::PURGEABLE) && marks.intersects(contents)
}
