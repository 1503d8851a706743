//! Why a block was refused and is still resident, and how often for each reason.

use crate::frame::ModeRefused;
use crate::port::StoreError;
use core::fmt;

/// Why an eviction refused a block, which is still resident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RefusalReason {
    /// The hook before an eviction refused.
    Hook,
    /// The caching mode could not be changed to cached.
    Mode(ModeRefused),
    /// The store refused.
    Store(StoreError),
    /// Only a part of it would fit, and it can't be split.
    Unsplittable,
    /// No eviction method was permitted, and the block was not clean. After a [`Backlog`](StoreError::Backlog) this holds for
    /// the rest of a buffer too, if only transfers were permitted.
    NotPermitted,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RefusalReason::Hook => {
                f.write_str("the platform's hook says that it is in use: stop its user, or try again later")
            }
            RefusalReason::Mode(why) => why.fmt(f),
            RefusalReason::Store(why) => why.fmt(f),
            RefusalReason::Unsplittable => {
                f.write_str("only a part would fit, and the block can't be split: give the store more room")
            }
            RefusalReason::NotPermitted => {
                f.write_str("only clean blocks were permitted to leave: permit more eviction methods")
            }
        }
    }
}

/// All reasons, each at its [`place`].
const REASONS: [RefusalReason; 18] = [
    RefusalReason::Hook,
    RefusalReason::Mode(ModeRefused),
    RefusalReason::Unsplittable,
    RefusalReason::Store(StoreError::Unsupported),
    RefusalReason::Store(StoreError::Full),
    RefusalReason::Store(StoreError::Backlog),
    RefusalReason::Store(StoreError::TooLarge),
    RefusalReason::Store(StoreError::Limit),
    RefusalReason::Store(StoreError::NoHeadroom),
    RefusalReason::Store(StoreError::Busy),
    RefusalReason::Store(StoreError::Context),
    RefusalReason::Store(StoreError::WrongStore),
    RefusalReason::Store(StoreError::NotStored),
    RefusalReason::Store(StoreError::WrongKind),
    RefusalReason::Store(StoreError::SameId),
    RefusalReason::Store(StoreError::Io),
    RefusalReason::Store(StoreError::Unavailable),
    RefusalReason::NotPermitted,
];

/// The index of a reason in [`REASONS`]. A new reason is added to both.
const fn place(why: RefusalReason) -> usize {
    match why {
        RefusalReason::Hook => 0,
        RefusalReason::Mode(ModeRefused) => 1,
        RefusalReason::Unsplittable => 2,
        RefusalReason::Store(StoreError::Unsupported) => 3,
        RefusalReason::Store(StoreError::Full) => 4,
        RefusalReason::Store(StoreError::Backlog) => 5,
        RefusalReason::Store(StoreError::TooLarge) => 6,
        RefusalReason::Store(StoreError::Limit) => 7,
        RefusalReason::Store(StoreError::NoHeadroom) => 8,
        RefusalReason::Store(StoreError::Busy) => 9,
        RefusalReason::Store(StoreError::Context) => 10,
        RefusalReason::Store(StoreError::WrongStore) => 11,
        RefusalReason::Store(StoreError::NotStored) => 12,
        RefusalReason::Store(StoreError::WrongKind) => 13,
        RefusalReason::Store(StoreError::SameId) => 14,
        RefusalReason::Store(StoreError::Io) => 15,
        RefusalReason::Store(StoreError::Unavailable) => 16,
        RefusalReason::NotPermitted => 17,
    }
}

const _: () = {
    let mut at = 0;
    while at < REASONS.len() {
        assert!(place(REASONS[at]) == at, "a reason is not at its place");
        at += 1;
    }
};

/// How often each reason kept something resident. The counts saturate.
///
/// One count for each block that was refused, or that was skipped because an earlier refusal left no method for it. Where no
/// block of a buffer is tried, since the hook refused or no method was permitted, one count for the buffer; a reclaim without a
/// method looks at no buffer, and counts none. A block that the store lost counts as [`StoreError::Io`].
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Refusals([u32; REASONS.len()]);

impl Refusals {
    /// The number of reasons.
    pub(crate) const REASONS: usize = REASONS.len();

    pub(crate) const NONE: Refusals = Refusals([0; REASONS.len()]);

    /// The reasons with a count above zero, and their counts.
    pub fn iter(&self) -> impl Iterator<Item = (RefusalReason, u32)> {
        REASONS.into_iter().zip(self.0).filter(|(_, times)| *times > 0)
    }

    pub(crate) fn add(&mut self, why: RefusalReason) {
        if let Some(times) = self.0.get_mut(place(why)) {
            *times = times.saturating_add(1);
        }
    }

    /// Copies the count of one reason.
    pub(crate) fn copy_count(&mut self, reason: usize, from: &Refusals) {
        if let (Some(to), Some(from)) = (self.0.get_mut(reason), from.0.get(reason)) {
            *to = *from;
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

    /// Rule: a count at its maximum stays there.
    #[test]
    fn counts_saturate() {
        let mut refusals = Refusals([u32::MAX; REASONS.len()]);
        refusals.add(RefusalReason::Hook);
        refusals += refusals;
        assert!(refusals.iter().map(|(_, times)| times).eq([u32::MAX; REASONS.len()]));
    }
}
