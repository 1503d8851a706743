//! Buffers: how they are made, filled, evicted, restored, shared with devices and ended.

mod blocks;
mod born;
mod buffer;
mod charge;
mod contiguous;
mod dma;
mod evict;
mod modes_and_hooks;
mod noncoherent;
mod partial_states;
mod purgeable;
mod residency;
mod restore;
mod short_copy;
mod walk;
