//! What was done, in pages. No count stands for an error, and no error hides a count.

use crate::{Outcome, Pages, PinError, Refusals, Settled, StayReason};
use bitflags::bitflags;
use core::ops::AddAssign;

bitflags! {
    /// The rungs of the ladder that an eviction may use, tried from the first to the last.
    ///
    /// From [`COPY`](Evict::COPY) only "too large" or a short copy leads to splitting: a store that is merely full
    /// must not shred every high-order block for nothing. Nothing is split before the store has taken a part.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Evict: u16 {
        /// Hand the block over: O(1) each, copies nothing, fit for an interrupt.
        const TRANSFER = 1;
        /// Copy it whole, at its own order, then send it home.
        const COPY = 2;
        /// Copy it piece by piece, sending each piece home as soon as it is copied. Without
        /// [`COPY`](Evict::COPY): one unit of the buffer at a time. With it: halves, where the store says that the
        /// whole is too large or takes less of it.
        const SPLIT = 4;
        /// Drop what its owner does not need ([`Advice::DontNeed`](crate::Advice::DontNeed)): all of that buffer at once,
        /// whatever the budget, and lately used or not. Of what was purged before, the zeros that somebody read since, and
        /// blocks that could not go, have a second chance.
        const PURGE = 8;
    }
}

impl Evict {
    /// All of it: purge what may be purged; else transfer, else copy, else split.
    pub const LADDER: Evict = Evict::all();
}

#[cfg(feature = "defmt")]
impl defmt::Format for Evict {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Evict({=u16:b})", self.bits());
    }
}

/// What an eviction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Evicted {
    /// Transferred: the store owns the blocks. Not freed yet.
    pub handed_over: Pages,
    /// Copied to the store; the blocks went home.
    pub copied: Pages,
    /// Clean: the store had a copy already; the blocks went home.
    pub clean: Pages,
    /// Dropped, since their owner does not need them; the blocks went home, from wherever they were.
    pub purged: Pages,
    /// Of these, what was with the store.
    pub(crate) uncovered: Pages,
    /// Tried, and still resident. A walk tries each block once.
    pub refused: Pages,
    /// Transfers that the store refused with [`Backlog`](crate::StoreError::Backlog): settle it.
    pub backlogs: usize,
    /// How often a block was split in two.
    pub splits: usize,
    /// The first reason for a refusal.
    pub why: Option<StayReason>,
}

impl Evicted {
    /// Pages that left the buffers (or, purged, the store).
    pub fn moved(&self) -> Pages {
        self.handed_over + self.copied + self.clean + self.purged
    }

    /// Pages whose frames are in the source again.
    pub fn freed(&self) -> Pages {
        self.copied + self.clean + self.purged
    }
}

impl Evicted {
    /// Adds the pages that left.
    pub(crate) fn add_moved(&mut self, other: &Evicted) {
        self.handed_over += other.handed_over;
        self.copied += other.copied;
        self.clean += other.clean;
        self.purged += other.purged;
    }

    /// Adds what was in the way.
    pub(crate) fn add_obstacles(&mut self, other: &Evicted) {
        self.refused += other.refused;
        self.backlogs = self.backlogs.saturating_add(other.backlogs);
        self.splits = self.splits.saturating_add(other.splits);
    }

    /// Whether anything was in the way.
    pub(crate) fn met_obstacles(&self) -> bool {
        self.refused > Pages::ZERO || self.backlogs > 0 || self.splits > 0
    }
}

impl AddAssign for Evicted {
    fn add_assign(&mut self, other: Evicted) {
        self.add_moved(&other);
        self.add_obstacles(&other);
        self.uncovered += other.uncovered;
        self.why = self.why.or(other.why);
    }
}

/// What a step of restoring did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// Blocks taken back as they were: nothing copied.
    pub taken_back: Pages,
    /// Loaded into fresh blocks.
    pub loaded: Pages,
    /// Fresh blocks of zeros for what was empty.
    pub populated: Pages,
    /// The first reason why something did not come back.
    pub why: Option<PinError>,
}

impl Restored {
    /// Pages that became resident.
    pub fn total(&self) -> Pages {
        self.taken_back + self.loaded + self.populated
    }

    /// For callers that want all or an error: the counts if nothing failed.
    ///
    /// # Errors
    /// [`why`](Restored::why). What came back stays resident nevertheless.
    pub fn into_result(self) -> Result<Restored, PinError> {
        self.why.map_or(Ok(self), Err)
    }

    pub(crate) fn fail(&mut self, why: PinError) {
        self.why = self.why.or(Some(why));
    }
}

impl Restored {
    /// Adds the pages that came.
    pub(crate) fn add_moved(&mut self, other: &Restored) {
        self.taken_back += other.taken_back;
        self.loaded += other.loaded;
        self.populated += other.populated;
    }
}

impl AddAssign for Restored {
    fn add_assign(&mut self, other: Restored) {
        self.add_moved(&other);
        self.why = self.why.or(other.why);
    }
}

/// What a reclaim did: the walks over the buffers, and the settling of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The walks.
    pub evicted: Evicted,
    /// The store: what all settles of the call did, and how it is after them.
    pub settled: Settled,
    /// Pages that count for what was wanted.
    pub gained: Pages,
    /// How it ended.
    pub outcome: Outcome,
}

impl Report {
    /// Pages whose frames are in the source again.
    pub fn freed(&self) -> Pages {
        self.evicted.freed() + self.settled.freed
    }
}

/// Everything that passed through a [`Forebay`](crate::Forebay) since it was made: counts only, so that no reason is
/// ever older than what it explains; and what the store said of itself last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// All evictions.
    pub evicted: Evicted,
    /// Why blocks stayed, and how often.
    pub refusals: Refusals,
    /// All restores.
    pub restored: Restored,
    /// Pages that settling gave home.
    pub settled: Pages,
    /// Pages that were [pending](Settled::pending) when the store was settled last. What was handed over or taken back
    /// since is not seen here.
    pub pending: Pages,
    /// Pages that were [reclaimable](Settled::reclaimable) then.
    pub reclaimable: Pages,
    /// Pages that were [held](Settled::held) then.
    pub held: Pages,
    /// Pages of blocks that had nowhere to go, because their caching mode could not be undone: when their buffer was
    /// dropped, or when nothing could be loaded into them. They are lost.
    pub stranded: Pages,
}

impl Stats {
    /// Nothing passed yet.
    pub(crate) const NONE: Stats = Stats {
        evicted: Evicted {
            handed_over: Pages::ZERO,
            copied: Pages::ZERO,
            clean: Pages::ZERO,
            purged: Pages::ZERO,
            uncovered: Pages::ZERO,
            refused: Pages::ZERO,
            backlogs: 0,
            splits: 0,
            why: None,
        },
        refusals: Refusals::NONE,
        restored: Restored {
            taken_back: Pages::ZERO,
            loaded: Pages::ZERO,
            populated: Pages::ZERO,
            why: None,
        },
        settled: Pages::ZERO,
        pending: Pages::ZERO,
        reclaimable: Pages::ZERO,
        held: Pages::ZERO,
        stranded: Pages::ZERO,
    };

    /// Pages whose frames went back to the source.
    pub fn freed(&self) -> Pages {
        self.evicted.freed() + self.settled
    }
}
