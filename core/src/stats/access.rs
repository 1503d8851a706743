//! Why a guard is refused.

use crate::frame::{AllocError, Busy};
use crate::port::StoreError;
use core::fmt;

/// Why the contents can't be reached now. Nothing is lost by it, and what was restored before the error stays resident.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AccessError {
    /// Another context holds the buffer, or its contents are being moved, or can't be reached for a moment. Try again later.
    Busy,
    /// Contents would have to be copied or zeroed, and the context does not permit what takes so long. Call it from a thread.
    Context,
    /// There is no block to restore into, or a limit forbids more memory. Reclaim, then try again; after
    /// [`Never`](AllocError::Never) no reclaim helps.
    Alloc(AllocError),
    /// The platform has no address that the device could use. No block of the buffer has an address now; all of it is
    /// resident. Evict other buffers, then try again.
    MapRefused,
    /// The payer of a new block is at its limit. Drop contents of that payer, or raise the limit.
    OverLimit,
    /// The store did not give the contents back. Try again, or purge the buffer.
    Store(StoreError),
    /// The store gave back something else than it was given, or a port panicked. The contents are gone; only
    /// [`purge`](crate::Buffer::purge) makes the buffer usable again.
    Lost,
}

impl AccessError {
    /// Whether a reclaim may help.
    pub(crate) const fn is_shortage(self) -> bool {
        use AllocError::{Exhausted, Limit, NoHeadroom};
        matches!(self, AccessError::Alloc(Exhausted | Limit | NoHeadroom))
    }
}

impl From<Busy> for AccessError {
    fn from(_: Busy) -> Self {
        AccessError::Busy
    }
}

impl From<AllocError> for AccessError {
    fn from(why: AllocError) -> Self {
        AccessError::Alloc(why)
    }
}

impl From<StoreError> for AccessError {
    fn from(why: StoreError) -> Self {
        match why {
            StoreError::Busy => AccessError::Busy,
            StoreError::Context => AccessError::Context,
            StoreError::Limit => AccessError::Alloc(AllocError::Limit),
            StoreError::NoHeadroom => AccessError::Alloc(AllocError::NoHeadroom),
            why => AccessError::Store(why),
        }
    }
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccessError::Busy => f.write_str("in use, or out of reach at the moment: try again later"),
            AccessError::Context => StoreError::Context.fmt(f),
            AccessError::Alloc(why) => why.fmt(f),
            AccessError::MapRefused => {
                f.write_str("no address that the device could use: evict other buffers, then try again")
            }
            AccessError::OverLimit => {
                f.write_str("the payer is at its limit: drop contents of that payer, or raise the limit")
            }
            AccessError::Store(why) => write!(f, "{why}; or purge the buffer, which drops its contents"),
            AccessError::Lost => f.write_str("the store lost the contents: purge the buffer to use it again"),
        }
    }
}

impl core::error::Error for AccessError {}
