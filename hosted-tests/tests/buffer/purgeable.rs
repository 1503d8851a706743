//! Contents that are not needed: a reclaim drops them before it moves anything, and their owner can ask for it
//! (`ttm-semantics.md` rules 31 and 48, §5.4 j; B18, B20).

use forebay_backends::*;
use hosted_tests::kit::*;

const PURGE: Evict = Evict::PURGE;

/// From now on it may be purged. Whether its contents are still there.
#[track_caller]
fn dont_need<H: Home>(buffer: &Buffer<H>) -> bool {
    buffer.set_purgeable(true).unwrap()
}

/// From now on it may not be purged. Whether its contents are still there.
#[track_caller]
fn need<H: Home>(buffer: &Buffer<H>) -> bool {
    buffer.set_purgeable(false).unwrap()
}

/// Rule: only what is not needed is dropped, and only if the caller permits: all of it, nothing copied, nothing
/// transferred. It reads as zeros, and never as old bytes of another buffer (B18).
#[test]
fn what_is_not_needed_is_dropped() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let home = forebay(&machine, Null, &world); // takes nothing: purging needs no store
    let [kept, dropped] = [0, 1].map(|id| {
        let buffer = Buffer::new(&home, order(2)).with_id(BufferId(id));
        fill(&buffer, 7);
        buffer
    });
    assert!(dont_need(&dropped));
    for how in METHODS {
        let moved = home.reclaim([&kept, &dropped], ALL, how - PURGE, CX).evicted.moved();
        assert_eq!(moved, NONE, "{how:?} does not permit it");
    }
    check(&dropped, 7);
    let before = world.frames_out();
    let report = home.reclaim([&kept, &dropped], pages(1), PURGE, CX);
    assert_eq!(
        (report.evicted.purged, freed(&report)),
        (pages(4), pages(4)),
        "all of it, whatever was wanted"
    );
    assert_eq!((before - world.frames_out(), dropped.residency()), (pages(4), residency(0, 0, 0)));
    assert_eq!(home.stats().evicted.purged, pages(4));
    check(&kept, 7);
    assert!(contents(&dropped).iter().all(|byte| *byte == 0));
    drop((kept, dropped));
    world.validate();
    world.assert_empty();
}

/// Rule: the answer stays until the buffer is written, however often it is asked for. Contents that are needed again in
/// time are kept.
#[test]
fn the_answer_stays_until_the_next_write() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let buffer = Buffer::new(&home, order(2));
    fill(&buffer, 1);
    dont_need(&buffer);
    assert!(need(&buffer));
    assert_eq!(home.reclaim([&buffer], ALL, PURGE, CX).evicted.moved(), NONE);
    check(&buffer, 1);
    dont_need(&buffer);
    assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().purged, pages(4));
    assert_eq!((need(&buffer), dont_need(&buffer), need(&buffer)), (false, false, false));
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    assert!(!need(&buffer), "reading brings nothing back");
    fill(&buffer, 2);
    assert!(need(&buffer));
    buffer.purge(CX).unwrap();
    assert!(need(&buffer), "its owner did that, and knows it");
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: what is stored is dropped too: a block that waits in the store is returned to the source at once, a copy leaves
/// room.
#[test]
fn what_is_stored_is_dropped_too() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    for (how, frees) in [(Evict::TRANSFER, 4), (Evict::COPY, 0)] {
        let buffer = Buffer::new(&home, order(2));
        fill(&buffer, 1);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(4));
        assert!(dont_need(&buffer));
        let before = world.frames_out();
        let report = home.reclaim([&buffer], ALL, PURGE, CX);
        assert_eq!((report.evicted.purged, before - world.frames_out()), (pages(frees), pages(frees)));
        assert!(!need(&buffer));
        assert_eq!(world.stored(), NONE);
        drop(buffer);
    }
    all_returned(&world, &near, &far);
}

/// Rule: it does not matter whether it was lately used. The search for it takes no other buffer's second chance.
#[test]
fn lately_used_or_not() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let [hot, cold, dropped] = [(); 3].map(|()| Buffer::new(&home, order(2)));
    for buffer in [&hot, &cold, &dropped] {
        fill(buffer, 3);
    }
    dont_need(&dropped);
    check(&dropped, 3); // lately used
    assert_eq!(
        cold.evict_if_idle(&EvictRequest::new(ALL, Evict::TRANSFER, CX)).moved(),
        NONE,
        "from now on it is not lately used"
    );
    assert_eq!(home.reclaim([&hot, &cold, &dropped], pages(1), PURGE, CX).evicted.purged, pages(4));
    let report = home.reclaim([&hot, &cold, &dropped], pages(1), Evict::TRANSFER, CX);
    assert_eq!((report.evicted.transferred, cold.residency()), (pages(4), residency(0, 0, 4)));
    assert_eq!(hot.residency(), residency(4, 0, 0), "it kept its second chance");
    drop((hot, cold, dropped));
    all_returned(&world, &near, &far);
}

/// Rule: after a backlog what is clean still leaves, and what is not needed is still dropped.
#[test]
fn a_backlog_keeps_neither_what_is_clean_nor_what_is_not_needed() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let store = Scripted::<Far, RamBlock<PAGE>>::new(far(16));
    let home = forebay(&near, &store, &world);
    let [dirty, clean, dropped] = [(); 3].map(|()| Buffer::new(&home, order(0)));
    for buffer in [&dirty, &clean, &dropped] {
        fill(buffer, 3);
    }
    assert_eq!(clean.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(1));
    check(&clean, 3);
    dont_need(&dropped);
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    let evicted = home.reclaim([&dirty, &clean, &dropped], ALL, Evict::TRANSFER | PURGE, CX).evicted;
    assert_eq!((evicted.backlogs, evicted.clean, evicted.purged), (1, pages(1), pages(1)));
    store.answer(Script::default());
    check(&dirty, 3);
    check(&clean, 3);
    drop((dirty, clean, dropped));
    world.validate();
    world.assert_empty();
}

/// Rule: what is in use stays, and so does what the hook refuses; nothing of it changed.
#[test]
fn what_is_in_use_stays() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let home = forebay(&machine, &far, &world);
    let buffer = Buffer::new(&home, order(2)).with_mode(Caching::Uncached);
    fill(&buffer, 4);
    dont_need(&buffer);
    let guard = buffer.read().unwrap();
    assert_eq!(buffer.set_purgeable(false), Err(Busy));
    assert_eq!(home.reclaim([&buffer], ALL, Evict::ANY, CX).evicted.moved(), NONE);
    drop(guard);
    machine.say_no(No::Before);
    let report = home.reclaim([&buffer], ALL, PURGE, CX);
    assert_eq!((report.evicted.moved(), report.evicted.why), (NONE, Some(RefusalReason::Hook)));
    machine.say_no(No::Never);
    check(&buffer, 4);
    assert!(need(&buffer));
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: where the mode of no block can be changed, nothing is dropped: it would free nothing.
#[test]
fn where_no_block_may_leave_the_contents_stay() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let home = forebay(&machine, &far, &world);
    let buffer = Buffer::new(&home, order(2)).with_mode(Caching::Uncached).with_id(BufferId(5));
    fill(&buffer, 4);
    dont_need(&buffer);
    machine.say_no(No::Mode);
    for _ in 0..3 {
        let evicted = home.reclaim([&buffer], ALL, PURGE, CX).evicted;
        assert_eq!((evicted.purged, evicted.refused), (NONE, pages(4)), "tried once in each reclaim");
        assert_eq!(evicted.why, Some(RefusalReason::Mode(ModeRefused)));
    }
    check(&buffer, 4);
    assert!(dont_need(&buffer));
    machine.say_no(No::Never);
    assert_eq!(home.reclaim([&buffer], ALL, PURGE, CX).evicted.purged, pages(4));
    assert!(!dont_need(&buffer));
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a purge that could drop nothing changes nothing. If the buffer was mapped before, the hook after a restore runs; if it was not,
/// no hook runs.
#[test]
fn the_hook_after_a_purge_that_dropped_nothing() {
    for was_unmapped in [false, true] {
        let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
        let machine = Machine::new(&near);
        let home = forebay(&machine, &far, &world);
        let buffer = Buffer::new(&home, order(2)).with_mode(Caching::Uncached).with_id(BufferId(5));
        fill(&buffer, 4);
        dont_need(&buffer);
        if was_unmapped {
            assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().moved(), pages(4));
            machine.say_no(No::After);
            assert!(buffer.read().is_err(), "it is resident again, and not mapped");
            assert_eq!(buffer.residency(), residency(4, 0, 0));
        }
        machine.0.hooks();
        machine.say_no(No::Mode);
        assert_eq!(
            home.reclaim([&buffer], ALL, PURGE, CX).evicted.refused,
            pages(4),
            "unmapped: {was_unmapped}"
        );
        let hooks = machine.0.hooks();
        assert_eq!(hooks, if was_unmapped { vec![] } else { vec!["before", "after"] });
        machine.say_no(No::Never);
        check(&buffer, 4);
        drop(buffer);
        all_returned(&world, &near, &far);
    }
}

/// Rule: a block whose mode can't be changed stays, zeroed, while others leave, and is counted as refused. Its contents are
/// gone all the same. It is tried once in each reclaim, and leaves when it may.
#[test]
fn a_block_that_cannot_leave_is_zeroed() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let hogged = leave(&near, (0..4).chain(8..12)); // two blocks, no larger one
    let home = forebay(&machine, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 2];
    let buffer = Buffer::with_slots(&home, &mut slots[..], order(2)).with_mode(Caching::Uncached);
    fill(&buffer, 4);
    let _ = buffer.set_purgeable(true).unwrap();
    let stuck = buffer.read().unwrap().blocks().next().unwrap().1.pfn();
    machine.say_no(No::ModeAt(stuck));
    let evicted = home.reclaim([&buffer], ALL, PURGE, CX).evicted;
    assert_eq!((evicted.purged, evicted.refused), (pages(4), pages(4)));
    assert_eq!(
        (evicted.why, buffer.residency()),
        (Some(RefusalReason::Mode(ModeRefused)), residency(4, 0, 0))
    );
    for _ in 0..3 {
        let evicted = home.reclaim([&buffer], ALL, PURGE, CX).evicted;
        assert_eq!((evicted.purged, evicted.refused), (NONE, pages(4)));
    }
    machine.say_no(No::Never);
    assert_eq!(buffer.set_purgeable(true), Ok(false));
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    assert_eq!(home.reclaim([&buffer], ALL, PURGE, CX).evicted.purged, pages(8));
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: zeros that were read after a purge are not needed either: they are dropped again, by any reclaim that may purge;
/// if lately used, in the second round.
#[test]
fn zeros_read_after_a_purge_are_dropped_too() {
    for how in [PURGE, PURGE | Evict::TRANSFER] {
        let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
        let home = forebay(&near, &far, &world);
        let buffer = Buffer::new(&home, order(2));
        fill(&buffer, 1);
        dont_need(&buffer);
        for _ in 0..3 {
            assert_eq!(home.reclaim([&buffer], ALL, how, CX).evicted.purged, pages(4), "{how:?}");
            assert_eq!((dont_need(&buffer), world.frames_out()), (false, NONE));
            assert!(contents(&buffer).iter().all(|byte| *byte == 0));
        }
        drop(buffer);
        all_returned(&world, &near, &far);
    }
}

/// Rule: addresses are removed before the blocks leave, and the charges end.
#[test]
fn what_was_dropped_is_no_longer_charged() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let (mut slots, mut addresses, mut charges) = ([const { Slot::EMPTY }; 8], [None; 8], [None; 8]);
    let addressed = Addressed::new(&mut slots, &mut addresses).unwrap();
    let buffer = Buffer::with_slots(&home, Charged::new(addressed, &mut charges).unwrap(), Order::PAGE)
        .with_id(BufferId(3));
    let payer = core::num::NonZeroUsize::new(4).map(Charge).unwrap(); // the number plus one
    fill(&buffer, 4);
    assert_eq!(buffer.evict(pages(1), Evict::SPLIT, CX).unwrap().copied, pages(1));
    assert_eq!(world.charged(payer), pages(8));
    let _ = buffer.set_purgeable(true).unwrap();
    assert_eq!(home.reclaim([&buffer], pages(1), PURGE, Context::INTERRUPT).evicted.purged, pages(7));
    assert_eq!((world.charged(payer), world.mapped(), world.stored()), (NONE, NONE, NONE));
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: what the store lost may be dropped like anything else, and the buffer is usable again.
#[test]
fn what_was_lost_may_be_dropped() {
    let (near, store) = (near(16), Scripted::<Far, RamBlock<PAGE>>::new(far(16)));
    let home = Forebay::new(&near, &store);
    let home = &home;
    let buffer = Buffer::new(home, order(2));
    fill(&buffer, 6);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4));
    store.answer(Script { steals: true, ..Script::default() });
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    dont_need(&buffer);
    assert_eq!(buffer.evict(ALL, PURGE, CX).unwrap().why, None);
    assert!(!need(&buffer));
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
}
