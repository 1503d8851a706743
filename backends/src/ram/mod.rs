//! Plain RAM: blocks that are simply bytes, and two sources of them.

#[cfg(feature = "heap")]
mod heap;
mod memory;
mod probe;
mod source;

#[cfg(feature = "heap")]
pub use heap::{HeapBlock, HeapSource};
pub use memory::{MemoryError, MemoryRefused, RamBlock};
pub(crate) use memory::{Neighbours, RamRange};
pub(crate) use probe::test_memory;
pub use source::Ram;
pub(crate) use source::overlap;
