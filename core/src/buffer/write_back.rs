//! What becomes of one block that leaves: the three ways out, in the order in which they are tried.

use crate::buffer::contents::Contents;
use crate::buffer::evict::Eviction;
use crate::buffer::restore::Kept;
use crate::buffer::slot::slots_of;
use crate::buffer::{Buffer, Class, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{Charge, Evict, Order, Pfn, Refused};
use crate::pool::BlockOf;
use crate::port::{BackingStore, FrameSource, Handle, OwnedBlock, PooledBlock, StoreError};
use crate::stats::RefusalReason;

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Writes back the block in slot `i`, which is cached and unmapped. A clean one goes to the source. Any other is
    /// transferred; else copied whole; else copied in parts, of which the first goes to the source and the rest stays for the
    /// next call. One in the lobby goes into its own room. A refused block is in its slot again, unchanged.
    pub(super) fn write_back(&self, contents: &mut Contents<T>, i: usize, eviction: &mut Eviction<'_, H>) {
        let forebay = eviction.forebay;
        let stale = Self::is_stale(contents);
        let tables = contents.slots.side_tables();
        let payer = tables.charges.get(i).copied().flatten();
        let Some(slot) = tables.slots.get_mut(i) else { return };
        let clean = slot.copy.is_some() && !stale;
        if !clean && slot.block.is_some() && eviction.methods.is_empty() {
            let why = eviction.why_none; // after a backlog of a neighbour: it is not tried
            return eviction.skip(Class::RESIDENT, why);
        }
        let Some(PooledBlock { block, .. }) = slot.block.take_if(|block| block.is_cached()) else { return };
        if clean {
            let pages = block.order().pages();
            forebay.source().free(block);
            return eviction.count(pages, |sum| sum.clean += pages);
        }
        if !Self::LOBBY.is_empty() {
            if let Some(room) = slot.copy.take() {
                return self.write_into_room(contents, i, room, block, eviction);
            }
        }
        let (mut block, mut why) = (block, eviction.why_none.unwrap_or(RefusalReason::NotPermitted));
        if eviction.methods.contains(Evict::TRANSFER) {
            let (pfn, order) = (block.pfn(), block.order());
            match self.transferred(forebay.store().transfer(block, payer), (pfn, order)) {
                Ok(handle) => {
                    slot.copy = Some(handle);
                    return eviction.count(order.pages(), |sum| sum.transferred += order.pages());
                }
                Err((None, _)) => return eviction.lose(),
                Err((Some(back), refused)) => {
                    (block, why) = (back, RefusalReason::Store(refused));
                    eviction.note_backlog(refused);
                }
            }
        }
        self.copy_block(contents.slots.slots_mut(), i, (block, payer), why, eviction);
    }

    /// What a transfer of a block of this frame and order came to.
    ///
    /// # Errors
    /// The same block and why. No block: the contents are lost.
    #[inline]
    pub(super) fn transferred(
        &self,
        said: Result<Handle, Refused<H::Block, StoreError>>,
        (pfn, order): (Pfn, Order),
    ) -> Result<Handle, (Option<H::Block>, StoreError)> {
        let forebay = self.forebay();
        let (back, why) = match said {
            Ok(handle) if handle.order() == order => return Ok(handle),
            // A handle for something else: the store has to give the block back.
            Ok(other) => (forebay.store().discard(other).unwrap_or_default(), StoreError::Io),
            Err(refused) => (Some(refused.item), refused.why),
        };
        match back {
            Some(same) if (same.pfn(), same.order()) == (pfn, order) => Err((Some(same), why)),
            other => {
                other.into_iter().for_each(|other| forebay.source().free(other));
                Err((None, why))
            }
        }
    }

    /// Copies the block of slot `i` whole, or as much of it as the store takes; `why` if no method copies it. A refused block is in
    /// its slot again.
    fn copy_block(
        &self,
        slots: &mut [Slot<H::Platform>],
        i: usize,
        (block, payer): (H::Block, Option<Charge>),
        mut why: RefusalReason,
        eviction: &mut Eviction<'_, H>,
    ) {
        let (forebay, store, unit) = (eviction.forebay, eviction.forebay.store(), self.unit);
        let order = block.order();
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
