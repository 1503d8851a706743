//! Plain values: numbers, zones, caching modes, contexts, requests and their errors. Uses no other folder.

mod context;
mod dma;
mod mode;
mod number;
mod refused;
mod request;

pub use context::{Context, Evict};
pub use dma::{DmaAddr, Segment};
pub use mode::{Caching, Mode, ModeRefused};
pub use number::{BufferId, Charge, Order, Pages, Pfn};
pub use refused::Refused;
pub use request::{AllocError, AllocRequest, Busy, Zones};
