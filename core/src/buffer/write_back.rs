//! What becomes of one block that leaves: the three ways out, in the order in which they are tried.

use crate::buffer::contents::Contents;
use crate::buffer::evict::Eviction;
use crate::buffer::restore::Kept;
use crate::buffer::slot::slots_of;
use crate::buffer::{Buffer, Class, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{Evict, Order};
use crate::pool::BlockOf;
use crate::port::{BackingStore, FrameSource, OwnedBlock, PooledBlock, StoreError};
use crate::stats::RefusalReason;

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Writes back the block in slot `i`, which is cached and unmapped. A clean one goes to the source. Any other is
    /// transferred; else copied whole; else copied in parts, of which the first goes to the source and the rest stays for the
    /// next call. One in the lobby goes into its own room. A refused block is in its slot again, unchanged.
    pub(super) fn write_back(&self, contents: &mut Contents<T>, i: usize, eviction: &mut Eviction<'_, H>) {
        let (forebay, store, unit) = (eviction.forebay, eviction.forebay.store(), self.unit);
        let stale = Self::is_stale(contents);
        let tables = contents.slots.side_tables();
        let payer = tables.charges.get(i).copied().flatten();
        let Some(slot) = tables.slots.get_mut(i) else { return };
        let clean = slot.copy.is_some() && !stale;
        if !clean && slot.block.is_some() && eviction.methods.is_empty() {
            let why = eviction.why_none; // after a backlog of a neighbour: it is not tried
            return eviction.skip(Class::RESIDENT, why);
        }
        let Some(pooled) = slot.block.take_if(|block| block.is_cached()) else { return };
        let mut block = pooled.block;
        let (pfn, order) = (block.pfn(), block.order());
        if clean {
            forebay.source().free(block);
            return eviction.count(order.pages(), |sum| sum.clean += order.pages());
        }
        if !Self::LOBBY.is_empty() {
            if let Some(room) = slot.copy.take() {
                return self.write_into_room(contents, i, room, block, eviction);
            }
        }
        let mut why = eviction.why_none.unwrap_or(RefusalReason::NotPermitted);

        // 1. Transfer it.
        if eviction.methods.contains(Evict::TRANSFER) {
            let back = match store.transfer(block, payer) {
                Ok(handle) if handle.order() == order => {
                    slot.copy = Some(handle);
                    return eviction.count(order.pages(), |sum| sum.transferred += order.pages());
                }
                // A handle for something else: the store has to give the block back.
                Ok(other) => {
                    why = RefusalReason::Store(StoreError::Io);
                    store.discard(other).unwrap_or_default()
                }
                Err(refused) => {
                    why = RefusalReason::Store(refused.why);
                    eviction.note_backlog(refused.why);
                    Some(refused.item)
                }
            };
            match back {
                Some(same) if (same.pfn(), same.order()) == (pfn, order) => block = same,
                other => {
                    other.into_iter().for_each(|other| forebay.source().free(other));
                    return eviction.lose();
                }
            }
        }

        // 2. Copy it whole; 3. copy as much of it as the store takes.
        let may_split = eviction.methods.contains(Evict::SPLIT);
        let mut size = match (eviction.methods.contains(Evict::COPY), may_split) {
            (true, _) => Some(order),
            (false, true) => Some(unit.min(order)),
            (false, false) => None,
        };
        let mut copy = None;
        let mut kept = Kept::<H> { forebay, cx: eviction.cx, block: Some(PooledBlock::cached(block)) };
        while let Some(wanted) = size.take() {
            let Some(block) = &kept.block else { return }; // not reached: it is taken below
            match store.save(block, wanted, payer, eviction.cx) {
                Ok(handle) if handle.order() == wanted => copy = Some(handle),
                Ok(part) if part.order() < wanted && part.order() >= unit && may_split => copy = Some(part),
                Ok(useless) => {
                    why = match (useless.order() < wanted, may_split) {
                        (true, true) => RefusalReason::Unsplittable,
                        (true, false) => RefusalReason::Store(StoreError::TooLarge),
                        (false, _) => RefusalReason::Store(StoreError::Io),
                    };
                    forebay.discard(useless);
                }
                Err(StoreError::TooLarge) if may_split && wanted > unit => size = wanted.lower(),
                Err(refused) => why = RefusalReason::Store(refused),
            }
        }
        let Some(PooledBlock { block, .. }) = kept.block.take() else { return };
        let slots = contents.slots.slots_mut();
        let refused = match copy {
            Some(handle) => match self.cut(slots, i, block, handle.order()) {
                Ok((part, splits)) => {
                    let pages = handle.order().pages();
                    eviction.count(pages, |sum| {
                        sum.splits = sum.splits.saturating_add(splits);
                        sum.copied += pages;
                    });
                    if let Some(slot) = slots.get_mut(i) {
                        slot.copy = Some(handle);
                    }
                    return forebay.source().free(part);
                }
                Err(whole) => {
                    forebay.discard(handle);
                    why = RefusalReason::Unsplittable;
                    whole
                }
            },
            None => block,
        };
        eviction.refuse(refused.order().pages(), why);
        eviction.disturbed |= refused.order() != order;
        if let Some(slot) = slots.get_mut(i) {
            slot.block = Some(PooledBlock::cached(refused));
        }
    }

    /// Cuts the first `2^order` pages off `block` and puts the rest into the slots behind. Also returns how often it was split.
    ///
    /// # Errors
    /// The block, whole again unless the source does not join, if a split is refused.
    fn cut(
        &self,
        slots: &mut [Slot<H::Platform>],
        i: usize,
        block: H::Block,
        order: Order,
    ) -> Result<(H::Block, usize), H::Block> {
        let mut splits = 0;
        let mut part = block;
        while slots.len() > 1 && part.order() > order {
            match part.split() {
                Ok((lower, upper)) => {
                    let behind = i + slots_of(upper.order(), self.unit);
                    match slots.get_mut(behind) {
                        Some(slot) => slot.block = Some(PooledBlock::cached(upper)),
                        None => self.forebay().source().free(upper), // not reached: the block covered that slot
                    }
                    part = lower;
                    splits += 1;
                }
                Err(refused) => return Err(self.rejoin(slots, i, refused, splits)),
            }
        }
        Ok((part, splits))
    }

    /// Undoes the last `splits` splits, as far as the source joins.
    fn rejoin(
        &self,
        slots: &mut [Slot<H::Platform>],
        i: usize,
        mut lower: H::Block,
        splits: usize,
    ) -> H::Block {
        for _ in 0..splits {
            let Some(slot) = slots.get_mut(i + slots_of(lower.order(), self.unit)) else { break };
            let Some(upper) = slot.block.take_if(|upper: &mut BlockOf<H::Platform>| upper.is_cached()) else {
                break; // not reached: it was put there, cached, a moment ago
            };
            match self.forebay().source().join(lower, upper.block) {
                Ok(joined) => lower = joined,
                Err((left, right)) => {
                    slot.block = Some(PooledBlock::cached(right));
                    return left;
                }
            }
        }
        lower
    }
}
