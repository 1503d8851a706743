//! The RAM swap region: a store over slow RAM, such as external PSRAM or a reserved range.

mod engine;
mod list;
mod rings;
mod room;
mod rooms;
mod store;
mod table;
mod write_out;

pub use engine::{CopyEngine, Cpu, Job};
pub use store::{RamRegion, Region};
