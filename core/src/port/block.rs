//! The block: a move-only value that owns its pages and reaches its own bytes.

use crate::frame::{Order, Pfn};

/// `2^order` contiguous, naturally aligned pages, owned.
///
/// A value of this type proves that its holder alone owns these frames: no pool, store, device or mapping of another party
/// uses them, and their caching mode is [`CACHED`](crate::frame::Mode::CACHED) (a block in another mode is inside a
/// [`PooledBlock`](crate::pool::PooledBlock)). Never implement `Clone` or `Copy` for a block: everything else relies on each
/// block being in exactly one place.
///
/// A block of ordinary memory that nothing else writes may also deref to `[u8]`; guards of one slot
/// ([`OneSlot`](crate::buffer::OneSlot)) then do too. A block that a guest or a device may write at any time offers only the
/// two copies, and makes them volatile.
///
/// A block splits itself, but its source joins it ([`FrameSource::join`](crate::FrameSource::join)): only the source knows
/// whether two neighbours may become one block.
pub trait OwnedBlock: Sized {
    /// Bytes of a page: a power of two from 256 to 2 MiB.
    const PAGE: usize;

    /// The first frame, a multiple of the block's size. No two living blocks of a source share a frame. O(1).
    fn pfn(&self) -> Pfn;

    /// The size of the block. O(1).
    fn order(&self) -> Order;

    /// The lower and the upper half.
    ///
    /// # Errors
    /// The block, unchanged, if it has one page or its kind can't be split.
    fn split(self) -> Result<(Self, Self), Self>;

    /// Copies bytes from offset `at` of the block to the start of `to`. Returns how many.
    ///
    /// That is `to.len()`, or less where the block ends first; 0 at or past its end. Linear in that number.
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize;

    /// Copies the start of `from` to offset `at` of the block. Returns how many bytes, as
    /// [`read_at`](OwnedBlock::read_at) does.
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize;

    /// The size of the block in bytes.
    fn bytes(&self) -> usize {
        Self::PAGE << self.order().get()
    }

    /// Makes every byte zero. Linear in the size of the block. The default writes 64 bytes at a time.
    fn zero(&mut self) {
        let mut at = 0;
        while at < self.bytes() {
            match self.write_at(at, &[0; 64]) {
                0 => return,
                n => at += n.min(64), // a block may claim more
            }
        }
    }
}
