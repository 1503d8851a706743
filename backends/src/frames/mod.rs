//! Frames by number: which are free, and which blocks are stored. Bits in words, and no addresses.

pub(crate) mod bitmap;
mod buddy;
#[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
mod exclusive;
#[cfg(all(feature = "shmem", target_os = "linux"))]
pub(crate) mod runs;
pub(crate) mod steps;
#[cfg(all(feature = "shmem", target_os = "linux"))]
mod stored;

pub(crate) use buddy::Buddy;
#[cfg(all(feature = "shmem", target_os = "linux"))]
pub(crate) use stored::StoredSet;

use core::ops::Range;
use forebay::Order;

/// Where bits are kept: words of the caller, or a box of them.
pub(crate) trait Words: AsRef<[usize]> + AsMut<[usize]> {}
impl<W: AsRef<[usize]> + AsMut<[usize]>> Words for W {}

/// Orders 0 to 10.
const ORDERS: usize = Order::TEN.get() as usize + 1;

/// The numbers of the blocks of `order` that lie wholly in `frames`.
pub(crate) fn blocks(frames: &Range<usize>, order: u8) -> Range<usize> {
    let first = (frames.start >> order) + usize::from(frames.start & ((1 << order) - 1) != 0);
    let end = frames.end >> order;
    first..end.max(first)
}
