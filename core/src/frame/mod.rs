//! Plain values: numbers, zones, caching modes, contexts, requests and their errors. Uses no other folder.

mod charge;
mod context;
mod dma;
mod evict;
mod mode;
mod number;
mod refused;
mod request;

pub use charge::Charge;
pub use context::Context;
pub use dma::{DmaAddr, Segment};
pub use evict::Evict;
pub use mode::{Caching, Mode, ModeRefused};
pub use number::{BufferId, Order, Pages, Pfn};
pub use refused::Refused;
pub use request::{AllocError, AllocRequest, Busy, Zones};
