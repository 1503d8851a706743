//! What a reclaim is to reach, and what became of it.

use crate::{Order, Pages, Zones};
use core::fmt;

/// What a reclaim is to reach. A number of [`Pages`] alone is [`moved`](Want::moved).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Want {
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
    /// When its frame is in the source again, or the system can have it.
    Freed,
}

impl Want {
    /// That so many pages leave their buffers: handed over, copied, clean or purged. What was handed over is the store's to
    /// [settle](crate::Forebay::settle), later. Right for an interrupt, and whenever somebody else settles.
    pub const fn moved(pages: Pages) -> Want {
        Want { pages, measure: Measure::Moved, order: None, zones: Zones::ALL }
    }

    /// That the frames of so many pages are in the source again, or can be reclaimed by the system itself
    /// ([`Settled::reclaimable`](crate::Settled::reclaimable)). So the store is settled as well: first with what it has
    /// already, and with no more than is missing. Where the context does not permit that, it ends with
    /// [`Outcome::Pending`].
    ///
    /// What others handed over before, and this call makes reclaimable, counts as well. What it copies counts once, when the
    /// frames are free, and not again when the copies are reclaimable.
    pub const fn freed(pages: Pages) -> Want {
        Want { measure: Measure::Freed, ..Want::moved(pages) }
    }

    /// That the source has a block of that order to give, in the plain mode; as many pages are freed for it, not more. It is
    /// over at once if the source has one. Buffers' blocks of that order or above go first: each is such a block. Smaller ones
    /// only while fewer pages are free than it has: if they are free and the block is not to be had, memory is
    /// [fragmented](Outcome::Fragmented), not short, and to go on would cost everybody's contents for nothing.
    ///
    /// The source is asked by allocating one, which goes home again; and before anything leaves a buffer, the pool's shelves
    /// of these zones are trimmed, as far as it takes. (TTM's shrinker is not told the order, so it empties the pools for blocks
    /// that it can't make.)
    pub const fn block(order: Order) -> Want {
        Want { order: Some(order), ..Want::freed(order.pages()) }
    }

    /// The same, and only blocks in these zones leave. A buffer that may be purged is, all of it, if one of its blocks is there.
    /// What the store has is settled wherever it was.
    #[must_use]
    pub const fn within(mut self, zones: Zones) -> Want {
        self.zones = zones;
        self
    }
}

impl From<Pages> for Want {
    fn from(pages: Pages) -> Want {
        Want::moved(pages)
    }
}

/// How a reclaim ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Outcome {
    /// What was wanted is reached; nothing was wanted, perhaps.
    #[default]
    Reached,
    /// The store has as much as is missing, and this call could not make it let go of the frames: not yet reclaimable.
    /// [Settle](crate::Forebay::settle) it where the context permits more, or when whatever it waits for is done.
    Pending,
    /// Something left, not enough: the rest is in use, or refused, or there is no more. What it [gained](crate::Report::gained)
    /// may be nothing, if all that left is pending.
    Short,
    /// Nothing left, and nothing was gained. To try again at once is of no use.
    Nothing,
    /// Enough pages are free for the block that was wanted, but not in one piece: take smaller ones.
    Fragmented,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Outcome::Reached => "reached",
            Outcome::Pending => "not yet reclaimable: settle the store from a thread",
            Outcome::Short => "less than was wanted: the rest is in use, or refused",
            Outcome::Nothing => "nothing could leave: all is in use, refused, or stored already",
            Outcome::Fragmented => "enough is free, but not in one piece: take smaller blocks",
        })
    }
}
