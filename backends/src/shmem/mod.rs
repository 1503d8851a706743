//! Memory that is shmem from birth: a page source and a store at once, on Linux.

extern crate std;

#[cfg(test)]
mod fake;
#[allow(dead_code, reason = "until the arena asks it")]
mod headroom;
#[allow(dead_code, reason = "until the arena makes one")]
mod surroundings;

pub use headroom::GroupLimit;
pub use surroundings::{Features, HugePageSetting, HugePages, Surroundings, Swap};
