//! The block: a move-only value that owns its pages and reaches its own bytes.

use crate::{Order, Pages, Pfn};

/// `2^order` contiguous, naturally aligned pages, owned.
///
/// Having a value of this type tells you: you alone own these frames; no pool, store, device or mapping of
/// somebody else uses them; the caching mode is the plain one (a block in another mode is inside a
/// [`Pooled`](crate::Pooled)). Never implement `Clone` or `Copy` for one: that every block is in exactly one
/// place is what the rest of the crate is built on.
///
/// A block of ordinary memory that nobody else writes may also deref to `[u8]`; guards of one slot
/// ([`OneSlot`](crate::OneSlot)) then do too. A block that a guest or a device may write meanwhile offers the two copies
/// only, and makes them volatile.
///
/// Blocks are halved by themselves but joined by their source ([`Platform::join`](crate::Platform::join)):
/// only the source knows whether two neighbours may be one block.
pub trait OwnedBlock: Sized {
    /// Bytes of a page: a power of two from 256 to 2 MiB.
    const PAGE: usize;

    /// The first frame, a multiple of the block's size; no two living blocks of a source share one. O(1).
    fn pfn(&self) -> Pfn;

    /// The size of the block. O(1).
    fn order(&self) -> Order;

    /// The lower and the upper half.
    ///
    /// # Errors
    /// The block itself, unchanged, if it has one page or its kind can't be split.
    fn split(self) -> Result<(Self, Self), Self>;

    /// Copies bytes of the block, from offset `at`, to the start of `to`; returns how many.
    ///
    /// That is `to.len()`, or less where the block ends first; 0 at or past its end. Linear in that number.
    fn copy_out(&self, at: usize, to: &mut [u8]) -> usize;

    /// Copies the start of `from` into the block at offset `at`; returns how many bytes, as
    /// [`copy_out`](OwnedBlock::copy_out) does.
    fn copy_in(&mut self, at: usize, from: &[u8]) -> usize;

    /// Bytes of the block.
    fn bytes(&self) -> usize {
        Self::PAGE << self.order().get()
    }

    /// Pages of the block.
    fn pages(&self) -> Pages {
        self.order().pages()
    }

    /// Makes every byte zero. Linear in the size of the block.
    fn zero(&mut self) {
        let mut at = 0;
        while at < self.bytes() {
            match self.copy_in(at, &[0; 64]) {
                0 => return,
                n => at += n,
            }
        }
    }
}
