//! The side tables of a buffer, kept true: addresses for a device, and who pays.

use crate::buffer::contents::{Changing, Contents};
use crate::buffer::slot::{slots_of, span_at};
use crate::buffer::{Buffer, SideTables, Slots};
use crate::forebay::Home;
use crate::frame::{Charge, Context, DmaAddr, Pages};
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
pub(super) fn unmap_at<P: Platform>(
    platform: &P,
    addresses: &mut [Option<DmaAddr>],
    slots: Range<usize>,
    block: &P::Block,
) -> Mapped {
    let Some(Some(at)) = addresses.get(slots.start).copied() else { return Mapped::No };
    addresses.iter_mut().take(slots.end).skip(slots.start).for_each(|address| *address = None);
    platform.dma().unmap(block, at); // after that: a panic leaves no address of a block that left
    Mapped::Yes
}

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Gives every block an address, if the buffer keeps them; or, if one is refused, none.
    pub(super) fn map_all(&self, contents: &mut Contents<T>, cx: Context) -> Result<(), AccessError> {
        let mut tables = contents.slots.side_tables();
        let mut i = 0;
        while i < tables.addresses.len() {
            if tables.addresses.get(i) == Some(&None) {
                if let Err(refused) = self.map_at(&mut tables, i, cx) {
                    self.unmap_all(contents, cx);
                    return Err(refused);
                }
            }
            i += span_at(tables.slots, i, self.unit);
        }
        Ok(())
    }

    /// Gives the block in slot `i` its address, and each slot that it covers its part of it.
    pub(super) fn map_at(
        &self,
        tables: &mut SideTables<'_, H::Platform>,
        i: usize,
        cx: Context,
    ) -> Result<(), AccessError> {
        let Some(block) = tables.slots.get(i).and_then(|slot| slot.block.as_ref()) else { return Ok(()) };
        let platform = self.platform();
        let at = platform.dma().map(block, cx).ok_or(AccessError::MapRefused)?;
        if at.checked_add(block.bytes() as u64 - 1).is_none() {
            platform.dma().unmap(block, at); // it would end past the last address
            platform.caching().flush(cx);
            return Err(AccessError::MapRefused);
        }
        let per_slot = (H::Block::PAGE as u64) << self.unit.get();
        let covered = tables.addresses.iter_mut().skip(i).take(slots_of(block.order(), self.unit));
        for (address, n) in covered.zip(0..) {
            *address = at.checked_add(n * per_slot);
        }
        Ok(())
    }

    /// Removes the addresses of all blocks.
    pub(super) fn unmap_all(&self, contents: &mut Contents<T>, cx: Context) {
        let tables = contents.slots.side_tables();
        let mut i = 0;
        while i < tables.addresses.len() {
            let Some(slot) = tables.slots.get(i) else { break };
            let end = i + slot.span(self.unit);
            if let Some(block) = &slot.block {
                if unmap_at(self.platform(), tables.addresses, i..end, block) == Mapped::Yes {
                    contents.pending.add();
                }
            }
            i = end;
        }
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
        let mut changing = Changing::new(contents);
        let result = match changing.slots.side_tables().charges.get_mut(slots) {
            Some([]) | None => Ok(()),
            Some(charges) => match self.platform().accounting().charge(self.id, pages, cx) {
                Some(payer) => {
                    charges.fill(Some(payer));
                    Ok(())
                }
                None => Err(AccessError::OverLimit),
            },
        };
        changing.done();
        result
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
