//! Caching modes of a machine that keeps one for each frame, and the hooks around an eviction.
//!
//! The machine itself panics if forebay is wrong about a frame's mode, or runs a hook twice.

use super::complete;
use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;

const WC: Caching = Caching::WriteCombined;
const MODE: AccessError = AccessError::Alloc(AllocError::ModeRefused);

/// Free pages of a source of sixteen that make a buffer of four slots three blocks, of orders 1, 0, 0.
const HOLES: [usize; 4] = [0, 1, 4, 6];

/// Rule: resident blocks are in the buffer's mode, and everything that leaves is cached. What comes back gets the mode
/// again. The mode is each block's own (B14: one divide pointer is too weak).
#[test]
fn blocks_leave_cached_and_come_back_in_their_mode() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
    let hogged = leave(&near, HOLES);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(WC);
    for how in METHODS {
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
    all_returned(&world, &near, &far);
}

/// Rule: a block whose mode can't be undone stays: in its mode, with its bytes, and the reason is reported.
#[test]
fn a_mode_that_cannot_be_undone_keeps_the_block() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, Traced::new(&far, &log), &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 1);
    let at = tile.read().unwrap().as_ptr();
    log.take();
    machine.0.hooks();
    machine.say_no(No::Mode);
    for how in METHODS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.refused), (NONE, pages(4)));
        assert_eq!(evicted.why, Some(RefusalReason::Mode(ModeRefused)));
        assert_eq!(
            (log.take(), machine.0.hooks(), machine.in_mode(WC)),
            (vec![], vec!["before", "after"], 4)
        );
        assert_eq!(tile.read().unwrap().as_ptr(), at);
        check(&tile, 1);
    }
    machine.say_no(No::Never);
    assert_eq!(tile.evict(ALL, Evict::ANY, CX).unwrap().transferred, pages(4));
    check(&tile, 1);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: zero progress changes nothing, modes included (B4: TTM's pages stay write-back in an object that
/// believes otherwise).
#[test]
fn a_refused_eviction_restores_the_mode() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&machine, &store, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 2);
    let full = Some(StoreError::Full);
    store.answer(Script { transfer: full, save: full, ..Script::default() });
    machine.0.hooks();
    for how in METHODS {
        assert_eq!(tile.evict(ALL, how, CX).unwrap().refused, pages(4));
        assert_eq!((machine.in_mode(WC), machine.0.hooks()), (4, vec!["before", "after"]));
        check(&tile, 2);
        assert_eq!(machine.0.hooks(), [""; 0], "nothing to be done for a guard");
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: where a mode can't be applied again, the next guard tries again. Nothing is lost meanwhile.
#[test]
fn a_mode_that_cannot_be_applied_again_is_tried_again() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
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
    all_returned(&world, &near, &far);
}

/// Rule: the hook after a restore is for a buffer that is resident and in its mode. So it does not run after a refused
/// eviction that could not apply the mode again, but when a guard has applied it.
#[test]
fn the_hook_waits_until_the_mode_is_back() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&machine, &store, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 4);
    machine.0.hooks();
    store.answer(Script { transfer: Some(StoreError::Full), ..Script::default() });
    machine.say_no(No::ModeTo(WC));
    assert_eq!(tile.evict(ALL, Evict::TRANSFER, CX).unwrap().refused, pages(4));
    assert_eq!(machine.in_mode(WC), 0);
    assert_eq!(machine.0.hooks(), ["before"], "the buffer is not in its mode, and mapped again");
    machine.say_no(No::Never);
    check(&tile, 4);
    assert_eq!((machine.in_mode(WC), machine.0.hooks()), (4, vec!["after"]));
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: hooks come in pairs: once before anything of a buffer moves, once when everything is resident again,
/// however many steps lie between.
#[test]
fn hooks_come_in_pairs() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
    let hogged = leave(&near, HOLES);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_id(BufferId(3));
    fill(&buffer, 5);
    assert_eq!(machine.0.hooks(), [""; 0], "nothing was mapped before the first use");
    for how in METHODS {
        for _ in 0..3 {
            buffer.evict(pages(1), how, CX).unwrap();
        }
        assert_eq!(machine.0.hooks(), ["before"]);
        complete(buffer.restore(pages(1), CX));
        buffer.evict(ALL, how, CX).unwrap();
        assert_eq!(machine.0.hooks(), [""; 0], "it is unmapped already");
        for _ in 0..5 {
            complete(buffer.restore(pages(1), CX));
        }
        assert_eq!(
            (buffer.residency().unwrap().stored, machine.0.hooks()),
            (NONE, vec![]),
            "no guard holds it yet"
        );
        check(&buffer, 5);
        assert_eq!(machine.0.hooks(), ["after"]);
        check(&buffer, 5);
        assert_eq!(machine.0.hooks(), [""; 0]);
    }
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: hooks come in pairs also where a purge comes between: what was unmapped before it is mapped again with the zeros
/// after it, and is not unmapped twice.
#[test]
fn hooks_come_in_pairs_across_a_purge() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
    let tile = Buffer::new(home, order(1));
    fill(&tile, 1);
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!(machine.0.hooks(), ["before"]);
    tile.purge(Context::THREAD).unwrap();
    fill(&tile, 2);
    assert_eq!(machine.0.hooks(), ["after"], "resident again, and still unmapped");
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    check(&tile, 2);
    assert_eq!(machine.0.hooks(), ["before", "after"]);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: a hook that answers "busy" before an eviction keeps everything as it is. The walk goes on with the next buffer.
#[test]
fn a_hook_may_keep_a_buffer() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, Traced::new(&far, &log), &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 6);
    log.take();
    machine.say_no(No::Before);
    for how in METHODS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.why), (NONE, Some(RefusalReason::Hook)));
        assert_eq!((machine.0.hooks(), log.take(), machine.in_mode(WC)), (vec![], vec![], 4));
    }
    check(&tile, 6);
    machine.say_no(No::Never);
    tile.evict(ALL, Evict::ANY, CX).unwrap();
    check(&tile, 6);
    assert_eq!(machine.0.hooks(), ["before", "after"]);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: a hook that fails after a restore refuses the guard, and the next attempt runs it again. The
/// contents are resident meanwhile, or may leave again.
#[test]
fn a_hook_may_refuse_a_guard() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&machine, &store, &world);
    let tile = Buffer::new(home, order(2)).with_mode(WC);
    fill(&tile, 7);
    for how in [Evict::TRANSFER, Evict::COPY] {
        tile.evict(ALL, how, CX).unwrap();
        machine.say_no(No::After);
        for _ in 0..2 {
            assert_eq!(
                (tile.read().err(), tile.write().err()),
                (Some(AccessError::Busy), Some(AccessError::Busy))
            );
            assert_eq!(tile.residency().unwrap().resident, pages(4));
        }
        assert_eq!(tile.evict(ALL, how, CX).unwrap().moved(), pages(4));
        assert_eq!(tile.read().err(), Some(AccessError::Busy));
        machine.say_no(No::Never);
        check(&tile, 7);
        assert_eq!(machine.0.hooks(), ["before", "after"]);
        world.validate();
    }
    // It refuses after an eviction that moved nothing: then the next guard runs it.
    fill(&tile, 7);
    machine.say_no(No::After);
    store.answer(Script { save: Some(StoreError::Full), ..Script::default() });
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().refused, pages(4));
    assert_eq!(tile.read().err(), Some(AccessError::Busy));
    machine.say_no(No::Never);
    check(&tile, 7);
    assert_eq!(machine.0.hooks(), ["before", "after"]);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: buffers of several modes share a pool, and each finds the free list of its mode: without evictions, no mode
/// changes.
#[test]
fn modes_keep_to_their_free_lists() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let platform = AllPorts(Traced::new(Machine::new(&near), &log));
    let home = &Forebay::new(with_lists::<_, 9, 3>(platform), &far);
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
        assert_eq!(log.count(|e| matches!(e, Event::SetMode(..) | Event::Free(..))), 0);
        assert_eq!(home.pool().ready(Zones::ALL), pages(6));
    }
    home.pool().trim(Zones::ALL, ALL, Context::THREAD);
    assert_eq!((near.unused(), home.pool().ready(Zones::ALL)), (near.total(), NONE));
    world.assert_empty();
}

/// Rule: a block that a drop can neither put into a free list nor make cached is leaked, and counted. With a free list it
/// is kept instead.
#[test]
fn a_drop_counts_what_it_leaks() {
    for limit in [0, 2] {
        let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
        let machine = Machine::new(&near);
        let watched = Watched::platform(&machine, &world);
        let home = &Forebay::new(with_limited_lists::<_, 9, 1>(watched, pages(limit)), &far);
        let tile = Buffer::new(home, order(1)).with_mode(WC);
        fill(&tile, 1);
        machine.say_no(No::Mode);
        drop(tile);
        let lost = pages(2 - limit);
        assert_eq!((home.stats().leaked, home.pool().ready(Zones::ALL)), (lost, pages(2) - lost));
        assert_eq!(world.frames_out(), pages(2));
        machine.say_no(No::Never);
        home.pool().trim(Zones::ALL, ALL, Context::THREAD);
        assert_eq!(world.frames_out(), lost);
    }
}

/// Rule: a purge leaks nothing: a block that can't be returned stays in its slot.
#[test]
fn a_purge_leaks_nothing() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
    let tile = Buffer::new(home, order(1)).with_mode(WC);
    fill(&tile, 1);
    machine.say_no(No::Mode);
    let _ = tile.purge(Context::THREAD);
    assert_eq!(home.stats().leaked, NONE);
    machine.say_no(No::Never);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: a purge and a drop take frames away as an eviction does: the hook runs before, once, unless it ran already. What is
/// read after a purge is mapped again, once.
#[test]
fn the_hook_runs_before_a_purge_and_a_drop() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(AllPorts(Traced::new(&machine, &log)), Traced::new(&far, &log), &world);
    let told_before = |id: BufferId| {
        let events = log.take();
        let told = events.iter().position(|e| *e == Event::BeforeEvict(id, Ok(())));
        let gone = events.iter().position(|e| matches!(e, Event::Free(..) | Event::Discard(..)));
        (machine.0.hooks(), told.zip(gone).is_some_and(|(told, gone)| told < gone))
    };
    let states = ["empty", "resident", "clean", "stored"];
    for (n, state) in states.into_iter().enumerate() {
        let bring = |n: usize| {
            let tile = Buffer::new(home, order(1)).with_mode(WC).with_id(BufferId(n));
            if state != "empty" {
                fill(&tile, 1);
            }
            if state == "clean" || state == "stored" {
                tile.evict(ALL, Evict::COPY, CX).unwrap();
            }
            if state == "clean" {
                check(&tile, 1);
            }
            machine.0.hooks();
            log.take();
            tile
        };
        let mapped = state == "resident" || state == "clean";
        let expected = if mapped { (vec!["before"], true) } else { (vec![], false) };
        let tile = bring(2 * n);
        tile.purge(CX).unwrap();
        assert_eq!(told_before(tile.id()), expected, "{state}, purged");
        tile.purge(CX).unwrap();
        assert!(contents(&tile).iter().all(|b| *b == 0));
        check_mapped(&machine, state != "empty");
        drop(tile);
        machine.0.hooks();
        let tile = bring(2 * n + 1);
        let id = tile.id();
        drop(tile);
        assert_eq!(told_before(id), expected, "{state}, dropped");
    }
    all_returned(&world, &near, &far);
}

/// Mapped again by the guard just now, once, if it was unmapped before.
#[track_caller]
fn check_mapped<P>(machine: &Machine<P>, was_unmapped: bool) {
    assert_eq!(machine.hooks(), if was_unmapped { vec!["after"] } else { vec![] });
}

/// Rule: a purge that the hook refuses changes nothing: blocks, copies, mode and bytes. (A drop can't be refused.)
#[test]
fn a_hook_may_refuse_a_purge() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(AllPorts(Traced::new(&machine, &log)), Traced::new(&far, &log), &world);
    let tile = Buffer::new(home, order(1)).with_mode(WC);
    for clean in [0, 2] {
        fill(&tile, 1);
        if clean > 0 {
            tile.evict(ALL, Evict::COPY, CX).unwrap();
            check(&tile, 1);
        }
        log.take();
        machine.say_no(No::Before);
        for _ in 0..2 {
            assert_eq!(tile.purge(CX), Err(Busy));
            assert_eq!(log.take(), [Event::BeforeEvict(BufferId(0), Err(Busy))]);
            assert_eq!((tile.residency(), machine.in_mode(WC)), (residency(2, clean, 0), 2));
            world.validate();
        }
        machine.say_no(No::Never);
        check(&tile, 1);
    }
    machine.0.hooks();
    machine.say_no(No::Before);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: evicting nothing runs no hook: neither for a budget of zero, nor where nothing is resident.
#[test]
fn no_hook_runs_for_nothing() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(16));
    let home = &forebay(AllPorts(Traced::new(Machine::new(&near), &log)), Traced::new(&far, &log), &world);
    let tile = Buffer::new(home, order(1)).with_mode(WC);
    for state in ["empty", "resident", "stored"] {
        for how in METHODS {
            log.take();
            let budget = if state == "resident" { NONE } else { ALL };
            assert_eq!(tile.evict(budget, how, CX), Ok(Evicted::default()), "{state}");
            for _ in 0..2 {
                assert_eq!(
                    tile.evict_if_idle(&EvictRequest::new(budget, how, CX)),
                    Evicted::default(),
                    "{state}"
                );
            }
            assert_eq!(log.take(), [], "{state}");
        }
        match state {
            "empty" => fill(&tile, 1),
            _ => assert!(tile.evict(ALL, Evict::COPY, CX).is_ok()),
        }
    }
    check(&tile, 1);
    drop(tile);
    all_returned(&world, &near, &far);
}

thread_local! {
    /// What happens at each save of the next test.
    static AT_SAVES: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
}

/// Rule: a split that is refused half way leaves no block in another mode, though the parts were cached for a moment:
/// neither if another context wants the buffer then, so that the walk ends there, nor where the source does not join the
/// parts.
#[test]
fn a_split_that_is_refused_leaves_every_block_in_its_mode() {
    for (joins, wanted) in [(true, false), (true, true), (false, false), (false, true)] {
        let world: &'static World = forever(World::new(Contents::Compared));
        let machine: &'static AllPorts<Machine<_>> = forever(Machine::new(StiffRam { ram: near(16), joins }));
        let log: &'static Log = forever(Log::default());
        let sink = move |e: &Event| {
            log.event(e);
            if let (Event::Save(..), Some(f)) = (e, AT_SAVES.get()) {
                f();
            }
        };
        let far = Traced::new(far_of::<Stiff>(16), sink);
        let home: &'static Forebay<_, _> = forever(forebay(machine, far, world));
        let slots = forever([const { Slot::EMPTY }; 8]);
        let buffer: &'static Buffer<_, _> =
            forever(Buffer::with_slots(home, slots, Order::PAGE).with_mode(WC));
        fill(buffer, 8);
        let want: &'static _ = forever(move || assert_eq!(buffer.write().err(), Some(AccessError::Busy)));
        if wanted {
            AT_SAVES.set(Some(want));
        }
        let evicted = buffer.evict(ALL, Evict::SPLIT, CX).unwrap();
        AT_SAVES.set(None);
        assert_eq!((evicted.moved(), evicted.splits), (NONE, 0), "{joins} {wanted}");
        assert_eq!((evicted.why, world.stored()), (Some(RefusalReason::Unsplittable), NONE));
        assert!(evicted.refused == pages(8) || wanted, "the walk ends early only where the buffer is wanted");
        assert_eq!(buffer.residency(), residency(8, 0, 0));
        if joins {
            assert_eq!(machine.in_mode(WC), 8, "the mode of before, without a guard");
        }
        check(buffer, 8);
        assert_eq!(machine.in_mode(WC), 8, "a guard over cached blocks: {joins} {wanted}");
        assert_eq!(machine.0.hooks(), ["before", "after"]);
        log.take();
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(8));
        let blocks = log.count(|e| matches!(e, Event::Transfer(..)));
        assert_eq!(blocks == 1, joins, "whole again, or in parts: {blocks} blocks");
        check(buffer, 8);
        assert_eq!(machine.in_mode(WC), 8);
        buffer.purge(CX).unwrap();
        world.assert_empty();
        assert_eq!((machine.inner.ram.unused(), machine.in_mode(WC)), (pages(16), 0));
    }
}

/// Rule: what a backlog keeps from being tried does not count as tried, also if its mode was undone already.
#[test]
fn a_backlog_in_the_middle_of_a_batch() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&machine, &store, &world);
    let hogged = leave(&near, [0, 2, 4, 6]);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(WC);
    fill(&buffer, 1);
    buffer.evict(pages(1), Evict::COPY, CX).unwrap();
    check(&buffer, 1);
    assert_eq!(buffer.residency(), residency(4, 1, 0));
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    let evicted = buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
    assert_eq!((evicted.clean, evicted.refused, evicted.backlogs), (pages(1), pages(1), 1));
    assert_eq!((evicted.why, machine.in_mode(WC)), (stay(StoreError::Backlog), 3));
    store.answer(Script::default());
    check(&buffer, 1);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

fn stay(why: StoreError) -> Option<RefusalReason> {
    Some(RefusalReason::Store(why))
}
