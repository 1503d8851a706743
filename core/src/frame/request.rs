//! Zones, what a pool asks its source for, and why it gets nothing.

use crate::frame::{ModeRefused, Order};
use bitflags::bitflags;
use core::fmt;

bitflags! {
    /// A set of memory zones: a node, a bank of SRAM, what lies below an address. The source numbers its zones from 0 to
    /// 15. Zone `n` is bit `n`.
    ///
    /// Lower numbers are preferred, so a scarce zone gets a high number. A block lies in one zone, and so does every part of
    /// it. (One notion for three of TTM: `DMA32`, the node, a device's own pools.)
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Zones: u16 {
        /// All zones.
        const ALL = u16::MAX;
    }
}

impl Zones {
    /// The set with just this zone; the empty set if `zone` is above 15.
    pub const fn of(zone: u8) -> Zones {
        Zones::from_bits_retain(if zone < 16 { 1 << zone } else { 0 })
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Zones {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Zones({=u16:b})", self.bits());
    }
}

/// What a source is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct AllocRequest {
    /// The size of the block.
    pub order: Order,
    /// Where the block may lie.
    pub zones: Zones,
    /// Whether the source may reclaim or compact memory for it, within the rights of the context. Otherwise it gives up
    /// at once: a smaller block will do.
    pub may_reclaim: bool,
}

impl AllocRequest {
    /// A block of this order, from any zone. Only single pages are worth reclaiming for: several small blocks replace a
    /// large one. (TTM's `ttm_pool_alloc_page` sets its flags by the same rule.)
    pub const fn new(order: Order) -> AllocRequest {
        AllocRequest { order, zones: Zones::ALL, may_reclaim: order.get() == 0 }
    }

    /// The same request within these zones.
    #[must_use]
    pub const fn within(mut self, zones: Zones) -> AllocRequest {
        self.zones = zones;
        self
    }
}

/// Why no block was allocated. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AllocError {
    /// No block of that order is free now. A smaller one may be.
    Exhausted,
    /// No eviction ever frees so much: the ranges, the zones or the limit of the source are smaller than that. Ask for less, or
    /// give the source more memory.
    Never,
    /// The source's own limit is reached: evict something, then try again.
    Limit,
    /// Memory for the block would, as far as the source can see, exceed what the machine or its control group has.
    /// Evicting helps as far as it frees that memory.
    NoHeadroom,
    /// The memory can't be mapped or populated: it is broken, or the system refuses. Reclaiming does not help.
    Failed,
    /// The source can't be used from here, ever: it belongs to another process (after a fork).
    Unavailable,
    /// The platform refused the caching mode. The block was returned to the source.
    ModeRefused,
}

impl From<ModeRefused> for AllocError {
    fn from(_: ModeRefused) -> Self {
        AllocError::ModeRefused
    }
}

impl fmt::Display for AllocError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AllocError::Exhausted => {
                "no block of that order is free: reclaim, ask for a smaller order, or give the source more memory"
            }
            AllocError::Never => {
                "no eviction ever frees so much: ask for less, or give the source more memory or a higher limit"
            }
            AllocError::Limit => "the source's own limit is reached: reclaim, then try again",
            AllocError::NoHeadroom => {
                "the machine, or its control group, has no memory for one more block: free some, or raise the limit"
            }
            AllocError::Failed => {
                "the source's memory failed, or the system refuses to map it: look at the system's log"
            }
            AllocError::Unavailable => "the source belongs to another process: make one in this process",
            AllocError::ModeRefused => {
                "the platform refused the caching mode, and the block was returned: try again, where it may wait"
            }
        })
    }
}

impl core::error::Error for AllocError {}

/// In use; nothing changed; try again later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in use: try again later")
    }
}

impl core::error::Error for Busy {}
