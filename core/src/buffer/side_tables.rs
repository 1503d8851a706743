//! Where slots lie, and the side tables next to them: addresses for a device, and who pays. The arrays are the caller's, one
//! element for each slot. A buffer without side tables has neither their bytes nor their code.

use crate::buffer::{Class, Slot};
use crate::frame::{Charge, DmaAddr};
use crate::port::Platform;
use core::fmt;

mod sealed {
    pub trait Sealed {}
}
pub(crate) use sealed::Sealed;

/// Where the slots of a buffer lie, and what is kept next to them.
///
/// `[Slot; N]` lies inside the buffer, `&mut [Slot]` in memory of the caller, and with the feature `alloc` `Vec<Slot>` and
/// `Box<[Slot]>` on the heap. [`Addressed`], [`Charged`] and [`Indexed`](crate::reclaim::Indexed) add a side table to any of
/// these. Implemented by this crate only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no place for the slots of a buffer",
    note = "use `[Slot; N]`, `&mut [Slot]`, or (feature `alloc`) `Vec<Slot>`; `Addressed::new(slots, ..)` and the like around one"
)]
pub trait Slots: Sealed {
    /// The platform whose blocks the slots have.
    type Platform: Platform;

    /// Whether there is exactly one slot, known at compile time.
    #[doc(hidden)]
    const ONE: bool = false;

    /// Whether there is exactly one slot, and no side table of addresses or charges.
    #[doc(hidden)]
    const BARE_SLOT: bool = false;

    /// Whether [`class_changed`](Slots::class_changed) tells anyone.
    #[doc(hidden)]
    const IS_FOLLOWED: bool = false;

    #[doc(hidden)]
    fn slots(&self) -> &[Slot<Self::Platform>];

    #[doc(hidden)]
    fn side_tables(&mut self) -> SideTables<'_, Self::Platform>;

    #[doc(hidden)]
    fn slots_mut(&mut self) -> &mut [Slot<Self::Platform>] {
        self.side_tables().slots
    }

    /// The class of the buffer from now on. Called when a holder leaves and the class has changed; perhaps in an interrupt.
    #[doc(hidden)]
    fn class_changed(&self, class: Class) {
        let _ = class;
    }

    /// A guard is about to be taken, or the buffer was touched. Called under the buffer's shared or exclusive use.
    #[doc(hidden)]
    fn accessed(&self) {}

    /// The address of each slot for a device, if the buffer keeps them; else none.
    #[doc(hidden)]
    fn addresses(&self) -> &[Option<DmaAddr>] {
        &[]
    }
}

/// Exactly one slot, and so one block: guards of such a buffer deref to its bytes, if the block does. It holds also with side
/// tables.
///
/// ```
/// # use forebay::*; use forebay::{buffer::OneSlot, port::OwnedBlock};
/// fn checksum<H, T>(guard: &ReadGuard<'_, H, T>) -> u32
/// where
///     H: Home<Block: core::ops::Deref<Target = [u8]>>,
///     T: OneSlot<Platform = H::Platform>,
/// {
///     guard.iter().map(|byte| u32::from(*byte)).sum()
/// }
/// ```
pub trait OneSlot: Slots {}

/// Slots, and as many addresses and charges, or none where the buffer does not keep them.
///
/// # Invariants
/// 1. A slot has an address if its block is mapped, all slots of a block alike. A slot without a block has none.
/// 2. A slot has a charge if it has contents, resident or stored.
#[derive(Debug)]
pub struct SideTables<'s, P: Platform> {
    pub(crate) slots: &'s mut [Slot<P>],
    pub(crate) addresses: &'s mut [Option<DmaAddr>],
    pub(crate) charges: &'s mut [Option<Charge>],
}

/// Implements [`Slots`] for an array of slots, or for a place with a slice of them.
macro_rules! slots_behind {
    ($(#[$attr:meta])* [$($generic:tt)*] $place:ty, $one:expr) => {
        $(#[$attr])*
        impl<P: Platform, $($generic)*> Sealed for $place {}
        $(#[$attr])*
        impl<P: Platform, $($generic)*> Slots for $place {
            type Platform = P;
            const ONE: bool = $one;
            const BARE_SLOT: bool = $one;
            fn slots(&self) -> &[Slot<P>] {
                &self[..]
            }
            fn side_tables(&mut self) -> SideTables<'_, P> {
                SideTables { slots: &mut self[..], addresses: &mut [], charges: &mut [] }
            }
        }
    };
}
slots_behind!([const N: usize] [Slot<P>; N], N == 1);
slots_behind!([const N: usize] &mut [Slot<P>; N], N == 1);
slots_behind!([] &mut [Slot<P>], false);
slots_behind!(#[cfg(feature = "alloc")] [] alloc::vec::Vec<Slot<P>>, false);
slots_behind!(#[cfg(feature = "alloc")] [] alloc::boxed::Box<[Slot<P>]>, false);
impl<P: Platform> OneSlot for [Slot<P>; 1] {}
impl<P: Platform> OneSlot for &mut [Slot<P>; 1] {}

/// A side table has fewer elements than there are slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TooShort {
    /// The number of its elements.
    pub given: usize,
    /// The number of slots.
    pub slots: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooShort { given, slots } = self;
        write!(f, "a side table of {given} elements for {slots} slots: give it one element for each slot")
    }
}

impl core::error::Error for TooShort {}

/// Slots of a buffer that a device uses, with the address of each.
///
/// Its blocks are mapped ([`DmaMap::map`](crate::port::DmaMap::map)) before a guard is given out, once each, and unmapped before
/// they leave. A device may use the addresses while a guard lives, or until the platform's
/// [`before_evict`](crate::port::EvictHooks::before_evict). (TTM's `dma_address` array of a `ttm_tt`.)
///
/// A device that writes needs a [`WriteGuard`](crate::WriteGuard) since the last `before_evict`, as the CPU does: after a
/// [`ReadGuard`](crate::ReadGuard) the store may still have copies, which count as the contents, and what the device wrote would
/// go with the block. While a program has the bytes of a buffer as a slice, no device may write to them.
///
/// Without this table forebay does not know that a device uses a buffer. A driver that takes addresses from such a buffer by
/// itself calls `sync_for_device` with each new guard, and `sync_for_cpu` for what the device wrote before it drops that guard.
///
/// The example in the crate `forebay-backends`, `examples/dma.rs`, shows a driver.
#[derive(Debug)]
pub struct Addressed<'m, T> {
    slots: T,
    addresses: &'m mut [Option<DmaAddr>],
}

impl<'m, T: Slots> Addressed<'m, T> {
    /// These slots with a side table for addresses. A buffer forgets what is in the table when it is made.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn new(slots: T, addresses: &'m mut [Option<DmaAddr>]) -> Result<Self, TooShort> {
        let addresses = table_for(slots.slots().len(), addresses)?;
        Ok(Addressed { slots, addresses })
    }
}

impl<T: Slots> Sealed for Addressed<'_, T> {}
impl<T: Slots> Slots for Addressed<'_, T> {
    type Platform = T::Platform;
    const ONE: bool = T::ONE;
    const IS_FOLLOWED: bool = T::IS_FOLLOWED;
    fn slots(&self) -> &[Slot<T::Platform>] {
        self.slots.slots()
    }
    fn side_tables(&mut self) -> SideTables<'_, T::Platform> {
        SideTables { addresses: self.addresses, ..self.slots.side_tables() }
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        self.addresses
    }
    fn class_changed(&self, class: Class) {
        self.slots.class_changed(class);
    }
    fn accessed(&self) {
        self.slots.accessed();
    }
}
impl<T: OneSlot> OneSlot for Addressed<'_, T> {}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for Addressed<'_, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Addressed({=usize})", self.addresses.len());
    }
}

/// Slots of a buffer whose contents are charged to an owner, with the token of each.
///
/// [`Accounting::charge`](crate::port::Accounting::charge) says who pays when a slot gets contents. That owner pays, also while
/// the contents are in the store, until they are dropped ([`uncharge`](crate::port::Accounting::uncharge)).
#[derive(Debug)]
pub struct Charged<'m, T> {
    slots: T,
    charges: &'m mut [Option<Charge>],
}

impl<'m, T: Slots> Charged<'m, T> {
    /// These slots with a side table for charges. A buffer forgets what is in the table when it is made.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn new(slots: T, charges: &'m mut [Option<Charge>]) -> Result<Self, TooShort> {
        let charges = table_for(slots.slots().len(), charges)?;
        Ok(Charged { slots, charges })
    }
}

impl<T: Slots> Sealed for Charged<'_, T> {}
impl<T: Slots> Slots for Charged<'_, T> {
    type Platform = T::Platform;
    const ONE: bool = T::ONE;
    const IS_FOLLOWED: bool = T::IS_FOLLOWED;
    fn slots(&self) -> &[Slot<T::Platform>] {
        self.slots.slots()
    }
    fn side_tables(&mut self) -> SideTables<'_, T::Platform> {
        SideTables { charges: self.charges, ..self.slots.side_tables() }
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        self.slots.addresses()
    }
    fn class_changed(&self, class: Class) {
        self.slots.class_changed(class);
    }
    fn accessed(&self) {
        self.slots.accessed();
    }
}
impl<T: OneSlot> OneSlot for Charged<'_, T> {}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for Charged<'_, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Charged({=usize})", self.charges.len());
    }
}

/// The first `slots` elements of a side table.
fn table_for<E>(slots: usize, elements: &mut [Option<E>]) -> Result<&mut [Option<E>], TooShort> {
    let given = elements.len();
    elements.get_mut(..slots).ok_or(TooShort { given, slots })
}
