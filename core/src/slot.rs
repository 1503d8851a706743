//! One slot of a buffer. Two options make four states; none of them is illegal.

use crate::{Charge, Class, DmaAddr, Handle, Order, OwnedBlock, Platform, Pooled};
use core::fmt;

/// A piece of a buffer: as large as the buffer's unit, or the first of those that one block or handle covers.
///
/// | block | copy | the contents are |
/// | --- | --- | --- |
/// | no | no | zeros that take no memory; or, behind a larger block, part of that |
/// | yes | no | in the block: resident |
/// | no | yes | in the store: stored |
/// | yes | yes | in both, and alike: resident and clean; evicting it copies nothing |
///
/// # Invariants
/// 1. A block or handle of `2^k` units lies in a slot whose index is a multiple of `2^k`.
/// 2. Slots behind it, up to `2^k`, have no block. They have copies only if the block is clean.
/// 3. If the first slot of a block has a copy, copies cover all of the block.
///
/// (TTM keeps a tagged word a page instead, and its caching mode by a pointer into the array; several of its
/// known bugs came from that.)
pub struct Slot<P: Platform> {
    pub(crate) block: Option<Pooled<P>>,
    pub(crate) copy: Option<Handle>,
}

impl<P: Platform> Slot<P> {
    /// Zeros that take no memory.
    pub const EMPTY: Self = Slot { block: None, copy: None };

    /// The order of what is here, if anything.
    pub(crate) fn order(&self) -> Option<Order> {
        match (&self.block, &self.copy) {
            (Some(block), _) => Some(block.block().order()),
            (None, copy) => copy.as_ref().map(Handle::order),
        }
    }

    /// How many slots of order `unit` this one covers.
    pub(crate) fn span(&self, unit: Order) -> usize {
        self.order().map_or(1, |order| slots_of(order, unit))
    }

    /// Whether the contents are in the store only.
    pub(crate) fn is_stored(&self) -> bool {
        self.block.is_none() && self.copy.is_some()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform> defmt::Format for Slot<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match (&self.block, &self.copy) {
            (None, None) => defmt::write!(f, "empty"),
            (Some(block), None) => defmt::write!(f, "resident {}", block),
            (None, Some(copy)) => defmt::write!(f, "stored {}", copy),
            (Some(block), Some(copy)) => defmt::write!(f, "clean {} {}", block, copy),
        }
    }
}

impl<P: Platform> fmt::Debug for Slot<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("block", &self.block).field("copy", &self.copy).finish()
    }
}

/// How many slots of order `unit` something of `order` covers.
pub(crate) fn slots_of(order: Order, unit: Order) -> usize {
    1 << order.get().saturating_sub(unit.get())
}

/// How many slots what begins in slot `at` covers; 1 if nothing does. In a buffer of one slot there is nothing to look at:
/// blocks and copies have the order of a slot at least, and end with the slots.
pub(crate) fn span_at<P: Platform>(slots: &[Slot<P>], at: usize, unit: Order) -> usize {
    if slots.len() == 1 { 1 } else { slots.get(at).map_or(1, |slot| slot.span(unit)) }
}

/// The slot whose block covers slot `index`. O(log) by invariant 1.
pub(crate) fn covering<P: Platform>(slots: &[Slot<P>], unit: Order, index: usize) -> Option<usize> {
    let covers = |head: usize| {
        let begins = slots.get(head).is_some_and(|slot| slot.block.is_some());
        begins && head + span_at(slots, head, unit) > index
    };
    (0..=slots.len().checked_ilog2().unwrap_or(0)).map(|k| index & !((1 << k) - 1)).find(|&head| covers(head))
}

/// Where a buffer keeps its slots: inline (`[Slot; 1]` if it is contiguous), or as `&mut [Slot]` in the caller's
/// memory; and what the caller keeps beside them ([`Addressed`](crate::Addressed), [`Charged`](crate::Charged)).
pub trait Slots<P: Platform> {
    /// The slots.
    fn slots(&self) -> &[Slot<P>];

    /// The slots and what is beside them.
    fn parts(&mut self) -> Parts<'_, P>;

    /// The slots, to change them.
    fn slots_mut(&mut self) -> &mut [Slot<P>] {
        self.parts().slots
    }

    /// What the buffer is from now on, for a reclaim: whoever keeps a [`Roster`](crate::Roster) notes it. A layer of one's own
    /// passes it on to what it is around. Called when somebody lets go of the buffer and it is something else than before;
    /// perhaps in an interrupt; O(1). It must not panic: the buffer would stay busy.
    fn sorted(&self, class: Class) {
        let _ = class;
    }

    /// For each slot the address for a device, if the buffer keeps them; else none at all.
    fn addresses(&self) -> &[Option<DmaAddr>] {
        &[]
    }
}

impl<P: Platform, T: AsRef<[Slot<P>]> + AsMut<[Slot<P>]>> Slots<P> for T {
    fn slots(&self) -> &[Slot<P>] {
        self.as_ref()
    }
    fn parts(&mut self) -> Parts<'_, P> {
        Parts { slots: self.as_mut(), addresses: &mut [], charges: &mut [] }
    }
}

/// Just one slot, and so one block: guards of such a buffer deref to its bytes, where the block does. Whatever is beside the
/// slot: [`Addressed`](crate::Addressed), [`Charged`](crate::Charged) and a [`Roster`](crate::Roster)'s
/// [`Listed`](crate::Listed) around one slot are one slot.
///
/// Whoever implements it promises that [`slots`](Slots::slots) is always one; of more only the first would be seen.
///
/// ```
/// # use forebay::*;
/// fn checksum<P, T>(guard: &Read<'_, P, T>) -> u32
/// where
///     P: Platform<Block: core::ops::Deref<Target = [u8]>>,
///     T: OneSlot<P>,
/// {
///     guard.iter().map(|byte| u32::from(*byte)).sum()
/// }
/// ```
pub trait OneSlot<P: Platform>: Slots<P> {}

impl<P: Platform> OneSlot<P> for [Slot<P>; 1] {}

impl<P: Platform> OneSlot<P> for &mut [Slot<P>; 1] {}

/// Slots, and as many addresses and charges, or none where the buffer does not keep such: nothing is stored for them then.
///
/// # Invariants
/// 1. A slot has an address if its block is mapped, all slots of a block alike. What has no block has none.
/// 2. A slot has a charge if it has contents, wherever they are.
pub struct Parts<'s, P: Platform> {
    pub(crate) slots: &'s mut [Slot<P>],
    pub(crate) addresses: &'s mut [Option<DmaAddr>],
    pub(crate) charges: &'s mut [Option<Charge>],
}

impl<P: Platform> fmt::Debug for Parts<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("slots", &self.slots)
            .field("addresses", &self.addresses)
            .field("charges", &self.charges)
            .finish()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform> defmt::Format for Parts<'_, P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (slots, addresses, charges) = (self.slots.len(), self.addresses.len(), self.charges.len());
        defmt::write!(
            f,
            "Parts({=usize} slots, {=usize} addresses, {=usize} charges)",
            slots,
            addresses,
            charges
        );
    }
}
