//! Trimming: by zone, as an outer shrinker does it, and in runs with one flush.
//!
//! After TTM's `ttm_pool_shrink` and its bugs B15 and B16 (`ttm-semantics.md` §6).

use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory::{leak, words};
use hosted_tests::{Contents, Watched, World};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

const LOW: Zone = Zone::new(0).expect("below 16");
const HIGH: Zone = Zone::new(1).expect("below 16");
const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];
const WC: Caching = Caching::WriteCombined;

/// What the machine panics in, after so many calls of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Panics {
    Never,
    SetMode(usize),
    Flush,
    Release(usize),
}

/// Two zones, three modes.
struct Zoned {
    low: Near,
    high: Near,
    low_frames: Range<usize>,
    /// Refuses another mode for the block at this frame.
    stuck: Cell<Option<usize>>,
    panics: Cell<Panics>,
}

impl Zoned {
    fn new(pages: usize) -> Zoned {
        let memory = leak(pages * PAGE, 0);
        let first = memory.as_ptr().addr() / PAGE;
        let low = Near::new();
        low.add(memory, words(Near::metadata_words(pages * PAGE))).expect("good memory");
        Zoned {
            low,
            high: near(pages),
            low_frames: first..first + pages,
            stuck: Cell::new(None),
            panics: Cell::new(Panics::Never),
        }
    }

    fn is_due(&self, now: Panics, next: Panics) {
        if self.panics.get() == now {
            panic!("a platform's own fault");
        }
        match (self.panics.get(), next) {
            (Panics::SetMode(n), Panics::SetMode(_)) => self.panics.set(Panics::SetMode(n - 1)),
            (Panics::Release(n), Panics::Release(_)) => self.panics.set(Panics::Release(n - 1)),
            _ => {}
        }
    }
}

impl Platform for Zoned {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    type Mode = Caching;
    const ZONES: u8 = 2;

    fn allocate(&self, order: Order, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.allocate(AllocRequest::new(order), cx)
    }
    fn allocate(&self, ask: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        let zones = [(LOW, &self.low), (HIGH, &self.high)];
        let mut there = zones.into_iter().filter(|(zone, _)| ask.zones.contains(*zone));
        there
            .find_map(|(_, ram)| ram.allocate(AllocRequest::new(ask.order), cx).ok())
            .ok_or(AllocError::Exhausted)
    }
    fn release(&self, block: RamBlock<PAGE>) {
        self.is_due(Panics::Release(0), Panics::Release(0));
        if self.zone(&block) == LOW { self.low.free(block) } else { self.high.free(block) }
    }
    fn zone(&self, block: &RamBlock<PAGE>) -> Zone {
        if self.low_frames.contains(&block.pfn().get()) { LOW } else { HIGH }
    }
    fn set_mode(
        &self,
        block: &mut RamBlock<PAGE>,
        _: Caching,
        _: Caching,
        _: Context,
    ) -> Result<(), ModeRefused> {
        self.is_due(Panics::SetMode(0), Panics::SetMode(0));
        if self.stuck.get() == Some(block.pfn().get()) { Err(ModeRefused) } else { Ok(()) }
    }
    fn flush(&self, _: Context) {
        self.is_due(Panics::Flush, Panics::Flush);
    }
}

type Watcher<'w> = Watched<'w, Zoned>;
/// Orders 0 to 3, three modes, two zones, up to `DEPTH` of each.
type Shelves<'w, const N: usize> = Pool<Watcher<'w>, [Place<Watcher<'w>>; N]>;
const KINDS: usize = 4 * 3 * 2;

fn machine<'p, const N: usize>(pool: &'p Shelves<'_, N>) -> &'p Zoned {
    pool.platform().inner()
}

/// So many blocks of that kind onto the shelf; their frames.
#[track_caller]
fn stock<const N: usize>(pool: &Shelves<'_, N>, n: usize, k: u8, mode: Caching, zone: Zone) -> Vec<usize> {
    let ask = AllocRequest::new(order(k)).within(zone.only());
    let blocks: Vec<_> = (0..n).map(|_| pool.take_for(ask, mode, CX).unwrap()).collect();
    let frames = blocks.iter().map(|block| block.block().pfn().get()).collect();
    blocks.into_iter().for_each(|block| pool.give(block, CX).unwrap());
    frames
}

fn flushes(world: &World) -> usize {
    world.counts().flushes
}

/// Rule: *count* and *scan* of a zone see that zone only; scan ends although another zone is full (B16), and zero means
/// that there is nothing, or that nothing can go.
#[test]
fn an_outer_shrinker_asks_by_zone() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 2 }>::new(Watched::new(Zoned::new(64), &world), 2);
    for mode in MODES {
        stock(&pool, 2, 1, mode, LOW);
        stock(&pool, 2, 2, mode, HIGH);
    }
    let count = |zones| pool.ready_within(zones).get();
    assert_eq!([count(LOW.only()), count(HIGH.only()), count(Zones::ALL)], [12, 24, 36]);
    assert_eq!(pool.trim_within(LOW.only(), pages(3), CX), pages(4), "less than a block too much");
    assert_eq!([count(LOW.only()), count(HIGH.only())], [8, 24]);
    assert_eq!(pool.trim_within(LOW.only(), ALL, CX), pages(8));
    assert_eq!([count(LOW.only()), count(HIGH.only()), count(Zones::ALL)], [0, 24, 24]);
    assert_eq!(pool.trim_within(LOW.only(), pages(1), CX), NONE, "it ends, with the other zone full");
    let elsewhere = Zones::of(2);
    for zones in [elsewhere, LOW.only().intersection(HIGH.only())] {
        assert_eq!((count(zones), pool.trim_within(zones, ALL, CX)), (0, NONE));
    }
    assert_eq!((machine(&pool).low.free(), machine(&pool).high.free()), (pages(64), pages(40)));
    assert_eq!(pool.trim_within(HIGH.only().union(elsewhere), ALL, CX), pages(24));
    world.assert_empty();
}

/// Rule: a block that can't go in this context is on its shelf afterwards, and scan says that nothing went.
#[test]
fn nothing_can_go() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 2 }>::new(Watched::new(Zoned::new(8), &world), 2);
    let stuck = stock(&pool, 1, 0, WC, HIGH);
    machine(&pool).stuck.set(Some(stuck[0]));
    assert_eq!(pool.ready_within(HIGH.only()), pages(1));
    assert_eq!(pool.trim_within(HIGH.only(), ALL, CX), NONE);
    assert_eq!(pool.ready_within(HIGH.only()), pages(1));
    machine(&pool).stuck.set(None);
    assert_eq!(pool.trim_within(HIGH.only(), ALL, CX), pages(1));
    world.assert_empty();
}

/// Rule: a trim goes on where the last one ended, also if the shelf with which that began is full again.
#[test]
fn a_trim_goes_on_where_the_last_one_ended() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 2 }>::new(Watched::new(Zoned::new(8), &world), 2);
    let ready = |mode| pool.shelf(order(0), mode, LOW).unwrap().ready;
    MODES.into_iter().for_each(|mode| drop(stock(&pool, 1, 0, mode, LOW)));
    assert_eq!((pool.trim(pages(1), CX), MODES.map(ready)), (pages(1), [0, 1, 1]));
    stock(&pool, 1, 0, Caching::WriteBack, LOW);
    assert_eq!((pool.trim(pages(1), CX), MODES.map(ready)), (pages(1), [1, 0, 1]));
    pool.trim(ALL, CX);
    world.assert_empty();
}

/// Rule: a round finds each place of its zones, wherever it begins, also if the places end in the middle of an order.
#[test]
fn a_round_finds_what_is_behind_its_end() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<3>::new(Watched::new(Zoned::new(8), &world), 1); // plain in both zones, and WC in one
    for zone in [HIGH, HIGH, LOW, LOW, HIGH] {
        for mode in [Caching::WriteBack, WC].into_iter().take(if zone == LOW { 2 } else { 1 }) {
            stock(&pool, 1, 0, mode, zone);
            assert_eq!(pool.trim_within(zone.only(), ALL, CX), pages(1), "{mode:?} {zone:?}");
        }
    }
    world.assert_empty();
}

/// Rule: a block that can't go is tried once in a round (B16), also if the places end in the middle of an order.
#[test]
fn a_refused_block_is_tried_once() {
    let world = World::new(Contents::Ignored);
    let log = Log::default();
    let zoned = Traced::new(Zoned::new(8), &log);
    let pool = Pool::<_, [Place<_>; 3]>::new(Watched::new(zoned, &world), 1); // plain in both zones, and WC in one
    let block = pool.take_for(AllocRequest::new(order(0)).within(LOW.only()), WC, CX).unwrap();
    let zoned = pool.platform().inner().inner();
    zoned.stuck.set(Some(block.block().pfn().get()));
    pool.give(block, CX).unwrap();
    for zones in [Zones::ALL, Zones::ALL, Zones::ALL, LOW.only(), Zones::ALL] {
        log.take();
        assert_eq!(pool.trim_within(zones, ALL, CX), NONE);
        assert_eq!(log.count(|event| matches!(event, Event::SetMode(..))), 1, "{zones:?}");
    }
    zoned.stuck.set(None);
    assert_eq!(pool.trim(ALL, CX), pages(1));
    world.assert_empty();
}

/// Rule: up to eight blocks are made plain with one flush; nothing is flushed for those that are plain already; a run
/// ends where enough is staged.
#[test]
fn a_run_is_flushed_once() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 20 }>::new(Watched::new(Zoned::new(64), &world), 20);
    stock(&pool, 20, 0, WC, LOW);
    let before = flushes(&world);
    assert_eq!(pool.trim(pages(3), CX), pages(3));
    assert_eq!(
        (flushes(&world) - before, pool.ready()),
        (1, pages(17)),
        "no more are staged than are wanted"
    );
    assert_eq!(pool.trim(pages(9), CX), pages(9), "the second run is of what is wanted still");
    assert_eq!(flushes(&world) - before, 1 + 2, "8 and 1");
    assert_eq!(pool.trim(ALL, CX), pages(8));
    assert_eq!(flushes(&world) - before, 1 + 2 + 1);
    stock(&pool, 20, 0, Caching::WriteBack, LOW);
    let before = flushes(&world);
    assert_eq!((pool.trim(ALL, CX), flushes(&world) - before), (pages(20), 0));
    world.assert_empty();
}

/// Rule: dropping a pool flushes in runs too.
#[test]
fn a_dropped_pool_flushes_in_runs() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 16 }>::new(Watched::new(Zoned::new(64), &world), 16);
    stock(&pool, 16, 0, WC, HIGH);
    let before = flushes(&world);
    drop(pool);
    assert_eq!(flushes(&world) - before, 2);
    world.assert_empty();
}

/// Rule: who is over the limit flushes once for what has to go.
#[test]
fn the_limit_flushes_once() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 6 }>::new(Watched::new(Zoned::new(64), &world), 6).with_limit(pages(8));
    stock(&pool, 6, 0, WC, HIGH);
    let ask = AllocRequest::new(order(2)).within(LOW.only());
    let large = pool.take_for(ask, Caching::WriteBack, CX).unwrap();
    let before = flushes(&world);
    pool.give(large, CX).unwrap(); // 10 pages, of which 2 have to go
    assert!(pool.ready() <= pages(8) && flushes(&world) - before <= 1);
    pool.trim(ALL, CX);
    world.assert_empty();
}

/// Rule: whoever gives trims what is over the limit, also one whose own block goes home.
#[test]
fn a_block_that_goes_home_trims_too() {
    let machine = Machine::new(near(16));
    let pool = Pool::<_, [Place<_>; 24]>::new(&machine, 4).with_limit(pages(1));
    let [first, second] = [(); 2].map(|()| pool.take(order(0), WC, CX).unwrap());
    let large = pool.take(order(1), WC, CX).unwrap();
    machine.say_no(No::Mode);
    pool.give(first, CX).unwrap();
    pool.give(second, CX).unwrap();
    assert_eq!(pool.ready(), pages(2), "neither can go");
    machine.say_no(No::Never);
    pool.give(large, CX).unwrap();
    assert_eq!(pool.ready(), pages(1));
}

/// Rule: a block that is refused stays, in its mode, and others go instead, as many as were wanted.
#[test]
fn a_refused_block_stays_out_of_the_run() {
    let world = World::new(Contents::Ignored);
    let pool = Shelves::<{ KINDS * 12 }>::new(Watched::new(Zoned::new(64), &world), 12);
    let frames = stock(&pool, 12, 0, WC, LOW);
    machine(&pool).stuck.set(Some(frames[2]));
    let before = flushes(&world);
    assert_eq!(pool.trim(pages(8), CX), pages(8));
    assert_eq!((flushes(&world) - before, pool.ready()), (1, pages(4)));
    assert_eq!((pool.trim(ALL, CX), pool.ready()), (pages(3), pages(1)));
    let ask = AllocRequest::new(order(0)).within(LOW.only());
    let same = pool.take_for(ask, WC, CX).unwrap();
    assert_eq!((same.block().pfn().get(), same.mode()), (frames[2], WC));
    machine(&pool).stuck.set(None);
    pool.give(same, CX).unwrap();
    assert_eq!(pool.trim(ALL, CX), pages(1));
    world.assert_empty();
}

/// Rule: a platform that panics costs the one block that it had in its hands, wherever it panics, and no place on a shelf;
/// what was staged is of use again, and never goes home without a flush.
#[test]
fn a_panic_in_a_run_costs_one_block() {
    for (panics, lost) in [
        (Panics::SetMode(0), 1),
        (Panics::SetMode(5), 1),
        (Panics::Flush, 0),
        (Panics::Release(0), 1),
        (Panics::Release(3), 1),
    ] {
        let world = World::new(Contents::Ignored);
        let pool = Shelves::<{ KINDS * 10 }>::new(Watched::new(Zoned::new(64), &world), 10);
        stock(&pool, 10, 0, WC, LOW);
        machine(&pool).panics.set(panics);
        let trim = AssertUnwindSafe(|| pool.trim(ALL, CX));
        assert!(catch_unwind(trim).is_err(), "it panicked");
        machine(&pool).panics.set(Panics::Never);
        let gone = if let Panics::Release(n) = panics { n } else { 0 };
        assert_eq!(pool.ready(), pages(10 - gone - lost), "{panics:?}");
        let listed: Pages = pool.shelves().map(|shelf| shelf.ready()).sum();
        assert_eq!(pool.ready(), listed, "{panics:?}");
        assert_eq!(pool.trim(ALL, CX), pages(10 - gone - lost), "the oracle saw the flush: {panics:?}");
        let room = stock(&pool, 10, 0, WC, LOW).len();
        assert_eq!((room, pool.ready()), (10, pages(10)), "every place is there: {panics:?}");
        pool.trim(ALL, CX);
        world.validate();
    }
}

/// Rule: what a panic left plain, but not flushed, is flushed before somebody else has it.
#[test]
fn what_a_panic_left_is_flushed_before_it_is_used() {
    for (panics, left) in [(Panics::SetMode(3), 3), (Panics::Flush, 4)] {
        let (world, far) = (World::new(Contents::Ignored), far(16));
        let platform = Watched::new(Zoned::new(64), &world);
        let home = Forebay::<_, _, [Place<_>; KINDS * 4]>::new(platform, Watched::new(&far, &world), 4);
        let home = &home;
        let ask = AllocRequest::new(order(0)).within(LOW.only());
        let blocks = [(); 4].map(|()| home.pool().take_for(ask, WC, CX).unwrap());
        blocks.into_iter().for_each(|block| home.pool().give(block, CX).unwrap());
        home.platform().inner().panics.set(panics);
        assert!(catch_unwind(AssertUnwindSafe(|| home.pool().trim(ALL, CX))).is_err(), "it panicked");
        home.platform().inner().panics.set(Panics::Never);
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(WC).within(LOW.only());
        for _ in 0..left {
            assert_eq!(buffer.populate(pages(1), CX).populated, pages(1));
        }
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(left));
    }
}

/// A machine with modes, on which an interrupt comes while a mode is changed, and trims; it can't change modes itself.
struct Interrupted<'n> {
    near: &'n Near,
    /// How many pages the interrupt wants, once.
    wants: Cell<Option<usize>>,
    /// What the interrupt gives back, once; the mode that is changed then is refused.
    gives: Cell<Option<PooledBlock<&'n Interrupted<'n>>>>,
    pool: Cell<Option<&'n Pool<&'n Interrupted<'n>>>>,
}

impl Platform for Interrupted<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    type Mode = Caching;
    fn allocate(&self, order: Order, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.near.allocate(AllocRequest::new(order), cx)
    }
    fn release(&self, block: RamBlock<PAGE>) {
        self.near.free(block);
    }
    fn set_mode(
        &self,
        _: &mut RamBlock<PAGE>,
        _: Caching,
        _: Caching,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(ModeRefused);
        }
        if let (Some(gives), Some(pool)) = (self.gives.take(), self.pool.get()) {
            pool.give(gives, CX).unwrap();
            return Err(ModeRefused);
        }
        if let (Some(wants), Some(pool)) = (self.wants.take(), self.pool.get()) {
            pool.trim(pages(wants), Context::INTERRUPT);
        }
        Ok(())
    }
}

/// One place for each of three modes in two orders.
fn interrupted()
-> (&'static Near, &'static Interrupted<'static>, &'static Pool<&'static Interrupted<'static>>) {
    let near: &Near = forever(near(32));
    let machine = Interrupted { near, wants: Cell::default(), gives: Cell::default(), pool: Cell::default() };
    let machine: &Interrupted<'_> = forever(machine);
    let pool: &Pool<_> = forever(Pool::<_, [Place<_>; 6]>::new(machine, 1));
    machine.pool.set(Some(pool));
    (near, machine, pool)
}

/// Rule: while a block is tried its place is kept: what an interrupt gives meanwhile goes elsewhere, and neither is lost.
#[test]
fn a_place_is_kept_for_a_block_that_stays() {
    let (near, machine, pool) = interrupted();
    let [first, second] = [(); 2].map(|()| pool.take(order(0), WC, CX).unwrap());
    pool.give(first, CX).unwrap();
    machine.gives.set(Some(second));
    assert_eq!(pool.trim(ALL, CX), NONE);
    assert_eq!((pool.ready(), near.unused()), (pages(1), pages(31)));
    assert_eq!((pool.trim(ALL, CX), near.unused()), (pages(1), pages(32)));
}

/// Rule: each place is looked at once, whoever else trims meanwhile: an interrupt that can't send a block home makes nobody
/// miss it.
#[test]
fn trims_that_overlap_miss_nothing() {
    for wants in 1..=6 {
        let (near, machine, pool) = interrupted();
        let kinds = [(0, WC), (0, Caching::Uncached), (1, Caching::WriteBack), (1, Caching::Uncached)];
        let blocks = kinds.map(|(k, mode)| pool.take(order(k), mode, CX).unwrap());
        blocks.into_iter().for_each(|block| pool.give(block, CX).unwrap());
        machine.wants.set(Some(wants));
        pool.trim(ALL, CX);
        assert_eq!((pool.ready(), near.unused()), (NONE, pages(32)), "an interrupt wanted {wants}");
    }
}

/// A step of a shrinker and its surroundings.
#[derive(Clone, Copy, Debug)]
enum Op {
    Take(u8, usize, usize),
    Give(usize),
    Trim(usize, usize),
}

const ZONES: [Zone; 2] = [LOW, HIGH];

fn sets() -> [Zones; 4] {
    [LOW.only(), HIGH.only(), Zones::ALL, LOW.only().intersection(HIGH.only())]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_u8, 0..3_usize, 0..2_usize).prop_map(|(k, mode, zone)| Op::Take(k, mode, zone)),
        4 => (0..64_usize).prop_map(Op::Give),
        2 => (0..4_usize, 0..20_usize).prop_map(|(set, want)| Op::Trim(set, want)),
    ]
}

/// Blocks on each shelf, by order, mode and zone.
fn on_shelves<const N: usize>(pool: &Shelves<'_, N>) -> Vec<(Zone, Pages, usize)> {
    pool.shelves().map(|shelf| (shelf.zone, shelf.order.pages(), shelf.stats.ready)).collect()
}

fn sum(shelves: &[(Zone, Pages, usize)], zones: Zones) -> usize {
    shelves.iter().filter(|(zone, ..)| zones.contains(*zone)).map(|(_, pages, n)| pages.get() * n).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: whatever was given and taken before: trim sends home what is wanted, or all that there is, of those zones and
    /// no others; less than a block too much; and counts what it sent.
    #[test]
    fn trim_against_a_model(ops in prop::collection::vec(op(), 1..60)) {
        let world = World::new(Contents::Ignored);
        let pool = Shelves::<{ KINDS * 2 }>::new(Watched::new(Zoned::new(256), &world), 2);
        let mut held = vec![];
        for op in ops {
            match op {
                Op::Take(k, mode, zone) => {
                    let ask = AllocRequest::new(order(k)).within(ZONES[zone].only());
                    held.extend(pool.take_for(ask, MODES[mode], CX));
                }
                Op::Give(_) if held.is_empty() => {}
                Op::Give(n) => pool.give(held.swap_remove(n % held.len()), CX).unwrap(),
                Op::Trim(set, want) => {
                    let zones = sets()[set];
                    let (before, free) = (on_shelves(&pool), machine(&pool).low.free() + machine(&pool).high.free());
                    let there = sum(&before, zones);
                    prop_assert_eq!(pool.ready_within(zones), pages(there));
                    let went = pool.trim_within(zones, pages(want), CX).get();
                    let after = on_shelves(&pool);
                    prop_assert_eq!(there - went, sum(&after, zones));
                    prop_assert_eq!(machine(&pool).low.free() + machine(&pool).high.free(), free + pages(went));
                    prop_assert!(went >= want.min(there));
                    let mut largest = 0;
                    for ((zone, size, n), (_, _, left)) in before.into_iter().zip(after) {
                        prop_assert!(zones.contains(zone) || n == left);
                        prop_assert!(left <= n);
                        largest = if left < n { largest.max(size.get()) } else { largest };
                    }
                    prop_assert!(went < want + largest.max(1));
                }
            }
            world.validate();
        }
        held.into_iter().for_each(|block| pool.give(block, CX).unwrap());
        pool.trim(ALL, CX);
        world.assert_empty();
    }

    /// Rule: trimming takes from each kind of its zones in turn, and goes on where it ended, by however many blocks.
    #[test]
    fn every_kind_has_its_turn(zone in 0..2_usize, ops in prop::collection::vec(1..8_usize, 1..12)) {
        let world = World::new(Contents::Ignored);
        let pool = Shelves::<{ KINDS * 6 }>::new(Watched::new(Zoned::new(64), &world), 6);
        for (mode, zone) in MODES.into_iter().flat_map(|mode| ZONES.map(|zone| (mode, zone))) {
            stock(&pool, 6, 0, mode, zone);
        }
        for want in ops {
            pool.trim_within(ZONES[zone].only(), pages(want), CX);
            let left = MODES.map(|mode| pool.shelf(order(0), mode, ZONES[zone]).unwrap().ready);
            let most = left.into_iter().max().unwrap();
            prop_assert!(left.iter().all(|n| n + 1 >= most), "{left:?}");
            let other = MODES.map(|mode| pool.shelf(order(0), mode, ZONES[1 - zone]).unwrap().ready);
            prop_assert_eq!(other, [6; 3]);
        }
    }
}
