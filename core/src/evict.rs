//! The way out: a walk over the slots, and what becomes of each block.

use crate::cell::Held;
use crate::ladder::{Gone, Stay, Walk};
use crate::state::{Inner, Marks, Round};
use crate::{
    BackingStore, Buffer, Capabilities, Context, Evict, Evicted, Mode, Order, OwnedBlock, Pages, Platform,
    Pooled, Slot, Slots, StayReason, StoreError,
};

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Evicts block after block until `budget` is reached or somebody wants the buffer. If nothing left, all is
    /// as it was.
    pub(crate) fn evict_held(
        &self,
        held: &mut Held<'_, P::Lock, Inner<T>>,
        budget: Pages,
        how: Evict,
        cx: Context,
    ) -> Evicted {
        if budget == Pages::ZERO || !held.marks.contains(Marks::BLOCKS) {
            return Evicted::default();
        }
        let rungs = how & self.possible(cx);
        let denied = how & self.possible(Context::THREAD) != rungs;
        let barred = if denied { StoreError::Context } else { StoreError::Unsupported };
        let mut walk = Walk { rungs, barred, cx, sum: Evicted::default(), disturbed: false, lost: false };
        if rungs.is_empty() && !held.marks.contains(Marks::CLEAN) {
            walk.sum.refuse(Pages::ZERO, StayReason::Store(barred));
        } else {
            self.evict_round(held, budget, &mut walk);
        }
        self.home.count(|s| s.evicted += Evicted { why: None, ..walk.sum });
        walk.sum
    }

    fn evict_round(&self, held: &mut Held<'_, P::Lock, Inner<T>>, budget: Pages, walk: &mut Walk) {
        let was_mapped = !held.marks.contains(Marks::UNMAPPED);
        if self.unmap(held, walk.cx).is_err() {
            return walk.sum.refuse(Pages::ZERO, StayReason::Hook);
        }
        // Marks go before what they announce, so that a panic in a port leaves nothing unannounced.
        let (ready, lost) = (held.marks & Marks::READY, held.marks & Marks::LOST);
        held.marks.remove(Marks::READY);
        held.marks.insert(Marks::STORED);
        let mut round = Round::default();
        let all_seen = loop {
            if walk.rungs.is_empty() && !held.marks.contains(Marks::CLEAN) {
                break false;
            }
            let Some(i) = round.next::<P, T>(held, self.unit) else { break true };
            if held.slots.as_ref().get(i).is_some_and(|s| s.block.is_some()) {
                held.marks.insert(Marks::LOST); // as it would be, if a port panicked now
                self.evict_at(held, i, walk);
                if !walk.lost {
                    held.marks.set(Marks::LOST, !lost.is_empty());
                }
                if walk.sum.moved() >= budget || held.wanted() {
                    break false;
                }
            }
        };
        if all_seen && walk.sum.why.is_none() {
            held.marks.remove(Marks::BLOCKS | Marks::CLEAN);
        }
        if walk.sum.moved() > Pages::ZERO || walk.disturbed {
            return; // the next guard repairs, and then runs the hook
        }
        if was_mapped && self.home.platform().after_restore(self.id, walk.cx).is_ok() {
            held.marks.remove(Marks::UNMAPPED);
            held.marks.insert(ready); // nothing happened
        }
    }

    /// The rungs that this store and this context have at all.
    fn possible(&self, cx: Context) -> Evict {
        let can = self.home.store.capabilities();
        let mut rungs = Evict::empty();
        rungs.set(Evict::TRANSFER, can.contains(Capabilities::TRANSFER));
        let may_copy = cx.contains(Context::MAY_BLOCK)
            && (!can.contains(Capabilities::NEEDS_IO) || cx.contains(Context::MAY_IO));
        rungs.set(Evict::COPY | Evict::SPLIT, can.contains(Capabilities::COPY) && may_copy);
        rungs
    }

    /// Evicts the block at `i`: a clean one goes home, any other down the ladder. Refused, the slot has its
    /// block as before, in its mode if the platform permits.
    fn evict_at(&self, inner: &mut Inner<T>, i: usize, walk: &mut Walk) {
        let Some(slot) = inner.slots.as_mut().get_mut(i) else { return };
        let Some(pooled) = slot.block.take() else { return };
        let (order, mode) = (pooled.block().order(), pooled.mode());
        if slot.copy.is_none() && walk.rungs.is_empty() {
            walk.sum.refuse(Pages::ZERO, StayReason::Store(walk.barred)); // it was not even tried
            slot.block = Some(pooled);
            return;
        }
        let block = match pooled.into_plain(self.home.platform(), walk.cx) {
            Ok(block) => block,
            Err(refused) => {
                walk.sum.refuse(order.pages(), StayReason::Mode(refused.why));
                slot.block = Some(refused.item);
                return;
            }
        };
        if slot.copy.is_some() {
            self.home.pool.release(block);
            walk.sum.clean += order.pages();
            return;
        }
        if walk.rungs.contains(Evict::TRANSFER) {
            inner.marks.insert(Marks::HANDED);
        }
        match self.climb_down(block, walk) {
            Ok(Gone::HandedOver(handle)) => {
                slot.copy = Some(handle);
                walk.sum.handed_over += order.pages();
            }
            Ok(Gone::Copied(handle, block)) => {
                let slots = inner.slots.as_mut();
                match self.cut(slots, i, block, handle.order()) {
                    Ok((prefix, splits)) => {
                        walk.sum.splits += splits;
                        walk.sum.copied += handle.pages();
                        if let Some(slot) = slots.get_mut(i) {
                            slot.copy = Some(handle);
                        }
                        self.home.pool.release(prefix);
                    }
                    Err(whole) => {
                        self.home.discard(handle);
                        self.stays(slots, i, Stay(whole, StayReason::Unsplittable), (order, mode), walk);
                    }
                }
            }
            Ok(Gone::Lost) => {
                (walk.lost, walk.disturbed) = (true, true);
                walk.sum.refuse(Pages::ZERO, StayReason::Store(StoreError::Io)); // it is not resident either
            }
            Err(stay) => self.stays(inner.slots.as_mut(), i, stay, (order, mode), walk),
        }
    }

    /// Back into its slot, in its mode if the platform permits.
    fn stays(
        &self,
        slots: &mut [Slot<P>],
        i: usize,
        Stay(block, why): Stay<P::Block>,
        (order, mode): (Order, P::Mode),
        walk: &mut Walk,
    ) {
        walk.sum.refuse(block.pages(), why);
        let back = Pooled::plain(block).into_mode(self.home.platform(), mode, walk.cx);
        let back = back.unwrap_or_else(|refused| refused.item);
        walk.disturbed |= back.mode().index() != mode.index() || back.block().order() != order;
        if let Some(slot) = slots.get_mut(i) {
            slot.block = Some(back);
        }
    }
}
