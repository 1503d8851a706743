//! Why a block stayed resident, and how often each reason kept one.

use crate::{ModeRefused, StoreError};
use core::fmt;

/// Why a block stayed resident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StayReason {
    /// The hook before an eviction said so.
    Hook,
    /// Its caching mode could not be undone.
    Mode(ModeRefused),
    /// The store would not have it.
    Store(StoreError),
    /// Only a part of it would fit, and it can't be split.
    Unsplittable,
    /// The call permitted no way out but for what is clean. So it is with the rest of a buffer after a
    /// [`Backlog`](StoreError::Backlog), where nothing else was permitted than a transfer.
    NoRung,
}

impl fmt::Display for StayReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StayReason::Hook => f.write_str("the platform's hook says it is in use"),
            StayReason::Mode(e) => e.fmt(f),
            StayReason::Store(e) => e.fmt(f),
            StayReason::Unsplittable => f.write_str("only a part would fit, and the block can't be split"),
            StayReason::NoRung => f.write_str("no way out is permitted but for what is clean"),
        }
    }
}

/// All reasons, each at its [`place`].
const REASONS: [StayReason; 18] = [
    StayReason::Hook,
    StayReason::Mode(ModeRefused),
    StayReason::Unsplittable,
    StayReason::Store(StoreError::Unsupported),
    StayReason::Store(StoreError::Full),
    StayReason::Store(StoreError::Backlog),
    StayReason::Store(StoreError::TooLarge),
    StayReason::Store(StoreError::Limit),
    StayReason::Store(StoreError::NoHeadroom),
    StayReason::Store(StoreError::Busy),
    StayReason::Store(StoreError::Context),
    StayReason::Store(StoreError::WrongStore),
    StayReason::Store(StoreError::NotStored),
    StayReason::Store(StoreError::OtherWay),
    StayReason::Store(StoreError::SameId),
    StayReason::Store(StoreError::Io),
    StayReason::Store(StoreError::Unavailable),
    StayReason::NoRung,
];

/// Where a reason is among [`REASONS`]. A new one has to be written down in both.
const fn place(why: StayReason) -> usize {
    match why {
        StayReason::Hook => 0,
        StayReason::Mode(ModeRefused) => 1,
        StayReason::Unsplittable => 2,
        StayReason::Store(StoreError::Unsupported) => 3,
        StayReason::Store(StoreError::Full) => 4,
        StayReason::Store(StoreError::Backlog) => 5,
        StayReason::Store(StoreError::TooLarge) => 6,
        StayReason::Store(StoreError::Limit) => 7,
        StayReason::Store(StoreError::NoHeadroom) => 8,
        StayReason::Store(StoreError::Busy) => 9,
        StayReason::Store(StoreError::Context) => 10,
        StayReason::Store(StoreError::WrongStore) => 11,
        StayReason::Store(StoreError::NotStored) => 12,
        StayReason::Store(StoreError::OtherWay) => 13,
        StayReason::Store(StoreError::SameId) => 14,
        StayReason::Store(StoreError::Io) => 15,
        StayReason::Store(StoreError::Unavailable) => 16,
        StayReason::NoRung => 17,
    }
}

const _: () = {
    let mut at = 0;
    while at < REASONS.len() {
        assert!(place(REASONS[at]) == at, "a reason is not at its place");
        at += 1;
    }
};

/// How often each reason kept something resident.
///
/// One for each block that was tried and stayed, or that the eviction of its buffer came by and did not try, because an
/// earlier refusal had left no rung for it; if nothing there can be clean, it goes no further. Where nothing of a buffer is
/// tried, since the hook refused it or there was no rung to begin with, one for the buffer. A block that the store lost counts as [`StoreError::Io`]. They saturate.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Refusals([u32; REASONS.len()]);

impl Refusals {
    /// Nothing was refused yet.
    pub(crate) const NONE: Refusals = Refusals([0; REASONS.len()]);

    /// How often it was for this reason.
    pub fn of(&self, why: StayReason) -> u32 {
        self.0.get(place(why)).copied().unwrap_or_default()
    }

    /// The reasons that there were, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (StayReason, u32)> {
        REASONS.into_iter().zip(self.0).filter(|(_, times)| *times > 0)
    }

    /// How many reasons there are.
    pub(crate) const REASONS: usize = REASONS.len();

    /// Takes over how often one of the reasons kept a block.
    pub(crate) fn copy(&mut self, reason: usize, from: &Refusals) {
        if let (Some(times), Some(from)) = (self.0.get_mut(reason), from.0.get(reason)) {
            *times = *from;
        }
    }

    pub(crate) fn add(&mut self, why: StayReason) {
        if let Some(times) = self.0.get_mut(place(why)) {
            *times = times.saturating_add(1);
        }
    }
}

impl core::ops::AddAssign for Refusals {
    fn add_assign(&mut self, other: Refusals) {
        for (times, more) in self.0.iter_mut().zip(other.0) {
            *times = times.saturating_add(more);
        }
    }
}

impl fmt::Debug for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a count that is full stays full.
    #[test]
    fn counts_saturate() {
        let mut refusals = Refusals([u32::MAX; REASONS.len()]);
        refusals.add(StayReason::Hook);
        refusals += refusals;
        assert!(refusals.iter().map(|(_, times)| times).eq([u32::MAX; REASONS.len()]));
    }
}
