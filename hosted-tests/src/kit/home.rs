//! Sources, regions, and a forebay over both.

use super::{CX, Far, Near, PAGE};
use crate::{Watched, World, memory};
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;

/// A source of so many pages, from a multiple of 4096 on.
pub fn near(pages: usize) -> Near {
    let ram = Near::new();
    let bytes = pages * PAGE;
    assert_eq!(ram.add(memory::leak(bytes, 0), memory::words(Near::metadata_words(bytes))).unwrap(), bytes);
    ram
}

/// A region of so many pages, with id 0 and 16 transfers.
pub fn far(pages: usize) -> Far {
    far_with_id(pages, 0)
}

/// The same with that id.
pub fn far_with_id(pages: usize, id: u8) -> Far {
    region(pages, id)
}

/// The same with so many transfers.
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

/// Platform and store, watched, without shelves.
pub type Home<'w, P, S> = Forebay<Watched<'w, P>, Watched<'w, S>, [Place<Watched<'w, P>>; 0]>;

/// A [`Home`], watched by that oracle.
pub fn forebay<P: Platform, S: BackingStore<P::Block>>(
    platform: P,
    store: S,
    world: &World,
) -> Home<'_, P, S> {
    Forebay::new(Watched::new(platform, world), Watched::new(store, world), 0)
}

/// Everything is where it was at the beginning.
#[track_caller]
pub fn all_home(world: &World, near: &Near, far: &Far) {
    world.validate();
    world.assert_empty();
    assert_eq!(near.unused(), near.total(), "frames of the source");
    assert_eq!(far.space(), Space { pages: far.total(), transfers: 16 }, "room in the region");
}

/// Takes every page that the source has but those with these numbers, counted among the free ones (numbers
/// past the end are nobody's). Unwatched: it is somebody else's memory now.
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
