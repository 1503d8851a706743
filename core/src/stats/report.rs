//! What was done, in pages. No count stands for an error, and no error hides a count.

use crate::frame::Pages;
use crate::port::{Settled, StoreError};
use crate::stats::{AccessError, RefusalReason, Refusals};
use core::fmt;
use core::ops::AddAssign;

/// What an eviction did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Evicted {
    /// Transferred: the store owns the blocks. Not freed yet.
    pub transferred: Pages,
    /// Copied to the store; the blocks were returned to the source.
    pub copied: Pages,
    /// Clean: the store had a copy already; the blocks were returned to the source.
    pub clean: Pages,
    /// Dropped, since their owner does not need them; the blocks were returned to the source, from wherever they were.
    pub purged: Pages,
    /// Pages among the purged ones that the store owned. In [`Stats`], of all blocks that were discarded while the store had
    /// them.
    pub(crate) purged_from_store: Pages,
    /// Tried, and still resident. A reclaim tries each block about once.
    pub refused: Pages,
    /// Transfers that the store refused with [`Backlog`](crate::StoreError::Backlog): settle it.
    pub backlogs: usize,
    /// How often a block was split in two.
    pub splits: usize,
    /// The first reason for a refusal.
    pub why: Option<RefusalReason>,
}

impl Evicted {
    pub(crate) const NONE: Evicted = Evicted {
        transferred: Pages::ZERO,
        copied: Pages::ZERO,
        clean: Pages::ZERO,
        purged: Pages::ZERO,
        purged_from_store: Pages::ZERO,
        refused: Pages::ZERO,
        backlogs: 0,
        splits: 0,
        why: None,
    };

    /// Pages that left the buffers (or, purged, the store). Without those that were transferred: pages whose frames are in the
    /// source again.
    pub fn moved(&self) -> Pages {
        self.transferred + self.copied + self.clean + self.purged
    }

    /// Pages whose frames are in the source again.
    pub(crate) fn freed(&self) -> Pages {
        self.copied + self.clean + self.purged
    }

    /// Copies everything but the reason, word by word: a call of `memcpy` would take longer.
    pub(crate) fn copy_counts(&mut self, from: &Evicted) {
        (self.transferred, self.copied, self.clean) = (from.transferred, from.copied, from.clean);
        (self.purged, self.purged_from_store) = (from.purged, from.purged_from_store);
        (self.refused, self.backlogs, self.splits) = (from.refused, from.backlogs, from.splits);
    }
}

impl AddAssign for Evicted {
    fn add_assign(&mut self, other: Evicted) {
        self.transferred += other.transferred;
        self.copied += other.copied;
        self.clean += other.clean;
        self.purged += other.purged;
        self.purged_from_store += other.purged_from_store;
        self.refused += other.refused;
        self.backlogs = self.backlogs.saturating_add(other.backlogs);
        self.splits = self.splits.saturating_add(other.splits);
        self.why = self.why.or(other.why);
    }
}

/// What a restore did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Restored {
    /// The same blocks, taken back: nothing copied.
    pub taken_back: Pages,
    /// Loaded into fresh blocks.
    pub loaded: Pages,
    /// Fresh blocks of zeros for empty slots.
    pub populated: Pages,
    /// The first reason why something did not come back.
    pub why: Option<AccessError>,
}

impl Restored {
    pub(crate) const NONE: Restored =
        Restored { taken_back: Pages::ZERO, loaded: Pages::ZERO, populated: Pages::ZERO, why: None };

    /// Pages that became resident.
    pub fn total(&self) -> Pages {
        self.taken_back + self.loaded + self.populated
    }

    pub(crate) fn fail(&mut self, why: AccessError) {
        self.why = self.why.or(Some(why));
    }

    /// Adds everything but the reason.
    pub(crate) fn add_counts(&mut self, other: &Restored) {
        self.taken_back += other.taken_back;
        self.loaded += other.loaded;
        self.populated += other.populated;
    }
}

impl AddAssign for Restored {
    fn add_assign(&mut self, other: Restored) {
        self.add_counts(&other);
        self.why = self.why.or(other.why);
    }
}

/// How a reclaim ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Outcome {
    /// The target is reached; perhaps it was zero.
    #[default]
    Reached,
    /// The store has as much as is missing, and this call could not make it free the frames.
    /// [Settle](crate::Forebay::settle) it where the context permits more, or once it can move on.
    Pending,
    /// Something left, but not enough: the rest is in use, refused, or there is no more. What was
    /// [gained](Report::gained) may be nothing, if everything that left is pending.
    Short,
    /// Nothing was evicted, and nothing was gained. Trying again at once does not help.
    Nothing,
    /// Enough pages are free for the wanted block, but not contiguous: take smaller blocks.
    Fragmented,
    /// No eviction can reach the target, so nothing was evicted: want less, or give the source more memory.
    Never,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Reached => "reached",
            Outcome::Pending => "not yet reclaimable: settle the store from a thread",
            Outcome::Short => "less than the target: the rest is in use or refused, or there is no more",
            Outcome::Nothing => {
                "nothing could leave: all is in use, refused or stored already, or no method was permitted"
            }
            Outcome::Fragmented => "enough is free, but not contiguous: take smaller blocks",
            Outcome::Never => {
                "no eviction ever frees so much: want less, or give the source more memory or a higher limit"
            }
        })
    }
}

/// What a reclaim did: the evictions, and the settling of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The evictions.
    pub evicted: Evicted,
    /// The store: what all settles of the call did, and its state after them.
    pub settled: Settled,
    /// Pages that count for the target.
    pub gained: Pages,
    /// How it ended.
    pub outcome: Outcome,
}

impl Report {
    /// Pages whose frames are in the source again.
    pub(crate) fn freed(&self) -> Pages {
        self.evicted.freed() + self.settled.freed
    }
}

/// Everything that passed through a [`Forebay`](crate::Forebay) since it was made, and what the store reported last.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// All evictions. `why` is always `None`: [`refusals`](Stats::refusals) has the reasons.
    pub evicted: Evicted,
    /// Why blocks were refused, and how often.
    pub refusals: Refusals,
    /// All restores. `why` is always `None`.
    pub restored: Restored,
    /// Pages that settling returned to the source.
    pub settled: Pages,
    /// Pages that were [pending](Settled::pending) at the last settle. Later transfers are not included.
    pub pending: Pages,
    /// Pages that were [reclaimable](Settled::reclaimable) at the last settle.
    pub reclaimable: Pages,
    /// Pages that were [held](Settled::held) at the last settle.
    pub held: Pages,
    /// Pages that left a buffer or came back to one in a context that may not block, as an interrupt.
    pub in_interrupts: Pages,
    /// Pages of blocks that are leaked: their caching mode could not be changed to cached when their buffer was dropped, or
    /// when nothing could be loaded into them.
    pub leaked: Pages,
}

impl Stats {
    pub(crate) const NONE: Stats = Stats {
        evicted: Evicted::NONE,
        refusals: Refusals::NONE,
        restored: Restored::NONE,
        settled: Pages::ZERO,
        pending: Pages::ZERO,
        reclaimable: Pages::ZERO,
        held: Pages::ZERO,
        in_interrupts: Pages::ZERO,
        leaked: Pages::ZERO,
    };

    /// The counters of a new forebay. Their reasons are never read: they are values that are zeros in memory, so that a forebay
    /// lies in `.bss` and takes no flash.
    pub(crate) const ZEROS: Stats = Stats {
        evicted: Evicted { why: Some(RefusalReason::Store(StoreError::Unsupported)), ..Evicted::NONE },
        restored: Restored { why: Some(AccessError::Busy), ..Restored::NONE },
        ..Stats::NONE
    };
}
