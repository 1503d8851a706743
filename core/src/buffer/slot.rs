//! One slot of a buffer. Two options make four states, all of them legal.

use crate::frame::Order;
use crate::pool::BlockOf;
use crate::port::{Handle, OwnedBlock, Platform};
use core::fmt;

/// A part of a buffer: one unit of it, or the first of the units that one block or handle covers.
///
/// | block | copy | the contents are |
/// | --- | --- | --- |
/// | no | no | zeros that take no memory; or, behind a larger block, a part of that block |
/// | yes | no | in the block: resident |
/// | no | yes | in the store: stored |
/// | yes | yes | in both, and alike: resident and clean; evicting it copies nothing. Or, of a buffer that has a block in a lobby, in the block, and the copy is room |
///
/// # Invariants
/// 1. A block or handle of `2^k` units is in a slot whose index is a multiple of `2^k`.
/// 2. The slots behind it, up to `2^k`, have no block. They have copies only if the block is clean.
/// 3. If the first slot of a block has a copy, copies cover all of the block.
///
/// (TTM keeps a tagged word for each page instead, and its caching mode as a pointer into the array; several of its known bugs
/// come from that.)
pub struct Slot<P: Platform> {
    pub(crate) block: Option<BlockOf<P>>,
    pub(crate) copy: Option<Handle>,
}

impl<P: Platform> Slot<P> {
    /// Zeros that take no memory.
    pub const EMPTY: Self = Slot { block: None, copy: None };

    /// The order of what is here, if there is anything.
    pub(crate) fn order(&self) -> Option<Order> {
        match (&self.block, &self.copy) {
            (Some(block), _) => Some(block.order()),
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

/// How many slots of order `unit` a block of `order` covers.
pub(crate) fn slots_of(order: Order, unit: Order) -> usize {
    1 << order.get().saturating_sub(unit.get())
}

/// How many slots are covered by what begins in slot `at`; 1 if nothing does. In a buffer of one slot it is always 1: blocks
/// and copies have the order of a slot at least, and end with the slots.
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
