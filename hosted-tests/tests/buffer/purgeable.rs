//! Contents that are not needed: a reclaim drops them before it moves anything, and their owner learns of it
//! (`ttm-semantics.md` rules 31 and 48, §5.4 j; B18, B20).

use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::{Contents, World};

const PURGE: Evict = Evict::PURGE;

fn said<P: Platform, S: BackingStore<P::Block>>(buffer: &Buffer<'_, P, S>, advice: Advice) -> Retained {
    buffer.advise(advice).unwrap()
}

/// Rule: only what is not needed is dropped, and only if the caller permits; all of it, nothing copied, nothing handed
/// over; it reads as zeros, and nobody's old bytes (B18).
#[test]
fn what_is_not_needed_is_dropped() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let home = forebay(&machine, Null, &world); // takes nothing: purging needs no store
    let [kept, dropped] = [0, 1].map(|id| {
        let buffer: Buffer<'_, _, _> = Buffer::new(&home, order(2)).with_id(BufferId(id));
        fill(&buffer, 7);
        buffer
    });
    assert_eq!(said(&dropped, Advice::DontNeed), true);
    for how in RUNGS {
        let moved = home.reclaim(&[&kept, &dropped], ALL, how - PURGE, CX).evicted.moved();
        assert_eq!(moved, NONE, "{how:?} does not permit it");
    }
    check(&dropped, 7);
    let before = world.frames_out();
    let report = home.reclaim(&[&kept, &dropped], pages(1), PURGE, CX);
    assert_eq!(
        (report.evicted.purged, report.freed()),
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

/// Rule: the answer stays until somebody writes, whoever asks and however often; and who says in time that it is needed
/// keeps it.
#[test]
fn the_answer_stays_until_somebody_writes() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let buffer: Buffer<'_, _, _> = Buffer::new(&home, order(2));
    fill(&buffer, 1);
    let _ = said(&buffer, Advice::DontNeed);
    assert_eq!(said(&buffer, Advice::WillNeed), true);
    assert_eq!(home.reclaim(&[&buffer], ALL, PURGE, CX).evicted.moved(), NONE);
    check(&buffer, 1);
    let _ = said(&buffer, Advice::DontNeed);
    assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().purged, pages(4));
    for advice in [Advice::WillNeed, Advice::DontNeed, Advice::WillNeed] {
        assert_eq!(said(&buffer, advice), false);
    }
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    assert_eq!(said(&buffer, Advice::WillNeed), false, "reading brings nothing back");
    fill(&buffer, 2);
    assert_eq!(said(&buffer, Advice::WillNeed), true);
    buffer.purge(CX).unwrap();
    assert_eq!(said(&buffer, Advice::WillNeed), true, "its owner did that, and knows");
    drop(buffer);
    all_home(&world, &near, &far);
}

/// Rule: what is stored is dropped too: a block that waits in the store goes home at once, a copy leaves room.
#[test]
fn what_is_stored_is_dropped_too() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    for (how, frees) in [(Evict::TRANSFER, 4), (Evict::COPY, 0)] {
        let buffer: Buffer<'_, _, _> = Buffer::new(&home, order(2));
        fill(&buffer, 1);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(4));
        assert_eq!(said(&buffer, Advice::DontNeed), true);
        let before = world.frames_out();
        let report = home.reclaim(&[&buffer], ALL, PURGE, CX);
        assert_eq!((report.evicted.purged, before - world.frames_out()), (pages(frees), pages(frees)));
        assert_eq!(said(&buffer, Advice::WillNeed), false);
        assert_eq!(world.stored(), NONE);
        drop(buffer);
    }
    all_home(&world, &near, &far);
}

/// Rule: it does not matter whether it was lately used; and looking for what may go takes no other buffer's second chance.
#[test]
fn lately_used_or_not() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let [hot, cold, dropped]: [Buffer<'_, _, _>; 3] = [(); 3].map(|()| Buffer::new(&home, order(2)));
    for buffer in [&hot, &cold, &dropped] {
        fill(buffer, 3);
    }
    let _ = said(&dropped, Advice::DontNeed);
    check(&dropped, 3); // lately used
    assert_eq!(
        cold.evict_if_idle(EvictRequest::new(ALL, Evict::TRANSFER, CX)).moved(),
        NONE,
        "from now on it is not lately used"
    );
    assert_eq!(home.reclaim(&[&hot, &cold, &dropped], pages(1), PURGE, CX).evicted.purged, pages(4));
    let report = home.reclaim(&[&hot, &cold, &dropped], pages(1), Evict::TRANSFER, CX);
    assert_eq!((report.evicted.transferred, cold.residency()), (pages(4), residency(0, 0, 4)));
    assert_eq!(hot.residency(), residency(4, 0, 0), "it kept its second chance");
    drop((hot, cold, dropped));
    all_home(&world, &near, &far);
}

/// Rule: after a backlog what is clean still leaves, and what is not needed is still dropped.
#[test]
fn a_backlog_keeps_neither_what_is_clean_nor_what_is_not_needed() {
    let (near, world) = (near(16), World::new(Contents::Compared));
    let store = Scripted::<Far, RamBlock<PAGE>>::new(far(16));
    let home = forebay(&near, &store, &world);
    let [dirty, clean, dropped]: [Buffer<'_, _, _>; 3] = [(); 3].map(|()| Buffer::new(&home, order(0)));
    for buffer in [&dirty, &clean, &dropped] {
        fill(buffer, 3);
    }
    assert_eq!(clean.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(1));
    check(&clean, 3);
    let _ = said(&dropped, Advice::DontNeed);
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    let evicted = home.reclaim(&[&dirty, &clean, &dropped], ALL, Evict::TRANSFER | PURGE, CX).evicted;
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
    let buffer: Buffer<'_, _, _> = Buffer::new(&home, order(2)).with_mode(Caching::Uncached);
    fill(&buffer, 4);
    let _ = said(&buffer, Advice::DontNeed);
    let guard = buffer.read().unwrap();
    assert_eq!(buffer.set_purgeable(false), Err(Busy));
    assert_eq!(home.reclaim(&[&buffer], ALL, Evict::ANY, CX).evicted.moved(), NONE);
    drop(guard);
    machine.say_no(No::Before);
    let report = home.reclaim(&[&buffer], ALL, PURGE, CX);
    assert_eq!((report.evicted.moved(), report.evicted.why), (NONE, Some(RefusalReason::Hook)));
    machine.say_no(No::Never);
    check(&buffer, 4);
    assert_eq!(said(&buffer, Advice::WillNeed), true);
    drop(buffer);
    all_home(&world, &near, &far);
}

/// Rule: where no block may go for its mode, nothing is dropped: it would free nothing.
#[test]
fn where_no_block_may_go_the_contents_stay() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let home = forebay(&machine, &far, &world);
    let buffer: Buffer<'_, _, _> =
        Buffer::new(&home, order(2)).with_mode(Caching::Uncached).with_id(BufferId(5));
    fill(&buffer, 4);
    let _ = said(&buffer, Advice::DontNeed);
    machine.say_no(No::Mode);
    for _ in 0..3 {
        let evicted = home.reclaim(&[&buffer], ALL, PURGE, CX).evicted;
        assert_eq!((evicted.purged, evicted.refused), (NONE, pages(4)), "tried once in each reclaim");
        assert_eq!(evicted.why, Some(RefusalReason::Mode(ModeRefused)));
    }
    check(&buffer, 4);
    assert_eq!(said(&buffer, Advice::DontNeed), true);
    machine.say_no(No::Never);
    assert_eq!(home.reclaim(&[&buffer], ALL, PURGE, CX).evicted.purged, pages(4));
    assert_eq!(said(&buffer, Advice::DontNeed), false);
    drop(buffer);
    all_home(&world, &near, &far);
}

/// Rule: a block that its mode keeps from going while others go stays, wiped, and is counted as refused; its contents are
/// gone all the same. It is tried once in each walk, and goes when it may.
#[test]
fn a_block_that_cannot_go_is_wiped() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let machine = Machine::new(&near);
    let hogged = leave(&near, (0..4).chain(8..12)); // two blocks, no larger one
    let home = forebay(&machine, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 2];
    let buffer = Buffer::of(&mut slots[..], &home).with_unit(order(2)).with_mode(Caching::Uncached);
    fill(&buffer, 4);
    let _ = buffer.set_purgeable(true).unwrap();
    let stuck = buffer.read().unwrap().blocks().next().unwrap().1.pfn();
    machine.say_no(No::ModeAt(stuck));
    let evicted = home.reclaim(&[&buffer], ALL, PURGE, CX).evicted;
    assert_eq!((evicted.purged, evicted.refused), (pages(4), pages(4)));
    assert_eq!(
        (evicted.why, buffer.residency()),
        (Some(RefusalReason::Mode(ModeRefused)), residency(4, 0, 0))
    );
    for _ in 0..3 {
        let evicted = home.reclaim(&[&buffer], ALL, PURGE, CX).evicted;
        assert_eq!((evicted.purged, evicted.refused), (NONE, pages(4)));
    }
    machine.say_no(No::Never);
    assert_eq!(buffer.set_purgeable(true), Ok(false));
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
    assert_eq!(home.reclaim(&[&buffer], ALL, PURGE, CX).evicted.purged, pages(8));
    drop(buffer);
    give_back(&near, hogged);
    all_home(&world, &near, &far);
}

/// Rule: zeros that somebody read after a purge are not needed either: they go again, by whatever may purge; lately used,
/// in the second round.
#[test]
fn zeros_read_after_a_purge_go_too() {
    for how in [PURGE, PURGE | Evict::TRANSFER] {
        let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
        let home = forebay(&near, &far, &world);
        let buffer: Buffer<'_, _, _> = Buffer::new(&home, order(2));
        fill(&buffer, 1);
        let _ = said(&buffer, Advice::DontNeed);
        for _ in 0..3 {
            assert_eq!(home.reclaim(&[&buffer], ALL, how, CX).evicted.purged, pages(4), "{how:?}");
            assert_eq!((said(&buffer, Advice::DontNeed), world.frames_out()), (false, NONE));
            assert!(contents(&buffer).iter().all(|byte| *byte == 0));
        }
        drop(buffer);
        all_home(&world, &near, &far);
    }
}

/// Rule: addresses go before the blocks, and nobody pays any more.
#[test]
fn nobody_pays_for_what_was_dropped() {
    let (near, far, world) = (near(16), far(16), World::new(Contents::Compared));
    let home = forebay(&near, &far, &world);
    let (mut slots, mut addresses, mut charges) = ([const { Slot::EMPTY }; 8], [None; 8], [None; 8]);
    let addressed = Addressed::new(&mut slots, &mut addresses).unwrap();
    let buffer = Buffer::of(Charged::new(addressed, &mut charges).unwrap(), &home).with_id(BufferId(3));
    let payer = Charge::new(3).unwrap();
    fill(&buffer, 4);
    assert_eq!(buffer.evict(pages(1), Evict::SPLIT, CX).unwrap().copied, pages(1));
    assert_eq!(world.charged(payer), pages(8));
    let _ = buffer.set_purgeable(true).unwrap();
    assert_eq!(home.reclaim(&[&buffer], pages(1), PURGE, Context::INTERRUPT).evicted.purged, pages(7));
    assert_eq!((world.charged(payer), world.mapped(), world.stored()), (NONE, NONE, NONE));
    drop(buffer);
    all_home(&world, &near, &far);
}

/// Rule: what the store lost may be dropped like anything else, and is of use again.
#[test]
fn what_was_lost_may_be_dropped() {
    let (near, store) = (near(16), Scripted::<Far, RamBlock<PAGE>>::new(far(16)));
    let home = Forebay::new(&near, &store);
    let home = &home;
    let buffer: Buffer<'_, _, _> = Buffer::new(home, order(2));
    fill(&buffer, 6);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4));
    store.answer(Script { steals: true, ..Script::default() });
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    let _ = said(&buffer, Advice::DontNeed);
    assert_eq!(buffer.evict(ALL, PURGE, CX).unwrap().why, None);
    assert_eq!(said(&buffer, Advice::WillNeed), false);
    assert!(contents(&buffer).iter().all(|byte| *byte == 0));
}
