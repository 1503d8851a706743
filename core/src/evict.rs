//! The way out: the ladder of transfer, whole copy and split copy, block by block.

use crate::buffer::{Inner, Marks, Round};
use crate::cell::Held;
use crate::slot::slots_of;
use crate::{
    BackingStore, Buffer, Capabilities, Context, Evict, Evicted, Handle, Mode, Order, OwnedBlock, Pages,
    Platform, Pooled, Slot, Slots, StayReason, StoreError,
};

/// How a block left.
enum Gone<B> {
    HandedOver(Handle),
    /// The first pages, as many as the handle says, are copied; the block is still whole.
    Copied(Handle, B),
    /// The store took the block and gave a handle for something else.
    Lost,
}

/// A block that stays, and why.
struct Stay<B>(B, StayReason);

/// What one eviction may do, and did.
struct Walk {
    rungs: Evict,
    /// Why a block stays if no rung is left.
    barred: StoreError,
    cx: Context,
    sum: Evicted,
    /// Something that stayed is in another mode now, or in pieces.
    disturbed: bool,
}

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
        let mut walk = Walk { rungs, barred, cx, sum: Evicted::default(), disturbed: false };
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
        let ready = held.marks & Marks::READY;
        held.marks.remove(Marks::READY);
        held.marks.insert(Marks::STORED);
        let mut round = Round::default();
        let all_seen = loop {
            if walk.rungs.is_empty() && !held.marks.contains(Marks::CLEAN) {
                break false;
            }
            let Some(i) = round.next::<P, T>(held, self.unit) else { break true };
            if held.slots.as_ref().get(i).is_some_and(|s| s.block.is_some()) {
                self.evict_at(held, i, walk);
                if walk.sum.moved() >= budget || held.wanted() {
                    break false;
                }
            }
        };
        if all_seen && walk.sum.refused == Pages::ZERO {
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
        inner
            .marks
            .set(Marks::HANDED, inner.marks.contains(Marks::HANDED) || walk.rungs.contains(Evict::TRANSFER));
        let stay = match self.climb_down(block, walk) {
            Ok(Gone::HandedOver(handle)) => {
                slot.copy = Some(handle);
                walk.sum.handed_over += order.pages();
                return;
            }
            Ok(Gone::Copied(handle, block)) => match self.cut(inner.slots.as_mut(), i, block, handle.order())
            {
                Ok((prefix, splits)) => {
                    walk.sum.splits += splits;
                    walk.sum.copied += handle.pages();
                    if let Some(slot) = inner.slots.as_mut().get_mut(i) {
                        slot.copy = Some(handle);
                    }
                    self.home.pool.release(prefix);
                    return;
                }
                Err(whole) => {
                    self.home.discard(handle);
                    Stay(whole, StayReason::Unsplittable)
                }
            },
            Ok(Gone::Lost) => {
                inner.marks.insert(Marks::LOST);
                walk.disturbed = true;
                walk.sum.refuse(Pages::ZERO, StayReason::Store(StoreError::Io)); // it is not resident either
                return;
            }
            Err(stay) => stay,
        };
        walk.sum.refuse(stay.0.pages(), stay.1);
        let back = Pooled::plain(stay.0).into_mode(self.home.platform(), mode, walk.cx);
        let back = back.unwrap_or_else(|refused| refused.item);
        walk.disturbed |= back.mode().index() != mode.index() || back.block().order() != order;
        if let Some(slot) = inner.slots.as_mut().get_mut(i) {
            slot.block = Some(back);
        }
    }

    /// The ladder. The store has taken nothing if this refuses.
    fn climb_down(&self, block: P::Block, walk: &mut Walk) -> Result<Gone<P::Block>, Stay<P::Block>> {
        let mut block = block;
        let mut why = walk.barred;
        if walk.rungs.contains(Evict::TRANSFER) {
            let order = block.order();
            match self.home.store.transfer(block) {
                Ok(handle) if handle.order() == order => return Ok(Gone::HandedOver(handle)),
                Ok(other) => match self.home.store.discard(other) {
                    Ok(Some(same)) if same.order() == order => (block, why) = (same, StoreError::Io),
                    Ok(Some(part)) => {
                        self.home.pool.release(part);
                        return Ok(Gone::Lost);
                    }
                    _ => return Ok(Gone::Lost),
                },
                Err(refused) => (block, why) = (refused.item, refused.why),
            }
            if why == StoreError::Backlog {
                walk.barred = why;
                walk.sum.backlogs += 1;
                walk.rungs.remove(Evict::TRANSFER); // nor would it take the next one
            }
        }
        let mut order = match (walk.rungs.contains(Evict::COPY), walk.rungs.contains(Evict::SPLIT)) {
            (true, _) => block.order(),
            (false, true) => self.unit.min(block.order()),
            (false, false) => return Err(Stay(block, StayReason::Store(why))),
        };
        loop {
            let why = match self.home.store.save(&block, order, walk.cx) {
                Ok(handle) if handle.order() == order => return Ok(Gone::Copied(handle, block)),
                Ok(short)
                    if short.order() < order
                        && short.order() >= self.unit
                        && walk.rungs.contains(Evict::SPLIT) =>
                {
                    return Ok(Gone::Copied(short, block));
                }
                Ok(useless) => {
                    let short = useless.order() < order;
                    self.home.discard(useless);
                    if short && walk.rungs.contains(Evict::SPLIT) {
                        return Err(Stay(block, StayReason::Unsplittable));
                    }
                    if short { StoreError::TooLarge } else { StoreError::Io }
                }
                Err(StoreError::TooLarge) if walk.rungs.contains(Evict::SPLIT) && order > self.unit => {
                    order = order.lower().unwrap_or(Order::PAGE);
                    continue;
                }
                Err(why) => why,
            };
            return Err(Stay(block, StayReason::Store(why)));
        }
    }

    /// Cuts the first `2^order` pages off `block` and puts the rest into the slots behind; also returns how often
    /// it was split.
    ///
    /// # Errors
    /// The block, whole again unless the platform does not join, if a split is refused.
    fn cut(
        &self,
        slots: &mut [Slot<P>],
        i: usize,
        block: P::Block,
        order: Order,
    ) -> Result<(P::Block, usize), P::Block> {
        let mut splits = 0;
        let mut prefix = block;
        while prefix.order() > order {
            match prefix.split() {
                Ok((lower, upper)) => {
                    let behind = i + slots_of(upper.order(), self.unit);
                    match slots.get_mut(behind) {
                        Some(slot) => slot.block = Some(Pooled::plain(upper)),
                        None => self.home.pool.release(upper), // not reached: the block covered that slot
                    }
                    prefix = lower;
                    splits += 1;
                }
                Err(refused) => return Err(self.uncut(slots, i, refused, splits)),
            }
        }
        Ok((prefix, splits))
    }

    fn uncut(&self, slots: &mut [Slot<P>], i: usize, mut lower: P::Block, splits: usize) -> P::Block {
        for _ in 0..splits {
            let Some(slot) = slots.get_mut(i + slots_of(lower.order(), self.unit)) else { break };
            let Some(Ok(upper)) =
                slot.block.take().map(|b| b.into_plain(self.home.platform(), Context::INTERRUPT))
            else {
                break; // not reached: it was put there, plain, a moment ago
            };
            match self.home.platform().join(lower, upper) {
                Ok(joined) => lower = joined,
                Err((left, right)) => {
                    slot.block = Some(Pooled::plain(right));
                    return left;
                }
            }
        }
        lower
    }
}
