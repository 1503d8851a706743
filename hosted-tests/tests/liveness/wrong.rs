//! Stores that panic or lie where they keep room for the lobby: no frame is lost that they only borrow, and no other buffer pays.

use forebay_backends::{Null, Ram, RamRegion};
use hosted_tests::conformance::pattern;
use hosted_tests::kit::{
    AccessError, AllocRequest, AttachError, BackingStore, Buffer, CX as T, Does, Evict, Forebay, PAGE, Pages,
    Rooms, SpinRawMutex, StoreError, StoreId, Wrong, order,
};
use hosted_tests::memory::{leak, words};
use std::panic::{AssertUnwindSafe, catch_unwind};

type Near = Ram<SpinRawMutex, PAGE, 2, { 4 * PAGE }>;

/// Four pages, and a lobby of four.
fn home() -> Forebay<Near, Wrong> {
    let (near, far) = (Near::new(), RamRegion::new(StoreId::DEFAULT));
    near.add(leak(8 * PAGE, 0), words(Near::metadata_words(8 * PAGE))).expect("good memory");
    far.init(leak(16 * PAGE, 0), words(16)).expect("good memory");
    Forebay::new(near, Wrong::new(far))
}

fn is_right(buffer: &Buffer<&Forebay<Near, Wrong>>, seed: u64) {
    assert!(buffer.read().expect("it is resident")[..] == pattern(seed, 4 * PAGE));
}

/// Rule (N4): a panic of a store that reserves or copies loses neither the frame nor room; only contents that were in its hands.
#[test]
fn a_store_that_panics() {
    let home = &home();
    let [outside, inside] = [0, 1].map(|_| Buffer::new(home, order(2)));
    outside.write().unwrap().copy_from_slice(&pattern(1, 4 * PAGE));
    for _ in 0..10 {
        home.store().does.set(Does::PanicsInReserve);
        assert!(catch_unwind(AssertUnwindSafe(|| inside.write().map(drop))).is_err());
        home.store().does.set(Does::Right);
        assert_eq!((home.platform().unused(), home.store().space().pages), (Pages::new(4), Pages::new(16)));
        inside.purge(T).unwrap();
        inside.write().unwrap().copy_from_slice(&pattern(2, 4 * PAGE));
        assert_eq!(home.store().space().pages, Pages::new(12), "it has room of its own");
        home.store().does.set(Does::PanicsInSave);
        assert!(catch_unwind(AssertUnwindSafe(|| inside.evict(Pages::MAX, Evict::COPY, T))).is_err());
        home.store().does.set(Does::Right);
        assert_eq!(inside.read().map(drop), Err(AccessError::Lost));
        inside.purge(T).unwrap();
        assert_eq!((home.platform().unused(), home.store().space().pages), (Pages::new(4), Pages::new(16)));
        is_right(&outside, 1);
    }
}

/// Rule: a handle of another order for what was transferred into its room costs the contents, and no slot keeps it.
#[test]
fn a_store_that_names_another_order() {
    let home = &home();
    let [outside, inside] = [0, 1].map(|_| Buffer::new(home, order(2)));
    outside.write().unwrap().copy_from_slice(&pattern(1, 4 * PAGE));
    inside.write().unwrap().copy_from_slice(&pattern(2, 4 * PAGE));
    home.store().does.set(Does::LargerTransfer);
    let evicted = inside.evict(Pages::MAX, Evict::TRANSFER, T).unwrap();
    assert_eq!(evicted.moved(), Pages::ZERO);
    home.store().does.set(Does::Right);
    assert_eq!(inside.read().map(drop), Err(AccessError::Lost));
    inside.purge(T).unwrap();
    assert_eq!(inside.residency().unwrap().stored, Pages::ZERO);
    is_right(&outside, 1);
}

/// Rule: room of another order is given back, and the birth in the lobby fails: nothing is kept there without room of its own.
#[test]
fn a_store_that_reserves_another_order() {
    let home = &home();
    let [outside, inside] = [0, 1].map(|_| Buffer::new(home, order(2)));
    outside.write().unwrap().copy_from_slice(&pattern(1, 4 * PAGE));
    home.store().does.set(Does::LargerRoom);
    assert_eq!(inside.write().map(drop), Err(AccessError::Store(StoreError::Io)));
    assert_eq!((home.platform().unused(), home.store().space().pages), (Pages::new(4), Pages::new(16)));
    home.store().does.set(Does::Right);
    inside.write().unwrap().copy_from_slice(&pattern(2, 4 * PAGE));
    assert_eq!(inside.evict(Pages::MAX, Evict::TRANSFER, T).unwrap().moved(), Pages::new(4));
    is_right(&inside, 2);
    is_right(&outside, 1);
}

/// Rule: what can't lie in the lobby may be larger than it: where the store keeps no room, or zones leave it out. And what is attached
/// is born there too.
#[test]
fn buffers_larger_than_the_lobby() {
    let home = &home();
    let handle = {
        let large = Buffer::new(home, order(1));
        large.write().unwrap().fill(3);
        let block = home.pool().take(AllocRequest::new(order(2)), (), T);
        drop(block); // it is leaked, and only its size matters
        home.store().reserve(order(3)).unwrap()
    };
    let large = Buffer::new(home, order(3));
    let refused = large.attach_stored(0, handle, T).unwrap_err();
    assert_eq!(refused.why, AttachError::DoesNotFit);
    home.store().discard(refused.item).unwrap();
    let near = Near::new();
    near.add(leak(16 * PAGE, 0), words(Near::metadata_words(16 * PAGE))).expect("good memory");
    let without = Forebay::new(near, Null);
    let large = Buffer::new(&without, order(3));
    large.write().unwrap().fill(5);
    assert!(large.read().unwrap().iter().all(|byte| *byte == 5));
}
