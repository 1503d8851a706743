//! The phases of a reclaim: what is not needed, what is clean and cold, the rest. Which buffers are looked at, which are asked
//! and how often, and which stay.

use forebay_backends::*;
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use proptest::prelude::*;

const TRANSFER: Evict = Evict::TRANSFER;
const PURGE: Evict = Evict::PURGE;

/// Resident, and the store has a copy; lately used.
pub(crate) fn make_clean<H: Home, T: Slots<Platform = H::Platform>>(tile: &Buffer<H, T>, seed: u8) {
    fill(tile, seed);
    let pages = tile.evict(ALL, Evict::COPY, CX).unwrap().copied;
    check(tile, seed);
    assert_eq!(tile.residency().unwrap().clean, pages);
}

/// From now on it is not lately used.
pub(crate) fn cool<H: Home, T: Slots<Platform = H::Platform>>(tile: &Buffer<H, T>) {
    assert_eq!(tile.evict_if_idle(&EvictRequest::new(NONE, TRANSFER, CX)), Evicted::default());
}

fn is_resident<H: Home>(tile: &Buffer<H>) -> bool {
    tile.residency().unwrap().resident > NONE
}

/// Rule: what is not needed goes before what is clean, and that before what has to be moved, wherever they are; no more
/// than is wanted.
#[test]
fn purgeable_before_clean_before_the_rest() {
    for want in 1..=3 {
        let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
        let home = &forebay(&near, &far, &world);
        let tiles = tiles::<3, _>(home, order(0));
        let [dirty, clean, unneeded] = &tiles;
        make_clean(clean, 1);
        let _ = unneeded.set_purgeable(true).unwrap();
        tiles[..2].iter().for_each(cool);
        let report = home.reclaim(&tiles, pages(want), Evict::ANY, CX);
        let Evicted { purged, clean: was_clean, transferred, refused, .. } = report.evicted;
        let expected = [want.min(1), (want - 1).min(1), want.saturating_sub(2)].map(pages);
        assert_eq!([purged, was_clean, transferred], expected);
        assert_eq!((refused, report.gained, report.outcome), (NONE, pages(want), Outcome::Reached));
        assert_eq!([dirty, clean].map(is_resident), [want < 3, want < 2]);
        world.validate();
        check(dirty, 0);
        check(clean, 1);
        drop(tiles);
        all_returned(&world, &near, &far);
    }
}

/// Rule: what is clean and was lately used stays while there is something else, and the look costs it no second chance,
/// however often it is looked at.
#[test]
fn clean_and_lately_used_keeps_its_second_chance() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<2, _>(home, order(0));
    let [dirty, clean] = &tiles;
    make_clean(clean, 1);
    for round in 0..5 {
        fill(dirty, round);
        cool(dirty);
        let report = home.reclaim(&tiles, pages(1), TRANSFER, CX);
        assert_eq!((report.evicted.transferred, report.evicted.clean), (pages(1), NONE), "round {round}");
        assert!(is_resident(clean), "round {round}");
        check(dirty, round);
    }
    cool(clean);
    assert_eq!(
        home.reclaim(&tiles, pages(1), TRANSFER, CX).evicted.clean,
        pages(1),
        "cold, so it goes first"
    );
    check(clean, 1);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: the phase for clean ones looks at 32 and no more, and the next one goes on behind them. What was used keeps its second
/// chance in it. In two lists it is the same, wherever the second begins.
#[test]
fn the_clean_pass_looks_at_a_few_and_goes_on() {
    for second in [0, 20, 31, 32, 33, 100] {
        let (world, near, far) = (World::new(Contents::Ignored), near(128), far(128));
        let home = &forebay(&near, &far, &world);
        let tiles = tiles::<100, _>(home, order(0));
        for (i, tile) in tiles.iter().enumerate() {
            make_clean(tile, i as u8);
        }
        let both = tiles.split_at(second);
        let gone = || (0..100).filter(|i| !is_resident(&tiles[*i])).collect::<Vec<_>>();
        assert_eq!(home.reclaim(both, pages(1), TRANSFER, CX).evicted.clean, pages(1));
        assert_eq!(gone(), [0], "all were used: one round of the last phase, and the first");
        assert_eq!(home.reclaim(both, pages(1), TRANSFER, CX).evicted.clean, pages(1));
        assert_eq!(gone(), [0, 32], "it is cold now");
        for (i, tile) in tiles.iter().enumerate() {
            check(tile, i as u8);
        }
        drop(tiles);
        world.assert_empty();
    }
}

/// Rule: a hook that refuses is asked in each reclaim, whichever phases there are and whatever they may do, and by no more than
/// every second look: so once, and where a phase before the last one asks, twice.
#[test]
fn a_hook_that_refuses_is_asked_once() {
    for how in (0..16).map(Evict::from_bits_truncate) {
        let (world, log) = (World::new(Contents::Compared), Log::default());
        let (near, far) = (near(32), far(32));
        let machine = Machine::new(&near);
        let home = &forebay(AllPorts(Traced::new(&machine, &log)), &far, &world);
        let tiles = tiles::<4, _>(home, order(1));
        for i in [1, 3] {
            make_clean(&tiles[i], i as u8);
        }
        for i in [2, 3] {
            let _ = tiles[i].set_purgeable(true).unwrap();
        }
        let asked = match how {
            PURGE => vec![2, 3],
            _ if how.is_empty() => vec![1, 3],
            _ => vec![0, 1, 2, 3],
        };
        machine.say_no(No::Before);
        for round in 0..4 {
            if round == 2 {
                machine.say_no(No::Never);
                (0..4).for_each(|i| check(&tiles[i], i as u8));
                machine.say_no(No::Before);
            }
            log.take();
            let report = home.reclaim(&tiles, ALL, how, CX);
            assert_eq!((report.gained, report.outcome), (NONE, Outcome::Nothing));
            assert_eq!(report.evicted.why, Some(RefusalReason::Hook));
            let of = |e: &Event| if let Event::BeforeEvict(id, Err(Busy)) = e { Some(id.0) } else { None };
            let refused: Vec<_> = log.take().iter().filter_map(of).collect();
            for i in 0..4 {
                let times = refused.iter().filter(|id| **id == i).count();
                let most = if i == 0 || how == PURGE { 1 } else { 2 };
                let expected = if asked.contains(&i) { 1..=most } else { 0..=0 };
                assert!(expected.contains(&times), "{how:?} {round}: {refused:?}");
            }
        }
        machine.say_no(No::Never);
        (0..4).for_each(|i| check(&tiles[i], i as u8));
        drop(tiles);
        all_returned(&world, &near, &far);
    }
}

/// Rule: what is wanted is overshot by less than a block, also by the phase for what is clean.
#[test]
fn clean_blocks_are_overshot_by_less_than_one() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 11];
    let many = Buffer::with_slots(home, &mut slots[..], Order::PAGE); // blocks of orders 3, 1, 0
    let tiles: [Buffer<_>; 2] = [0, 1].map(|n| Buffer::new(home, order(n)));
    let all: [&dyn Evictable; 3] = [&tiles[0], &many, &tiles[1]];
    for want in 0..=15 {
        for tile in &tiles {
            make_clean(tile, 1);
            cool(tile);
        }
        make_clean(&many, 2);
        cool(&many);
        let report = home.reclaim(all, pages(want), TRANSFER, CX);
        let moved = report.evicted.moved().get();
        assert_eq!(report.evicted.clean.get(), moved);
        assert!(moved >= want.min(14) && moved < want + 8, "{moved} of {want}");
        assert_eq!((report.gained, report.outcome == Outcome::Reached), (pages(moved), want <= 14));
        world.validate();
        tiles.iter().for_each(|t| check(t, 1));
        check(&many, 2);
    }
    drop((tiles, many));
    all_returned(&world, &near, &far);
}

/// Rule: what one buffer gave is not asked of the next one again: of buffers of single pages no more leave than are wanted.
#[test]
fn single_pages_are_not_overshot() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay(&near, &far, &world);
    let hogged = leave(&near, (0..12).map(|n| 2 * n));
    let mut slots = [const { [const { Slot::EMPTY }; 4] }; 3];
    let buffers: Vec<_> =
        slots.iter_mut().map(|slots| Buffer::with_slots(home, slots, Order::PAGE)).collect();
    for (want, how) in
        (0..=12).flat_map(|want| [(want, TRANSFER), (want, Evict::COPY), (want, Evict::empty())])
    {
        for buffer in &buffers {
            match how.is_empty() {
                true => make_clean(buffer, 3),
                false => fill(buffer, 3),
            }
            cool(buffer);
        }
        let report = home.reclaim(&buffers[..], pages(want), how, CX);
        assert_eq!((report.gained, report.outcome), (pages(want), Outcome::Reached), "{how:?}");
        buffers.iter().for_each(|b| check(b, 3));
    }
    drop(buffers);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: what is dirty is not refused by the phase for what is clean: it leaves after that, by the same reclaim.
#[test]
fn what_is_clean_in_part_leaves_as_a_whole() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let hogged = leave(&near, [0, 2, 4, 6]); // single pages
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 8);
    assert_eq!(buffer.evict(pages(2), Evict::COPY, CX).unwrap().copied, pages(2));
    let restored = buffer.restore(ALL, CX);
    assert_eq!((restored.loaded, restored.why), (pages(2), None));
    assert_eq!(buffer.residency(), residency(4, 2, 0));
    cool(&buffer);
    let Report { evicted, gained, .. } = home.reclaim([&buffer], ALL, TRANSFER, CX);
    assert_eq!((evicted.clean, evicted.transferred, gained), (pages(2), pages(2), pages(4)));
    assert_eq!((evicted.why, evicted.refused), (None, NONE));
    check(&buffer, 8);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: a purge drops whole buffers, one after the other, and no other one once enough is gone.
#[test]
fn purges_end_when_enough_is_gone() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<4, _>(home, order(2));
    for want in [1, 4, 5, 8, 9, 100] {
        for (i, tile) in tiles.iter().enumerate() {
            fill(tile, i as u8);
            let _ = tile.set_purgeable(true).unwrap();
        }
        let report = home.reclaim(&tiles, pages(want), PURGE, CX);
        assert_eq!(report.gained.get(), want.next_multiple_of(4).min(16));
        assert_eq!(report.outcome, if want > 16 { Outcome::Short } else { Outcome::Reached });
        world.validate();
    }
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: a phase that looks for what is not needed, or for what is clean, holds no other buffer, so that no context is told
/// `Busy` for it: it does not even take the lock of another.
#[test]
fn a_walk_for_others_holds_no_buffer() {
    let (near, far) = (near(64), far(64));
    let home = &Forebay::new(LoudRam(&near), &far);
    let tiles = tiles::<9, _>(home, order(0));
    for how in [PURGE, Evict::empty()] {
        let (_, empty) = sections(|| home.reclaim(&tiles[..0], ALL, how, CX));
        let (report, taken) = sections(|| home.reclaim(&tiles, ALL, how, CX));
        assert_eq!(report.evicted, Evicted::default());
        assert_eq!(taken, empty, "{how:?}");
    }
}

/// Rule: a reclaim that is told nothing but to purge, or finds enough that is not needed, takes no second chance.
#[test]
fn purges_take_no_second_chance() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<3, _>(home, order(0));
    let [hot, unneeded, cold] = &tiles;
    cool(cold);
    for how in [PURGE, Evict::ANY] {
        fill(unneeded, 4);
        let _ = unneeded.set_purgeable(true).unwrap();
        assert_eq!(home.reclaim(&tiles, pages(1), how, CX).evicted.purged, pages(1));
    }
    assert_eq!(home.reclaim(&tiles, pages(1), TRANSFER, CX).evicted.transferred, pages(1));
    assert_eq!([hot, cold].map(is_resident), [true, false]);
    check(hot, 0);
    check(cold, 2);
    drop(tiles);
    all_returned(&world, &near, &far);
}

const COUNT: usize = 6;

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: no starvation: a buffer that is not used leaves within a bounded number of reclaims, whatever is done to others,
    /// with an index and without.
    #[test]
    fn an_idle_buffer_leaves_in_bounded_time(
        idle in 0..COUNT,
        idle_clean: bool,
        listed: bool,
        rounds in proptest::collection::vec((0_u8..64, 0_u8..64), 1..12),
    ) {
        let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
        let home = &forebay(&near, &far, &world);
        let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(COUNT)]);
        let buffers: [Buffer<_, _>; COUNT] = std::array::from_fn(|i| {
            Buffer::with_slots(home, index.indexed(i, [Slot::EMPTY]).unwrap(), Order::PAGE)
        });
        let how = Evict::TRANSFER | Evict::COPY;
        let reclaim = || match listed {
            true => home.reclaim(index.candidates(&buffers), pages(1), how, CX),
            false => home.reclaim(&buffers, pages(1), how, CX),
        };
        fill(&buffers[idle], idle as u8);
        if idle_clean {
            buffers[idle].evict(ALL, Evict::COPY, CX).unwrap();
            check(&buffers[idle], idle as u8);
        }
        let mut left = false;
        for n in 0..2 * COUNT * (COUNT + 1) {
            let (written, read) = rounds[n % rounds.len()];
            for i in (0..COUNT).filter(|i| *i != idle) {
                if written & (1 << i) != 0 {
                    fill(&buffers[i], i as u8);
                } else if read & (1 << i) != 0 {
                    let _ = contents(&buffers[i]);
                }
            }
            reclaim();
            home.settle(ALL, CX);
            world.validate();
            left = buffers[idle].residency().unwrap().resident == NONE;
            if left {
                break;
            }
        }
        let others = (0..COUNT).filter(|i| *i != idle).any(|i| buffers[i].residency().unwrap().resident > NONE);
        prop_assert!(left, "it stayed, and others left (others are here: {others})");
        check(&buffers[idle], idle as u8);
        drop(buffers);
        all_returned(&world, &near, &far);
    }
}
