//! Pinned arenas: what belongs to the pool stays in RAM, and only stored pages can be swapped out.
//!
//! `mlock2(MLOCK_ONFAULT)` locks pages of a mapping when they are populated. The limit on locked memory counts the length that is
//! locked, whether populated or not, so only the part that was ever used is locked, a chunk at a time. `MADV_DONTNEED_LOCKED` removes
//! a chunk from the page tables and unlocks its pages, in one call; the mapping stays locked, so populating locks them again.

use super::Arena;
use super::sys::Mapping;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use forebay::{StoreError, sync::RawMutex};
use rustix::io::Errno;

/// How many bytes of a mapping are locked, from its start on. It only grows.
#[derive(Debug)]
pub(super) struct Pin(AtomicUsize);

impl Pin {
    /// Locks the first chunk of a mapping, which tells whether the process may, and whether the kernel can unlock it again.
    pub(super) fn new(mapping: &Mapping, chunk: usize) -> Result<Pin, Errno> {
        mapping.unmap_locked(0..0)?; // an empty range: does the kernel know this advice?
        mapping.lock(0..chunk)?;
        Ok(Pin(AtomicUsize::new(chunk)))
    }
}

impl<const PAGE: usize, L: RawMutex> Arena<PAGE, L> {
    /// Locks the mapping up to the end of chunks that are going to be populated, if the arena is pinned. Two calls at once may lock the
    /// same part twice, which changes nothing.
    ///
    /// # Errors
    /// `NoHeadroom`: the process may not lock so much.
    pub(super) fn pin(&self, bytes: &Range<usize>) -> Result<(), StoreError> {
        let Some(Pin(locked)) = &self.pin else { return Ok(()) };
        let from = locked.load(Relaxed);
        if bytes.end > from {
            self.mapping.lock(from..bytes.end).map_err(|_| StoreError::NoHeadroom)?;
            locked.fetch_max(bytes.end, Relaxed);
        }
        Ok(())
    }

    /// Whether what belongs to the pool is locked into RAM ([`Builder::pinned`](super::Builder::pinned)).
    pub fn is_pinned(&self) -> bool {
        self.pin.is_some()
    }
}
