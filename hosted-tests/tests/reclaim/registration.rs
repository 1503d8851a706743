//! Buffers that come and go while shrinkers walk by, readers and writers pin, owners purge and give advice, and others drop
//! whole arrays. Every byte is compared at each pin; at the end everything is home, and the counts agree.
//!
//! Nothing here orders what the library should order by itself: what the test knows of a buffer it keeps in atomics that are
//! all `Relaxed`, so that ThreadSanitizer (`hosted-tests/tsan`) sees the library's own locks and nothing else. That they are
//! enough to know what has to be there follows from the library's promise: a guard sees what was before it.

mod loose;
mod model;
mod storm;

use forebay_backends::shmem::Arena;
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::{Contents, Watched, World, memory};
use model::one;
use std::sync::atomic::AtomicUsize;
use std::thread;
use storm::{Length, storm};

const LENGTH: Length = Length { pins: 1500, lives: 150, arrays: 25 };
/// For machines that look closely.
const FEW: Length = Length { pins: 200, lives: 20, arrays: 4 };

/// Memory of these locks: the forebay's and its buffers', the source's, the region's.
struct Ground<L, Source: RawMutex, Store: RawMutex> {
    near: loose::With<L, Ram<Source, PAGE>>,
    far: RamRegion<Store, PAGE, 12>,
}

impl<L: RawMutex, Source: RawMutex, Store: RawMutex> Ground<L, Source, Store> {
    /// So many pages in the source, half as many again in the region.
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

    fn is_home(&self) {
        assert_eq!(self.near.inner.free(), self.near.inner.total(), "frames of the source");
        assert_eq!(self.far.space(), Space { pages: self.far.total(), transfers: 12 }, "room in the region");
    }
}

/// A storm over a region, with these locks: the buffers', the source's, the region's, the berths', the roster's.
fn over_a_region<L, Source, Store, Seat, List>(length: Length)
where
    L: RawMutex + Send + Sync,
    Source: RawMutex + Send + Sync,
    Store: RawMutex + Send + Sync,
    Seat: RawMutex + Send + Sync,
    List: RawMutex + Send + Sync,
{
    let ground = Ground::<L, Source, Store>::new(72);
    let home = Forebay::<_, _, [Place<_>; 8]>::new(&ground.near, &ground.far, 2);
    storm::<_, _, Seat, List>(&home, length);
    home.pool().trim(Zones::ALL, ALL, CX);
    ground.is_home();
}

/// Rule: whoever registers, uses, evicts, purges or ends buffers, and whoever shrinks meanwhile, in whatever order: each guard
/// sees the bytes that were written last, or zeros where they might be dropped; what reclaims report is what happened; a
/// roster lists what there is; nothing leaks. Over plain RAM, with spin locks only.
#[test]
fn registration_and_teardown() {
    over_a_region::<SpinRawMutex, SpinRawMutex, SpinRawMutex, SpinRawMutex, SpinRawMutex>(LENGTH);
}

/// The same with critical sections, which all share one lock.
#[test]
fn registration_and_teardown_in_critical_sections() {
    over_a_region::<
        CriticalSectionRawMutex,
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
    let home = Forebay::<_, _, [Place<_>; 8]>::new(&near, Tiered(&first, &second), 2);
    storm::<_, _, SpinRawMutex, SpinRawMutex>(&home, FEW);
    home.pool().trim(Zones::ALL, ALL, CX);
    assert_eq!(
        (near.unused(), first.space(), second.space()),
        (pages(72), Space { pages: pages(24), 3), Space::new(pages(80), transfers: 16) }
    );
}

/// The same with the frames watched: none is given out twice or comes home twice. (The oracle orders some of what it
/// watches, so this is no replacement.)
#[test]
fn registration_and_teardown_watched() {
    let (world, near, far) = (World::new(Contents::Ignored), near(72), far(108));
    let home = Forebay::<_, _, [Place<_>; 8]>::new(Watched::new(&near, &world), &far, 2);
    storm::<_, _, SpinRawMutex, SpinRawMutex>(&home, FEW);
    home.pool().trim(Zones::ALL, ALL, CX);
    all_returned(&world, &near, &far);
}

/// The same over an arena, source and store in one, with chunks that come and go.
#[test]
fn registration_and_teardown_in_an_arena() {
    let chunk = 16 * 4096;
    let arena = Arena::builder(16 * chunk).chunk(chunk as usize).limit(pages(72)).create().expect("an arena");
    let home = Forebay::<_, _, [Place<_>; 8]>::new(&arena, &arena, 2);
    storm::<_, _, SpinRawMutex, SpinRawMutex>(&home, FEW);
    home.pool().trim(Zones::ALL, ALL, CX);
    let settled = home.settle(ALL, CX);
    assert_eq!((settled.pending, settled.reclaimable, settled.error), (NONE, NONE, None));
    assert_eq!((arena.resident(), arena.stored(), arena.unused()), (NONE, NONE, arena.total()));
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: what was put into a berth is found whole, or not at all, and is taken out once. Many fight for few.
#[test]
fn a_berth_is_full_or_empty() {
    const BERTHS: usize = 3;
    let berths = [const { Berth::<SpinRawMutex, Vec<usize>>::new() }; BERTHS];
    let (put, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let is_whole = |there: &Vec<usize>| there.len() > 1 && there.iter().all(|x| *x == there[0]);
    thread::scope(|s| {
        for me in 0..4 {
            let (berths, put, taken) = (&berths, &put, &taken);
            s.spawn(move || {
                for n in 0..4 * LENGTH.pins {
                    let berth = &berths[(n / 3 + me) % BERTHS];
                    match n % 3 {
                        0 if berth.put(vec![n + me; 2 + n % 5]).is_ok() => one(put),
                        1 => {
                            if let Ok(Some(there)) = berth.take() {
                                assert!(is_whole(&there), "{there:?}");
                                one(taken);
                            }
                        }
                        _ => {
                            let Ok(guest) = berth.get() else { continue };
                            assert!(guest.as_ref().is_none_or(is_whole), "{guest:?}");
                        }
                    }
                    thread::yield_now();
                }
            });
        }
    });
    let left = berths.iter().filter(|berth| berth.take().expect("nobody is there").is_some()).count();
    let (put, taken) = (put.into_inner(), taken.into_inner());
    assert_eq!(put, taken + left);
    assert!(taken > 0);
}
