//! A port that panics costs what it was doing, and never shows a buffer with holes.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

static PANICS: AtomicBool = AtomicBool::new(false);

/// Panics in the middle of an eviction, when the first piece is in the store already.
fn sink(event: &Event) {
    if matches!(event, Event::Save(..)) && PANICS.swap(false, Ordering::Relaxed) {
        panic!("a store's own fault");
    }
}

/// Rule: marks go before what they announce: after a panic in a store nothing is shown that is not there. What was in
/// its hands is said to be lost, and only a purge makes the buffer usable again.
#[test]
fn what_a_panic_costs_is_said() {
    let (world, near, far) = (World::new(Contents::Ignored), near(16), far(32));
    let store = Traced::new(&far, sink as fn(&Event));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    buffer.evict(pages(3), Evict::SPLIT, CX).unwrap();
    check(&buffer, 1);
    assert_eq!(buffer.discard_copies(), Ok(pages(3)));
    PANICS.store(true, Ordering::Relaxed);
    let caught = catch_unwind(AssertUnwindSafe(|| buffer.evict(ALL, Evict::SPLIT, CX)));
    assert!(caught.is_err(), "it panicked");
    assert_eq!(
        (buffer.read().err(), buffer.write().err()),
        (Some(AccessError::Lost), Some(AccessError::Lost))
    );
    buffer.purge(CX).unwrap();
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    fill(&buffer, 2);
    buffer.evict(ALL, Evict::ANY, CX).unwrap();
    check(&buffer, 2);
    drop(buffer);
}

static SPLIT_PANICS: AtomicBool = AtomicBool::new(false);

/// Panics when a handle is in pieces that no slot has yet.
fn split_sink(event: &Event) {
    if matches!(event, Event::Split(..)) && SPLIT_PANICS.swap(false, Ordering::Relaxed) {
        panic!("a store's own fault");
    }
}

/// Rule: the same on the way back, where a copy is split because there are only smaller blocks.
#[test]
fn what_a_panic_costs_on_the_way_back() {
    let (world, near, far) = (World::new(Contents::Ignored), near(16), far(32));
    let store = Traced::new(&far, split_sink as fn(&Event));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(4));
    let hogged = leave(&near, [0, 2, 4, 6]);
    SPLIT_PANICS.store(true, Ordering::Relaxed);
    let caught = catch_unwind(AssertUnwindSafe(|| buffer.read().map(drop)));
    assert!(caught.is_err(), "it panicked");
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    buffer.purge(CX).unwrap();
    give_back(&near, hogged);
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    drop(buffer);
}

static FREE_PANICS: AtomicBool = AtomicBool::new(false);

/// Panics when a block is in the source again.
fn free_sink(event: &Event) {
    if matches!(event, Event::Free(..)) && FREE_PANICS.swap(false, Ordering::Relaxed) {
        panic!("a platform's own fault");
    }
}

/// Rule: a purge that panicked half way leaves no guard with holes; another one ends it.
#[test]
fn half_a_purge() {
    let (world, near, far) = (World::new(Contents::Ignored), near(16), far(32));
    let near = Traced::new(&near, free_sink as fn(&Event));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    FREE_PANICS.store(true, Ordering::Relaxed);
    let caught = catch_unwind(AssertUnwindSafe(|| buffer.purge(CX)));
    assert!(caught.is_err(), "it panicked");
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    buffer.purge(CX).unwrap();
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    drop(buffer);
    world.assert_empty();
}

static DISCARD_PANICS: AtomicBool = AtomicBool::new(false);

/// Panics when a copy is dropped.
fn discard_sink(event: &Event) {
    if matches!(event, Event::Discard(..)) && DISCARD_PANICS.swap(false, Ordering::Relaxed) {
        panic!("a store's own fault");
    }
}

/// Rule: copies that were not dropped, since dropping another one panicked, never count as the contents again.
#[test]
fn half_of_the_copies_dropped() {
    let (world, near, far) = (World::new(Contents::Ignored), near(16), far(32));
    let store = Traced::new(&far, discard_sink as fn(&Event));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 2];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().copied, pages(2));
    drop(buffer.read().unwrap()); // one block, and two copies
    assert_eq!(buffer.residency(), residency(2, 2, 0));
    DISCARD_PANICS.store(true, Ordering::Relaxed);
    let caught = catch_unwind(AssertUnwindSafe(|| buffer.write().map(drop)));
    assert!(caught.is_err(), "it panicked");
    assert_eq!(buffer.write().err(), Some(AccessError::Lost));
    buffer.purge(CX).unwrap();
    fill(&buffer, 2);
    assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().why, None);
    check(&buffer, 2);
    drop(buffer);
}

/// Whether an event is a certain one.
type Is = fn(&Event) -> bool;

thread_local! {
    /// The store panics at the next event like that.
    static PANICS_AT: Cell<Option<Is>> = const { Cell::new(None) };
}

fn chosen_sink(event: &Event) {
    if PANICS_AT.get().is_some_and(|is_it| is_it(event)) {
        PANICS_AT.set(None);
        panic!("a store's own fault");
    }
}

/// The store panics in that call.
#[track_caller]
fn panics_at(chosen: Is, call: impl FnOnce()) {
    PANICS_AT.set(Some(chosen));
    let caught = catch_unwind(AssertUnwindSafe(call));
    assert!(caught.is_err() && PANICS_AT.take().is_none(), "it panicked");
}

/// Four pages leave in this way, and the store panics at that call while they come back: they are said to be lost, until a purge.
fn a_way_back_that_panics(far: &Far, how: Evict, at: fn(&Event) -> bool) {
    let (world, near) = (World::new(Contents::Ignored), near(16));
    let store = Traced::new(far, chosen_sink as fn(&Event));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(4));
    panics_at(at, || drop(buffer.read()));
    for _ in 0..2 {
        assert_eq!(buffer.read().err(), Some(AccessError::Lost));
        assert_eq!(buffer.write().err(), Some(AccessError::Lost));
    }
    buffer.purge(CX).unwrap();
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
}

/// Rule: a block that a store had in its hands when it panicked is said to be lost, also on the way back; zeros are not shown
/// in its place.
#[test]
fn a_take_back_that_panics_loses_the_contents() {
    a_way_back_that_panics(&far(32), Evict::TRANSFER, |event| matches!(event, Event::TakeBack(..)));
}

/// Rule: the same where the store has no room to keep the copies of what was loaded, and panics while it drops them.
#[test]
fn a_copy_that_is_not_kept_and_panics_loses_the_contents() {
    a_way_back_that_panics(&far(4), Evict::SPLIT, |event| matches!(event, Event::Discard(..)));
}

/// Rule: what is lost stays lost: another eviction moves what is left, and makes nothing of it whole.
#[test]
fn what_is_lost_stays_lost() {
    let (world, near, far) = (World::new(Contents::Ignored), near(18), far(32));
    let hogged = leave(&near, (0..18).step_by(2)); // single pages, one of which the panic costs
    let store = Traced::new(&far, chosen_sink as fn(&Event));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(pages(3), Evict::SPLIT, CX).unwrap().copied, pages(3));
    panics_at(
        |event| matches!(event, Event::Save(..)),
        || {
            let _ = buffer.evict(pages(1), Evict::SPLIT, CX);
        },
    );
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    for how in [Evict::SPLIT, Evict::TRANSFER] {
        assert_eq!(buffer.evict(pages(2), how, CX).unwrap().moved(), pages(2), "{how:?}");
        assert_eq!(
            (buffer.read().err(), buffer.write().err()),
            (Some(AccessError::Lost), Some(AccessError::Lost))
        );
    }
    buffer.purge(CX).unwrap();
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    drop(buffer);
    give_back(&near, hogged);
}

/// Panics at the call with that number, counted down to zero; far above it, never.
static CALLS_LEFT: AtomicU32 = AtomicU32::new(u32::MAX);

fn counted_sink(event: &Event) {
    let moves = matches!(event, Event::Transfer(..) | Event::TakeBack(..));
    if moves && CALLS_LEFT.fetch_sub(1, Ordering::Relaxed) == 0 {
        panic!("a store's own fault");
    }
}

/// Rule: what moved before a port panicked is counted.
#[test]
fn what_moved_before_a_panic_is_counted() {
    let (world, near, far) = (World::new(Contents::Ignored), near(16), far(32));
    let hogged = leave(&near, (0..16).step_by(2)); // single pages
    let store = Traced::new(&far, counted_sink as fn(&Event));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    CALLS_LEFT.store(3, Ordering::Relaxed);
    let caught = catch_unwind(AssertUnwindSafe(|| buffer.evict(ALL, Evict::TRANSFER, CX)));
    assert!(caught.is_err(), "it panicked");
    assert_eq!(home.stats().evicted.transferred, pages(3));
    buffer.purge(CX).unwrap();
    CALLS_LEFT.store(u32::MAX, Ordering::Relaxed);
    fill(&buffer, 2);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(6));
    CALLS_LEFT.store(2, Ordering::Relaxed);
    let caught = catch_unwind(AssertUnwindSafe(|| buffer.restore(ALL, CX)));
    assert!(caught.is_err(), "it panicked");
    assert_eq!((home.stats().evicted.transferred, home.stats().restored.taken_back), (pages(9), pages(2)));
    CALLS_LEFT.store(u32::MAX, Ordering::Relaxed);
    drop(buffer);
    give_back(&near, hogged);
}

thread_local! {
    /// How many more sections there are until one takes a guard and panics; 0 for never.
    static COUNTDOWN: Cell<u32> = const { Cell::new(0) };
    static KEPT: RefCell<Option<ReadGuard<'static, &'static Home>>> = const { RefCell::new(None) };
}

/// Something that masks interrupts, and has a fault of its own after it unmasked them: an interrupt took a guard by then.
struct Faulted;

type Home = RamForebay<SpinRawMutex<Faulted>, 512, 4>;
static HOME: Home = Home::new();
static TILE: LazyLock<RamBuffer<SpinRawMutex<Faulted>, 512, 4>> = LazyLock::new(|| HOME.buffer::<512>());

impl IrqGuard for Faulted {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let result = f();
        let left = COUNTDOWN.get();
        COUNTDOWN.set(left.saturating_sub(1));
        if left == 1 {
            if let Ok(guard) = TILE.read() {
                KEPT.set(Some(guard));
            }
            panic!("a section's own fault");
        }
        result
    }
}

/// Rule: a lock that panics behind its closure leaves a buffer with its readers or its writer, never with both.
#[test]
fn a_lock_that_panics_makes_no_second_owner() {
    let words = vec![0; Home::metadata_words(16 << 10)].leak();
    HOME.init(vec![0; 16 << 10].leak(), vec![0; 64 << 10].leak(), words).unwrap();
    TILE.write().unwrap().fill(7);
    let mut kept = 0;
    let swept = sweep("section of a read", |_, section| {
        COUNTDOWN.set(section + 1);
        let ended = catch_unwind(AssertUnwindSafe(|| TILE.read().map(drop)));
        if COUNTDOWN.replace(0) > 0 {
            assert!(ended.is_ok(), "there is no such section");
            return 0;
        }
        if let Some(reader) = KEPT.take() {
            kept += 1;
            assert!(TILE.write().is_err(), "a writer beside a reader, after section {section}");
            assert!(TILE.evict(Pages::MAX, Evict::ANY, CX).is_err());
            assert!(reader.iter().all(|byte| *byte == 7));
        }
        TILE.write().expect("the reader is gone, and so is what panicked").fill(7);
        1
    });
    swept.at_least(1);
    assert!(kept > 0, "no section was followed by a guard");
}
