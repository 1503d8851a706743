//! The way back: the same block where the store still has it, else a copy into a fresh one.

use crate::buffer::{Inner, Marks};
use crate::slot::slots_of;
use crate::{
    BackingStore, Buffer, Capabilities, Context, Order, OwnedBlock, Pages, PinError, Platform, Pooled,
    Restored, Slot, Slots, StoreError, TakeError,
};

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Everything resident, in the buffer's mode, with the platform's hook done. O(1) if it is so already.
    pub(crate) fn make_ready(&self, inner: &mut Inner<T>, cx: Context) -> Result<(), PinError> {
        if inner.marks.contains(Marks::READY) {
            return Ok(());
        }
        self.bring_back(inner, Pages::MAX, cx)?;
        let mut i = 0;
        while let Some(slot) = inner.slots.as_ref().get(i) {
            if slot.block.is_none() {
                self.populate_at(inner.slots.as_mut(), i, cx)?;
            }
            let Some(slot) = inner.slots.as_mut().get_mut(i) else { break };
            self.apply_mode(slot)?;
            i += slot.span(self.unit);
        }
        if inner.marks.contains(Marks::UNMAPPED) {
            self.home.platform().after_restore(self.id, cx)?;
            inner.marks.remove(Marks::UNMAPPED);
        }
        inner.marks.insert(Marks::READY);
        Ok(())
    }

    /// Restores about `budget` pages of what is stored. Taking back comes first: it needs no memory.
    pub(crate) fn bring_back(
        &self,
        inner: &mut Inner<T>,
        budget: Pages,
        cx: Context,
    ) -> Result<Restored, PinError> {
        let mut sum = Restored::default();
        let mut result = if inner.marks.contains(Marks::LOST) { Err(PinError::Lost) } else { Ok(()) };
        for way in [Self::take_back_at, Self::load_at] {
            let mut i = 0;
            while result.is_ok() && sum.total() < budget {
                let Some(slot) = inner.slots.as_ref().get(i) else { break };
                if slot.is_stored() {
                    result = way(self, inner, i, cx, &mut sum);
                }
                i += inner.slots.as_ref().get(i).map_or(1, |s| s.span(self.unit));
            }
        }
        self.home.count(|s| s.restored += sum);
        result.map(|()| sum)
    }

    /// The same block again, if the store has it.
    fn take_back_at(
        &self,
        inner: &mut Inner<T>,
        i: usize,
        _: Context,
        sum: &mut Restored,
    ) -> Result<(), PinError> {
        let Some(slot) = inner.slots.as_mut().get_mut(i) else { return Ok(()) };
        let Some(handle) = slot.copy.take() else { return Ok(()) };
        let order = handle.order();
        match self.home.store.take_back(handle) {
            Ok(block) if block.order() == order => {
                sum.taken_back += block.pages();
                slot.block = Some(Pooled::plain(block));
                Ok(())
            }
            Ok(other) => {
                self.home.pool.release(other);
                inner.marks.insert(Marks::LOST);
                Err(PinError::Lost)
            }
            Err(refused) => {
                slot.copy = Some(refused.item);
                if refused.why == StoreError::Busy { Err(PinError::Busy) } else { Ok(()) }
            }
        }
    }

    /// Loads what is stored from slot `i` on into one fresh block, as large as may lie there; the copies are kept
    /// while the store has room. On an error nothing changed.
    fn load_at(
        &self,
        inner: &mut Inner<T>,
        i: usize,
        cx: Context,
        sum: &mut Restored,
    ) -> Result<(), PinError> {
        let slots = inner.slots.as_mut();
        let Some(least) = slots.get(i).and_then(Slot::order) else { return Ok(()) };
        let most = self.stored_run(slots, i).max(least);
        let mut fresh = match self.home.pool.take_up_to_unwiped(most, least, self.mode, cx) {
            Ok(block) => block,
            Err(TakeError::OutOfFrames) if least > self.unit => {
                self.split_copy(slots, i)?;
                return self.load_at(inner, i, cx, sum);
            }
            Err(e) => return Err(PinError::Take(e)),
        };
        let end = i + slots_of(fresh.block().order(), self.unit);
        let mut at = i;
        while at < end {
            let Some(copy) = slots.get(at).and_then(|s| s.copy.as_ref()) else { break };
            let offset = Pages::new((at - i) << self.unit.get());
            if let Err(e) = self.home.store.load(copy, fresh.block_mut(), offset, cx) {
                self.home.give_or_strand(fresh);
                return Err(if e == StoreError::Busy { PinError::Busy } else { PinError::Store(e) });
            }
            at += slots_of(copy.order(), self.unit);
        }
        let pages = fresh.block().pages();
        sum.loaded += pages;
        if self.home.store.space().pages < pages {
            for slot in slots.iter_mut().take(end).skip(i) {
                if let Some(copy) = slot.copy.take() {
                    self.home.discard(copy);
                }
            }
        }
        if let Some(slot) = slots.get_mut(i) {
            slot.block = Some(fresh);
        }
        Ok(())
    }

    /// The largest order that may begin at slot `i` and is stored from end to end.
    fn stored_run(&self, slots: &[Slot<P>], i: usize) -> Order {
        let aligned = if i == 0 { u32::from(Order::MAX.get()) } else { i.trailing_zeros() };
        let most = aligned.min(u32::from(P::MAX_ORDER.get().saturating_sub(self.unit.get())));
        let limit = 1_usize << most;
        let mut run = 0;
        while run < limit {
            match slots.get(i + run) {
                Some(slot) if slot.is_stored() => run += slot.span(self.unit),
                _ => break,
            }
        }
        self.order_of(run.min(limit))
    }

    /// The largest order within `slots` slots.
    fn order_of(&self, slots: usize) -> Order {
        let exponent = u8::try_from(slots.checked_ilog2().unwrap_or(0)).unwrap_or(0);
        Order::new(self.unit.get().saturating_add(exponent)).unwrap_or(Order::MAX)
    }

    /// There is no block as large as what is stored: two halves of it can come back one by one.
    fn split_copy(&self, slots: &mut [Slot<P>], i: usize) -> Result<(), PinError> {
        const NONE: PinError = PinError::Take(TakeError::OutOfFrames);
        if !self.home.store.capabilities().contains(Capabilities::SPLIT) {
            return Err(NONE);
        }
        let Some(handle) = slots.get_mut(i).and_then(|s| s.copy.take()) else { return Err(NONE) };
        match self.home.store.split(handle) {
            Ok((lower, upper)) => {
                let behind = i + slots_of(upper.order(), self.unit);
                if let Some(slot) = slots.get_mut(i) {
                    slot.copy = Some(lower);
                }
                match slots.get_mut(behind) {
                    Some(slot) => slot.copy = Some(upper),
                    None => self.home.discard(upper), // not reached: the handle covered that slot
                }
                Ok(())
            }
            Err(refused) => {
                if let Some(slot) = slots.get_mut(i) {
                    slot.copy = Some(refused.item);
                }
                Err(if refused.why == StoreError::Busy { PinError::Busy } else { NONE })
            }
        }
    }

    /// A zeroed block for what is empty from slot `i` on: the largest that fits there and that is to be had.
    fn populate_at(&self, slots: &mut [Slot<P>], i: usize, cx: Context) -> Result<(), PinError> {
        let aligned = if i == 0 { usize::MAX } else { 1 << i.trailing_zeros() };
        let room = slots.iter().skip(i).take(aligned).take_while(|s| s.order().is_none()).count();
        let most = self.order_of(room).min(P::MAX_ORDER).max(self.unit);
        let block = self.home.pool.take_up_to(most, self.unit, self.mode, cx).map_err(PinError::Take)?;
        self.home.count(|s| s.restored.populated += block.block().pages());
        if let Some(slot) = slots.get_mut(i) {
            slot.block = Some(block);
        }
        Ok(())
    }

    /// A block that came back plain gets the buffer's mode again.
    fn apply_mode(&self, slot: &mut Slot<P>) -> Result<(), PinError> {
        match slot.block.take().map(|b| b.into_mode(self.home.platform(), self.mode)) {
            Some(Ok(block)) => slot.block = Some(block),
            Some(Err(refused)) => {
                slot.block = Some(refused.item);
                return Err(PinError::Take(TakeError::ModeRefused));
            }
            None => {}
        }
        Ok(())
    }
}
