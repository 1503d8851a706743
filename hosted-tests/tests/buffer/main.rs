//! Buffers: how they are made, filled, evicted, restored, shared with devices and ended.

mod attach;
mod blocks;
mod buffer;
mod charge;
mod contiguous;
mod dma;
mod evict;
mod failed;
mod frames;
mod modes_and_hooks;
mod noncoherent;
mod owners;
mod partial_states;
mod purgeable;
mod released;
mod residency;
mod restore;
mod sections;
mod short_copy;
mod walk;
mod ways;

use forebay::stats::Restored;

/// A restore that reports no error.
#[track_caller]
fn complete(restored: Restored) -> Restored {
    assert_eq!(restored.why, None);
    restored
}
