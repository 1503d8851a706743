//! The pool of a case: blocks of 2 MiB with known contents, every other one of which leaves, and where their pages are.

use super::outcome::{Phase, Sample};
use crate::lab::options::PAGE;
use crate::pages::in_memory;
use forebay::Order;
use forebay_backends::shmem::Arena;
use std::io;
use std::ptr::NonNull;
use std::time::Duration;

/// Blocks of 2 MiB: 256 MiB.
pub(super) const BLOCKS: usize = 128;
/// Of these, how many leave.
pub(super) const LEAVING: usize = BLOCKS / 2;
/// Their order.
pub(super) const HUGE: Order = Order::new(9).expect("it is below the largest");
/// Pages of a block.
pub(super) const PAGES: usize = 1 << HUGE.get();
/// Bytes of a block.
pub(super) const BYTES: usize = PAGES * PAGE;

/// Whether a block leaves: every other one, so neighbours are treated differently.
pub(super) fn leaves(block: usize) -> bool {
    block.is_multiple_of(2)
}

/// What a case does with its pool. Blocks have numbers below [`BLOCKS`].
pub(super) trait Pool {
    /// The blocks that leave do so; `left` is called now and then with how many have. Gives how many have, and why no more.
    fn shrink(&mut self, left: &mut dyn FnMut(&Self, usize)) -> io::Result<(usize, Option<String>)>;
    /// Writes to each page of the blocks that are kept.
    fn use_kept(&mut self) -> io::Result<()>;
    /// Where the pages are.
    fn look(&self, phase: Phase) -> io::Result<Sample>;
    /// Pages of a block that are in swap.
    fn swapped(&self, block: usize) -> io::Result<usize>;
    /// Brings a block back; gives how long that took.
    fn restore(&mut self, block: usize) -> io::Result<Duration>;
    /// A page of a block that is back, or was kept.
    fn read(&self, block: usize, page: usize, to: &mut [u8; PAGE]) -> io::Result<()>;
    /// Chunks of the pool's memory, and how many are huge pages.
    fn chunks(&self) -> (usize, usize);
}

/// What a page has in it: no two pages the same, and half of it can be compressed.
pub(super) fn contents(block: usize, page: usize) -> [u8; PAGE] {
    let mut bytes = [0; PAGE];
    let mut state = ((block * PAGES + page) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for word in bytes.chunks_exact_mut(16) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word[..8].copy_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Pages of 2 MiB of an arena that are not in memory. They have contents, so they are in swap.
pub(super) fn missing(arena: &Arena, offset: u64) -> io::Result<usize> {
    let gone = || io::Error::other("the arena is not mapped");
    let all = arena.mapping(0).ok_or_else(gone)?;
    let at = all.cast::<u8>().map_addr(|at| at.saturating_add(offset as usize));
    Ok(PAGES - in_memory(NonNull::slice_from_raw_parts(at, BYTES))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Rule: the first words of all pages differ, so a page in another's place is found.
    #[test]
    fn pages_differ() {
        let begin = |block, page| contents(block, page)[..8].to_vec();
        let all: HashSet<_> =
            (0..BLOCKS).flat_map(|block| (0..PAGES).map(move |page| begin(block, page))).collect();
        assert_eq!(all.len(), BLOCKS * PAGES);
    }
}
