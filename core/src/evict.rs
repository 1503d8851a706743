//! The way out: the ladder of transfer, whole copy and split copy, block by block.

use crate::buffer::{Inner, Marks};
use crate::cell::Held;
use crate::slot::slots_of;
use crate::{
    BackingStore, Buffer, Capabilities, Context, Evict, Evicted, Handle, Order, OwnedBlock, Pages, Platform,
    Pooled, Slot, Slots, StayReason, StoreError,
};

/// How a block left.
enum Gone<B> {
    HandedOver(Handle),
    /// The first pages, as many as the handle says, are copied; the block is still whole.
    Copied(Handle, B),
}

/// A block that stays, and why.
struct Stay<B>(B, StayReason);

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
        let mut sum = Evicted::default();
        let allowed = how & self.possible(cx);
        let evictable = |s: &Slot<P>| s.block.is_some() && (s.copy.is_some() || !allowed.is_empty());
        if !held.slots.as_ref().iter().any(evictable) {
            if let Some(why) = self.why_not(held.slots.as_ref(), how, cx) {
                sum.refuse(Pages::ZERO, why);
            }
            return self.counted(sum);
        }
        if !held.marks.contains(Marks::UNMAPPED) {
            if self.home.platform().before_evict(self.id, cx).is_err() {
                sum.refuse(Pages::ZERO, StayReason::Hook);
                return self.counted(sum);
            }
            held.marks.insert(Marks::UNMAPPED);
        }
        let mut i = 0;
        while sum.moved() < budget && !held.wanted() {
            let Some(slot) = held.slots.as_ref().get(i) else { break };
            if slot.block.is_some() {
                self.evict_at(held, i, allowed, cx, &mut sum);
            }
            i += held.slots.as_ref().get(i).map_or(1, |s| s.span(self.unit));
        }
        if held.slots.as_ref().iter().any(Slot::is_stored) {
            held.marks.remove(Marks::READY);
        } else if self.home.platform().after_restore(self.id, cx).is_ok() {
            held.marks.remove(Marks::UNMAPPED);
        } else {
            held.marks.remove(Marks::READY); // the next guard runs the hook again
        }
        self.counted(sum)
    }

    fn counted(&self, sum: Evicted) -> Evicted {
        self.home.count(|s| s.evicted += sum);
        sum
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

    /// Why a buffer that has blocks has none to evict.
    fn why_not(&self, slots: &[Slot<P>], how: Evict, cx: Context) -> Option<StayReason> {
        slots.iter().any(|s| s.block.is_some()).then(|| {
            let elsewhere = how & self.possible(Context::THREAD);
            let denied = !elsewhere.is_empty() && cx != Context::THREAD;
            StayReason::Store(if denied { StoreError::Context } else { StoreError::Unsupported })
        })
    }

    /// Evicts the block at `i`: a clean one goes home, any other down the ladder. Refused, the slot has its
    /// block as before, in its mode if the platform permits.
    fn evict_at(&self, inner: &mut Inner<T>, i: usize, rungs: Evict, cx: Context, sum: &mut Evicted) {
        let slots = inner.slots.as_mut();
        let Some(slot) = slots.get_mut(i) else { return };
        let Some(pooled) = slot.block.take() else { return };
        let (pages, mode) = (pooled.block().pages(), pooled.mode());
        let block = match pooled.into_plain(self.home.platform()) {
            Ok(block) => block,
            Err(refused) => {
                sum.refuse(pages, StayReason::Mode(refused.why));
                slot.block = Some(refused.item);
                return;
            }
        };
        if slot.copy.is_some() {
            self.home.pool.release(block);
            sum.clean += pages;
            return;
        }
        let stay = match self.climb_down(block, rungs, cx) {
            Ok(Gone::HandedOver(handle)) => {
                slot.copy = Some(handle);
                inner.marks.insert(Marks::COPIES);
                sum.handed_over += pages;
                return;
            }
            Ok(Gone::Copied(handle, block)) => match self.cut(slots, i, block, &handle, sum) {
                Ok(prefix) => {
                    sum.copied += handle.pages();
                    if let Some(slot) = slots.get_mut(i) {
                        slot.copy = Some(handle);
                    }
                    inner.marks.insert(Marks::COPIES);
                    self.home.pool.release(prefix);
                    return;
                }
                Err(whole) => {
                    self.home.discard(handle);
                    Stay(whole, StayReason::Unsplittable)
                }
            },
            Err(stay) => stay,
        };
        sum.refuse(stay.0.pages(), stay.1);
        if let Some(slot) = slots.get_mut(i) {
            let back = Pooled::plain(stay.0).into_mode(self.home.platform(), mode);
            slot.block = Some(back.unwrap_or_else(|refused| refused.item));
            if slot.block.as_ref().is_some_and(|b| !self.is_in_mode(b)) {
                inner.marks.remove(Marks::READY);
            }
        }
    }

    /// The ladder. The store has taken nothing if this refuses.
    fn climb_down(
        &self,
        block: P::Block,
        rungs: Evict,
        cx: Context,
    ) -> Result<Gone<P::Block>, Stay<P::Block>> {
        let mut block = block;
        let mut why = StoreError::Unsupported;
        if rungs.contains(Evict::TRANSFER) {
            match self.home.store.transfer(block) {
                Ok(handle) => return Ok(Gone::HandedOver(handle)),
                Err(refused) => (block, why) = (refused.item, refused.why),
            }
        }
        let mut order = match (rungs.contains(Evict::COPY), rungs.contains(Evict::SPLIT)) {
            (true, _) => block.order(),
            (false, true) => self.unit,
            (false, false) => return Err(Stay(block, StayReason::Store(why))),
        };
        loop {
            match self.home.store.save(&block, order, cx) {
                Ok(handle) => return Ok(Gone::Copied(handle, block)),
                Err(StoreError::TooLarge) if rungs.contains(Evict::SPLIT) && order > self.unit => {
                    order = order.lower().unwrap_or(Order::PAGE);
                }
                Err(why) => return Err(Stay(block, StayReason::Store(why))),
            }
        }
    }

    /// Cuts off what was copied: the first pages of `block`, as many as the handle says. The rest is put into
    /// the slots behind. Gives the block back if the cut can't be made here.
    fn cut(
        &self,
        slots: &mut [Slot<P>],
        i: usize,
        block: P::Block,
        handle: &Handle,
        sum: &mut Evicted,
    ) -> Result<P::Block, P::Block> {
        if handle.order() < self.unit || handle.order() > block.order() {
            return Err(block);
        }
        let mut prefix = block;
        while prefix.order() > handle.order() {
            let (lower, upper) = prefix.split()?;
            let behind = i + slots_of(upper.order(), self.unit);
            match slots.get_mut(behind) {
                Some(slot) => slot.block = Some(Pooled::plain(upper)),
                None => self.home.pool.release(upper), // not reached: the block covered that slot
            }
            sum.splits += 1;
            prefix = lower;
        }
        Ok(prefix)
    }

    pub(crate) fn is_in_mode(&self, block: &Pooled<P>) -> bool {
        use crate::Mode;
        block.mode().index() == self.mode.index()
    }
}
