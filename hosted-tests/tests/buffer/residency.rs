//! Looking where the contents are: what other contexts may do meanwhile, and that a look leaves no trace.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;

/// Free pages of a source of sixteen that make a buffer of eight slots five blocks, of orders 1, 1, 1, 0, 0.
const HOLES: [usize; 8] = [0, 1, 4, 5, 7, 8, 9, 11];

/// Rule: a look at a buffer that is not resident is no reader for others to join, or they would get a guard over contents
/// that are not there. Other contexts receive `Busy` meanwhile, another look too.
#[test]
fn no_reader_joins_a_look() {
    let world: &'static World = forever(World::new(Contents::Compared));
    let (near, far) = (&*forever(SeenRam(near(8))), &*forever(far_of::<Seen>(16)));
    let home: &'static Forebay<_, _> = forever(forebay(near, far, world));
    let buffer: &'static Buffer<_, _> =
        forever(Buffer::with_slots(home, forever([const { Slot::EMPTY }; 4]), Order::PAGE));
    fill(buffer, 1);
    assert_eq!(buffer.evict(pages(1), Evict::SPLIT, CX).unwrap().copied, pages(1));
    let asked: &'static Cell<usize> = forever(Cell::new(0));
    let meanwhile = forever(move || {
        asked.set(asked.get() + 1);
        assert_eq!(buffer.read().err(), Some(AccessError::Busy), "a guard, and a page is in the store");
        assert_eq!((buffer.write().err(), buffer.residency()), (Some(AccessError::Busy), Err(Busy)));
        assert_eq!(buffer.evict(ALL, Evict::COPY, CX), Err(Busy));
        assert_eq!((buffer.purge(CX), buffer.discard_copies()), (Err(Busy), Err(Busy)));
    });
    MEANWHILE.set(Some(meanwhile));
    assert_eq!((buffer.residency(), asked.get()), (residency(3, 0, 1), 1));
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(3), "no context wants it any more");
    check(buffer, 1);
    buffer.purge(CX).unwrap();
    world.assert_empty();
    assert_eq!(near.0.unused(), near.0.total());
}

/// Rule: among readers a look is one reader more: readers join it, and its end is not theirs.
#[test]
fn a_look_joins_the_readers() {
    let world: &'static World = forever(World::new(Contents::Compared));
    let (near, far) = (&*forever(SeenRam(near(8))), &*forever(far_of::<Seen>(16)));
    let home: &'static Forebay<_, _> = forever(forebay(near, far, world));
    let tile: &'static Buffer<_> = forever(Buffer::new(home, order(1)));
    fill(tile, 2);
    let reader = tile.read().unwrap();
    let asked: &'static Cell<usize> = forever(Cell::new(0));
    let meanwhile = forever(move || {
        asked.set(asked.get() + 1);
        check(tile, 2);
        assert_eq!((tile.write().err(), tile.residency()), (Some(AccessError::Busy), residency(2, 0, 0)));
    });
    MEANWHILE.set(Some(meanwhile));
    assert_eq!((tile.residency(), asked.get()), (residency(2, 0, 0), 1));
    assert_eq!(tile.write().err(), Some(AccessError::Busy), "the first reader still reads");
    assert_eq!(reader.bytes(), 2 * PAGE);
    drop(reader);
    fill(tile, 3);
    check(tile, 3);
    tile.purge(CX).unwrap();
    world.assert_empty();
}

thread_local! {
    /// What happens in the next test at each block that leaves.
    static AT_EACH: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
}

/// Rule: looking leaves no trace: during an eviction it receives `Busy`, and the eviction goes on.
#[test]
fn an_eviction_does_not_give_way_to_a_look() {
    let world: &'static World = forever(World::new(Contents::Compared));
    let (near, far) = (&*forever(near(16)), &*forever(far(32)));
    let hogged = leave(near, HOLES);
    let sink = |e: &Event| {
        if let (Event::Transfer(..) | Event::Save(..) | Event::Load(..), Some(f)) = (e, AT_EACH.get()) {
            f();
        }
    };
    let home: &'static Forebay<_, _> = forever(forebay(near, Traced::new(far, sink), world));
    let buffer: &'static Buffer<_, _> =
        forever(Buffer::with_slots(home, forever([const { Slot::EMPTY }; 8]), Order::PAGE));
    let asked: &'static Cell<usize> = forever(Cell::new(0));
    let look: &'static _ = forever(move || {
        asked.set(asked.get() + 1);
        assert_eq!(buffer.residency(), Err(Busy));
    });
    for how in [Evict::TRANSFER, Evict::COPY, Evict::SPLIT] {
        fill(buffer, 4);
        AT_EACH.set(Some(look));
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8), "{how:?}");
        check(buffer, 4);
        AT_EACH.set(None);
    }
    assert_eq!(asked.get(), 5 + (5 + 5) + (8 + 8), "at each block or copy");
    buffer.purge(CX).unwrap();
    give_back(near, hogged);
    all_returned(world, near, far);
}

/// Rule: a context that was refused before an eviction began does not end it: only one that is refused meanwhile does.
#[test]
fn an_old_refusal_ends_no_eviction() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let hogged = leave(&near, HOLES);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for (seed, how) in [(1, Evict::TRANSFER), (2, Evict::COPY), (3, Evict::SPLIT)] {
        fill(&buffer, seed);
        let guard = buffer.write().unwrap();
        assert_eq!(
            (buffer.read().err(), buffer.write().err()),
            (Some(AccessError::Busy), Some(AccessError::Busy))
        );
        drop(guard);
        let request = EvictRequest::new(ALL, how, CX);
        assert_eq!(buffer.evict_if_idle(&request), Evicted::default(), "it was used lately");
        assert_eq!(buffer.evict_if_idle(&request).moved(), pages(8), "{how:?}");
        let reader = {
            check(&buffer, seed);
            buffer.read().unwrap()
        };
        assert_eq!(buffer.write().err(), Some(AccessError::Busy));
        drop(reader);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8), "{how:?}");
        check(&buffer, seed);
    }
    buffer.purge(CX).unwrap();
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: looking is no use of the buffer: the clock does not skip it for that.
#[test]
fn looking_does_not_touch_the_clock() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(1));
    fill(&tile, 5);
    assert_eq!(
        tile.evict_if_idle(&EvictRequest::new(ALL, Evict::ANY, CX)),
        Evicted::default(),
        "it was written lately"
    );
    for _ in 0..3 {
        assert_eq!(tile.residency(), residency(2, 0, 0));
    }
    assert_eq!(tile.evict_if_idle(&EvictRequest::new(ALL, Evict::ANY, CX)).transferred, pages(2));
    // Nor does it clear the reference.
    check(&tile, 5);
    assert_eq!(tile.residency(), residency(2, 0, 0));
    assert_eq!(tile.evict_if_idle(&EvictRequest::new(ALL, Evict::ANY, CX)), Evicted::default());
    drop(tile);
    all_returned(&world, &near, &far);
}
