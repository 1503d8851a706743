//! Buffers that come and go while others reclaim, readers and writers pin, owners purge and say what is purgeable, and others
//! drop whole arrays. Every byte is compared at each pin; at the end everything is returned, and the counts agree.
//!
//! Buffers lie in a list behind a lock, of which a reclaimer takes a clone: the last one to have a buffer ends it. Apart from
//! that lock nothing here orders what the library should order by itself: what the test knows of a buffer it keeps in atomics
//! that are all `Relaxed`, so that ThreadSanitizer (`cargo xtask tsan`) sees the library's own locks and little else. That they
//! are enough to know what has to be there follows from the library's promise: a guard sees what was before it.

mod loose;
mod model;
mod storm;

use forebay_backends::shmem::Arena;
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::sync::Arc;
use storm::{Length, storm};

const LENGTH: Length = Length { pins: 1500, lives: 150, arrays: 25, or_reclaim: false };
/// For machines that look closely.
const FEW: Length = Length { pins: 200, lives: 20, arrays: 4, or_reclaim: false };

/// Memory of these locks: the forebay's and its buffers', the source's, the region's.
struct Ground<L, Source: RawMutex, Store: RawMutex> {
    near: loose::With<L, Ram<Source, PAGE>>,
    far: RamRegion<Store, PAGE, 12>,
}

impl<L: RawMutex, Source: RawMutex, Store: RawMutex> Ground<L, Source, Store> {
    /// With `pages` pages in the source, and half as many again in the region.
    fn new(pages: usize) -> Self {
        let near = Ram::new();
        let bytes = pages * PAGE;
        let words = memory::words(Ram::<Source, PAGE>::metadata_words(bytes));
        assert_eq!(near.add(memory::leak(bytes, 0), words).unwrap(), bytes);
        let far = RamRegion::new(StoreId::DEFAULT);
        let bytes = bytes + bytes / 2;
        let words = memory::words(RamRegion::<Store, PAGE, 12>::metadata_words(bytes));
        assert_eq!(far.init(memory::leak(bytes, 0), words).unwrap(), bytes);
        Ground { near: loose::With::new(near), far }
    }

    fn is_empty(&self) {
        assert_eq!(self.near.inner.unused(), self.near.inner.total(), "frames of the source");
        assert_eq!(self.far.space(), Space { pages: self.far.total(), transfers: 12 }, "room in the region");
    }
}

/// A storm over a region, with these locks: the buffers', the source's, the region's, the index's.
fn over_a_region<L, Source, Store, Index>(length: Length)
where
    L: RawMutex + Send + Sync,
    Source: RawMutex + Send + Sync,
    Store: RawMutex + Send + Sync,
    Index: RawMutex + Send + Sync,
{
    let ground = Ground::<L, Source, Store>::new(72);
    let home = Arc::new(Forebay::new(with_lists::<_, 4, 2>(&ground.near), &ground.far));
    storm::<_, _, Index>(&home, length);
    home.pool().trim(Zones::ALL, ALL, CX);
    ground.is_empty();
}

/// Rule: whatever registers, uses, evicts, purges or ends buffers, and whatever reclaims meanwhile, in whatever order: each
/// guard sees the bytes that were written last, or zeros where they might be dropped; what reclaims report is what happened; an
/// index lists what there is; nothing leaks. Over plain RAM, with spin locks only.
#[test]
fn registration_and_teardown() {
    over_a_region::<SpinRawMutex, SpinRawMutex, SpinRawMutex, SpinRawMutex>(LENGTH);
}

/// The same where guards that find no memory reclaim for it, which is not reported.
#[test]
fn registration_and_teardown_with_guards_that_reclaim() {
    over_a_region::<SpinRawMutex, SpinRawMutex, SpinRawMutex, SpinRawMutex>(Length {
        or_reclaim: true,
        ..LENGTH
    });
}

/// The same with critical sections, which all share one lock.
#[test]
fn registration_and_teardown_in_critical_sections() {
    over_a_region::<
        CriticalSectionRawMutex,
        CriticalSectionRawMutex,
        CriticalSectionRawMutex,
        CriticalSectionRawMutex,
    >(FEW);
}

/// The same over two tiers.
#[test]
fn registration_and_teardown_over_tiers() {
    let near = near(72);
    let (first, second) = (region::<3>(24, 1), far_with_id(80, 2));
    let home = Arc::new(Forebay::new(with_lists::<_, 4, 2>(&near), Tiered(&first, &second)));
    storm::<_, _, SpinRawMutex>(&home, Length { or_reclaim: true, ..FEW });
    home.pool().trim(Zones::ALL, ALL, CX);
    assert_eq!(near.unused(), pages(72));
    assert_eq!(first.space(), Space { pages: pages(24), transfers: 3 });
    assert_eq!(second.space(), Space { pages: pages(80), transfers: 16 });
}

/// The same with the frames watched: none is given out twice or returned twice. (The oracle orders some of what it watches, so
/// this is no replacement.)
#[test]
fn registration_and_teardown_watched() {
    let (world, near, far) = (World::new(Contents::Ignored), near(72), far(108));
    let platform = with_lists::<_, 4, 2>(Watched::platform(&near, &world));
    let home = Arc::new(Forebay::new(platform, &far));
    storm::<_, _, SpinRawMutex>(&home, Length { or_reclaim: true, ..FEW });
    home.pool().trim(Zones::ALL, ALL, CX);
    all_returned(&world, &near, &far);
}

/// The same over an arena, source and store in one, with chunks that come and go.
#[test]
fn registration_and_teardown_in_an_arena() {
    let chunk = 16 * 4096;
    let arena = Arena::builder(16 * chunk).chunk(chunk as usize).limit(pages(72)).create().expect("an arena");
    let home = Arc::new(Forebay::new(with_lists::<_, 4, 2>(&arena), &arena));
    storm::<_, _, SpinRawMutex>(&home, FEW);
    home.pool().trim(Zones::ALL, ALL, CX);
    let settled = home.settle(ALL, CX);
    assert_eq!((settled.pending, settled.reclaimable, settled.error), (NONE, NONE, None));
    assert_eq!((arena.resident(), arena.stored(), arena.unused()), (NONE, NONE, arena.total()));
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}
