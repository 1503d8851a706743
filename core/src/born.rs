//! Buffers that begin stored: in flash, in a file, in what another program left in a store.

use crate::cell::Held;
use crate::slot::slots_of;
use crate::state::{Inner, Marks};
use crate::{BackingStore, Buffer, Busy, Context, Handle, Order, OverLimit, Platform, Refused, Slot, Slots};
use core::fmt;

/// Why a buffer can't begin with what is stored. It is as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BornError {
    /// A guard is alive, or somebody moves it. Try again later.
    Busy,
    /// The handle is of a store that this buffer does not have.
    WrongStore,
    /// It is smaller than the buffer's unit, larger than the platform's blocks, or reaches past the end; or it would not lie
    /// at a multiple of its size.
    DoesNotFit,
    /// There is something already. Purge the buffer first.
    Occupied,
    /// Who would have to pay for it has no more to give.
    OverLimit,
}

impl From<Busy> for BornError {
    fn from(_: Busy) -> Self {
        BornError::Busy
    }
}

impl From<OverLimit> for BornError {
    fn from(_: OverLimit) -> Self {
        BornError::OverLimit
    }
}

impl fmt::Display for BornError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BornError::Busy => Busy.fmt(f),
            BornError::WrongStore => f.write_str("the handle belongs to another store than the buffer's"),
            BornError::DoesNotFit => f.write_str(
                "it does not fit there: give it a slot at a multiple of its size, or a smaller order",
            ),
            BornError::Occupied => f.write_str("the buffer has contents there already: purge it first"),
            BornError::OverLimit => OverLimit.fmt(f),
        }
    }
}

impl core::error::Error for BornError {}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Begins with what is stored under `handle`, from slot `at` on, which is empty: the first access restores it, as if it
    /// had been evicted. May be called once for each piece. A block that was handed over must be of this buffer's platform,
    /// which it goes home to.
    ///
    /// Contents that were only read leave again without copying, as long as the store keeps them
    /// ([`room_of`](BackingStore::room_of)).
    ///
    /// # Errors
    /// [`BornError`]; the handle comes back, and the buffer is as it was.
    ///
    /// # Context
    /// Linear in the slots that it covers; copies nothing. Charges somebody, if the buffer keeps charges.
    pub fn begin_stored(
        &self,
        at: usize,
        handle: Handle,
        cx: Context,
    ) -> Result<(), Refused<Handle, BornError>> {
        match self.begin(at, &handle, cx) {
            Err(why) => Err(Refused::new(handle, why)),
            Ok(mut held) => {
                held.marks.remove(Marks::PURGED); // it has contents again
                held.marks.insert(Marks::STORED | Marks::HANDED);
                if let Some(slot) = held.slots.slots_mut().get_mut(at) {
                    slot.copy = Some(handle);
                }
                Ok(())
            }
        }
    }

    /// Everything that can be refused.
    fn begin(
        &self,
        at: usize,
        handle: &Handle,
        cx: Context,
    ) -> Result<Held<'_, P::Lock, Inner<P, T>>, BornError> {
        let mut held = self.cell.hold()?;
        if !self.home.store.owns(handle) {
            return Err(BornError::WrongStore);
        }
        let (order, span) = (handle.order(), slots_of(handle.order(), self.unit));
        let slots = held.slots.slots();
        let end = at.checked_add(span).filter(|end| *end <= slots.len() && at.is_multiple_of(span));
        let end = end.filter(|_| (self.unit..=P::MAX_ORDER).contains(&order));
        let end = end.ok_or(BornError::DoesNotFit)?;
        let among = slots.iter().take(end).skip(at).any(|slot| slot.order().is_some());
        if among || beneath(slots, self.unit, at) || held.marks.contains(Marks::LOST) {
            return Err(BornError::Occupied);
        }
        self.charge(&mut held, at..end, order.pages(), cx)?;
        Ok(held)
    }
}

/// Whether something that begins in front of slot `at` reaches it. O(log) by the first invariant of [`Slot`].
fn beneath<P: Platform>(slots: &[Slot<P>], unit: Order, at: usize) -> bool {
    let mut heads = (0..=Order::MAX.get()).map(|k| at & !((1 << k) - 1));
    heads.any(|head| slots.get(head).is_some_and(|s| s.order().is_some() && head + s.span(unit) > at))
}
