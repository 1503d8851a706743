//! The RAM swap region: a store over slow RAM, such as external PSRAM or a reserved range.

mod backed;
mod checksum;
mod engine;
mod list;
mod rings;
mod room;
mod rooms;
mod store;
mod table;
mod write_out;

pub use backed::RegionBacked;
pub use checksum::Checksum;
pub use engine::{CopyEngine, Cpu, Job};
pub use store::{RamRegion, Region};
