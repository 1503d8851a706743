//! Plain RAM: blocks that are simply bytes, and two sources of them.

mod heap;
mod memory;
mod source;

pub use heap::{HeapBlock, HeapSource};
pub(crate) use memory::{Memory, Neighbours, PutAway, Whose};
pub use memory::{MemoryError, MemoryRefused, RamBlock};
pub use source::Ram;
pub(crate) use source::overlap;
