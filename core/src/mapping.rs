//! What is kept beside the slots of a buffer, kept true: addresses for a device, and who pays.

use crate::slot::{slots_of, span_at};
use crate::state::{Inner, Marks};
use crate::{
    BackingStore, Buffer, Charge, Context, DmaAddr, MapRefused, OverLimit, OwnedBlock, Pages, Parts,
    Platform, Slots,
};
use core::ops::Range;

/// Whether a block had an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    Yes,
    No,
}

/// Takes the address away from the block that was in these slots, if it has one. The caller owes a flush if it had.
pub(crate) fn unmap_at<P: Platform>(
    platform: &P,
    addresses: &mut [Option<DmaAddr>],
    slots: Range<usize>,
    block: &P::Block,
) -> Mapped {
    let Some(Some(at)) = addresses.get(slots.start).copied() else { return Mapped::No };
    addresses.iter_mut().take(slots.end).skip(slots.start).for_each(|address| *address = None);
    platform.unmap(block, at); // after that: a panic leaves no address of what is gone
    Mapped::Yes
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Every block has an address, if the buffer keeps them; or, if one is refused, none has.
    pub(crate) fn map_all(&self, inner: &mut Inner<P, T>, cx: Context) -> Result<(), MapRefused> {
        let mut parts = inner.slots.parts();
        let mut i = 0;
        while i < parts.addresses.len() {
            if parts.addresses.get(i) == Some(&None) {
                if let Err(refused) = self.map_at(&mut parts, i, cx) {
                    self.unmap_all(inner, cx);
                    return Err(refused);
                }
            }
            i += span_at(parts.slots, i, self.unit);
        }
        Ok(())
    }

    /// Gives the block in slot `i` its address, which each slot that it covers gets its part of.
    pub(crate) fn map_at(&self, parts: &mut Parts<'_, P>, i: usize, cx: Context) -> Result<(), MapRefused> {
        let Some(block) = parts.slots.get(i).and_then(|slot| slot.block.as_ref()) else { return Ok(()) };
        let platform = self.home.platform();
        let at = platform.map(block.block(), cx)?;
        if at.checked_add(block.block().bytes() as u64 - 1).is_none() {
            platform.unmap(block.block(), at); // it ends past the last address there is
            platform.flush_modes(cx);
            return Err(MapRefused);
        }
        let per_slot = (P::Block::PAGE as u64) << self.unit.get();
        let covered = parts.addresses.iter_mut().skip(i).take(slots_of(block.block().order(), self.unit));
        for (address, n) in covered.zip(0..) {
            *address = at.checked_add(n * per_slot);
        }
        Ok(())
    }

    /// No block has an address any more.
    pub(crate) fn unmap_all(&self, inner: &mut Inner<P, T>, cx: Context) {
        let lost = inner.marks & Marks::LOST;
        inner.marks.insert(Marks::LOST); // as a block would be, if the platform panicked now
        let parts = inner.slots.parts();
        let mut i = 0;
        while i < parts.addresses.len() {
            let Some(slot) = parts.slots.get_mut(i) else { break };
            let end = i + slot.span(self.unit);
            if let Some(block) = slot.block.take() {
                if unmap_at(self.home.platform(), parts.addresses, i..end, block.block()) == Mapped::Yes {
                    inner.marks.insert(Marks::UNFLUSHED);
                }
                slot.block = Some(block);
            }
            i = end;
        }
        inner.marks.set(Marks::LOST, !lost.is_empty());
        self.flush(&mut inner.marks, cx);
    }

    /// One flush for all that was changed since the last one, also by a call that panicked.
    pub(crate) fn flush(&self, marks: &mut Marks, cx: Context) {
        if marks.contains(Marks::UNFLUSHED) {
            self.home.platform().flush_modes(cx);
            marks.remove(Marks::UNFLUSHED);
        }
    }

    /// Charges somebody for what these slots get, if the buffer keeps charges.
    pub(crate) fn charge(
        &self,
        inner: &mut Inner<P, T>,
        slots: Range<usize>,
        pages: Pages,
        cx: Context,
    ) -> Result<(), OverLimit> {
        if let Some(charges) = inner.slots.parts().charges.get_mut(slots) {
            charges.fill(Some(self.home.platform().charge(self.id, pages, cx)?));
        }
        Ok(())
    }

    /// Nobody pays any more, but for blocks that stay.
    pub(crate) fn uncharge(&self, inner: &mut Inner<P, T>) {
        let parts = inner.slots.parts();
        let (mut i, mut run) = (0, (None, Pages::ZERO));
        while i < parts.charges.len() {
            let Some(slot) = parts.slots.get(i) else { break };
            let end = i + slot.span(self.unit);
            if slot.block.is_none() {
                for charge in parts.charges.iter_mut().take(end).skip(i) {
                    self.uncharge_one(&mut run, charge);
                }
            }
            i = end;
        }
        self.uncharge_one(&mut run, &mut None);
    }

    /// One slot more, which goes together with those before it that the same one paid for.
    fn uncharge_one(&self, run: &mut (Option<Charge>, Pages), charge: &mut Option<Charge>) {
        if *charge != run.0 {
            if let Some(paid) = run.0 {
                self.home.platform().uncharge(paid, run.1);
            }
            *run = (*charge, Pages::ZERO);
        }
        *charge = None; // after that: a panic costs only who was in the platform's hands
        run.1 += self.unit.pages();
    }
}
