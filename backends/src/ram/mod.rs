//! Plain RAM: blocks that are simply bytes, and two sources of them.

mod block;
mod error;
#[cfg(feature = "heap")]
mod heap;
mod memory;
mod neighbours;
mod probe;
mod source;

pub use block::RamBlock;
pub use error::{MemoryError, MemoryRefused};
#[cfg(feature = "heap")]
pub use heap::{HeapBlock, HeapSource};
pub(crate) use probe::test_memory;
pub use source::Ram;
