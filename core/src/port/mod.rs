//! Ports: what an integrator implements. Uses `frame` and `sync`.
//!
//! | port | needed | gives |
//! | --- | --- | --- |
//! | [`FrameSource`] of an [`OwnedBlock`] | always | blocks |
//! | [`BackingStore`] | always | a place for contents |
//! | [`Rooms`] of a store | with a lobby ([`FrameSource::LOBBY`]) | room that stays with a resident block |
//! | [`CachingControl`] | with [`WithCaching`] | caching modes |
//! | [`DmaMap`] | with [`WithDma`] | addresses for devices |
//! | [`EvictHooks`] | with [`WithHooks`] | a call before an eviction and after a restore |
//! | [`Accounting`] | with [`WithAccounting`] | who pays for contents |
//! | [`LinearMap`] | with [`WithLinear`] | several blocks as one slice |
//! | [`FreeLists`] | with [`WithLists`] | blocks that wait for their next user |
//!
//! `unsafe` is needed for none of them. A source without adapters is a complete [`Platform`].

mod accounting;
mod block;
mod caching;
mod dma;
mod handle;
mod hooks;
mod linear;
mod lists;
mod platform;
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
pub use rooms::Rooms;
pub use source::{FrameSource, Supply};
pub use store::{BackingStore, Capabilities, Settled, Space, StoreError};
