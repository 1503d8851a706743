//! What a caller keeps beside the slots of a buffer: addresses for a device, and who pays. Arrays of the caller's, one
//! element for each slot; a buffer without them has neither their bytes nor their code.

use crate::{Charge, DmaAddr, Parts, Platform, Slot, Slots};
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
#[derive(Debug)]
pub struct Addressed<'m, T> {
    slots: T,
    addresses: &'m mut [Option<DmaAddr>],
}

impl<'m, T> Addressed<'m, T> {
    /// Beside these slots, at least as many addresses; what is in them is forgotten.
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
    /// Beside these slots, at least as many tokens; what is in them is forgotten.
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
}

/// As many elements as there are slots, all of them `None`.
fn beside<E>(slots: usize, elements: &mut [Option<E>]) -> Result<&mut [Option<E>], TooShort> {
    let given = elements.len();
    let elements = elements.get_mut(..slots).ok_or(TooShort { given, slots })?;
    elements.fill_with(|| None);
    Ok(elements)
}
