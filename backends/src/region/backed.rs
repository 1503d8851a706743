//! What a firmware's forebay needs of its store.

use super::checksum::Checksum;
use super::store::Region;
use crate::ram::RamBlock;
use forebay::{BackingStore, sync::RawMutex};

/// The store of a [`RamForebay`](crate::RamForebay): a [`Region`] over its slow RAM, or a store that stands in front of one, as
/// [`Gate`](crate::Gate) does.
///
/// One of your own forwards **all twelve calls** of [`BackingStore`]: what it leaves out, it can't do. Without
/// [`rooms`](BackingStore::rooms) a lobby promises nothing. If it returns the `rooms()` of the store inside, it does not see the calls for
/// the lobby; to see them, it implements [`Rooms`](forebay::port::Rooms) and returns itself.
///
/// Here it forwards all items to the store inside. (The calls of `BackingStore` are left out here.)
///
/// ```
/// use forebay::{BackingStore, sync::RawMutex};
/// use forebay_backends::{RegionBacked, RamBlock, Region};
/// # use forebay::{Handle, Refused, StoreError, port::StoreIds};
///
/// /// Counts something.
/// struct Counting<S>(S);
///
/// # impl<const PAGE: usize, S: BackingStore<RamBlock<PAGE>>> BackingStore<RamBlock<PAGE>> for Counting<S> {
/// #     fn ids(&self) -> StoreIds { self.0.ids() }
/// #     fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> { self.0.discard(handle) }
/// # }
/// impl<L: RawMutex, const PAGE: usize, const N: usize, S: RegionBacked<L, PAGE, N>> RegionBacked<L, PAGE, N> for Counting<S> {
///     type Checksum = S::Checksum;
///     const META_IN_SLOW: bool = S::META_IN_SLOW;
///     fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, S::Checksum> {
///         self.0.region()
///     }
///     fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize {
///         self.0.write_out_now(max_bytes, owner)
///     }
/// }
/// ```
pub trait RegionBacked<L: RawMutex, const PAGE: usize, const N: usize>: BackingStore<RamBlock<PAGE>> {
    /// The checksum of the region.
    type Checksum: Checksum;

    /// Whether the metadata of the region may lie in the slow RAM, as [`RamForebay::init`](crate::RamForebay::init) places it. Without
    /// this, `init` does not compile, and [`init_apart`](crate::RamForebay::init_apart) is used: behind a store that keeps others from
    /// the slow RAM for some time, or with a [`Checksum`].
    const META_IN_SLOW: bool;

    /// The region behind this store.
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, Self::Checksum>;

    /// Writes out up to `max_bytes` bytes with the CPU; finished blocks go to `owner`. Returns how many bytes. It is what
    /// [`RamForebay::write_out`](crate::RamForebay::write_out) calls, instead of [`settle`](BackingStore::settle).
    ///
    /// # Context
    /// As [`Region::write_out_now`].
    fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize;
}

impl<L: RawMutex, const PAGE: usize, const N: usize, C: Checksum> RegionBacked<L, PAGE, N>
    for Region<L, RamBlock<PAGE>, PAGE, N, C>
{
    type Checksum = C;
    const META_IN_SLOW: bool = !C::KEPT;
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, C> {
        self
    }
    fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize {
        Region::write_out_now(self, max_bytes, owner)
    }
}
