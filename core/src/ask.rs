//! What a pool asks its source for.

use crate::Order;
use bitflags::bitflags;

/// Where frames are: a zone of a node, a bank of SRAM, what lies below an address. Numbers are the platform's, 0 to 15;
/// lower ones are preferred. So what is scarce has a high number: memory that only a picky device needs, say.
///
/// One notion for what TTM has three of: `DMA32`, the node, and a device's own pools. A block is in one zone, and so
/// is every part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Zone(u8);

impl Zone {
    /// The one zone of a simple platform.
    pub const ONLY: Zone = Zone(0);

    /// The zone with this number, or `None` above 15.
    pub const fn new(number: u8) -> Option<Zone> {
        if number < 16 { Some(Zone(number)) } else { None }
    }

    /// The number itself.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The set of just this one.
    pub const fn only(self) -> Zones {
        Zones(1 << self.0)
    }
}

/// A set of [`Zone`]s.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Zones(u16);

impl Zones {
    /// Wherever there is memory.
    pub const ALL: Zones = Zones(u16::MAX);

    /// Everything in either set.
    pub const fn union(self, other: Zones) -> Zones {
        Zones(self.0 | other.0)
    }

    /// Everything in both sets.
    pub const fn intersection(self, other: Zones) -> Zones {
        Zones(self.0 & other.0)
    }

    /// Whether the set has this zone.
    pub const fn contains(self, zone: Zone) -> bool {
        self.0 & zone.only().0 != 0
    }

    /// Whether it has none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Its zones below `count`, the preferred one first.
    pub(crate) fn below(self, count: u8) -> impl Iterator<Item = Zone> {
        (0..count.min(16)).map(Zone).filter(move |zone| self.contains(*zone))
    }
}

impl Default for Zones {
    fn default() -> Self {
        Zones::ALL
    }
}

bitflags! {
    /// What a source may do to find a block.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Effort: u8 {
        /// Reclaim and compact memory for it, within the rights of the context. Left out, it gives up at once: a smaller
        /// block will do.
        const RECLAIM = 1;
        /// Use what is kept for those who must not fail.
        const RESERVES = 2;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Effort {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Effort({=u8:b})", self.bits());
    }
}

/// A block that is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Ask {
    /// Its size.
    pub order: Order,
    /// Where it may be.
    pub zones: Zones,
    /// What may be done for it.
    pub effort: Effort,
}

impl Ask {
    /// A block from wherever there is one. Large blocks never touch reserves, and nothing is reclaimed for them, since
    /// several small ones will do; one page is worth all of it. (TTM's `ttm_pool_alloc_page`: its flags for order 0 and
    /// above.)
    pub const fn of(order: Order) -> Ask {
        let effort = if order.get() == 0 { Effort::all() } else { Effort::empty() };
        Ask { order, zones: Zones::ALL, effort }
    }

    /// The same within these zones.
    #[must_use]
    pub const fn within(mut self, zones: Zones) -> Ask {
        self.zones = zones;
        self
    }

    /// The same, this being the order that is worth reclaiming for. It never touches reserves above order 0.
    #[must_use]
    pub const fn worth_reclaiming_at(mut self, order: Order) -> Ask {
        if self.order.get() == order.get() {
            self.effort = self.effort.union(Effort::RECLAIM);
        }
        self
    }
}
