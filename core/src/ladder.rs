//! The rungs of the ladder: transfer, whole copy, split copy.

use crate::slot::slots_of;
use crate::{
    BackingStore, Buffer, Charge, Class, Context, Evict, Evicted, Forebay, Handle, Order, OwnedBlock, Pages,
    Platform, Pooled, Slot, Slots, StayReason, Step, StoreError, Zones,
};

/// How a block left.
pub(crate) enum Gone<B> {
    HandedOver(Handle),
    /// The first pages, as many as the handle says, are copied; the block is still whole.
    Copied(Handle, B),
    /// The store took the block and gave a handle for something else.
    Lost,
}

/// A block that stays, and why.
pub(crate) struct Stay<B>(pub(crate) B, pub(crate) StayReason);

/// What one eviction may do, and did. What it did is counted when it ends, also by a panic in a port; what was refused, at once.
pub(crate) struct Walk<'f, P: Platform, S> {
    home: &'f Forebay<P, S>,
    pub(crate) rungs: Evict,
    /// Why a block stays if no rung is left. Nothing if that is no refusal: a walk for others only.
    pub(crate) barred: Option<StayReason>,
    pub(crate) budget: Pages,
    pub(crate) cx: Context,
    least: Order,
    zones: Zones,
    pub(crate) sum: Evicted,
    /// What is among the blocks that were not tried, or stayed.
    pub(crate) stays: Class,
    /// Something that stayed is in another mode now, or in pieces.
    pub(crate) disturbed: bool,
    /// The store lost something.
    pub(crate) lost: bool,
}

impl<'f, P: Platform, S> Walk<'f, P, S> {
    pub(crate) fn new(
        home: &'f Forebay<P, S>,
        step: &Step,
        rungs: Evict,
        barred: Option<StayReason>,
    ) -> Self {
        let Step { budget, cx, least, zones, .. } = *step;
        let (sum, stays) = (Evicted::default(), Class::empty());
        Walk { home, rungs, barred, budget, cx, least, zones, sum, stays, disturbed: false, lost: false }
    }

    /// Whether blocks of that size, there, are meant at all.
    pub(crate) fn is_for(&self, block: &P::Block) -> bool {
        let anywhere = self.zones == Zones::ALL;
        block.order() >= self.least && (anywhere || self.zones.contains(self.home.platform().zone(block)))
    }

    /// Whether a buffer with that unit and these slots has a block that is meant. Looks at them only if some may not be.
    pub(crate) fn is_about(&self, slots: &[Slot<P>], unit: Order) -> bool {
        let all = self.least <= unit && self.zones == Zones::ALL;
        let meant = |slot: &Slot<P>| slot.block.as_ref().is_some_and(|b| self.is_for(b.block()));
        all || slots.iter().any(meant)
    }

    /// A block of that class that is not even tried, and why if that is a refusal.
    pub(crate) fn leave(&mut self, class: Class, why: Option<StayReason>) {
        self.stays |= class;
        why.into_iter().for_each(|why| self.refuse(Pages::ZERO, why));
    }

    /// So many pages stay, or something that is not even tried.
    pub(crate) fn refuse(&mut self, pages: Pages, why: StayReason) {
        self.sum.refused += pages;
        self.sum.why = self.sum.why.or(Some(why));
        self.home.count(|stats| stats.refusals.add(why));
    }
}

impl<P: Platform, S> Drop for Walk<'_, P, S> {
    fn drop(&mut self) {
        let sum = &self.sum;
        self.home.count(|stats| stats.evicted.add_moved(sum));
        if sum.met_obstacles() {
            self.home.count(|stats| stats.evicted.add_obstacles(sum));
        }
    }
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Down the ladder. The store has taken nothing if this refuses.
    pub(crate) fn climb_down(
        &self,
        block: P::Block,
        charge: Option<Charge>,
        walk: &mut Walk<'_, P, S>,
    ) -> Result<Gone<P::Block>, Stay<P::Block>> {
        if !walk.rungs.contains(Evict::TRANSFER) {
            return self.copy(block, charge, walk.barred.unwrap_or(StayReason::NoRung), walk);
        }
        let (order, store) = (block.order(), &self.home.store);
        let handed = match charge {
            Some(charge) => store.transfer_for(charge, block),
            None => store.transfer(block),
        };
        match handed {
            Ok(handle) if handle.order() == order => Ok(Gone::HandedOver(handle)),
            Ok(other) => match self.home.store.discard(other) {
                Ok(Some(same)) if same.order() == order => {
                    self.copy(same, charge, StayReason::Store(StoreError::Io), walk)
                }
                Ok(part) => {
                    part.into_iter().for_each(|part| self.home.pool.release(part));
                    Ok(Gone::Lost)
                }
                Err(_) => Ok(Gone::Lost),
            },
            Err(refused) => {
                if refused.why == StoreError::Backlog {
                    walk.barred = Some(StayReason::Store(refused.why));
                    walk.sum.backlogs += 1;
                    walk.rungs.remove(Evict::TRANSFER); // nor would it take the next one
                }
                self.copy(refused.item, charge, StayReason::Store(refused.why), walk)
            }
        }
    }

    /// The rungs that copy, or `why` if they are not allowed.
    fn copy(
        &self,
        block: P::Block,
        charge: Option<Charge>,
        why: StayReason,
        walk: &Walk<'_, P, S>,
    ) -> Result<Gone<P::Block>, Stay<P::Block>> {
        let may_split = walk.rungs.contains(Evict::SPLIT);
        let mut order = match (walk.rungs.contains(Evict::COPY), may_split) {
            (true, _) => block.order(),
            (false, true) => self.unit.min(block.order()),
            (false, false) => return Err(Stay(block, why)),
        };
        let why = loop {
            let saved = match charge {
                Some(charge) => self.home.store.save_for(charge, &block, order, walk.cx),
                None => self.home.store.save(&block, order, walk.cx),
            };
            match saved {
                Ok(handle) if handle.order() == order => return Ok(Gone::Copied(handle, block)),
                Ok(part) if part.order() < order && part.order() >= self.unit && may_split => {
                    return Ok(Gone::Copied(part, block));
                }
                Ok(useless) => {
                    let short = useless.order() < order;
                    self.home.discard(useless);
                    break match (short, may_split) {
                        (true, true) => StayReason::Unsplittable,
                        (true, false) => StayReason::Store(StoreError::TooLarge),
                        (false, _) => StayReason::Store(StoreError::Io),
                    };
                }
                Err(StoreError::TooLarge) if may_split && order > self.unit => {
                    order = order.lower().unwrap_or(Order::PAGE);
                }
                Err(why) => break StayReason::Store(why),
            }
        };
        Err(Stay(block, why))
    }

    /// Cuts the first `2^order` pages off `block` and puts the rest into the slots behind; also returns how often
    /// it was split.
    ///
    /// # Errors
    /// The block, whole again unless the platform does not join, if a split is refused.
    pub(crate) fn cut(
        &self,
        slots: &mut [Slot<P>],
        i: usize,
        block: P::Block,
        order: Order,
    ) -> Result<(P::Block, usize), P::Block> {
        let mut splits = 0;
        let mut prefix = block;
        while slots.len() > 1 && prefix.order() > order {
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
