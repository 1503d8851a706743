//! Frames by number: which are free, and which blocks are stored. Bits in words, and no addresses.

#[cfg(all(feature = "shmem", target_os = "linux"))]
pub(crate) mod bitmap;
mod buddy;
#[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
mod by_place;
mod directory;
mod pieces;
mod recent;
#[cfg(all(feature = "shmem", target_os = "linux"))]
pub(crate) mod runs;
#[cfg(all(feature = "shmem", target_os = "linux"))]
mod stored;
mod tree;

pub(crate) use buddy::Buddy;
pub(crate) use pieces::PieceError;
pub(crate) use recent::Recent;
#[cfg(all(feature = "shmem", target_os = "linux"))]
pub(crate) use stored::StoredSet;

use core::ops::Range;
use forebay::Order;

/// The largest order of which several blocks are taken at once: those in one word of bits.
pub(crate) const SEVERAL: usize = 5;

/// Where bits are kept: words of the caller, or a box of them.
pub(crate) trait Words: AsRef<[usize]> + AsMut<[usize]> {}
impl<W: AsRef<[usize]> + AsMut<[usize]>> Words for W {}

/// Bits of a word.
const BITS: usize = usize::BITS as usize;

/// Whether an operation is divided into more lock sections, so that each is short. On 32 bits it is: there interrupts wait for them.
pub(crate) const SHORT_SECTIONS: bool = BITS < 64;

/// Orders 0 to 10.
const ORDERS: usize = Order::TEN.get() as usize + 1;

/// The numbers of the blocks of `order` that lie wholly in `frames`.
pub(crate) fn blocks(frames: &Range<usize>, order: u8) -> Range<usize> {
    let first = (frames.start >> order) + usize::from(frames.start & ((1 << order) - 1) != 0);
    let end = frames.end >> order;
    first..end.max(first)
}
