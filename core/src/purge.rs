//! Dropping contents: by their owner; or by a reclaim, where the owner said that they are not needed.

use crate::cell::Held;
use crate::event::{self, Event};
use crate::ladder::Walk;
use crate::state::{Inner, Marks};
use crate::{
    BackingStore, Buffer, Busy, Context, Mode, ModeRefused, OwnedBlock, Pages, Platform, Pooled, Refused,
    Slot, Slots, StayReason,
};

/// What the owner of a buffer says of its contents (the `madvise` of GEM objects).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Advice {
    /// They are needed. So it is with every buffer unless told otherwise.
    WillNeed,
    /// They can be made again: a reclaim with [`Evict::PURGE`](crate::Evict::PURGE) may drop them, which costs least of all.
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

    /// Drops everything for a reclaim: blocks go home, past the pool. Where no block may go, the contents stay as well.
    pub(crate) fn purge_held(&self, held: &mut Held<'_, P::Lock, Inner<P, T>>, walk: &mut Walk<'_, P, S>) {
        if !walk.is_about(held.slots.slots(), self.unit) {
            return;
        }
        let (was_unmapped, ready) = (held.marks.contains(Marks::UNMAPPED), held.marks & Marks::READY);
        if self.unmap(held, walk.cx).is_err() {
            return walk.refuse(Pages::ZERO, StayReason::Hook);
        }
        let cx = walk.cx;
        let lost = held.marks.contains(Marks::LOST);
        let stuck = self.make_plain(held, cx);
        let stored = held.slots.slots().iter().any(Slot::is_stored);
        let leaves =
            |slot: &Slot<P>| slot.block.as_ref().is_some_and(|b| b.mode().index() == P::Mode::PLAIN.index());
        let gone = lost || stored || held.slots.slots().iter().any(leaves);
        if stuck > Pages::ZERO && !gone {
            walk.refuse(stuck, StayReason::Mode(ModeRefused));
            let mapped = self.map_all(held, cx).is_ok();
            if mapped && !was_unmapped && self.home.platform().after_restore(self.id, cx).is_ok() {
                held.marks.remove(Marks::UNMAPPED);
                held.marks.insert(ready); // nothing happened
            }
            return;
        }
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
        walk.sum.uncovered += uncovered;
        if gone {
            held.marks.insert(Marks::PURGED);
        }
    }

    /// Makes every block plain that may be, unreachable for devices, with one flush. How many pages may not.
    fn make_plain(&self, inner: &mut Inner<P, T>, cx: Context) -> Pages {
        let lost = inner.marks & Marks::LOST;
        inner.marks.remove(Marks::READY);
        self.unmap_all(inner, cx);
        inner.marks.insert(Marks::LOST); // as it would be, if the platform panicked now
        if P::Mode::COUNT > 1 {
            inner.marks.insert(Marks::UNFLUSHED);
        }
        let mut stuck = Pages::ZERO;
        for slot in inner.slots.slots_mut() {
            match slot.block.take().map(|block| block.change_mode(self.home.platform(), P::Mode::PLAIN, cx)) {
                Some(Ok(plain)) => slot.block = Some(plain),
                Some(Err(refused)) => {
                    stuck += refused.item.block().pages();
                    slot.block = Some(refused.item);
                }
                None => {}
            }
        }
        inner.marks.set(Marks::LOST, !lost.is_empty());
        self.flush(&mut inner.marks, cx);
        stuck
    }

    /// Drops all contents, rids itself of each block, and wipes those that stay. How many pages came to light in the store
    /// and went home.
    pub(crate) fn clear(
        &self,
        inner: &mut Inner<P, T>,
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
