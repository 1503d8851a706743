//! Blocks that lie one behind the other.

use super::RamBlock;
use core::marker::PhantomData;
use forebay::OwnedBlock;

/// Blocks that lie one behind the other.
///
/// # Invariants
/// All `bytes` bytes from the address `at` on belong to blocks that are borrowed as `T` says: shared for `&'b [u8]`,
/// exclusively for `&'b mut [u8]`. During that borrow there are no other references to them.
pub(crate) struct Neighbours<T> {
    pub(super) at: usize,
    pub(super) bytes: usize,
    borrowed: PhantomData<T>,
}

impl<'b> Neighbours<&'b [u8]> {
    /// These blocks, if there are any and each begins where the last one ends.
    pub(crate) fn of<const PAGE: usize>(blocks: impl Iterator<Item = &'b RamBlock<PAGE>>) -> Option<Self> {
        Self::lined_up(blocks.map(|block| (block.base().addr().get(), block.bytes())))
    }
}

impl<'b> Neighbours<&'b mut [u8]> {
    /// These blocks, if there are any and each begins where the last one ends.
    pub(crate) fn of_mut<const PAGE: usize>(
        blocks: impl Iterator<Item = &'b mut RamBlock<PAGE>>,
    ) -> Option<Self> {
        Self::lined_up(blocks.map(|block| (block.base().addr().get(), block.bytes())))
    }
}

impl<T> Neighbours<T> {
    /// Each with its address and length.
    fn lined_up(mut blocks: impl Iterator<Item = (usize, usize)>) -> Option<Self> {
        let (at, first) = blocks.next()?;
        let mut bytes = first;
        for (next, more) in blocks {
            if at.checked_add(bytes) != Some(next) {
                return None;
            }
            bytes += more;
        }
        Some(Neighbours { at, bytes, borrowed: PhantomData })
    }
}
