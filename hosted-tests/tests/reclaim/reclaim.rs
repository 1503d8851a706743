//! The walk: a clock with a second chance over buffers of any shape, and the settling after it.

use forebay_backends::*;
use hosted_tests::kit::walkers::tiles;
use hosted_tests::kit::*;

fn resident<H: Home>(tiles: &[Buffer<H>]) -> Vec<bool> {
    tiles.iter().map(|t| t.residency().is_ok_and(|r| r.resident > NONE)).collect()
}

/// Ids of the buffers that were evicted, in order.
fn victims(log: &Log) -> Vec<usize> {
    let of = |e: &Event| if let Event::BeforeEvict(id, Ok(())) = e { Some(id.0) } else { None };
    log.take().iter().filter_map(of).collect()
}

/// Rule: one used since the hand last came by is passed over once, and only once; the hand goes on where it
/// stopped.
#[test]
fn what_was_used_lately_gets_a_second_chance() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), &far, &world);
    let tiles = tiles::<4, _>(home, order(0));
    let reclaim = || {
        log.take();
        assert_eq!(home.reclaim(&tiles, pages(1), Evict::TRANSFER, CX).evicted.transferred, pages(1));
        world.validate();
        victims(&log)
    };
    assert_eq!(reclaim(), [0], "all were used: one round passes over them, the next takes the first");
    drop(tiles[1].read().unwrap());
    assert_eq!(reclaim(), [2], "1 was used since, 2 and 3 were not");
    assert_eq!(reclaim(), [3], "the hand stands behind 2");
    drop(tiles[1].read().unwrap());
    assert_eq!(reclaim(), [1], "passed over once, then taken, though used");
    for (i, tile) in tiles.iter().enumerate() {
        check(tile, i as u8);
    }
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: no buffer is taken twice before each had its turn: the hand does not begin anew with each call.
#[test]
fn the_hand_stays_where_it_stopped() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), &far, &world);
    let tiles = tiles::<5, _>(home, order(0));
    home.reclaim(&tiles, NONE, Evict::TRANSFER, CX); // wants nothing: no hand moves
    let mut order = Vec::new();
    for _ in 0..10 {
        log.take();
        home.reclaim(&tiles, pages(1), Evict::TRANSFER, CX);
        let victim = victims(&log)[0];
        check(&tiles[victim], victim as u8);
        order.push(victim);
    }
    assert_eq!(order, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    // A hand beyond a shorter slice begins anew.
    home.reclaim(&tiles, pages(4), Evict::TRANSFER, CX);
    log.take();
    home.reclaim(&tiles[3..4], pages(1), Evict::TRANSFER, CX);
    home.reclaim(&tiles[4..], pages(1), Evict::TRANSFER, CX);
    assert_eq!(victims(&log), [4]);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: what is in use is passed over; one bad buffer does not end the walk (B19: xe's walk ended at the
/// first error).
#[test]
fn the_walk_passes_over_busy_and_bad_buffers() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
    let tiles = tiles::<4, _>(home, order(1));
    let reader = tiles[0].read().unwrap();
    let writer = tiles[2].write().unwrap();
    let report = home.reclaim(&tiles, ALL, Evict::ANY, CX);
    assert_eq!(
        (report.evicted.transferred, report.evicted.refused, report.evicted.why),
        (pages(4), NONE, None)
    );
    drop((reader, writer));
    assert_eq!(resident(&tiles), [true, false, true, false]);
    drop(tiles);

    // A buffer that the store refuses, between two that it takes.
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&near, &store, &world);
    store.answer(Script { transfer: Some(StoreError::Full), largest: order(1), ..Script::default() });
    let all = [0, 2, 1].map(|n| Buffer::new(home, order(n)));
    all.iter().for_each(|b| fill(b, 9));
    let report = home.reclaim(&all, ALL, Evict::ANY, CX);
    assert_eq!((report.evicted.copied, freed(&report)), (pages(3), pages(3)));
    assert_eq!(report.evicted.why, Some(RefusalReason::Store(StoreError::TooLarge)));
    all.iter().for_each(|b| check(b, 9));
    drop(all);
    all_returned(&world, &near, &far);
}

/// Rule: the walk ends though nothing can be evicted: two rounds, no more.
#[test]
fn the_walk_is_bounded() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(32), far(32));
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let tiles = tiles::<6, _>(home, order(0));
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    log.take();
    for _ in 0..3 {
        let report = home.reclaim(&tiles, pages(1), Evict::TRANSFER, CX);
        assert_eq!(report.evicted.moved(), NONE);
        let tries = log.count(|e| matches!(e, Event::Transfer(..)));
        assert!(tries <= 12, "{tries} tries for six blocks in two rounds");
        world.validate();
    }
    for (i, tile) in tiles.iter().enumerate() {
        check(tile, i as u8);
    }
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: at least what is wanted leaves, if the buffers have it, and less than one block more (B15: pages, not
/// blocks).
#[test]
fn what_is_wanted_is_overshot_by_less_than_a_block() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 11];
    let many = Buffer::with_slots(home, &mut slots[..], Order::PAGE); // blocks of orders 3, 1, 0
    let tiles = [0, 3, 1].map(|n| Buffer::new(home, order(n)));
    let all: [&dyn Evictable; 4] = [&tiles[0], &many, &tiles[1], &tiles[2]];
    for want in 0..=23 {
        for how in [Evict::TRANSFER, Evict::COPY] {
            tiles.iter().for_each(|t| fill(t, 1));
            fill(&many, 2);
            let report = home.reclaim(all, pages(want), how, CX);
            let moved = report.evicted.moved().get();
            assert!(moved >= want.min(22) && moved < want + 8, "{moved} of {want}");
            let copied = if how == Evict::COPY { moved } else { 0 };
            assert_eq!((freed(&report), near.unused()), (pages(copied), pages(64 - 22 + copied)));
            world.validate();
            tiles.iter().for_each(|t| check(t, 1));
            check(&many, 2);
        }
    }
    drop((tiles, many));
    all_returned(&world, &near, &far);
}

/// Rule: the store is settled once at the end of each walk, and nothing is written out by it; only `settle`
/// does that.
#[test]
fn the_store_is_settled_once_and_not_written_out() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let tiles = tiles::<4, _>(home, order(1));
    let none: [&dyn Evictable; 0] = [];
    let settles = |log: &Log| {
        let events = log.take();
        assert!(!events.iter().any(|e| matches!(e, Event::Returned(..))), "written out by a reclaim");
        let of = |e: &Event| if let Event::Settle(s) = e { Some(*s) } else { None };
        events.iter().filter_map(of).collect::<Vec<_>>()
    };
    for (want, moved, pending) in [(0, 0, 0), (3, 4, 4), (100, 4, 8), (1, 0, 8)] {
        log.take();
        let report = home.reclaim(&tiles, pages(want), Evict::TRANSFER, CX);
        let mut expected = Settled::default();
        expected.pending = pages(pending);
        assert_eq!((report.evicted.moved(), report.settled, freed(&report)), (pages(moved), expected, NONE));
        assert_eq!(settles(&log), [expected]);
    }
    let empty = home.reclaim(none, ALL, Evict::ANY, CX);
    assert_eq!((empty.evicted, empty.settled.pending), (Evicted::default(), pages(8)));
    assert_eq!(settles(&log).len(), 1);

    // Written out in pieces; nothing counts as freed before it is returned.
    assert_eq!(home.settle(ALL, Context::INTERRUPT).freed, NONE);
    let settled = home.settle(pages(3), CX);
    assert_eq!((settled.freed, settled.pending, near.unused()), (pages(2), pages(6), pages(10)));
    let settled = home.settle(ALL, CX);
    assert_eq!((settled.freed, settled.pending, near.unused()), (pages(6), NONE, pages(16)));
    assert_eq!(home.stats().settled, pages(8));
    world.validate();
    for (i, tile) in tiles.iter().enumerate() {
        check(tile, i as u8);
    }
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: a reclaim for an interrupt copies nothing, takes no memory, and allocates no frame.
#[test]
fn a_reclaim_in_an_interrupt_only_transfers() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), Traced::new(&far, &log), &world);
    let tiles = tiles::<4, _>(home, order(2));
    log.take();
    world.begin_shrink();
    let report = home.reclaim(&tiles, ALL, Evict::ANY, Context::INTERRUPT);
    assert_eq!((report.evicted.transferred, report.evicted.copied), (pages(16), NONE));
    assert_eq!(world.peak_extra(), NONE);
    let other = |e: &Event| !matches!(e, Event::Transfer(..) | Event::BeforeEvict(..) | Event::Settle(..));
    assert_eq!(log.count(other), 0);
    let hogged = leave(&near, []);
    for (i, tile) in tiles.iter().enumerate() {
        check(tile, i as u8);
    }
    give_back(&near, hogged);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: small walks go on with the same buffer, so that few are left in pieces.
#[test]
fn small_walks_go_on_with_the_same_buffer() {
    let (world, near, far) = (World::new(Contents::Compared), near(128), far(128));
    let hogged = leave(&near, (0..64).map(|n| 2 * n)); // single pages
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { [const { Slot::EMPTY }; 8] }; 8];
    let buffers: Vec<_> =
        slots.iter_mut().map(|slots| Buffer::with_slots(home, slots, Order::PAGE)).collect();
    buffers.iter().for_each(|b| fill(b, 1));
    let mut stored = vec![0; 8];
    for n in 0..20 {
        assert_eq!(freed(&home.reclaim(&buffers[..], pages(1), Evict::COPY, CX)), pages(1));
        stored[n / 8] += 1;
        let now: Vec<_> = buffers.iter().map(|b| b.residency().unwrap().stored.get()).collect();
        assert_eq!(now, stored, "after {} walks", n + 1);
    }
    buffers.iter().for_each(|b| check(b, 1));
    drop(buffers);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: what stays is counted once, though the walk comes by twice.
#[test]
fn what_stays_is_counted_once() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let home = &forebay(&near, &store, &world);
    let tiles = tiles::<3, _>(home, order(2));
    store.answer(Script { transfer: Some(StoreError::Io), ..Script::default() });
    for used in [true, false] {
        if !used {
            // Then the first round tries them already.
            tiles.iter().for_each(|t| {
                assert_eq!(t.evict_if_idle(&EvictRequest::new(NONE, Evict::TRANSFER, CX)).moved(), NONE)
            });
        }
        let report = home.reclaim(&tiles, pages(1), Evict::TRANSFER, CX);
        assert_eq!((report.evicted.moved(), report.evicted.refused), (NONE, pages(12)), "used: {used}");
    }
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: a store with a backlog is not asked for another transfer in that walk, neither for the next block nor for the
/// next buffer; the next walk asks again.
#[test]
fn a_backlog_ends_the_transfers_of_a_walk() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(32));
    let far = region::<1>(32, 0);
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let hogged = leave(&near, [0, 2, 4, 6, 8, 10]);
    let mut slots = [[const { Slot::EMPTY }; 3], [const { Slot::EMPTY }; 3]];
    let buffers: Vec<_> =
        slots.iter_mut().map(|slots| Buffer::with_slots(home, slots, Order::PAGE)).collect();
    let transfers = || {
        let of = |e: &Event| if let Event::Transfer(_, _, result) = e { Some(*result) } else { None };
        log.take().iter().filter_map(of).collect::<Vec<_>>()
    };
    let backlog = Err(StoreError::Backlog);
    buffers.iter().for_each(|b| fill(b, 1));
    let report = home.reclaim(&buffers[..], ALL, Evict::TRANSFER, CX);
    assert_eq!((report.evicted.transferred, transfers()), (pages(1), vec![Ok(()), backlog]));
    assert_eq!(report.evicted.why, Some(RefusalReason::Store(StoreError::Backlog)));
    let report = home.reclaim(&buffers[..], ALL, Evict::TRANSFER, CX);
    assert_eq!((report.evicted.moved(), transfers()), (NONE, vec![backlog]));
    home.settle(ALL, CX);
    let report = home.reclaim(&buffers[..], ALL, Evict::TRANSFER, CX);
    assert_eq!((report.evicted.moved(), transfers()), (pages(1), vec![Ok(()), backlog]));
    let report = home.reclaim(&buffers[..], ALL, Evict::TRANSFER | Evict::COPY, CX);
    assert_eq!(report.evicted.copied, pages(4), "the other methods go on");
    buffers.iter().for_each(|b| check(b, 1));
    drop(buffers);
    give_back(&near, hogged);
    world.assert_empty();
    assert_eq!((near.unused(), far.space()), (near.total(), Space { pages: far.total(), transfers: 1 }));
}

/// Rule: the walk spends nothing on a buffer that has nothing resident: no call of store or platform.
#[test]
fn a_buffer_without_blocks_costs_no_call() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for state in ["empty", "transferred", "written out", "copied", "purged"] {
        match state {
            "empty" => {}
            "purged" => buffer.purge(CX).unwrap(),
            _ => {
                fill(&buffer, 1);
                let how = if state == "copied" { Evict::COPY } else { Evict::TRANSFER };
                assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
            }
        }
        if state == "written out" {
            home.settle(ALL, CX);
        }
        log.take();
        for how in METHODS {
            for _ in 0..2 {
                assert_eq!(
                    buffer.evict_if_idle(&EvictRequest::new(ALL, how, CX)),
                    Evicted::default(),
                    "{state}"
                );
            }
            assert_eq!(buffer.discard_copies(), Ok(NONE));
            assert_eq!(home.reclaim([&buffer], ALL, how, CX).evicted, Evicted::default());
        }
        let events = log.take();
        assert!(events.iter().all(|e| matches!(e, Event::Settle(_))), "{state}: {events:?}");
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a store that says `Backlog` is not asked for another transfer in this walk, also where copies take the place of
/// the transfers.
#[test]
fn a_backlog_ends_the_transfers_of_a_walk_that_copies_too() {
    let (world, log, near) = (World::new(Contents::Compared), Log::default(), near(32));
    let far = region::<0>(32, 0);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(&far);
    let backlog = Some(StoreError::Backlog);
    store.answer(Script { transfer: backlog, with: Capabilities::TRANSFER, ..Script::default() });
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let tiles: [Buffer<_>; 4] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    tiles.iter().for_each(|t| fill(t, 1));
    let report = home.reclaim(&tiles, ALL, Evict::ANY, CX);
    assert_eq!(report.evicted.copied, pages(4));
    assert_eq!(log.count(|e| matches!(e, Event::Transfer(..))), 1, "asked again after a backlog");
}

/// A store that only says how it is.
struct Says(Settled);

impl BackingStore<RamBlock<PAGE>> for Says {
    fn ids(&self) -> StoreIds {
        StoreIds::empty()
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::WrongStore })
    }
    fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
        self.0
    }
}

/// Rule: the counters have each thing that the store said last.
#[test]
fn what_the_store_said_last_is_counted() {
    let near = near(16);
    let mut said = Settled::default();
    (said.pending, said.reclaimable, said.held) = (pages(1), pages(2), pages(3));
    let home = &Forebay::new(&near, Says(said));
    let now = |home: &Forebay<&Near, Says>| {
        let stats = home.stats();
        [stats.pending, stats.reclaimable, stats.held].map(Pages::get)
    };
    assert_eq!(now(home), [0; 3]);
    assert_eq!(home.settle(ALL, CX), said);
    assert_eq!(now(home), [1, 2, 3]);
}
