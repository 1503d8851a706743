//! Sources, regions, and a forebay over both.

use super::*;
use crate::memory;
use forebay_backends::*;

/// A source of `pages` pages, which begin at a multiple of 4096 pages. As a platform it has no port but the source;
/// [`with_slices`] adds one.
pub fn near(pages: usize) -> Near {
    let ram = Near::new();
    let bytes = pages * PAGE;
    assert_eq!(ram.add(memory::leak(bytes, 0), memory::words(Near::metadata_words(bytes))).unwrap(), bytes);
    ram
}

/// A platform over that source that gives neighbouring blocks as one slice.
pub fn with_slices(near: &Near) -> WithLinear<&Near, &Near> {
    WithLinear(near, near)
}

/// A region of `pages` pages, with id 0 and 16 transfers.
pub fn far(pages: usize) -> Far {
    far_with_id(pages, 0)
}

/// The same with that id.
pub fn far_with_id(pages: usize, id: u8) -> Far {
    region(pages, id)
}

/// The same with `N` transfers.
pub fn region<const N: usize>(pages: usize, id: u8) -> RamRegion<SpinRawMutex, PAGE, N> {
    let region = RamRegion::<SpinRawMutex, PAGE, N>::new(StoreId::new(id).unwrap());
    let bytes = pages * PAGE;
    let words = RamRegion::<SpinRawMutex, PAGE, N>::metadata_words(bytes);
    assert_eq!(region.init(memory::leak(bytes, 0), memory::words(words)).unwrap(), bytes);
    region
}

/// A region for blocks of another kind, with id 0 and 16 transfers.
pub fn far_of<B: OwnedBlock>(pages: usize) -> Region<SpinRawMutex, B, PAGE, 16> {
    let region = Region::new(StoreId::DEFAULT);
    let bytes = pages * PAGE;
    let words = Region::<SpinRawMutex, B, PAGE, 16>::metadata_words(bytes);
    assert_eq!(region.init(memory::leak(bytes, 0), memory::words(words)).unwrap(), bytes);
    region
}

/// For what a callback without a lifetime has to reach.
pub fn forever<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// A platform with every port of `P` but free lists, watched.
pub type WatchedPlatform<'w, P> = AllPorts<Watched<'w, P>>;

/// Platform and store, watched, without free lists.
pub type WatchedForebay<'w, P, S> = Forebay<WatchedPlatform<'w, P>, Watched<'w, S>>;

/// A [`WatchedForebay`] of that oracle.
pub fn forebay<P: Platform, S: BackingStore<P::Block>>(
    platform: P,
    store: S,
    world: &World,
) -> WatchedForebay<'_, P, S> {
    Forebay::new(Watched::platform(platform, world), Watched::new(store, world))
}

/// A platform `P` with `LISTS` free lists (orders × modes × zones), each for `DEPTH` blocks.
pub type Listed<P, const LISTS: usize, const DEPTH: usize> = WithLists<P, FreeListArray<P, LISTS, DEPTH>>;

/// A platform with empty free lists, without a limit.
///
/// Give it the numbers only: `with_lists::<_, 24, 4>(platform)`.
pub const fn with_lists<P: Platform<Lists = ()>, const LISTS: usize, const DEPTH: usize>(
    platform: P,
) -> Listed<P, LISTS, DEPTH> {
    WithLists(platform, FreeListArray::new())
}

/// As [`with_lists`], with a limit on the pages that are ready at a time.
pub const fn with_limited_lists<P: Platform<Lists = ()>, const LISTS: usize, const DEPTH: usize>(
    platform: P,
    limit: Pages,
) -> Listed<P, LISTS, DEPTH> {
    WithLists(platform, FreeListArray::with_limit(limit))
}

/// Platform and store, watched, with free lists between the oracle and the pool.
pub type ListedForebay<'w, P, S, const LISTS: usize, const DEPTH: usize> =
    Forebay<Listed<WatchedPlatform<'w, P>, LISTS, DEPTH>, Watched<'w, S>>;

/// As [`forebay`](fn@forebay), with free lists: `forebay_with_lists::<_, _, 24, 4>(platform, store, &world)`.
pub fn forebay_with_lists<P, S, const LISTS: usize, const DEPTH: usize>(
    platform: P,
    store: S,
    world: &World,
) -> ListedForebay<'_, P, S, LISTS, DEPTH>
where
    P: Platform,
    S: BackingStore<P::Block>,
{
    Forebay::new(with_lists(Watched::platform(platform, world)), Watched::new(store, world))
}

/// Everything is where it was at the beginning.
#[track_caller]
pub fn all_returned(world: &World, near: &Near, far: &Far) {
    world.validate();
    world.assert_empty();
    assert_eq!(near.unused(), near.total(), "frames of the source");
    assert_eq!(far.space(), Space { pages: far.total(), transfers: 16 }, "room in the region");
}

/// Takes every page that the source has but those with these numbers, counted among the free ones (numbers past the end
/// mean nothing). The oracle does not see these blocks.
pub fn leave(near: &Near, free: impl IntoIterator<Item = usize>) -> Vec<Option<RamBlock<PAGE>>> {
    let mut all: Vec<_> =
        std::iter::from_fn(|| near.allocate(AllocRequest::new(Order::PAGE), CX).ok()).map(Some).collect();
    all.sort_by_key(|b| b.as_ref().map(OwnedBlock::pfn));
    for n in free {
        if let Some(block) = all.get_mut(n).and_then(Option::take) {
            near.free(block);
        }
    }
    all
}

/// The other side of [`leave`].
pub fn give_back(near: &Near, hogged: Vec<Option<RamBlock<PAGE>>>) {
    hogged.into_iter().flatten().for_each(|b| near.free(b));
}
