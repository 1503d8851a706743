//! Ports: what an integrator implements. Uses `frame` and `sync`.
//!
//! | port | needed | gives |
//! | --- | --- | --- |
//! | [`FrameSource`] of an [`OwnedBlock`] | always | blocks |
//! | [`BackingStore`] | always | a place for contents |
//! | [`Rooms`] of a store | with a lobby ([`FrameSource::LOBBY`]) | room that stays with a resident block |
//! | [`CachingControl`] | with [`WithCaching`] | caching modes |
//! | [`DmaMap`] | with [`WithDma`] | addresses for devices |
//! | [`EvictHooks`] | with [`WithHooks`] | a call before an eviction, after a restore, and when a buffer that was [`Busy`](crate::Busy) is free; the accessed bits of an MMU |
//! | [`Accounting`] | with [`WithAccounting`] | who pays for contents |
//! | [`LinearMap`] | with [`WithLinear`] | several blocks as one slice |
//! | [`FreeLists`] | with [`WithLists`] | blocks that wait for their next user |
//! | [`EvictionPolicy`] | with [`ByPolicy`](crate::reclaim::ByPolicy) | which buffer leaves next |
//!
//! `unsafe` is needed for none of them. A source without adapters is a complete [`Platform`].
//!
//! # What a panic in a port costs
//! Where panics unwind, a port should not panic, but may. No guard shows bytes that are not there, and other buffers go on.
//!
//! | the panic is in | lost | the buffer |
//! | --- | --- | --- |
//! | `space`, `room_of`, `load` of a store, a hook after a restore | nothing | unchanged, or partly restored |
//! | `save`, `split` of a store | contents, and the store's room for what it does not return | answers [`Lost`](crate::AccessError::Lost) until it is purged |
//! | `reserve`, `save_into` of a store | contents, if it had some | the same |
//! | `transfer`, `take_back`, `discard` of a store, and those with room | contents, and the block or the room in its hands | the same |
//! | `free` of a source, `put` of free lists | the block in its hands | the same, or none |
//! | a hook before an eviction | nothing | unchanged; the hook is called again |
//! | `set_mode`, `flush`, `map`, `unmap` | contents; a block of which the mode or the address is not known is leaked | `Lost` until it is purged |
//! | `charge`, `uncharge` | contents that have no payer | the same |
//!
//! A frame that a port only borrows comes back. What a port was given by value is the port's to save.

mod accounting;
mod block;
mod caching;
mod dma;
mod handle;
mod hooks;
mod linear;
mod lists;
mod platform;
mod policy;
mod rooms;
mod source;
mod store;

pub use accounting::Accounting;
pub use block::OwnedBlock;
pub use caching::CachingControl;
pub use dma::DmaMap;
pub use handle::{Handle, StoreId, StoreIds};
pub use hooks::EvictHooks;
pub use linear::LinearMap;
pub(crate) use lists::PendingFlush;
pub use lists::{FreeListCounts, FreeListId, FreeLists, PooledBlock};
pub use platform::{
    AllPorts, Platform, WithAccounting, WithCaching, WithDma, WithHooks, WithLinear, WithLists,
};
pub use policy::{EvictionPolicy, Selected};
pub use rooms::Rooms;
pub use source::{FrameSource, Supply};
pub use store::{BackingStore, Capabilities, Settled, Space, StoreError};
