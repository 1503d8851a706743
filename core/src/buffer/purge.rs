//! Dropping contents: by their owner; or by a reclaim, if the owner does not need them.

use crate::buffer::contents::{Changing, Contents, Marks};
use crate::buffer::evict::Eviction;
use crate::buffer::{Buffer, ModeOf, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{Busy, Context, Mode, ModeRefused, Pages, Refused};
use crate::pool::BlockOf;
use crate::port::{EvictHooks, OwnedBlock, Platform};
use crate::stats::{self, Event, RefusalReason};

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Says whether a reclaim may drop the contents ([`Evict::PURGE`](crate::Evict::PURGE)), which costs least of all: `true` if
    /// they can be made again (the `madvise` of GEM objects). Returns whether they are still there. It is no use of the buffer.
    ///
    /// `false` is returned after a reclaim dropped the contents: the buffer reads as zeros. It is returned until the buffer is
    /// written, or attached to stored contents. (What the owner purged, or the store lost, does not count.)
    ///
    /// # Errors
    /// [`Busy`], and nothing changed, if a guard is alive or another context moves the contents.
    ///
    /// # Context
    /// O(1), also in an interrupt.
    pub fn set_purgeable(&self, purgeable: bool) -> Result<bool, Busy> {
        let mut held = self.cell.hold_quietly().ok_or(Busy)?;
        held.marks.set(Marks::PURGEABLE, purgeable);
        Ok(!held.marks.contains(Marks::PURGED))
    }

    /// Drops the contents: blocks go to the pool, handles are discarded. The buffer reads as zeros afterwards. The hook before an
    /// eviction runs first. A block whose caching mode can't be changed stays, with zeros. A source may return the memory to its
    /// system only at the next [`settle`](crate::Forebay::settle), as `shmem::Arena` does.
    ///
    /// # Errors
    /// [`Busy`], and nothing changed, if a guard is alive, another context moves the contents, or the hook refuses.
    ///
    /// # Context
    /// Linear in the slots. (TTM's purge, after which a plain restore would show old memory.)
    pub fn purge(&self, cx: Context) -> Result<(), Busy> {
        let mut held = self.cell.hold()?;
        self.before_evict(&mut held, cx)?;
        let from_store = self.clear(&mut held, cx, |block| self.forebay().pool().put(block, cx));
        self.forebay().count(|stats| stats.evicted.purged_from_store += from_store);
        stats::send(Event::Purged(self.id()));
        Ok(())
    }

    /// Drops everything for a reclaim: blocks go to the source, past the free lists. If no block can leave, the contents stay.
    pub(super) fn purge_held(&self, contents: &mut Contents<T>, eviction: &mut Eviction<'_, H>) {
        if !eviction.is_about(contents.slots.slots(), self.unit) {
            return;
        }
        let (was_unmapped, ready) = (contents.marks.contains(Marks::UNMAPPED), contents.marks & Marks::READY);
        let cx = eviction.cx;
        if self.before_evict(contents, cx).is_err() {
            return eviction.refuse(Pages::ZERO, RefusalReason::Hook);
        }
        let lost = contents.marks.contains(Marks::LOST);
        contents.marks.remove(Marks::READY);
        self.unmap_all(contents, cx);
        let stuck = self.set_modes(contents, <ModeOf<T>>::CACHED, cx);
        let leaves = |slot: &Slot<H::Platform>| {
            slot.is_stored() || slot.block.as_ref().is_some_and(|block| block.is_cached())
        };
        let gone = lost || contents.slots.slots().iter().any(leaves);
        if stuck > Pages::ZERO && !gone {
            eviction.refuse(stuck, RefusalReason::Mode(ModeRefused));
            let mapped = self.map_all(contents, cx).is_ok();
            if mapped && !was_unmapped && self.platform().hooks().after_restore(self.id(), cx).is_ok() {
                contents.marks.remove(Marks::UNMAPPED);
                contents.marks.insert(ready); // nothing happened
            }
            return;
        }
        let from_store = self.clear(contents, cx, |block| {
            let pages = block.order().pages();
            let freed = self.forebay().pool().free(block, cx);
            match &freed {
                Ok(()) => eviction.count(pages, |sum| sum.purged += pages),
                Err(refused) => eviction.refuse(pages, RefusalReason::Mode(refused.why)),
            }
            freed
        });
        eviction.count(from_store, |sum| {
            sum.purged += from_store;
            sum.purged_from_store += from_store;
        });
        if gone {
            contents.marks.insert(Marks::PURGED);
        }
    }

    /// Drops all contents, gives each block to `free`, and zeroes those that stay. Returns the pages of blocks that the store
    /// had.
    pub(super) fn clear(
        &self,
        contents: &mut Contents<T>,
        cx: Context,
        mut free: impl FnMut(BlockOf<H::Platform>) -> Result<(), Refused<BlockOf<H::Platform>, ModeRefused>>,
    ) -> Pages {
        let changing = Changing::new(contents);
        changing.0.marks.remove(Marks::READY);
        self.unmap_all(changing.0, cx);
        let (mut from_store, mut stuck) = (Pages::ZERO, Marks::empty());
        for slot in changing.0.slots.slots_mut() {
            if let Some(Err(mut refused)) = slot.block.take().map(&mut free) {
                refused.item.block.zero();
                let keeps_room = slot.copy.is_some() && self.is_in_lobby(&refused.item);
                slot.block = Some(refused.item);
                stuck |= Marks::BLOCKS;
                if keeps_room {
                    stuck |= Marks::STALE;
                    continue;
                }
            }
            if let Some(copy) = slot.copy.take() {
                from_store += self.forebay().discard(copy);
            }
        }
        self.uncharge(changing.0);
        changing.done();
        contents.marks &= Marks::UNMAPPED | Marks::PURGEABLE | Marks::PURGED;
        contents.marks |= stuck;
        contents.next = 0;
        from_store
    }
}
