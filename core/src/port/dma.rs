//! Addresses for devices: optional; `()` gives physical addresses and has coherent caches.

use crate::frame::{Context, DmaAddr};
use crate::port::OwnedBlock;
#[cfg(doc)]
use crate::port::{CachingControl, EvictHooks};
use core::ops::Range;

/// Gives blocks addresses for a device. The defaults are for a device that uses physical addresses and whose caches are
/// coherent.
pub trait DmaMap<B: OwnedBlock> {
    /// Gives the whole block, which has its buffer's mode, consecutive addresses for a device, and returns the first. The
    /// device sees everything that the CPU wrote before: zeros and restored contents too. Where caches are not coherent,
    /// this cleans the lines of the block.
    ///
    /// Called before a guard of a buffer with addresses ([`Addressed`](crate::buffer::Addressed)) is given out, once for each
    /// block without an address. The default is the physical address. Memory that has an address from allocation on (Linux's
    /// coherent allocations) returns that, and does nothing in `unmap` and the two `sync`s. (TTM maps in
    /// `ttm_pool_page_allocated`, once for a block.)
    ///
    /// `None`: there is no address that the device could use. The guard is refused, and all blocks of the buffer are unmapped
    /// again.
    fn map(&self, block: &B, cx: Context) -> Option<DmaAddr> {
        let _ = cx;
        let address = (block.pfn().0 as u64).checked_mul(B::PAGE as u64)?;
        DmaAddr::new(address)
    }

    /// Undoes [`map`](DmaMap::map): the device can't reach the block, at the latest after
    /// [`flush`](CachingControl::flush). The CPU sees what the device wrote, and nothing that the CPU wrote is lost: where
    /// caches are not coherent, this cleans and then invalidates the lines of the block.
    ///
    /// Called before a block leaves its buffer in any way, before its mode changes and before it is split; after
    /// [`before_evict`](EvictHooks::before_evict), so the device has stopped. Must not fail and must not block: interrupts
    /// call it. Linear in the block where there are lines to clean. The default does nothing.
    fn unmap(&self, block: &B, at: DmaAddr) {
        let _ = (block, at);
    }

    /// Makes what the CPU wrote to these bytes of the block visible to the device: where caches are not coherent, cleans
    /// them (and where writes are combined, waits until they are through). Guards call it for a driver, before a device
    /// reads or writes: a dirty line could be written back over what the device wrote. The default does nothing.
    fn sync_for_device(&self, block: &B, bytes: Range<usize>) {
        let _ = (block, bytes);
    }

    /// Makes what the device wrote to these bytes of the block visible to the CPU: where caches are not coherent, invalidates
    /// them. A line that is only partly in the range is cleaned first, for its other bytes; no line has bytes of two blocks.
    /// Guards call it for a driver, after a device wrote: not before, since a CPU may fetch lines at any time. The default
    /// does nothing.
    fn sync_for_cpu(&self, block: &B, bytes: Range<usize>) {
        let _ = (block, bytes);
    }
}

/// Physical addresses, coherent caches.
impl<B: OwnedBlock> DmaMap<B> for () {}

impl<B: OwnedBlock, D: DmaMap<B> + ?Sized> DmaMap<B> for &D {
    fn map(&self, block: &B, cx: Context) -> Option<DmaAddr> {
        (**self).map(block, cx)
    }
    fn unmap(&self, block: &B, at: DmaAddr) {
        (**self).unmap(block, at);
    }
    fn sync_for_device(&self, block: &B, bytes: Range<usize>) {
        (**self).sync_for_device(block, bytes);
    }
    fn sync_for_cpu(&self, block: &B, bytes: Range<usize>) {
        (**self).sync_for_cpu(block, bytes);
    }
}
