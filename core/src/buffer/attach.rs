//! Buffers that begin with stored contents: in flash, in a file, or what another program left in a store.

use crate::buffer::contents::Marks;
use crate::buffer::slot::slots_of;
use crate::buffer::{Buffer, HeldOf, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{Busy, Context, Order, Refused};
use crate::port::{BackingStore, Handle, Platform};
use crate::stats::AccessError;
use core::fmt;

/// Why stored contents can't be attached to a buffer. The buffer is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AttachError {
    /// A guard is alive, or another context moves the contents. Try again later.
    Busy,
    /// The handle belongs to a store that this buffer does not use.
    WrongStore,
    /// It is smaller than the buffer's unit, larger than the blocks of the source, reaches past the end, or its slot is not a
    /// multiple of its size.
    DoesNotFit,
    /// There are contents already. Purge the buffer first.
    Occupied,
    /// The payer is at its limit.
    OverLimit,
}

impl From<Busy> for AttachError {
    fn from(_: Busy) -> Self {
        AttachError::Busy
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Busy => Busy.fmt(f),
            AttachError::WrongStore => f.write_str(
                "the handle belongs to another store than the buffer's: use a handle of that store",
            ),
            AttachError::DoesNotFit => f.write_str(
                "it does not fit there: give it a slot at a multiple of its size, or a smaller order",
            ),
            AttachError::Occupied => f.write_str("the buffer has contents there already: purge it first"),
            AttachError::OverLimit => AccessError::OverLimit.fmt(f),
        }
    }
}

impl core::error::Error for AttachError {}

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Attaches what is stored under `handle` to the empty slots from `at` on: the first access restores it, as if it had been
    /// evicted. May be called once for each part. A transferred block must be of this buffer's source, which it returns to.
    ///
    /// Contents that were only read leave again without copying, as long as the store keeps them
    /// ([`room_of`](BackingStore::room_of)).
    ///
    /// # Errors
    /// [`AttachError`]; the handle comes back, and the buffer is as it was.
    ///
    /// # Context
    /// Linear in the slots that it covers; copies nothing. Charges for it, if the buffer keeps charges.
    pub fn attach_stored(
        &self,
        at: usize,
        handle: Handle,
        cx: Context,
    ) -> Result<(), Refused<Handle, AttachError>> {
        match self.attachable(at, &handle, cx) {
            Err(why) => Err(Refused { item: handle, why }),
            Ok(mut held) => {
                held.marks.remove(Marks::PURGED | Marks::READY);
                held.marks.insert(Marks::STORED | Marks::TRANSFERRED);
                if let Some(slot) = held.slots.slots_mut().get_mut(at) {
                    slot.copy = Some(handle);
                }
                Ok(())
            }
        }
    }

    /// Everything that can be refused.
    fn attachable(&self, at: usize, handle: &Handle, cx: Context) -> Result<HeldOf<'_, H, T>, AttachError> {
        let mut held = self.cell.hold()?;
        if !self.forebay().store().ids().contains(handle.store().into()) {
            return Err(AttachError::WrongStore);
        }
        let (order, span) = (handle.order(), slots_of(handle.order(), self.unit));
        let slots = held.slots.slots();
        let end = at.checked_add(span).filter(|end| *end <= slots.len() && at % span == 0);
        let end = end.filter(|_| (self.unit..=Self::MAX_ORDER.max(self.unit)).contains(&order));
        let end = end.ok_or(AttachError::DoesNotFit)?;
        self.check_lobby(&held).map_err(|_| AttachError::DoesNotFit)?;
        let among = slots.iter().take(end).skip(at).any(|slot| slot.order().is_some());
        if among || beneath(slots, self.unit, at) || held.marks.contains(Marks::LOST) {
            return Err(AttachError::Occupied);
        }
        self.charge(&mut held, at..end, order.pages(), cx).map_err(|_| AttachError::OverLimit)?;
        Ok(held)
    }
}

/// Whether something that begins before slot `at` reaches it. O(log) by the first invariant of [`Slot`].
fn beneath<P: Platform>(slots: &[Slot<P>], unit: Order, at: usize) -> bool {
    let mut heads = (0..=Order::MAX.get()).map(|k| at & !((1 << k) - 1));
    heads
        .any(|head| slots.get(head).is_some_and(|slot| slot.order().is_some() && head + slot.span(unit) > at))
}
