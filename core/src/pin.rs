//! Why a guard is refused.

use crate::{Busy, MapRefused, OutOfFrames, OverLimit, StoreError, TakeError};
use core::fmt;

/// Why the contents can't be reached now. Nothing is lost by it, and what was restored so far stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PinError {
    /// Somebody else has it, or its contents are under way. Try again later.
    Busy,
    /// It would have to be copied or zeroed, and the context does not permit what takes so long.
    Context,
    /// There is no block to restore it into, or a limit forbids it more memory. Reclaim, then try again.
    Take(TakeError),
    /// The platform has no address for a block that the device could use. No block of the buffer has one now; all of it is
    /// resident.
    MapRefused,
    /// Who would have to pay for a new block has no more to give. What became resident before stays.
    OverLimit,
    /// The store did not give the contents back. Try again, or purge the buffer.
    Store(StoreError),
    /// The store gave back something else than it was given. What was there is gone; only
    /// [`purge`](crate::Buffer::purge) makes the buffer usable again.
    Lost,
}

impl From<Busy> for PinError {
    fn from(_: Busy) -> Self {
        PinError::Busy
    }
}

impl From<MapRefused> for PinError {
    fn from(_: MapRefused) -> Self {
        PinError::MapRefused
    }
}

impl From<OverLimit> for PinError {
    fn from(_: OverLimit) -> Self {
        PinError::OverLimit
    }
}

impl From<TakeError> for PinError {
    fn from(why: TakeError) -> Self {
        PinError::Take(why)
    }
}

impl From<StoreError> for PinError {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Busy => PinError::Busy,
            StoreError::Context => PinError::Context,
            StoreError::Limit => PinError::Take(OutOfFrames::Limit.into()),
            StoreError::NoHeadroom => PinError::Take(OutOfFrames::NoHeadroom.into()),
            e => PinError::Store(e),
        }
    }
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinError::Busy => Busy.fmt(f),
            PinError::Context => StoreError::Context.fmt(f),
            PinError::Take(e) => e.fmt(f),
            PinError::MapRefused => MapRefused.fmt(f),
            PinError::OverLimit => OverLimit.fmt(f),
            PinError::Store(e) => e.fmt(f),
            PinError::Lost => f.write_str("the store lost the contents: purge the buffer to use it again"),
        }
    }
}

impl core::error::Error for PinError {}
