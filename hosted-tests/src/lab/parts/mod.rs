//! What may stand behind the buffers: a source and a store that are made for each other.

mod port;
mod ram;
#[cfg(target_os = "linux")]
mod shmem;

pub use port::{Medium, Parts, Transferred};
pub use ram::{RamParts, TRANSFERS};
#[cfg(target_os = "linux")]
pub use shmem::{ArenaParts, CopiesParts};
