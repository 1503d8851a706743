//! What a reclaim is to reach.

use crate::frame::{Order, Pages, Zones};

/// What a reclaim is to reach. A number of [`Pages`] alone is [`moved`](ReclaimTarget::moved).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ReclaimTarget {
    pub(crate) pages: Pages,
    pub(crate) measure: Measure,
    pub(crate) order: Option<Order>,
    pub(crate) zones: Zones,
}

/// When a page counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) enum Measure {
    /// When it left its buffer.
    Moved,
    /// When its frame is in the source again, or the system can reclaim it.
    Freed,
}

impl ReclaimTarget {
    /// This many pages leave their buffers: transferred, copied, clean or purged. Transferred blocks are for the store to
    /// [settle](crate::Forebay::settle) later. Right for an interrupt, and where another thread settles.
    pub const fn moved(pages: Pages) -> ReclaimTarget {
        ReclaimTarget { pages, measure: Measure::Moved, order: None, zones: Zones::ALL }
    }

    /// The frames of this many pages are in the source again, or the system can reclaim them by itself
    /// ([`Settled::reclaimable`](crate::port::Settled::reclaimable)). So the store is settled as well: first with what it has
    /// already, and with no more than is missing. Where the context does not permit that, the reclaim ends with
    /// [`Outcome::Pending`](crate::Outcome::Pending).
    ///
    /// Counts pages that this call makes reclaimable, also those that other callers transferred. A copied page counts once.
    pub const fn freed(pages: Pages) -> ReclaimTarget {
        ReclaimTarget { pages, measure: Measure::Freed, order: None, zones: Zones::ALL }
    }

    /// The source has a block of that order to give, in the mode `CACHED`. As many pages are freed for it, not more. It ends at
    /// once if the source has one.
    ///
    /// The free lists of these zones are trimmed first. Then blocks of that order or above leave: each is such a block. Smaller
    /// ones leave only while fewer pages are free than the block has: if enough pages are free, memory is
    /// [fragmented](crate::Outcome::Fragmented), not short, and going on would evict everything for nothing.
    ///
    /// If no eviction can ever make such a block, nothing leaves, and the outcome is [`Never`](crate::Outcome::Never).
    ///
    /// The source is asked ([`FrameSource::supply`](crate::FrameSource::supply)). One that does not know is asked by allocating such
    /// a block, without the right to [reclaim](crate::AllocRequest::may_reclaim), which is returned at once: others may miss it for
    /// that moment. (TTM's shrinker does not know the order, so it
    /// empties the pools for blocks that it can't make.)
    pub const fn block(order: Order) -> ReclaimTarget {
        ReclaimTarget { pages: order.pages(), measure: Measure::Freed, order: Some(order), zones: Zones::ALL }
    }

    /// The same target, and only blocks in these zones leave. A buffer that may be purged is purged completely if one of its
    /// blocks is there. The store settles blocks of any zone.
    #[must_use]
    pub const fn within(mut self, zones: Zones) -> ReclaimTarget {
        self.zones = zones;
        self
    }
}

impl From<Pages> for ReclaimTarget {
    fn from(pages: Pages) -> ReclaimTarget {
        ReclaimTarget::moved(pages)
    }
}
