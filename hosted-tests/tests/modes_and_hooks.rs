//! Caching modes of a machine that keeps one for each frame, and the hooks around an eviction.
//!
//! The machine itself panics if forebay is wrong about a frame's mode, or runs a hook twice.

mod common;
use common::*;
use forebay::*;
use forebay_backends::*;
use hosted_tests::{Contents, World};

const WC: Caching = Caching::WriteCombined;
const MODE: PinError = PinError::Take(TakeError::ModeRefused);

/// Free pages of a source of sixteen that make a buffer of four slots three blocks, of orders 1, 0, 0.
const HOLES: [usize; 4] = [0, 1, 4, 6];

/// Rule: resident blocks are in the buffer's mode, everything that leaves is plain; and it comes back into
/// its mode. The mode is each block's own (B14: one divide pointer is too weak).
#[test]
fn blocks_leave_plain_and_come_back_in_their_mode() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, &far, &world);
    let hogged = leave(&near, HOLES);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::over(&mut slots, home).with_mode(WC);
    for how in RUNGS {
        fill(&buffer, 1);
        assert_eq!((machine.in_mode(WC), machine.in_mode(Caching::Uncached)), (4, 0));
        buffer.evict(pages(1), how, CX).unwrap();
        let left = buffer.residency().unwrap().stored.get();
        assert_eq!(machine.in_mode(WC), if how == Evict::SPLIT { 2 } else { 4 - left });
        buffer.evict(ALL, how, CX).unwrap();
        assert_eq!(machine.in_mode(WC), 0);
        home.settle(ALL, CX);
        world.validate();
        check(&buffer, 1);
        assert_eq!(machine.in_mode(WC), 4);
    }
    drop(buffer);
    assert_eq!(machine.in_mode(WC), 0);
    give_back(&near, hogged);
    all_home(&world, &near, &far);
}

/// Rule: a block whose mode can't be undone stays: in its mode, with its bytes, and the reason is said.
#[test]
fn a_mode_that_cannot_be_undone_keeps_the_block() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, Traced::new(&far, &log), &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 1);
    let at = tile.read().unwrap().as_ptr();
    log.take();
    machine.hooks();
    machine.say_no(No::Mode);
    for how in RUNGS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.refused), (NONE, pages(4)));
        assert_eq!(evicted.why, Some(StayReason::Mode(ModeRefused)));
        assert_eq!((log.take(), machine.hooks(), machine.in_mode(WC)), (vec![], vec!["before", "after"], 4));
        assert_eq!(tile.read().unwrap().as_ptr(), at);
        check(&tile, 1);
    }
    machine.say_no(No::Never);
    assert_eq!(tile.evict(ALL, Evict::LADDER, CX).unwrap().handed_over, pages(4));
    check(&tile, 1);
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: zero progress changes nothing, modes included (B4: TTM's pages stay write-back in an object that
/// believes otherwise).
#[test]
fn a_refused_eviction_restores_the_mode() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home: &Forebay<_, _> = &forebay(&machine, &store, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 2);
    let full = Some(StoreError::Full);
    store.answer(Script { transfer: full, save: full, ..Script::default() });
    machine.hooks();
    for how in RUNGS {
        assert_eq!(tile.evict(ALL, how, CX).unwrap().refused, pages(4));
        assert_eq!((machine.in_mode(WC), machine.hooks()), (4, vec!["before", "after"]));
        check(&tile, 2);
        assert_eq!(machine.hooks(), [""; 0], "nothing to be done for a guard");
    }
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: a mode that can't be applied again makes the next guard try again; nothing is lost meanwhile.
#[test]
fn a_mode_that_cannot_be_applied_again_is_tried_again() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, &far, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    for how in [Evict::TRANSFER, Evict::COPY] {
        fill(&tile, 3);
        tile.evict(ALL, how, CX).unwrap();
        machine.say_no(No::ModeTo(WC));
        for _ in 0..2 {
            assert_eq!((tile.read().err(), tile.write().err()), (Some(MODE), Some(MODE)));
            let there = tile.residency().unwrap();
            assert_eq!((there.resident + there.stored, machine.in_mode(WC)), (pages(4), 0));
            world.validate();
        }
        // It may also leave again as it is.
        assert_eq!(tile.evict(ALL, how, CX).unwrap().refused, NONE);
        assert_eq!(tile.read().err(), Some(MODE));
        machine.say_no(No::Never);
        check(&tile, 3);
        assert_eq!(machine.in_mode(WC), 4);
    }
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: the hook after a restore is for a buffer that is whole and in its mode; so it does not run after a
/// refused eviction that could not put the mode back, but when a guard has put it back.
#[test]
fn the_hook_waits_until_the_mode_is_back() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home: &Forebay<_, _> = &forebay(&machine, &store, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 4);
    machine.hooks();
    store.answer(Script { transfer: Some(StoreError::Full), ..Script::default() });
    machine.say_no(No::ModeTo(WC));
    assert_eq!(tile.evict(ALL, Evict::TRANSFER, CX).unwrap().refused, pages(4));
    assert_eq!(machine.in_mode(WC), 0);
    assert_eq!(machine.hooks(), ["before"], "the buffer is not in its mode, and mapped again");
    machine.say_no(No::Never);
    check(&tile, 4);
    assert_eq!((machine.in_mode(WC), machine.hooks()), (4, vec!["after"]));
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: hooks come in pairs: once before anything of a buffer moves, once when everything is resident again,
/// however many steps lie between.
#[test]
fn hooks_come_in_pairs() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, &far, &world);
    let hogged = leave(&near, HOLES);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::over(&mut slots, home).with_id(BufferId(3));
    fill(&buffer, 5);
    assert_eq!(machine.hooks(), [""; 0], "nothing was mapped before the first use");
    for how in RUNGS {
        for _ in 0..3 {
            buffer.evict(pages(1), how, CX).unwrap();
        }
        assert_eq!(machine.hooks(), ["before"]);
        buffer.restore(pages(1), CX).into_result().unwrap();
        buffer.evict(ALL, how, CX).unwrap();
        assert_eq!(machine.hooks(), [""; 0], "it is unmapped already");
        for _ in 0..5 {
            buffer.restore(pages(1), CX).into_result().unwrap();
        }
        assert_eq!(
            (buffer.residency().unwrap().stored, machine.hooks()),
            (NONE, vec![]),
            "nobody holds it yet"
        );
        check(&buffer, 5);
        assert_eq!(machine.hooks(), ["after"]);
        check(&buffer, 5);
        assert_eq!(machine.hooks(), [""; 0]);
    }
    drop(buffer);
    give_back(&near, hogged);
    all_home(&world, &near, &far);
}

/// Rule: hooks come in pairs also where a purge comes between: what was unmapped before it is mapped again
/// with the zeros after it, and is not unmapped twice.
#[test]
fn hooks_come_in_pairs_across_a_purge() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, &far, &world);
    let tile = Buffer::new(home, order(1));
    fill(&tile, 1);
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!(machine.hooks(), ["before"]);
    tile.purge(Context::THREAD).unwrap();
    fill(&tile, 2);
    assert_eq!(machine.hooks(), ["after"], "resident again, and still unmapped");
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    check(&tile, 2);
    assert_eq!(machine.hooks(), ["before", "after"]);
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: a hook that says "busy" before an eviction keeps everything as it is; the walk goes on with the next
/// buffer.
#[test]
fn a_hook_may_keep_a_buffer() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, Traced::new(&far, &log), &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 6);
    log.take();
    machine.say_no(No::Before);
    for how in RUNGS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.why), (NONE, Some(StayReason::Hook)));
        assert_eq!((machine.hooks(), log.take(), machine.in_mode(WC)), (vec![], vec![], 4));
    }
    check(&tile, 6);
    machine.say_no(No::Never);
    tile.evict(ALL, Evict::LADDER, CX).unwrap();
    check(&tile, 6);
    assert_eq!(machine.hooks(), ["before", "after"]);
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: a hook that fails after a restore refuses the guard, and the next attempt runs it again. The
/// contents are resident meanwhile, or may leave again.
#[test]
fn a_hook_may_refuse_a_guard() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home: &Forebay<_, _> = &forebay(&machine, &store, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 7);
    for how in [Evict::TRANSFER, Evict::COPY] {
        tile.evict(ALL, how, CX).unwrap();
        machine.say_no(No::After);
        for _ in 0..2 {
            assert_eq!((tile.read().err(), tile.write().err()), (Some(PinError::Busy), Some(PinError::Busy)));
            assert_eq!(tile.residency().unwrap().resident, pages(4));
        }
        assert_eq!(tile.evict(ALL, how, CX).unwrap().moved(), pages(4));
        assert_eq!(tile.read().err(), Some(PinError::Busy));
        machine.say_no(No::Never);
        check(&tile, 7);
        assert_eq!(machine.hooks(), ["before", "after"]);
        world.validate();
    }
    // It refuses after an eviction that moved nothing: then the next guard runs it.
    fill(&tile, 7);
    machine.say_no(No::After);
    store.answer(Script { save: Some(StoreError::Full), ..Script::default() });
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().refused, pages(4));
    assert_eq!(tile.read().err(), Some(PinError::Busy));
    machine.say_no(No::Never);
    check(&tile, 7);
    assert_eq!(machine.hooks(), ["before", "after"]);
    drop(tile);
    all_home(&world, &near, &far);
}

/// Rule: buffers of several modes share a pool, and each finds the shelf of its own: evictions apart, no mode
/// changes.
#[test]
fn modes_keep_to_their_shelves() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let home = Forebay::<_, _, [Place<_>; 27]>::new(Traced::new(Machine::new(&near), &log), &far, 3);
    let home: &Forebay<_, _> = &home;
    for round in 0..3 {
        let id = |m: Caching| BufferId(3 * round + m.index()); // a machine knows each buffer by its own number
        let all = [Caching::WriteBack, WC, Caching::Uncached]
            .map(|m| Buffer::new(home, order(1)).with_mode(m).with_id(id(m)));
        log.take();
        all.iter().for_each(|b| fill(b, 1));
        let changes = log.count(|e| matches!(e, Event::SetMode(..) | Event::Allocate(..)));
        assert_eq!(changes, if round == 0 { 3 + 2 } else { 0 });
        all.iter().for_each(|b| check(b, 1));
        all.iter().for_each(|b| b.purge(Context::THREAD).unwrap());
        assert_eq!(log.count(|e| matches!(e, Event::SetMode(..) | Event::Release(..))), 0);
        assert_eq!(home.pool().ready(), pages(6));
    }
    home.pool().trim(ALL, Context::THREAD);
    assert_eq!((near.free(), home.pool().ready()), (near.total(), NONE));
    world.assert_empty();
}

/// Rule: what a drop can neither shelve nor make plain is lost, and counted; with a shelf it is kept instead.
#[test]
fn a_drop_says_what_it_strands() {
    for depth in [0, 1] {
        let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
        let machine = Machine::new(&near);
        let watched = hosted_tests::Watched::new(&machine, &world);
        let home: &Forebay<_, _> = &Forebay::<_, _, [Place<_>; 9]>::new(watched, &far, depth);
        let tile = Buffer::new(home, order(1)).with_mode(WC);
        fill(&tile, 1);
        machine.say_no(No::Mode);
        drop(tile);
        let lost = pages(if depth == 0 { 2 } else { 0 });
        assert_eq!((home.stats().stranded, home.pool().ready()), (lost, pages(2) - lost));
        assert_eq!(world.frames_out(), pages(2));
        machine.say_no(No::Never);
        home.pool().trim(ALL, Context::THREAD);
        assert_eq!(world.frames_out(), lost);
    }
}

/// Rule: a purge reports success only if nothing was stranded by it: it has the slots to keep a block in.
#[test]
fn a_purge_strands_nothing() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home: &Forebay<_, _> = &forebay(&machine, &far, &world);
    let tile = Buffer::new(home, order(1)).with_mode(WC);
    fill(&tile, 1);
    machine.say_no(No::Mode);
    let _ = tile.purge(Context::THREAD);
    assert_eq!(home.stats().stranded, NONE);
    machine.say_no(No::Never);
    drop(tile);
    all_home(&world, &near, &far);
}
