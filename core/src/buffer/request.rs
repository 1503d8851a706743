//! What a reclaim asks of buffers, and what each says that it may have.

use crate::buffer::cell::Reference;
use crate::frame::{Context, Evict, Order, Pages, Zones};
use bitflags::bitflags;

bitflags! {
    /// What a reclaim may want of a buffer. Each flag says "perhaps": a superfluous flag costs a look, a missing one would
    /// hide the buffer.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Class: u8 {
        /// It has blocks.
        const RESIDENT = 1;
        /// Some of its blocks are clean: the store has a copy.
        const CLEAN = 2;
        /// It has contents, resident or stored, that its owner does not need.
        const PURGEABLE = 4;
        /// Purgeable and already purged; the owner has not rewritten it.
        const PURGED = 8;
        /// A guard needs no work: everything is resident, in the right mode, with addresses, and the hook ran.
        const READY = 16;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Class {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Class({=u8:b})", self.bits());
    }
}

/// What a reclaim looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Phase {
    /// Contents that are not needed.
    Purge,
    /// Blocks with a copy in the store, in buffers that were not used lately.
    Clean,
    /// Any blocks, in buffers that were not used lately.
    Evict,
}

/// What a reclaim asks of one buffer.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EvictRequest {
    pub(crate) budget: Pages,
    pub(crate) how: Evict,
    pub(crate) cx: Context,
    pub(crate) phase: Phase,
    /// Smaller blocks stay.
    pub(crate) least: Order,
    /// Blocks in other zones stay.
    pub(crate) zones: Zones,
    /// The store met a backlog, or failed, so transfers are not tried: what it refuses now is not skipped for that.
    pub(crate) after_backlog: bool,
}

impl EvictRequest {
    #[doc(hidden)]
    /// Purges the buffer if `how` permits and its owner does not need it; else evicts about `budget` pages, unless it was used
    /// since the last request.
    pub const fn new(budget: Pages, how: Evict, cx: Context) -> EvictRequest {
        let phase = if how.bits() == Evict::PURGE.bits() { Phase::Purge } else { Phase::Evict };
        EvictRequest { budget, how, cx, phase, least: Order::PAGE, zones: Zones::ALL, after_backlog: false }
    }

    /// Whether a buffer is skipped, as it was used or refused since the last look. A purge does not skip it, unless it has blocks,
    /// and refused or was purged before: then a second round over the buffers with blocks comes back to it.
    pub(crate) fn skips(&self, class: Class, reference: Reference) -> bool {
        let spared = match reference {
            Reference::Idle => return false,
            Reference::Used => Class::PURGED | Class::RESIDENT,
            Reference::Refused => Class::RESIDENT,
        };
        !self.purges(class) || class.contains(spared)
    }

    fn purges(&self, class: Class) -> bool {
        self.how.contains(Evict::PURGE) && class.contains(Class::PURGEABLE)
    }

    /// The class among which the phase finds its candidates.
    pub(crate) fn class(&self) -> Class {
        match self.phase {
            Phase::Purge => Class::PURGEABLE,
            Phase::Evict if !(self.how - Evict::PURGE).is_empty() => Class::RESIDENT,
            Phase::Clean | Phase::Evict => Class::CLEAN,
        }
    }
}
