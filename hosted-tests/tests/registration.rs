//! Buffers that come and go while shrinkers walk by, readers and writers pin, owners purge and give advice, and others drop
//! whole arrays. Every byte is compared at each pin; at the end everything is home, and the counts agree.
//!
//! Nothing here orders what the library should order by itself: what the test knows of a buffer it keeps in atomics that are
//! all `Relaxed`, so that ThreadSanitizer (`hosted-tests/tsan`) sees the library's own locks and nothing else. That they are
//! enough to know what has to be there follows from the library's promise: a guard sees what was before it.

mod common;
#[path = "registration/loose.rs"]
mod loose;
#[path = "registration/model.rs"]
mod model;
#[path = "registration/storm.rs"]
mod storm;

use common::*;
use forebay::*;
use forebay_backends::shmem::Arena;
use forebay_backends::*;
use hosted_tests::{Contents, Watched, World, memory};
use std::thread;
use storm::{Length, storm};

const LENGTH: Length = Length { pins: 1500, lives: 150, arrays: 25 };
/// For machines that look closely.
const FEW: Length = Length { pins: 200, lives: 20, arrays: 4 };

/// Memory of these locks: the forebay's and its buffers', the source's, the region's.
struct Ground<L, Source: RawLock, Store: RawLock> {
    near: loose::With<L, Ram<Source, PAGE>>,
    far: RamRegion<Store, PAGE, 12>,
}

impl<L: RawLock, Source: RawLock, Store: RawLock> Ground<L, Source, Store> {
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
        assert_eq!(self.far.space(), Space::new(self.far.total(), 12), "room in the region");
    }
}

/// A storm over a region, with these locks: the buffers', the source's, the region's, the berths', the roster's.
fn over_a_region<L, Source, Store, Seat, List>(length: Length)
where
    L: RawLock + Send + Sync,
    Source: RawLock + Send + Sync,
    Store: RawLock + Send + Sync,
    Seat: RawLock + Send + Sync,
    List: RawLock + Send + Sync,
{
    let ground = Ground::<L, Source, Store>::new(72);
    let home = Forebay::<_, _, [Place<_>; 8]>::new(&ground.near, &ground.far, 2);
    storm::<_, _, Seat, List>(&home, length);
    home.pool().trim(ALL, CX);
    ground.is_home();
}

/// Rule: whoever registers, uses, evicts, purges or ends buffers, and whoever shrinks meanwhile, in whatever order: each guard
/// sees the bytes that were written last, or zeros where they might be dropped; what reclaims report is what happened; a
/// roster lists what there is; nothing leaks. Over plain RAM, with spin locks only.
#[test]
fn registration_and_teardown() {
    over_a_region::<Spin, Spin, Spin, Spin, Spin>(LENGTH);
}

/// The same with critical sections, which all share one lock.
#[test]
fn registration_and_teardown_in_critical_sections() {
    over_a_region::<CriticalSection, CriticalSection, CriticalSection, CriticalSection, CriticalSection>(FEW);
}

/// The same over two tiers.
#[test]
fn registration_and_teardown_over_tiers() {
    let near = near(72);
    let (first, second) = (region::<3>(24, 1), far_with_id(80, 2));
    let home = Forebay::<_, _, [Place<_>; 8]>::new(&near, Tiered(&first, &second), 2);
    storm::<_, _, Spin, Spin>(&home, FEW);
    home.pool().trim(ALL, CX);
    assert_eq!(
        (near.free(), first.space(), second.space()),
        (pages(72), Space::new(pages(24), 3), Space::new(pages(80), 16))
    );
}

/// The same with the frames watched: none is given out twice or comes home twice. (The oracle orders some of what it
/// watches, so this is no replacement.)
#[test]
fn registration_and_teardown_watched() {
    let (world, near, far) = (World::new(Contents::Ignored), near(72), far(108));
    let home = Forebay::<_, _, [Place<_>; 8]>::new(Watched::new(&near, &world), &far, 2);
    storm::<_, _, Spin, Spin>(&home, FEW);
    home.pool().trim(ALL, CX);
    all_home(&world, &near, &far);
}

/// The same over an arena, source and store in one, with chunks that come and go.
#[test]
fn registration_and_teardown_in_an_arena() {
    let chunk = 16 * 4096;
    let arena = Arena::builder(16 * chunk).chunk(chunk as usize).limit(pages(72)).create().expect("an arena");
    let home = Forebay::<_, _, [Place<_>; 8]>::new(&arena, &arena, 2);
    storm::<_, _, Spin, Spin>(&home, FEW);
    home.pool().trim(ALL, CX);
    let settled = home.settle(ALL, CX);
    assert_eq!((settled.pending, settled.reclaimable, settled.error), (NONE, NONE, None));
    assert_eq!((arena.resident(), arena.stored(), arena.free()), (NONE, NONE, arena.total()));
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: a berth is in one of two states for everybody: what was put in is found whole, or not at all; it is taken out once.
/// Here it is a plain vector, and many fight for few places.
#[test]
fn a_berth_is_full_or_empty() {
    const PLACES: usize = 3;
    let berths = [const { Berth::<Spin, Vec<usize>>::new() }; PLACES];
    let tally = [const { [const { std::sync::atomic::AtomicUsize::new(0) }; 2] }; 4];
    let [put, taken] = [0, 1].map(|side| {
        move |tally: &[[std::sync::atomic::AtomicUsize; 2]; 4], me: usize| {
            tally[me][side].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    });
    thread::scope(|s| {
        for me in 0..4 {
            let (berths, tally) = (&berths, &tally);
            s.spawn(move || {
                for n in 0..4 * LENGTH.pins {
                    let berth = &berths[(n + me) % PLACES];
                    match n % 3 {
                        0 => {
                            if berth.put(vec![n + me; 1 + n % 5]).is_ok() {
                                put(tally, me);
                            }
                        }
                        1 => {
                            if let Ok(Some(there)) = berth.take() {
                                assert!(
                                    there.iter().all(|x| *x == there[0])
                                        && there.len() == 1 + (there[0] + 4 - me) % 5
                                        || !there.is_empty()
                                );
                                taken(tally, me);
                            }
                        }
                        _ => {
                            let Ok(guest) = berth.get() else { continue };
                            assert!(guest.as_ref().is_none_or(|there| there.iter().all(|x| *x == there[0])));
                        }
                    }
                    thread::yield_now();
                }
            });
        }
    });
    let sum = |side: usize| -> usize {
        tally.iter().map(|t| t[side].load(std::sync::atomic::Ordering::Relaxed)).sum()
    };
    let left = berths.iter().filter(|b| b.take().expect("nobody is there").is_some()).count();
    assert_eq!(sum(0), sum(1) + left);
    assert!(sum(1) > 0);
}
