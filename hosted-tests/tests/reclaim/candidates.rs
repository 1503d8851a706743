//! What a reclaim may be given: lists of every kind, several lists together, lists with a hand of their own.

use forebay_backends::{RamBuffer, RamForebay};
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

const TRANSFER: Evict = Evict::TRANSFER;

/// Checks that these pages leave, that nothing is refused, and that a second reclaim finds nothing.
#[track_caller]
fn all_leave<P: Platform, S: BackingStore<P::Block>>(
    home: &Forebay<P, S>,
    list: impl Candidates,
    expected: usize,
) {
    for moved in [expected, 0] {
        let report = home.reclaim(&list, ALL, Evict::COPY, CX);
        assert_eq!((report.evicted.moved(), report.evicted.refused), (pages(moved), NONE));
        assert_eq!(report.outcome, if moved > 0 { Outcome::Short } else { Outcome::Nothing });
    }
}

/// Rule: a slice, an array, a vector, each of buffers, of references or other pointers to them, and of buffers of unnamed types,
/// is a list of candidates; also by reference, and if it is empty.
#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "a reference to a list is a list")]
fn lists_of_every_kind() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<3, _>(home, order(1));
    let check_again = |expected| {
        assert_eq!(tiles.iter().map(|tile| tile.residency().unwrap().stored).sum::<Pages>(), pages(expected));
        check_all(&tiles);
        world.validate();
    };
    all_leave(home, &tiles, 6);
    check_again(6);
    all_leave(home, &&tiles, 6);
    check_again(6);
    all_leave(home, &tiles[1..], 4);
    check_again(4);
    all_leave(home, std::slice::from_ref(&tiles[2]), 2);
    check_again(2);
    all_leave(home, [&tiles[0], &tiles[2]], 4);
    check_again(4);
    all_leave(home, [&&tiles[0], &&tiles[2]], 4);
    check_again(4);
    all_leave(home, tiles.iter().collect::<Vec<_>>(), 6);
    check_again(6);
    all_leave(home, &tiles.iter().collect::<Vec<_>>()[..2], 4);
    check_again(4);
    let unnamed: [&(dyn Evictable + Sync); 2] = [&tiles[0], &tiles[1]];
    all_leave(home, unnamed, 4);
    check_again(4);
    all_leave(home, &unnamed[1..], 2);
    check_again(2);
    all_leave(home, tiles.iter().map(|tile| Box::new(tile) as Box<dyn Evictable>).collect::<Vec<_>>(), 6);
    check_again(6);
    all_leave(home, &tiles as &dyn Candidates, 6);
    check_again(6);
    all_leave(home, (&tiles,), 6);
    check_again(6);
    all_leave(home, Clock::new(&tiles), 6);
    check_again(6);
    all_leave(home, &Clock::new(&tiles[..2]), 4);
    check_again(4);

    let empty = [&tiles[..0], &[]];
    empty.into_iter().for_each(|empty| all_leave(home, empty, 0));
    all_leave(home, &unnamed[..0], 0);
    all_leave(home, [] as [&dyn Evictable; 0], 0);
    all_leave(home, Vec::<&dyn Evictable>::new(), 0);
    all_leave(home, (&tiles[..0], &unnamed[..0]), 0);
    all_leave(home, Clock::new(&tiles[..0]), 0);
    check_again(0);

    let tiles = tiles.map(Arc::new);
    all_leave(home, &tiles, 6);
    let tiles = tiles.map(|tile| Arc::into_inner(tile).unwrap());
    check_all(&tiles);
    let tiles = tiles.map(Rc::new);
    all_leave(home, &tiles[..], 6);
    let tiles = Vec::from(tiles.map(|tile| Rc::into_inner(tile).unwrap()));
    check_all(&tiles);
    all_leave(home, &tiles, 6);
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// What the parts find together is what one list of all of them finds, wherever it begins and ends.
#[track_caller]
fn finds_the_same(list: impl Candidates, flat: &[&dyn Evictable]) {
    let len = flat.len();
    assert_eq!(list.candidate_count(), len);
    for class in [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE] {
        for range in (0..=len).flat_map(|start| (start..=len).map(move |end| start..end)) {
            let (found, expected) =
                (list.find_candidate(class, range.clone()), flat.find_candidate(class, range.clone()));
            assert_eq!(found, expected, "{class:?} in {range:?} of {len}");
        }
    }
}

/// Rule: a tuple of up to eight lists is one list, whatever the types of their buffers; so is a tuple of tuples. Lists of it
/// may be empty.
#[test]
fn tuples_of_lists() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
    let shared = Arc::new(forebay(&near, &far, &world));
    let home = &*shared;
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(2)]);
    let (page, empty) = (Order::PAGE, || Slot::EMPTY);
    let [one, two] = [0, 1].map(|_| Buffer::new(home, page));
    let a = [Buffer::new(home, order(1))];
    let b = [(); 2].map(|()| Buffer::<_, [Slot<_>; 3]>::inline(home, page));
    let c = [(); 3].map(|()| Buffer::with_slots(home, vec![empty(), empty()], page));
    let d = [(); 0].map(|()| Buffer::<_, [Slot<_>; 5]>::inline(home, page));
    let e = Vec::from([(); 2].map(|()| Buffer::with_slots(home, vec![empty()].into_boxed_slice(), page)));
    let f: [&(dyn Evictable + Sync); 2] = [&one, &two];
    let g = [(); 2].map(|()| Buffer::new(Arc::clone(&shared), page));
    let h =
        [0, 1].map(|i| Buffer::with_slots(Arc::clone(&shared), index.indexed(i, [empty()]).unwrap(), page));
    macro_rules! each {
        ($do:ident($seed:expr)) => {
            a.iter().for_each(|buffer| $do(buffer, $seed));
            b.iter().for_each(|buffer| $do(buffer, $seed));
            c.iter().for_each(|buffer| $do(buffer, $seed));
            e.iter().for_each(|buffer| $do(buffer, $seed));
            g.iter().for_each(|buffer| $do(buffer, $seed));
            h.iter().for_each(|buffer| $do(buffer, $seed));
            [&one, &two].iter().for_each(|buffer| $do(buffer, $seed));
        };
    }
    let mut flat: Vec<&dyn Evictable> = Vec::new();
    let mut ends = vec![];
    macro_rules! lists {
        ($($list:ident)*) => {
            $(
                flat.extend($list.iter().map(|buffer| buffer as &dyn Evictable));
                ends.push(flat.len());
            )*
        };
    }
    lists!(a b c d e f g h);
    each!(fill(3));

    // Some of each class, and some of none.
    b[1].evict(ALL, Evict::COPY, CX).unwrap();
    c[0].evict(ALL, Evict::COPY, CX).unwrap();
    check(&c[0], 3);
    e[1].purge(CX).unwrap();
    let _ = (c[2].set_purgeable(true), h[0].set_purgeable(true), a[0].set_purgeable(true));
    for list in [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE] {
        let count = flat.iter().filter(|buffer| buffer.class().contains(list)).count();
        assert!((1..flat.len()).contains(&count), "{list:?}");
    }
    finds_the_same((&a, &b), &flat[..ends[1]]);
    finds_the_same((&a, &b, &c), &flat[..ends[2]]);
    finds_the_same((&a, &b, &c, &d), &flat[..ends[3]]);
    finds_the_same((&a, &b, &c, &d, &e), &flat[..ends[4]]);
    finds_the_same((&a, &b, &c, &d, &e, &f), &flat[..ends[5]]);
    finds_the_same((&a, &b, &c, &d, &e, &f, &g), &flat[..ends[6]]);
    finds_the_same((&a, &b, &c, &d, &e, &f, &g, &h), &flat);
    finds_the_same(((&a, (&b, &c)), &d, (&e[..], (&f,), &(&g, &h))), &flat);
    finds_the_same((&d, (&d, &d), &a, (&d, &b), &d), &flat[..ends[1]]);
    finds_the_same(Clock::new((&a, Clock::new(&b))), &flat[..ends[1]]);
    for (i, buffer) in [&c[2] as &dyn Evictable, &a[0], &h[0]].into_iter().enumerate() {
        assert!(buffer.class().contains(Class::PURGEABLE), "{i}");
    }

    // And what they find leaves.
    let _ = (c[2].set_purgeable(false), h[0].set_purgeable(false), a[0].set_purgeable(false));
    let refill = || {
        each!(fill(4));
        world.validate();
    };
    refill();
    all_leave(home, (&a, &b), 8);
    refill();
    all_leave(home, (&a, &b, &c), 14);
    refill();
    all_leave(home, (&a, &b, &c, &d), 14);
    refill();
    all_leave(home, (&a, &b, &c, &d, &e), 16);
    refill();
    all_leave(home, (&a, &b, &c, &d, &e, &f), 18);
    refill();
    all_leave(home, (&a, &b, &c, &d, &e, &f, &g), 20);
    refill();
    all_leave(home, (&a, &b, &c, &d, &e, &f, &g, &h), 22);
    each!(check(4));
    all_leave(home, ((&h, (&g, &f)), &d, (&e[..], (&c,), &(&b, &a))), 22);
    each!(check(4));
    drop((a, b, c, d, e, g, h));
    drop((one, two));
    all_returned(&world, &near, &far);
}

static HOME: RamForebay<CriticalSectionRawMutex, PAGE, 4> = RamForebay::new();
static TILE: RamBuffer<CriticalSectionRawMutex, PAGE, 4> = HOME.buffer::<{ 2 * PAGE }>();
static AUDIO: Buffer<&RamForebay<CriticalSectionRawMutex, PAGE, 4>, [Slot<Fast>; 3]> =
    Buffer::inline(&HOME, Order::PAGE);
static BOTH: [&(dyn Evictable + Sync); 2] = [&TILE, &AUDIO];
static TURNS: Clock<&[&(dyn Evictable + Sync)]> = Clock::new(&BOTH);
type Fast = forebay_backends::Ram<CriticalSectionRawMutex, PAGE>;

/// Rule: a static array names buffers of several types, without a table and without an allocation; and so does a static with a
/// hand.
#[test]
fn lists_in_statics() {
    let words = RamForebay::<CriticalSectionRawMutex, PAGE, 4>::metadata_words(8 * PAGE);
    HOME.init(memory::leak(8 * PAGE, 0), memory::leak(16 * PAGE, 0), memory::words(words)).unwrap();
    fill(&TILE, 1);
    fill(&AUDIO, 2);
    all_leave(&HOME, BOTH, 5);
    check(&TILE, 1);
    check(&AUDIO, 2);
    all_leave(&HOME, &TURNS, 5);
    check(&TILE, 1);
    check(&AUDIO, 2);
    all_leave(&HOME, (&BOTH[..1], &[&AUDIO]), 5);
    check(&TILE, 1);
    check(&AUDIO, 2);
}

/// Which one of them is stored. It is read, and so used, and resident again.
#[track_caller]
fn victim<H: Home>(tiles: &[Buffer<H>]) -> usize {
    let stored: Vec<_> = (0..tiles.len()).filter(|i| tiles[*i].residency().unwrap().stored > NONE).collect();
    let [victim] = stored[..] else { panic!("{stored:?} left") };
    check(&tiles[victim], victim as u8);
    victim
}

/// Rule: lists that are reclaimed in turn are each visited to their end, if each has a hand of its own: every buffer of both is
/// evicted in the end. (With one hand for both it never came past the end of the shorter one: of 96 buffers 8 were ever evicted.)
#[test]
fn two_lists_in_turn() {
    let (world, near, far) = (World::new(Contents::Compared), near(128), far(128));
    let home = &forebay(&near, &far, &world);
    let (long, short) = (tiles::<88, _>(home, order(0)), tiles::<8, _>(home, order(0)));
    let (first, second) = (Clock::new(&long), Clock::new(&short));
    let mut evicted = [BTreeSet::new(), BTreeSet::new()];
    for n in 0..88 {
        assert_eq!(home.reclaim(&first, pages(1), TRANSFER, CX).gained, pages(1));
        let victims = [victim(&long), {
            assert_eq!(home.reclaim(&second, pages(1), TRANSFER, CX).gained, pages(1));
            victim(&short)
        }];
        assert_eq!(victims, [n, n % 8], "in order, each list for itself");
        evicted.iter_mut().zip(victims).for_each(|(all, victim)| all.extend([victim]));
    }
    assert_eq!(evicted.map(|all| all.len()), [88, 8]);
    world.validate();
    drop((long, short));
    all_returned(&world, &near, &far);
}

/// Rule: the same for plain lists, which share the hand of the forebay: a short one does not keep a long one at its beginning,
/// whatever their lengths are, and however much leaves at a time.
#[test]
fn two_plain_lists_in_turn() {
    for (longer, shorter, by) in [(96, 2, 1), (96, 90, 1), (96, 48, 2), (40, 40, 1), (31, 7, 3)] {
        let (near, far) = (near(256), far(256));
        let home = &Forebay::new(&near, &far);
        let lists =
            [longer, shorter].map(|n| (0..n).map(|_| Buffer::new(home, order(0))).collect::<Vec<_>>());
        let mut evicted = [BTreeSet::new(), BTreeSet::new()];
        lists.iter().for_each(|list| list.iter().enumerate().for_each(|(i, tile)| fill(tile, i as u8)));
        for _ in 0..4 * longer {
            for (list, evicted) in lists.iter().zip(&mut evicted) {
                assert_eq!(home.reclaim(list, pages(by), TRANSFER, CX).gained, pages(by));
                let stored = (0..list.len()).filter(|i| list[*i].residency().unwrap().stored > NONE);
                for i in stored.collect::<Vec<_>>() {
                    check(&list[i], i as u8);
                    evicted.insert(i);
                }
            }
        }
        let evicted = evicted.map(|all| all.len());
        assert_eq!(evicted, [longer, shorter], "of {longer} and {shorter} buffers, {by} at a time");
    }
}

/// Rule: for a plain list the forebay has the hand: it goes on where it was, whatever is reclaimed with other hands between. A
/// clock goes on by itself, also where it is around a reference.
#[test]
fn the_hands_of_plain_lists_and_of_clocks() {
    let (world, near, far) = (World::new(Contents::Compared), near(128), far(128));
    let home = &forebay(&near, &far, &world);
    let (plain, turns) = (tiles::<7, _>(home, order(0)), tiles::<5, _>(home, order(0)));
    let clock = Clock::new(&turns);
    for n in 0..21 {
        home.reclaim(&plain, pages(1), TRANSFER, CX);
        assert_eq!(victim(&plain), n % 7);
        let by_another = &&clock;
        home.reclaim(by_another, pages(1), TRANSFER, CX);
        assert_eq!(victim(&turns), n % 5);
    }
    drop((plain, turns));
    all_returned(&world, &near, &far);
}

/// Rule: the hand goes through a tuple from list to list, over empty ones, and round; with a clock around it too.
#[test]
fn the_hand_passes_from_list_to_list() {
    for clock in [false, true] {
        let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
        let home = &forebay(&near, &far, &world);
        let (three, one, four) =
            (tiles::<3, _>(home, order(1)), tiles::<1, _>(home, order(0)), tiles::<4, _>(home, order(0)));
        let all = (&three, &three[..0], (&one, &four[..0], &four));
        let turns = Clock::new(&all);
        let mut order = Vec::new();
        for _ in 0..16 {
            match clock {
                true => home.reclaim(&turns, pages(1), TRANSFER, CX),
                false => home.reclaim(all, pages(1), TRANSFER, CX),
            };
            let lists = [&three[..], &one[..], &four[..]];
            let is_hit = |list: &&[Buffer<_>]| list.iter().any(|b| b.residency().unwrap().stored > NONE);
            let hit: Vec<_> = (0..3).filter(|n| is_hit(&lists[*n])).collect();
            let [hit] = hit[..] else { panic!("victims in the lists {hit:?}") };
            order.push((hit, victim(lists[hit])));
        }
        let round = [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0), (2, 1), (2, 2), (2, 3)];
        assert_eq!(order, [round, round].concat(), "with a clock: {clock}");
        // One that begins near the end goes on at the beginning.
        home.reclaim(all, pages(5), TRANSFER, CX);
        world.validate();
        drop((three, one, four));
        all_returned(&world, &near, &far);
    }
}

/// Rule: the phases go over all lists of a tuple: what is not needed goes first wherever it is, then what is clean and cold,
/// then the rest.
#[test]
fn phases_over_tuples() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let home = &forebay(&near, &far, &world);
    let (dirty, clean) = (tiles::<3, _>(home, order(0)), tiles::<2, _>(home, order(1)));
    let unneeded = [(); 2].map(|()| Buffer::<_, [Slot<_>; 3]>::inline(home, Order::PAGE));
    unneeded.iter().for_each(|buffer| {
        fill(buffer, 9);
        let _ = buffer.set_purgeable(true).unwrap();
    });
    for tile in &clean {
        tile.evict(ALL, Evict::COPY, CX).unwrap();
    }
    check_all(&clean);
    let cold = EvictRequest::new(NONE, TRANSFER, CX);
    let all = (&dirty, (&clean, &unneeded));
    for buffer in dirty.iter().chain(&clean) {
        assert_eq!(buffer.evict_if_idle(&cold), Evicted::default());
    }
    let counts = |report: Report| {
        let Evicted { purged, clean, transferred, .. } = report.evicted;
        [purged, clean, transferred].map(Pages::get)
    };
    assert_eq!(counts(home.reclaim(all, pages(2), Evict::ANY, CX)), [3, 0, 0], "a whole buffer");
    assert_eq!(counts(home.reclaim(all, pages(1), Evict::PURGE, CX)), [3, 0, 0]);
    assert_eq!(counts(home.reclaim(all, ALL, Evict::PURGE, CX)), [0, 0, 0]);
    assert_eq!(counts(home.reclaim(all, pages(1), Evict::ANY, CX)), [0, 2, 0]);
    assert_eq!(counts(home.reclaim(all, pages(4), Evict::ANY, CX)), [0, 2, 2]);
    assert_eq!(counts(home.reclaim(all, ALL, Evict::ANY, CX)), [0, 0, 1]);
    assert_eq!(home.reclaim(all, ALL, Evict::ANY, CX).outcome, Outcome::Nothing);
    world.validate();
    check_all(&dirty);
    check_all(&clean);
    drop((dirty, clean, unneeded));
    all_returned(&world, &near, &far);
}

/// Rule: a budget is one for all lists of a tuple: what is wanted is overshot by less than a block.
#[test]
fn a_tuple_has_one_budget() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let home = &forebay(&near, &far, &world);
    let (small, large) = (tiles::<5, _>(home, order(0)), tiles::<3, _>(home, order(2)));
    for want in 0..=18 {
        let report = home.reclaim((&small, &large), pages(want), TRANSFER, CX);
        let moved = report.evicted.moved().get();
        assert!(moved >= want.min(17) && moved < want + 4, "{moved} of {want}");
        assert_eq!(report.outcome == Outcome::Reached, want <= 17);
        check_all(&small);
        check_all(&large);
        world.validate();
    }
    drop((small, large));
    all_returned(&world, &near, &far);
}
