//! What a firmware's forebay needs of its store.

use super::checksum::Checksum;
use super::store::Region;
use crate::ram::RamBlock;
use forebay::{BackingStore, sync::RawMutex};

/// The store of a [`RamForebay`](crate::RamForebay): a [`Region`] over its slow RAM, or a store that stands in front of one, as
/// [`Gate`](crate::Gate) does. One of your own forwards the calls of [`BackingStore`], and names the region here.
pub trait OverRegion<L: RawMutex, const PAGE: usize, const N: usize>: BackingStore<RamBlock<PAGE>> {
    /// The checksum of the region.
    type Checksum: Checksum;

    /// Whether the metadata of the region may lie in the slow RAM, as [`RamForebay::init`](crate::RamForebay::init) places it. A store
    /// that keeps others from the slow RAM for some time says no: then
    /// [`init_apart`](crate::RamForebay::init_apart) places it in fast RAM.
    const META_IN_SLOW: bool = true;

    /// The region behind this store.
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, Self::Checksum>;

    /// Writes out up to `max_bytes` bytes with the CPU; finished blocks go to `owner`. Returns how many bytes. By default as
    /// [`Region::write_out_now`].
    fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize {
        self.region().write_out_now(max_bytes, owner)
    }
}

impl<L: RawMutex, const PAGE: usize, const N: usize, C: Checksum> OverRegion<L, PAGE, N>
    for Region<L, RamBlock<PAGE>, PAGE, N, C>
{
    type Checksum = C;
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, C> {
        self
    }
}
