//! Memory that is shmem from birth: a page source and a store at once, on Linux.

extern crate std;

#[cfg(test)]
mod fake;
#[allow(dead_code, reason = "until the arena asks it")]
mod headroom;
mod surroundings;

pub use headroom::GroupLimit;
