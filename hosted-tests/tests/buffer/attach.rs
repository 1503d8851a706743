//! Buffers that begin with stored contents: the first access restores them, what is only read is evicted again without
//! copying, what was written goes to a store that takes it.

use forebay_backends::*;
use hosted_tests::kit::*;

const FLASH: StoreId = StoreId::new(7).unwrap();
type Flash<'m> = Rom<'m, PAGE>;

fn at(page: usize) -> Pages {
    pages(page)
}

/// A handle of the flash, of which the oracle knows.
#[track_caller]
fn known<S: BackingStore<RamBlock<PAGE>>>(
    store: &Watched<'_, S>,
    flash: &Flash<'_>,
    bytes: &[u8],
    page: usize,
    k: u8,
) -> Handle {
    let handle = flash.handle(at(page), order(k)).unwrap();
    let mut there: Vec<u8> = bytes.iter().skip(page * PAGE).take(PAGE << k).copied().collect();
    there.resize(PAGE << k, 0);
    store.was_there(&handle, &there);
    handle
}

/// Rule: the first access restores it. However often it is read, it is evicted without copying: nothing is ever saved, and
/// no store has to take it.
#[test]
fn what_is_only_read_is_never_saved() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let bytes = pattern(3, 4 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let home = forebay(&near, &flash, &world);
    let buffer = Buffer::new(&home, order(2));
    buffer.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
    assert_eq!((buffer.residency(), world.frames_out()), (residency(0, 0, 4), NONE));
    for how in METHODS {
        assert!(contents(&buffer) == bytes);
        assert_eq!(buffer.residency(), residency(4, 4, 4 - 4));
        let evicted = buffer.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.clean, evicted.moved(), evicted.why), (pages(4), pages(4), None));
    }
    assert_eq!(world.counts().saved + world.counts().transferred, 0);
    drop(buffer);
    world.validate();
    world.assert_empty();
}

/// Rule: what was written goes to the store that takes it, and is its contents from then on. The flash does not
/// change, for other buffers that begin with it.
#[test]
fn what_was_written_goes_elsewhere() {
    for how in METHODS {
        let (near, far) = (near(16), far(16));
        let world = World::new(Contents::Compared);
        let bytes = pattern(9, 4 * PAGE);
        let flash = Flash::new(FLASH, &bytes);
        let home = forebay(&near, Tiered(&far, &flash), &world);
        let buffer = Buffer::new(&home, order(2));
        buffer.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
        assert_eq!(buffer.write().unwrap().write_at(5, b"changed"), 7);
        let mut changed = bytes.clone();
        changed[5..12].copy_from_slice(b"changed");
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(4));
        home.settle(ALL, CX);
        assert!(contents(&buffer) == changed);
        let second = Buffer::new(&home, order(2));
        second.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
        assert!(contents(&second) == bytes);
        drop((buffer, second));
        all_returned(&world, &near, &far);
    }
}

/// Rule: copies in the flash are kept even if the store is full, since dropping them gives no room. Copies in a full region
/// are not.
#[test]
fn a_full_store_keeps_what_takes_no_room() {
    let (near, far, world) = (near(16), far(4), World::new(Contents::Compared));
    let bytes = pattern(1, 4 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let home = forebay(&near, Tiered(&far, &flash), &world);
    let mut filler = Buffer::new(&home, order(2));
    fill(&filler, 8);
    assert_eq!(filler.evict_mut(ALL, Evict::COPY, CX).copied, pages(4));
    assert_eq!(home.store().space().pages, NONE);
    let buffer = Buffer::new(&home, order(2));
    buffer.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
    assert!(contents(&buffer) == bytes);
    assert_eq!(buffer.residency(), residency(4, 4, 0));
    check(&filler, 8);
    assert_eq!(filler.residency(), residency(4, 0, 0), "its copy made room");
    drop((buffer, filler));
    all_returned(&world, &near, &far);
}

/// Rule: each part goes to its slots. Slots without one read as zeros. Large ones come back into small blocks if need be.
#[test]
fn parts_go_to_their_slots() {
    for scattered in [0, 1] {
        let (near, world) = (near(32), World::new(Contents::Compared));
        let hogged = leave(&near, (0..32).step_by(1 + scattered));
        let bytes = pattern(4, 7 * PAGE);
        let flash = Flash::new(FLASH, &bytes);
        let home = forebay(&near, &flash, &world);
        let mut slots = [const { Slot::EMPTY }; 16];
        let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
        buffer.attach_stored(4, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
        buffer.attach_stored(9, known(home.store(), &flash, &bytes, 6, 0), CX).unwrap();
        buffer.attach_stored(12, known(home.store(), &flash, &bytes, 4, 1), CX).unwrap();
        assert_eq!(buffer.residency(), residency(0, 0, 7));
        let mut expected = vec![0; 16 * PAGE];
        expected[4 * PAGE..8 * PAGE].copy_from_slice(&bytes[..4 * PAGE]);
        expected[9 * PAGE..10 * PAGE].copy_from_slice(&bytes[6 * PAGE..]);
        expected[12 * PAGE..14 * PAGE].copy_from_slice(&bytes[4 * PAGE..6 * PAGE]);
        assert!(contents(&buffer) == expected);
        drop(buffer);
        give_back(&near, hogged);
        world.validate();
        world.assert_empty();
    }
}

/// Rule: where the bytes end, zeros begin, and never bytes of another buffer.
#[test]
fn past_the_end_there_are_zeros() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    for len in [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 65] {
        let mut dirty = near.allocate(AllocRequest::new(order(2)), CX).unwrap();
        dirty.fill(0xEE);
        near.free(dirty);
        let bytes = pattern(6, len);
        let flash = Flash::new(FLASH, &bytes);
        assert_eq!(flash.pages(), pages(len.div_ceil(PAGE)));
        let home = forebay(&near, &flash, &world);
        let buffer = Buffer::new(&home, order(2));
        buffer.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
        let mut expected = bytes.clone();
        expected.resize(4 * PAGE, 0);
        assert!(contents(&buffer) == expected, "{len} bytes");
    }
    world.assert_empty();
}

/// Rule: what a store took from another caller may be attached to a buffer: a copy is loaded, a block taken back.
#[test]
fn what_another_caller_stored_may_be_attached() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let bytes = pattern(2, 4 * PAGE);
    let mut block = home.platform().allocate(AllocRequest::new(order(2)), CX).unwrap();
    block.copy_from_slice(&bytes);
    let copy = home.store().save(&block, order(2), None, CX).unwrap();
    let transferred = home.store().transfer(block, None).unwrap();
    let [first, second] = [(); 2].map(|()| Buffer::new(&home, order(2)));
    first.attach_stored(0, copy, Context::INTERRUPT).unwrap();
    second.attach_stored(0, transferred, Context::INTERRUPT).unwrap();
    assert_eq!(first.read_in(Context::INTERRUPT).err(), Some(AccessError::Context), "it has to be copied");
    drop(second.read_in(Context::INTERRUPT).unwrap());
    assert!(contents(&first) == bytes && contents(&second) == bytes);
    assert_eq!((world.counts().loaded, world.counts().taken_back), (4, 4));
    drop((first, second));
    all_returned(&world, &near, &far);
}

/// Rule: what does not fit is refused, with the handle, and changes nothing.
#[test]
fn what_does_not_fit_comes_back() {
    let (near, far) = (near(16), far(16));
    let bytes = pattern(2, 8 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let home = Forebay::new(&near, Tiered(&far, &flash));
    let home = &home;
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], order(1)); // 16 pages
    let refused = |at: usize, handle: Handle| {
        let copy = Handle::new(handle.store(), handle.order(), handle.value());
        let refused = buffer.attach_stored(at, handle, CX).unwrap_err();
        assert_eq!(Some(refused.item), copy);
        refused.why
    };
    let part = |k| flash.handle(at(0), order(k)).unwrap();
    let foreign = Handle::new(StoreId::new(3).unwrap(), order(1), 0).unwrap();
    assert_eq!(refused(0, foreign), AttachError::WrongStore);
    assert_eq!(refused(0, part(0)), AttachError::DoesNotFit, "smaller than the unit");
    assert_eq!(refused(0, part(11)), AttachError::DoesNotFit, "larger than any block");
    assert_eq!(refused(1, part(2)), AttachError::DoesNotFit, "not at a multiple of its size");
    assert_eq!(refused(8, part(1)), AttachError::DoesNotFit, "past the end");
    assert_eq!(refused(4, part(4)), AttachError::DoesNotFit, "reaches past the end");
    assert_eq!(refused(usize::MAX, part(1)), AttachError::DoesNotFit);
    assert_eq!(buffer.residency(), residency(0, 0, 0));
    buffer.attach_stored(2, part(2), CX).unwrap();
    for (at, k) in [(2, 2), (2, 1), (3, 1), (0, 3), (0, 4)] {
        assert_eq!(refused(at, part(k)), AttachError::Occupied, "{k} at {at}");
    }
    let guard = buffer.read().unwrap();
    assert_eq!(refused(0, part(1)), AttachError::Busy);
    drop(guard);
    for at in 0..8 {
        assert_eq!(refused(at, part(1)), AttachError::Occupied, "zeros are contents, once they were read");
    }
    buffer.purge(CX).unwrap();
    buffer.attach_stored(0, part(3), CX).unwrap();
    let mut expected = bytes.clone();
    expected.resize(16 * PAGE, 0);
    assert!(contents(&buffer) == expected);
    assert!(AttachError::Occupied.to_string().contains("purge it first"));
}

/// Rule: the payer of the buffer is charged for what it begins with, and not at all if that is refused.
#[test]
fn what_it_begins_with_is_charged() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let bytes = pattern(2, 8 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let home = forebay(&near, &flash, &world);
    let (mut slots, mut charges) = ([const { Slot::EMPTY }; 8], [None; 8]);
    let slots: &mut [Slot<_>] = &mut slots;
    let buffer = Buffer::with_slots(&home, Charged::new(slots, &mut charges).unwrap(), Order::PAGE)
        .with_id(BufferId(5));
    let payer = core::num::NonZeroUsize::new(6).map(Charge).unwrap(); // the number plus one
    buffer.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
    assert_eq!(world.charged(payer), pages(4));
    let refused = buffer.attach_stored(1, flash.handle(at(0), order(0)).unwrap(), CX).unwrap_err();
    assert_eq!((refused.why, world.charged(payer)), (AttachError::Occupied, pages(4)));
    drop(buffer.read().unwrap());
    assert_eq!(world.charged(payer), pages(8), "the zeros too");
    drop(buffer);
    world.assert_empty();
    let (mut slots, mut charges) = ([const { Slot::EMPTY }; 8], [None; 8]);
    let slots: &mut [Slot<_>] = &mut slots;
    let unpayable = Buffer::with_slots(&home, Charged::new(slots, &mut charges).unwrap(), Order::PAGE)
        .with_id(BufferId(usize::MAX));
    let refused = unpayable.attach_stored(0, flash.handle(at(0), order(0)).unwrap(), CX).unwrap_err();
    assert_eq!(refused.why, AttachError::OverLimit);
    assert_eq!(unpayable.residency(), residency(0, 0, 0));
}

/// Rule: a load that fails loses nothing; the next access tries again.
#[test]
fn a_load_that_fails_is_tried_again() {
    let near = near(16);
    let bytes = pattern(2, 8 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let swept = sweep("a read", |world, k| {
        let home = forebay(&near, Faulty::<_, SpinRawMutex>::new(&flash), world);
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
        for page in 0..8 {
            buffer.attach_stored(page, known(home.store(), &flash, &bytes, page, 0), CX).unwrap();
        }
        home.store().inner().set(kth(k));
        let read = buffer.read().map(drop);
        let failed = home.store().inner().failed();
        assert!(matches!(read, Ok(()) | Err(AccessError::Store(StoreError::Io))), "{read:?}"); // several are tried one by one
        home.store().inner().set(NEVER);
        assert!(contents(&buffer) == bytes);
        assert_eq!(buffer.evict(ALL, Evict::empty(), CX).unwrap().clean, pages(8));
        failed
    });
    swept.at_least(4);
}

/// Rule: flash without bytes is a store like any other that takes nothing; one with bytes knows its own handles only.
#[test]
fn flash_is_a_store() {
    let source = near(96);
    hosted_tests::conformance::store::suite(&source, &Flash::new(FLASH, &[]));
    let bytes = pattern(2, 2 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    assert_eq!((flash.handle(at(2), order(0)), flash.handle(at(0), order(0)).is_some()), (None, true));
    let store: &dyn BackingStore<RamBlock<PAGE>> = &flash;
    let mut block = source.allocate(AllocRequest::new(order(1)), CX).unwrap();
    let handle = || flash.handle(at(0), order(1)).unwrap();
    assert_eq!(store.load(&handle(), &mut block, pages(1), CX), Err(StoreError::TooLarge));
    assert_eq!(store.load(&handle(), &mut block, NONE, Context::INTERRUPT), Err(StoreError::Context));
    let foreign = Handle::new(StoreId::DEFAULT, order(1), 0).unwrap();
    assert_eq!(store.load(&foreign, &mut block, NONE, CX), Err(StoreError::WrongStore));
    let beyond = Handle::new(FLASH, order(1), usize::MAX >> 9).unwrap();
    assert_eq!(store.load(&beyond, &mut block, NONE, CX), Err(StoreError::NotStored));
    assert_eq!(store.discard(beyond).unwrap_err().why, StoreError::NotStored);
    assert_eq!(store.load(&handle(), &mut block, NONE, CX), Ok(()));
    assert!(block[..] == bytes[..]);
    assert_eq!(store.take_back(handle(), CX).unwrap_err().why, StoreError::Unsupported);
    assert_eq!(store.save(&block, order(0), None, CX), Err(StoreError::Unsupported));
    let (lower, upper) = store.split(handle()).unwrap();
    assert_eq!((lower.value(), upper.value(), upper.order()), (0, 1, order(0)));
    assert_eq!(store.split(upper).unwrap_err().why, StoreError::TooLarge);
    assert_eq!(store.room_of(&lower), NONE);
    assert!(matches!(store.discard(lower), Ok(None)));
    source.free(block);
}

/// Rule: discarding copies is for room in the store: those that take none, as in flash, are kept, and the buffer is evicted
/// again without copying.
#[test]
fn copies_that_take_no_room_are_not_discarded() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let bytes = pattern(3, 4 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let home = forebay(&near, Tiered(&far, &flash), &world);
    let mut slots = [const { Slot::EMPTY }; 2];
    let buffer = Buffer::with_slots(&home, &mut slots[..], order(2));
    buffer.attach_stored(1, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
    let hogged = leave(&near, (0..4).chain(8..12)); // a block for each slot
    let expected: Vec<u8> = std::iter::repeat_n(0, 4 * PAGE).chain(bytes.iter().copied()).collect();
    assert!(contents(&buffer) == expected);
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().moved(), pages(8));
    assert!(contents(&buffer) == expected);
    assert_eq!(buffer.residency(), residency(8, 8, 0));
    assert_eq!((buffer.discard_copies(), buffer.residency()), (Ok(pages(4)), residency(8, 4, 0)));
    assert_eq!((buffer.discard_copies(), far.space().pages), (Ok(NONE), far.total()));
    let evicted = buffer.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!((evicted.clean, evicted.copied), (pages(4), pages(4)));
    assert!(contents(&buffer) == expected);
    drop(buffer);
    give_back(&near, hogged);
    world.validate();
    world.assert_empty();
}

/// Rule: a buffer that was purged has contents again once it is attached: it is asked from then on about these.
#[test]
fn contents_of_a_purged_buffer() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let bytes = pattern(3, 4 * PAGE);
    let flash = Flash::new(FLASH, &bytes);
    let home = forebay(&near, &flash, &world);
    let buffer = Buffer::new(&home, order(2));
    fill(&buffer, 1);
    assert_eq!(buffer.set_purgeable(true), Ok(true));
    assert_eq!(home.reclaim([&buffer], ALL, Evict::PURGE, CX).evicted.purged, pages(4));
    assert_eq!(buffer.set_purgeable(false), Ok(false), "it was purged");
    buffer.attach_stored(0, known(home.store(), &flash, &bytes, 0, 2), CX).unwrap();
    assert_eq!(buffer.set_purgeable(false), Ok(true));
    assert!(contents(&buffer) == bytes);
}
