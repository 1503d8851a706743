//! What may stand behind the buffers: a source and a store that are made for each other.

mod port;
mod ram;

pub use port::{Adopted, Parts};
pub use ram::{ADOPTIONS, RamParts};
