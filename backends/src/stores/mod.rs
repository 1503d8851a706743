//! Simple stores: none at all, contents that exist already, and two stores in a row.

mod null;
mod rom;
mod tiered;

pub use null::Null;
pub use rom::Rom;
pub use tiered::Tiered;
