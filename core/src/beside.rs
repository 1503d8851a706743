//! What a caller keeps beside the slots of a buffer: addresses for a device, and who pays. Arrays of the caller's, one
//! element for each slot; a buffer without them has neither their bytes nor their code.

use crate::{Charge, Class, DmaAddr, OneSlot, Parts, Platform, Slot, Slots};
use core::fmt;

/// An array beside the slots has fewer elements than there are slots.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TooShort {
    /// How many elements it has.
    pub given: usize,
    /// How many slots there are.
    pub slots: usize,
}

impl fmt::Display for TooShort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooShort { given, slots } = self;
        write!(f, "an array of {given} beside {slots} slots: give it one element for each slot")
    }
}

impl core::error::Error for TooShort {}

/// Slots of a buffer that a device uses: with room for the address of each.
///
/// Its blocks are mapped ([`Platform::map`]) before a guard is given out, once each, and unmapped before they leave. So a
/// device may use the addresses for as long as a guard lives, or until the platform's
/// [`before_evict`](Platform::before_evict).
/// (TTM's `dma_address` array of a `ttm_tt`.)
///
/// A device that writes needs a [`Write`](crate::Write) guard since the last `before_evict`, as the CPU does: after a
/// [`Read`](crate::Read) one the store may have copies still, which count as the contents, and what the device wrote would
/// go with the block.
///
/// Around one slot ([`OneSlot`]) of ordinary memory it is simply bytes too. Whoever has such bytes of any buffer, as a slice
/// ([`contiguous`](crate::Read::contiguous)) or by `Deref`, lets no device write to them meanwhile.
///
/// Only where there are addresses does a block that moves take with it what a device wrote. A driver that lets a device use
/// the blocks of another buffer syncs all that the device will use, with each new guard, and all that it wrote, before that
/// guard is dropped.
///
/// ```
/// # use forebay::*;
/// # struct Frames(usize, Vec<u8>);
/// # impl OwnedBlock for Frames {
/// #     const PAGE: usize = 4096;
/// #     fn pfn(&self) -> Pfn { Pfn::new(self.0) }
/// #     fn order(&self) -> Order { Order::holding(Pages::new(self.1.len() / 4096)).unwrap() }
/// #     fn split(self) -> Result<(Self, Self), Self> { Err(self) }
/// #     fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
/// #         self.1.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
/// #     }
/// #     fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
/// #         self.1.iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
/// #     }
/// # }
/// # struct Machine;
/// # impl Platform for Machine {
/// #     type Block = Frames;
/// #     type Lock = NoLock;
/// #     type Mode = ();
/// #     fn allocate(&self, order: Order, _: Context) -> Result<Frames, OutOfFrames> {
/// #         Ok(Frames(0x40, vec![0; 4096 * order.pages().get()]))
/// #     }
/// #     fn release(&self, frames: Frames) { drop(frames); }
/// # }
/// # struct Store;
/// # impl<B: OwnedBlock> BackingStore<B> for Store {
/// #     fn ids(&self) -> StoreIds { StoreIds::NONE }
/// #     fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
/// #         Err(Refused::new(handle, StoreError::WrongStore))
/// #     }
/// # }
/// let home: &Forebay<_, _> = &Forebay::<_, _, [Place<Machine>; 0]>::new(Machine, Store, 0);
/// let (mut slots, mut addresses) = ([const { Slot::EMPTY }; 8], [None; 8]);
/// let ring = Buffer::of(Addressed::new(&mut slots[..], &mut addresses)?, home);
///
/// let mut guard = ring.write()?;
/// guard.copy_in(0, b"to the device");
/// guard.sync_for_device(0..13); // before the device reads
/// for segment in guard.segments() {
///     println!("{} bytes at {:?}", segment.bytes, segment.address); // what the device is told
/// }
/// guard.sync_for_cpu(4096..8192); // after the device wrote
/// # assert_eq!(guard.address(4097).map(DmaAddr::get), Some(0x41001));
/// # assert_eq!(guard.segments().count(), 1);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Addressed<'m, T> {
    slots: T,
    addresses: &'m mut [Option<DmaAddr>],
}

impl<'m, T> Addressed<'m, T> {
    /// Beside these slots, at least as many addresses; what is in them is forgotten by the buffer that is made of them.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn new<P: Platform>(slots: T, addresses: &'m mut [Option<DmaAddr>]) -> Result<Self, TooShort>
    where
        T: Slots<P>,
    {
        let addresses = beside(slots.slots().len(), addresses)?;
        Ok(Addressed { slots, addresses })
    }
}

impl<P: Platform, T: Slots<P>> Slots<P> for Addressed<'_, T> {
    fn slots(&self) -> &[Slot<P>] {
        self.slots.slots()
    }
    fn parts(&mut self) -> Parts<'_, P> {
        Parts { addresses: self.addresses, ..self.slots.parts() }
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        self.addresses
    }
    fn sorted(&self, class: Class) {
        self.slots.sorted(class);
    }
}

impl<P: Platform, T: OneSlot<P>> OneSlot<P> for Addressed<'_, T> {}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for Addressed<'_, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Addressed({=usize})", self.addresses.len());
    }
}

/// Slots of a buffer whose contents somebody pays for: with room for the token of each.
///
/// Who pays is what [`Platform::charge`] says when a slot gets contents; it goes on paying, also while they are in the store
/// ([`BackingStore::save_for`](crate::BackingStore::save_for)), until they are dropped ([`Platform::uncharge`]).
#[derive(Debug)]
pub struct Charged<'m, T> {
    slots: T,
    charges: &'m mut [Option<Charge>],
}

impl<'m, T> Charged<'m, T> {
    /// Beside these slots, at least as many tokens; what is in them is forgotten by the buffer that is made of them.
    ///
    /// # Errors
    /// [`TooShort`].
    pub fn new<P: Platform>(slots: T, charges: &'m mut [Option<Charge>]) -> Result<Self, TooShort>
    where
        T: Slots<P>,
    {
        let charges = beside(slots.slots().len(), charges)?;
        Ok(Charged { slots, charges })
    }
}

impl<P: Platform, T: Slots<P>> Slots<P> for Charged<'_, T> {
    fn slots(&self) -> &[Slot<P>] {
        self.slots.slots()
    }
    fn parts(&mut self) -> Parts<'_, P> {
        Parts { charges: self.charges, ..self.slots.parts() }
    }
    fn addresses(&self) -> &[Option<DmaAddr>] {
        self.slots.addresses()
    }
    fn sorted(&self, class: Class) {
        self.slots.sorted(class);
    }
}

impl<P: Platform, T: OneSlot<P>> OneSlot<P> for Charged<'_, T> {}

#[cfg(feature = "defmt")]
impl<T> defmt::Format for Charged<'_, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Charged({=usize})", self.charges.len());
    }
}

/// As many elements as there are slots.
fn beside<E>(slots: usize, elements: &mut [Option<E>]) -> Result<&mut [Option<E>], TooShort> {
    let given = elements.len();
    elements.get_mut(..slots).ok_or(TooShort { given, slots })
}
