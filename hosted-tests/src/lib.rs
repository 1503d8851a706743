//! What forebay is tested with: an oracle that watches every frame, memory to lend, a kit for the tests of the core, suites
//! that every implementation of a port goes through, the operations that the fuzzer drives, and the lab. Never published.

pub mod bench;
pub mod conformance;
#[cfg(target_os = "linux")]
pub mod fuzzing;
pub mod kit;
pub mod lab;
pub mod many;
pub mod memory;
#[cfg(target_os = "linux")]
pub mod pages;
pub mod world;

pub use world::{Contents, Watched, World};
