//! Bytes that tell which buffer they are of, and where in it.

use crate::machine::PAGE;
use forebay::{OwnedBlock, frame::Mode, port::PooledBlock};

/// Byte `at` of what has that seed.
pub const fn byte(seed: usize, at: usize) -> u8 {
    let n = (seed as u32).wrapping_mul(0x9e37_79b9).wrapping_add(at as u32);
    (n.wrapping_mul(0x85eb_ca6b) >> 24) as u8
}

pub fn fill(bytes: &mut [u8], seed: usize) {
    for (at, to) in bytes.iter_mut().enumerate() {
        *to = byte(seed, at);
    }
}

/// How many bytes are not as [`fill`] left them.
pub fn wrong(bytes: &[u8], seed: usize) -> usize {
    bytes.iter().enumerate().filter(|(at, is)| **is != byte(seed, *at)).count()
}

/// The same for a page that was taken from a pool.
pub fn fill_page<B: OwnedBlock, M: Mode>(page: &mut PooledBlock<B, M>, seed: usize) {
    let mut bytes = [0; PAGE];
    fill(&mut bytes, seed);
    page.write_at(0, &bytes);
}
