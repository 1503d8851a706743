//! Reclaiming: which buffers leave, how many, in which order, and which ones are looked at.

mod arrivals;
mod candidates;
mod index;
mod keep_free;
mod never;
mod nothing;
mod passes;
mod policy;
mod reclaim;
mod reclaim_ends;
mod refusals;
mod registration;
mod second_chance;
mod target_block;
mod targets;
mod transfer;
mod zones;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A test of many threads waits here for the others of its kind: in a crowd of theirs, some of its own may get no turn before
/// it is over.
fn crowd() -> MutexGuard<'static, ()> {
    static CROWD: Mutex<()> = Mutex::new(());
    CROWD.lock().unwrap_or_else(PoisonError::into_inner)
}
