//! The side tables of a buffer, kept true: addresses for a device, and who pays.

use crate::buffer::contents::{Changing, Contents};
use crate::buffer::slot::{slots_of, span_at};
use crate::buffer::{Buffer, SideTables, Slots};
use crate::forebay::Home;
use crate::frame::{Charge, Context, DmaAddr, Pages};
use crate::pool::BlockOf;
use crate::port::{Accounting, CachingControl, DmaMap, OwnedBlock, Platform};
use crate::stats::AccessError;
use core::ops::Range;

/// Whether a block had an address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mapped {
    Yes,
    No,
}

/// Removes the address of the block in these slots, if it has one. The caller owes a flush if it had.
///
/// If the platform panics, the slot is empty and the block is leaked: a device may still reach it, so it must not reach a
/// source.
pub(super) fn unmap_at<P: Platform>(
    platform: &P,
    addresses: &mut [Option<DmaAddr>],
    slots: Range<usize>,
    slot: &mut Option<BlockOf<P>>,
) -> Mapped {
    let Some(Some(at)) = addresses.get(slots.start).copied() else { return Mapped::No };
    addresses.iter_mut().take(slots.end).skip(slots.start).for_each(|address| *address = None);
    let Some(block) = slot.take() else { return Mapped::No };
    platform.dma().unmap(&block, at);
    *slot = Some(block);
    Mapped::Yes
}

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Gives every block an address, if the buffer keeps them; or, if one is refused, none.
    pub(super) fn map_all(&self, contents: &mut Contents<T>, cx: Context) -> Result<(), AccessError> {
        let changing = Changing::new(contents);
        let mut tables = changing.0.slots.side_tables();
        let (mut i, mut result) = (0, Ok(()));
        while i < tables.addresses.len() && result.is_ok() {
            if tables.addresses.get(i) == Some(&None) {
                result = self.map_at(&mut tables, i, cx);
            }
            i += span_at(tables.slots, i, self.unit);
        }
        changing.done();
        if result.is_err() {
            self.unmap_all(contents, cx);
        }
        result
    }

    /// Gives the block in slot `i` its address, and each slot that it covers its part of it. If the platform panics, the block
    /// is leaked, as in [`unmap_at`].
    pub(super) fn map_at(
        &self,
        tables: &mut SideTables<'_, H::Platform>,
        i: usize,
        cx: Context,
    ) -> Result<(), AccessError> {
        let Some(slot) = tables.slots.get_mut(i) else { return Ok(()) };
        let Some(block) = slot.block.take() else { return Ok(()) };
        let (bytes, order) = (block.bytes() as u64, block.order());
        let dma = self.platform().dma();
        let mut at = dma.map(&block, cx);
        if let Some(past) = at.filter(|at| at.checked_add(bytes - 1).is_none()) {
            dma.unmap(&block, past); // it would end past the last address
            self.platform().caching().flush(cx);
            at = None;
        }
        slot.block = Some(block);
        let at = at.ok_or(AccessError::MapRefused)?;
        let per_slot = (H::Block::PAGE as u64) << self.unit.get();
        let covered = tables.addresses.iter_mut().skip(i).take(slots_of(order, self.unit));
        for (address, n) in covered.zip(0..) {
            *address = at.checked_add(n * per_slot);
        }
        Ok(())
    }

    /// Removes the addresses of all blocks.
    pub(super) fn unmap_all(&self, contents: &mut Contents<T>, cx: Context) {
        let changing = Changing::new(contents);
        let Contents { slots, pending, .. } = &mut *changing.0;
        let tables = slots.side_tables();
        let mut i = 0;
        while i < tables.addresses.len() {
            let Some(slot) = tables.slots.get_mut(i) else { break };
            let end = i + slot.span(self.unit);
            if unmap_at(self.platform(), tables.addresses, i..end, &mut slot.block) == Mapped::Yes {
                pending.add();
            }
            i = end;
        }
        changing.done();
        contents.pending.flush(self.platform(), cx);
    }

    /// Charges for new contents of these slots, if the buffer keeps charges.
    pub(super) fn charge(
        &self,
        contents: &mut Contents<T>,
        slots: Range<usize>,
        pages: Pages,
        cx: Context,
    ) -> Result<(), AccessError> {
        match contents.slots.side_tables().charges.get_mut(slots) {
            Some([]) | None => Ok(()),
            Some(charges) => {
                let payer = self.platform().accounting().charge(self.id(), pages, cx);
                charges.fill(Some(payer.ok_or(AccessError::OverLimit)?));
                Ok(())
            }
        }
    }

    /// Ends the charges of all slots without a block.
    pub(super) fn uncharge(&self, contents: &mut Contents<T>) {
        let tables = contents.slots.side_tables();
        let (mut i, mut run) = (0, (None, Pages::ZERO));
        while i < tables.charges.len() {
            let Some(slot) = tables.slots.get(i) else { break };
            let end = i + slot.span(self.unit);
            if slot.block.is_none() {
                for charge in tables.charges.iter_mut().take(end).skip(i) {
                    self.uncharge_one(&mut run, charge);
                }
            }
            i = end;
        }
        self.uncharge_one(&mut run, &mut None);
    }

    /// One slot more, together with those before it with the same payer.
    fn uncharge_one(&self, run: &mut (Option<Charge>, Pages), charge: &mut Option<Charge>) {
        if *charge != run.0 {
            if let Some(payer) = run.0 {
                self.platform().accounting().uncharge(payer, run.1);
            }
            *run = (*charge, Pages::ZERO);
        }
        *charge = None; // after that: a panic costs only the charge that the platform was told of
        run.1 += self.unit.pages();
    }
}
