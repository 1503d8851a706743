//! Plain RAM: blocks that are simply bytes, and two sources of them.

mod bitmap;
mod buddy;
mod heap;
mod memory;
mod source;

pub use heap::{HeapBlock, HeapSource};
pub(crate) use memory::{Away, Memory, Whose};
pub use memory::{MemoryError, MemoryRefused, RamBlock};
pub use source::Ram;
pub(crate) use source::overlap;
