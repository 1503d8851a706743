//! Trimming: by zone, as an outer shrinker does it, and in batches with one flush.
//!
//! After TTM's `ttm_pool_shrink` and its bugs B15 and B16 (`ttm-semantics.md` §6).

use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory::{leak, words};
use proptest::prelude::*;
use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

const LOW: u8 = 0;
const HIGH: u8 = 1;
const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];
const WC: Caching = Caching::WriteCombined;

/// The function of the machine that panics, after a number of calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Panics {
    Never,
    SetMode(usize),
    Flush,
    Free(usize),
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
            (Panics::Free(n), Panics::Free(_)) => self.panics.set(Panics::Free(n - 1)),
            _ => {}
        }
    }
}

impl FrameSource for Zoned {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    const ZONES: u8 = 2;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        let zones = [(LOW, &self.low), (HIGH, &self.high)];
        let mut there = zones.into_iter().filter(|(zone, _)| request.zones.contains(Zones::of(*zone)));
        there.find_map(|(_, ram)| ram.allocate(request, cx).ok()).ok_or(AllocError::Exhausted)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.is_due(Panics::Free(0), Panics::Free(0));
        if self.zone(&block) == LOW { self.low.free(block) } else { self.high.free(block) }
    }
    fn zone(&self, block: &RamBlock<PAGE>) -> u8 {
        if self.low_frames.contains(&block.pfn().0) { LOW } else { HIGH }
    }
}

impl CachingControl<RamBlock<PAGE>> for Zoned {
    type Mode = Caching;
    fn set_mode(
        &self,
        block: &mut RamBlock<PAGE>,
        _: Caching,
        _: Caching,
        _: Context,
    ) -> Result<(), ModeRefused> {
        self.is_due(Panics::SetMode(0), Panics::SetMode(0));
        if self.stuck.get() == Some(block.pfn().0) { Err(ModeRefused) } else { Ok(()) }
    }
    fn flush(&self, _: Context) {
        self.is_due(Panics::Flush, Panics::Flush);
    }
}

/// A machine with its modes, watched.
type Watcher<'w> = WatchedPlatform<'w, WithCaching<&'w Zoned, &'w Zoned>>;
/// `LISTS` lists of `DEPTH` blocks.
type Lists<'w, const LISTS: usize, const DEPTH: usize> =
    WithLists<Watcher<'w>, FreeListArray<Watcher<'w>, LISTS, DEPTH>>;
/// Orders 0 to 3, three modes, two zones.
const KINDS: usize = 4 * 3 * 2;

fn watcher<'w>(machine: &'w Zoned, world: &'w World) -> Watcher<'w> {
    Watched::platform(WithCaching(machine, machine), world)
}

fn pool<'w, const LISTS: usize, const DEPTH: usize>(
    machine: &'w Zoned,
    world: &'w World,
) -> Pool<Lists<'w, LISTS, DEPTH>> {
    Pool::new(WithLists(watcher(machine, world), FreeListArray::new()))
}

/// Puts `n` blocks of that kind into their list. Returns their frames.
#[track_caller]
fn stock<P: Platform<Mode = Caching>>(
    pool: &Pool<P>,
    n: usize,
    k: u8,
    mode: Caching,
    zone: u8,
) -> Vec<usize> {
    let request = AllocRequest::new(order(k)).within(Zones::of(zone));
    let blocks: Vec<_> = (0..n).map(|_| pool.take(request, mode, CX).unwrap()).collect();
    let frames = blocks.iter().map(|block| block.pfn().0).collect();
    blocks.into_iter().for_each(|block| pool.put(block, CX).unwrap());
    frames
}

/// Blocks of order 0 that are ready in that mode and zone.
fn ready_in<P: Platform<Mode = Caching>>(pool: &Pool<P>, mode: Caching, zone: u8) -> usize {
    let number = mode.index();
    let list = pool.lists().find(|list| (list.order, list.mode, list.zone) == (order(0), number, zone));
    list.unwrap().counts.ready
}

fn flushes(world: &World) -> usize {
    world.counts().flushes
}

/// Rule: *count* and *scan* of a zone see that zone only; scan ends although another zone is full (B16), and zero means
/// that there is nothing, or that nothing can leave.
#[test]
fn an_outer_shrinker_asks_by_zone() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(64);
    let pool = pool::<KINDS, 2>(&machine, &world);
    for mode in MODES {
        stock(&pool, 2, 1, mode, LOW);
        stock(&pool, 2, 2, mode, HIGH);
    }
    let count = |zones| pool.ready(zones).get();
    assert_eq!([count(Zones::of(LOW)), count(Zones::of(HIGH)), count(Zones::ALL)], [12, 24, 36]);
    assert_eq!(pool.trim(Zones::of(LOW), pages(3), CX), pages(4), "less than a block too much");
    assert_eq!([count(Zones::of(LOW)), count(Zones::of(HIGH))], [8, 24]);
    assert_eq!(pool.trim(Zones::of(LOW), ALL, CX), pages(8));
    assert_eq!([count(Zones::of(LOW)), count(Zones::of(HIGH)), count(Zones::ALL)], [0, 24, 24]);
    assert_eq!(pool.trim(Zones::of(LOW), pages(1), CX), NONE, "it ends, with the other zone full");
    let elsewhere = Zones::of(2);
    for zones in [elsewhere, Zones::of(LOW).intersection(Zones::of(HIGH))] {
        assert_eq!((count(zones), pool.trim(zones, ALL, CX)), (0, NONE));
    }
    assert_eq!((machine.low.unused(), machine.high.unused()), (pages(64), pages(40)));
    assert_eq!(pool.trim(Zones::of(HIGH).union(elsewhere), ALL, CX), pages(24));
    world.assert_empty();
}

/// Rule: a block that can't leave in this context is in its list afterwards, and scan says that nothing left.
#[test]
fn nothing_can_leave() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(8);
    let pool = pool::<KINDS, 2>(&machine, &world);
    let stuck = stock(&pool, 1, 0, WC, HIGH);
    machine.stuck.set(Some(stuck[0]));
    assert_eq!(pool.ready(Zones::of(HIGH)), pages(1));
    assert_eq!(pool.trim(Zones::of(HIGH), ALL, CX), NONE);
    assert_eq!(pool.ready(Zones::of(HIGH)), pages(1));
    machine.stuck.set(None);
    assert_eq!(pool.trim(Zones::of(HIGH), ALL, CX), pages(1));
    world.assert_empty();
}

/// Rule: a trim goes on where the last one ended, also if the list with which that began has a block again.
#[test]
fn a_trim_goes_on_where_the_last_one_ended() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(8);
    let pool = pool::<KINDS, 2>(&machine, &world);
    let ready = |mode| ready_in(&pool, mode, LOW);
    MODES.into_iter().for_each(|mode| drop(stock(&pool, 1, 0, mode, LOW)));
    assert_eq!((pool.trim(Zones::ALL, pages(1), CX), MODES.map(ready)), (pages(1), [0, 1, 1]));
    stock(&pool, 1, 0, Caching::WriteBack, LOW);
    assert_eq!((pool.trim(Zones::ALL, pages(1), CX), MODES.map(ready)), (pages(1), [1, 0, 1]));
    pool.trim(Zones::ALL, ALL, CX);
    world.assert_empty();
}

/// Rule: a round finds each list of its zones, wherever it begins, also if the lists end in the middle of an order.
#[test]
fn a_round_finds_what_is_behind_its_end() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(8);
    let pool = pool::<3, 1>(&machine, &world); // cached in both zones, and WC in one
    for zone in [HIGH, HIGH, LOW, LOW, HIGH] {
        for mode in [Caching::WriteBack, WC].into_iter().take(if zone == LOW { 2 } else { 1 }) {
            stock(&pool, 1, 0, mode, zone);
            assert_eq!(pool.trim(Zones::of(zone), ALL, CX), pages(1), "{mode:?} {zone:?}");
        }
    }
    world.assert_empty();
}

/// Rule: a block that can't leave is tried once in a round (B16), also if the lists end in the middle of an order.
#[test]
fn a_refused_block_is_tried_once() {
    let (world, log, machine) = (World::new(Contents::Ignored), Log::default(), Zoned::new(8));
    type Inner<'w> = AllPorts<Traced<WithCaching<&'w Zoned, &'w Zoned>, &'w Log>>;
    type Outer<'w> = WatchedPlatform<'w, Inner<'w>>;
    let traced = AllPorts(Traced::new(WithCaching(&machine, &machine), &log));
    let outer: Outer<'_> = Watched::platform(traced, &world);
    // Cached in both zones, and WC in one.
    let pool = Pool::new(WithLists(&outer, FreeListArray::<Outer<'_>, 3, 1>::new()));
    let block = pool.take(AllocRequest::new(order(0)).within(Zones::of(LOW)), WC, CX).unwrap();
    machine.stuck.set(Some(block.pfn().0));
    pool.put(block, CX).unwrap();
    for zones in [Zones::ALL, Zones::ALL, Zones::ALL, Zones::of(LOW), Zones::ALL] {
        log.take();
        assert_eq!(pool.trim(zones, ALL, CX), NONE);
        assert_eq!(log.count(|event| matches!(event, Event::SetMode(..))), 1, "{zones:?}");
    }
    machine.stuck.set(None);
    assert_eq!(pool.trim(Zones::ALL, ALL, CX), pages(1));
    world.assert_empty();
}

/// Rule: up to eight blocks become cached with one flush; nothing is flushed for those that are cached already; a batch ends
/// where enough is staged.
#[test]
fn a_batch_is_flushed_once() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(64);
    let pool = pool::<KINDS, 20>(&machine, &world);
    stock(&pool, 20, 0, WC, LOW);
    let before = flushes(&world);
    assert_eq!(pool.trim(Zones::ALL, pages(3), CX), pages(3));
    assert_eq!(
        (flushes(&world) - before, pool.ready(Zones::ALL)),
        (1, pages(17)),
        "no more are staged than are wanted"
    );
    assert_eq!(pool.trim(Zones::ALL, pages(9), CX), pages(9), "the second batch is of what is wanted still");
    assert_eq!(flushes(&world) - before, 1 + 2, "8 and 1");
    assert_eq!(pool.trim(Zones::ALL, ALL, CX), pages(8));
    assert_eq!(flushes(&world) - before, 1 + 2 + 1);
    stock(&pool, 20, 0, Caching::WriteBack, LOW);
    let before = flushes(&world);
    assert_eq!((pool.trim(Zones::ALL, ALL, CX), flushes(&world) - before), (pages(20), 0));
    world.assert_empty();
}

/// Rule: dropping a pool flushes in batches too.
#[test]
fn a_dropped_pool_flushes_in_batches() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(64);
    let pool = pool::<KINDS, 16>(&machine, &world);
    stock(&pool, 16, 0, WC, HIGH);
    let before = flushes(&world);
    drop(pool);
    assert_eq!(flushes(&world) - before, 2);
    world.assert_empty();
}

/// Rule: a block over the limit is returned to the source, with one flush, or none if it is cached; what is ready stays.
#[test]
fn a_block_over_the_limit_is_returned() {
    let (world, machine) = (World::new(Contents::Ignored), Zoned::new(64));
    let lists = FreeListArray::<Watcher<'_>, KINDS, 6>::with_limit(pages(8));
    let pool = Pool::new(WithLists(watcher(&machine, &world), lists));
    stock(&pool, 6, 0, WC, HIGH);
    for (mode, expected) in [(Caching::WriteBack, 0), (WC, 1)] {
        let request = AllocRequest::new(order(2)).within(Zones::of(LOW));
        let large = pool.take(request, mode, CX).unwrap();
        let before = flushes(&world);
        pool.put(large, CX).unwrap(); // that would be 10 pages
        assert_eq!((pool.ready(Zones::ALL), flushes(&world) - before), (pages(6), expected), "{mode:?}");
        assert_eq!(machine.low.unused(), pages(64));
    }
    stock(&pool, 1, 1, WC, LOW); // 8 pages
    assert_eq!((pool.ready(Zones::ALL), machine.low.unused()), (pages(8), pages(62)));
    pool.trim(Zones::ALL, ALL, CX);
    world.assert_empty();
}

/// Rule: a block over the limit whose mode can't be changed comes back to the caller; later it is returned, and the limit
/// holds all the time.
#[test]
fn a_block_over_the_limit_that_stays_comes_back() {
    let near = near(16);
    let machine = Machine::new(&near);
    let lists = FreeListArray::<AllPorts<Machine<&Near>>, 24, 4>::with_limit(pages(1));
    let pool = Pool::new(WithLists(&machine, lists));
    let [first, second] = [(); 2].map(|()| pool.take(AllocRequest::new(order(0)), WC, CX).unwrap());
    let large = pool.take(AllocRequest::new(order(1)), WC, CX).unwrap();
    machine.say_no(No::Mode);
    pool.put(first, CX).unwrap(); // needs no change
    let refused = [second, large].map(|block| pool.put(block, CX).unwrap_err().item);
    assert_eq!(pool.ready(Zones::ALL), pages(1));
    machine.say_no(No::Never);
    refused.into_iter().for_each(|block| pool.put(block, CX).unwrap());
    assert_eq!((pool.ready(Zones::ALL), near.unused()), (pages(1), pages(15)));
}

/// Rule: a block that is refused stays, in its mode, and others leave instead, as many as were wanted.
#[test]
fn a_refused_block_stays_out_of_the_batch() {
    let world = World::new(Contents::Ignored);
    let machine = Zoned::new(64);
    let pool = pool::<KINDS, 12>(&machine, &world);
    let frames = stock(&pool, 12, 0, WC, LOW);
    machine.stuck.set(Some(frames[2]));
    let before = flushes(&world);
    assert_eq!(pool.trim(Zones::ALL, pages(8), CX), pages(8));
    assert_eq!((flushes(&world) - before, pool.ready(Zones::ALL)), (1, pages(4)));
    assert_eq!((pool.trim(Zones::ALL, ALL, CX), pool.ready(Zones::ALL)), (pages(3), pages(1)));
    let same = pool.take(AllocRequest::new(order(0)).within(Zones::of(LOW)), WC, CX).unwrap();
    assert_eq!(same.pfn().0, frames[2]);
    assert!(format!("{same:?}").ends_with("mode 1"), "{same:?}");
    machine.stuck.set(None);
    pool.put(same, CX).unwrap();
    assert_eq!(pool.trim(Zones::ALL, ALL, CX), pages(1));
    world.assert_empty();
}

/// Rule: a platform that panics costs the one block that it had, wherever it panics, and no place in a list;
/// what was staged is of use again, and never leaves without a flush.
#[test]
fn a_panic_in_a_batch_costs_one_block() {
    for (panics, lost) in [
        (Panics::SetMode(0), 1),
        (Panics::SetMode(5), 1),
        (Panics::Flush, 0),
        (Panics::Free(0), 1),
        (Panics::Free(3), 1),
    ] {
        let (world, machine) = (World::new(Contents::Ignored), Zoned::new(64));
        let pool = pool::<KINDS, 10>(&machine, &world);
        stock(&pool, 10, 0, WC, LOW);
        machine.panics.set(panics);
        let trim = AssertUnwindSafe(|| pool.trim(Zones::ALL, ALL, CX));
        assert!(catch_unwind(trim).is_err(), "it panicked");
        machine.panics.set(Panics::Never);
        let gone = if let Panics::Free(n) = panics { n } else { 0 };
        assert_eq!(pool.ready(Zones::ALL), pages(10 - gone - lost), "{panics:?}");
        let listed: usize = pool.lists().map(|list| list.counts.ready).sum();
        assert_eq!(pool.ready(Zones::ALL), pages(listed), "{panics:?}");
        let trimmed = pool.trim(Zones::ALL, ALL, CX);
        assert_eq!(trimmed, pages(10 - gone - lost), "the oracle saw the flush: {panics:?}");
        let room = stock(&pool, 10, 0, WC, LOW).len();
        assert_eq!((room, pool.ready(Zones::ALL)), (10, pages(10)), "every place is there: {panics:?}");
        pool.trim(Zones::ALL, ALL, CX);
        world.validate();
    }
}

/// Rule: what a panic left cached, but not flushed, is flushed before it has another owner.
#[test]
fn what_a_panic_left_is_flushed_before_it_is_used() {
    for (panics, left) in [(Panics::SetMode(3), 3), (Panics::Flush, 4)] {
        let (world, machine, far) = (World::new(Contents::Ignored), Zoned::new(64), far(16));
        let lists = FreeListArray::<Watcher<'_>, KINDS, 4>::new();
        let platform = WithLists(watcher(&machine, &world), lists);
        let home = &Forebay::new(platform, Watched::new(&far, &world));
        stock(home.pool(), 4, 0, WC, LOW);
        machine.panics.set(panics);
        let trim = AssertUnwindSafe(|| home.pool().trim(Zones::ALL, ALL, CX));
        assert!(catch_unwind(trim).is_err(), "it panicked");
        machine.panics.set(Panics::Never);
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(WC);
        let buffer = buffer.with_zones(Zones::of(LOW));
        assert_eq!(home.pool().ready(Zones::ALL), pages(left));
        for _ in 0..left {
            assert_eq!(buffer.populate(pages(1), CX).populated, pages(1));
        }
        assert_eq!(home.pool().ready(Zones::ALL), NONE, "all of them came from their list");
        assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(left));
    }
}

/// A machine with modes, on which an interrupt comes while a mode is changed, and trims; it can't change modes itself.
struct Interrupted {
    near: Near,
    /// How many pages the interrupt wants, once.
    wants: Cell<Option<usize>>,
    /// What the interrupt puts back, once; the mode that is changed then is refused.
    puts: Cell<Option<PooledBlock<RamBlock<PAGE>, Caching>>>,
    pool: Cell<Option<&'static InterruptedPool>>,
}

type InterruptedModes = WithCaching<&'static Interrupted, &'static Interrupted>;
/// A list for each of three modes in two orders, with one block.
type InterruptedPool = Pool<WithLists<InterruptedModes, FreeListArray<InterruptedModes, 6, 1>>>;

impl FrameSource for Interrupted {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.near.allocate(request, cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.near.free(block);
    }
}

impl CachingControl<RamBlock<PAGE>> for Interrupted {
    type Mode = Caching;
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
        if let (Some(puts), Some(pool)) = (self.puts.take(), self.pool.get()) {
            pool.put(puts, CX).unwrap();
            return Err(ModeRefused);
        }
        if let (Some(wants), Some(pool)) = (self.wants.take(), self.pool.get()) {
            pool.trim(Zones::ALL, pages(wants), Context::INTERRUPT);
        }
        Ok(())
    }
}

fn interrupted() -> (&'static Interrupted, &'static InterruptedPool) {
    let (wants, puts, pool) = (Cell::default(), Cell::default(), Cell::default());
    let machine: &Interrupted = forever(Interrupted { near: near(32), wants, puts, pool });
    let pool: &InterruptedPool =
        forever(Pool::new(WithLists(WithCaching(machine, machine), FreeListArray::new())));
    machine.pool.set(Some(pool));
    (machine, pool)
}

/// Rule: while a block is tried its place is reserved: what an interrupt puts back meanwhile is returned to the source, and
/// neither is lost.
#[test]
fn a_place_is_reserved_for_a_block_that_stays() {
    let (machine, pool) = interrupted();
    let near = &machine.near;
    let [first, second] = [(); 2].map(|()| pool.take(AllocRequest::new(order(0)), WC, CX).unwrap());
    pool.put(first, CX).unwrap();
    machine.puts.set(Some(second));
    assert_eq!(pool.trim(Zones::ALL, ALL, CX), NONE);
    assert_eq!((pool.ready(Zones::ALL), near.unused()), (pages(1), pages(31)));
    assert_eq!((pool.trim(Zones::ALL, ALL, CX), near.unused()), (pages(1), pages(32)));
}

/// Rule: each list is looked at, whatever trims meanwhile: an interrupt that can't return a block hides it from no other trim.
#[test]
fn trims_that_overlap_miss_nothing() {
    for wants in 1..=6 {
        let (machine, pool) = interrupted();
        let kinds = [(0, WC), (0, Caching::Uncached), (1, Caching::WriteBack), (1, Caching::Uncached)];
        let blocks = kinds.map(|(k, mode)| pool.take(AllocRequest::new(order(k)), mode, CX).unwrap());
        blocks.into_iter().for_each(|block| pool.put(block, CX).unwrap());
        machine.wants.set(Some(wants));
        pool.trim(Zones::ALL, ALL, CX);
        let left = (pool.ready(Zones::ALL), machine.near.unused());
        assert_eq!(left, (NONE, pages(32)), "an interrupt wanted {wants}");
    }
}

/// A step of a shrinker and its surroundings.
#[derive(Clone, Copy, Debug)]
enum Op {
    Take(u8, usize, usize),
    Put(usize),
    Trim(usize, usize),
}

const ZONES: [u8; 2] = [LOW, HIGH];

fn sets() -> [Zones; 4] {
    [Zones::of(LOW), Zones::of(HIGH), Zones::ALL, Zones::of(LOW).intersection(Zones::of(HIGH))]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..3_u8, 0..3_usize, 0..2_usize).prop_map(|(k, mode, zone)| Op::Take(k, mode, zone)),
        4 => (0..64_usize).prop_map(Op::Put),
        2 => (0..4_usize, 0..20_usize).prop_map(|(set, want)| Op::Trim(set, want)),
    ]
}

/// Blocks in each list, by order, mode and zone.
fn in_lists<P: Platform>(pool: &Pool<P>) -> Vec<(u8, Pages, usize)> {
    pool.lists().map(|list| (list.zone, list.order.pages(), list.counts.ready)).collect()
}

fn sum(lists: &[(u8, Pages, usize)], zones: Zones) -> usize {
    lists
        .iter()
        .filter(|(zone, ..)| zones.contains(Zones::of(*zone)))
        .map(|(_, pages, n)| pages.get() * n)
        .sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: whatever was put and taken before: trim returns what is wanted, or all that there is, of those zones and no
    /// others; less than a block too much; and counts what it returned.
    #[test]
    fn trim_against_a_model(ops in prop::collection::vec(op(), 1..60)) {
        let (world, machine) = (World::new(Contents::Ignored), Zoned::new(256));
        let pool = pool::<KINDS, 2>(&machine, &world);
        let unused = || machine.low.unused() + machine.high.unused();
        let mut held = vec![];
        for op in ops {
            match op {
                Op::Take(k, mode, zone) => {
                    let request = AllocRequest::new(order(k)).within(Zones::of(ZONES[zone]));
                    held.extend(pool.take(request, MODES[mode], CX));
                }
                Op::Put(_) if held.is_empty() => {}
                Op::Put(n) => pool.put(held.swap_remove(n % held.len()), CX).unwrap(),
                Op::Trim(set, want) => {
                    let zones = sets()[set];
                    let (before, free) = (in_lists(&pool), unused());
                    let there = sum(&before, zones);
                    prop_assert_eq!(pool.ready(zones), pages(there));
                    let left = pool.trim(zones, pages(want), CX).get();
                    let after = in_lists(&pool);
                    prop_assert_eq!(there - left, sum(&after, zones));
                    prop_assert_eq!(unused(), free + pages(left));
                    prop_assert!(left >= want.min(there));
                    let mut largest = 0;
                    for ((zone, size, n), (_, _, rest)) in before.into_iter().zip(after) {
                        prop_assert!(zones.contains(Zones::of(zone)) || n == rest);
                        prop_assert!(rest <= n);
                        largest = if rest < n { largest.max(size.get()) } else { largest };
                    }
                    prop_assert!(left < want + largest.max(1));
                }
            }
            world.validate();
        }
        held.into_iter().for_each(|block| pool.put(block, CX).unwrap());
        pool.trim(Zones::ALL, ALL, CX);
        world.assert_empty();
    }

    /// Rule: trimming takes from each kind of its zones in turn, and goes on where it ended, by however many blocks.
    #[test]
    fn every_kind_has_its_turn(zone in 0..2_usize, ops in prop::collection::vec(1..8_usize, 1..12)) {
        let (world, machine) = (World::new(Contents::Ignored), Zoned::new(64));
        let pool = pool::<KINDS, 6>(&machine, &world);
        for (mode, zone) in MODES.into_iter().flat_map(|mode| ZONES.map(|zone| (mode, zone))) {
            stock(&pool, 6, 0, mode, zone);
        }
        for want in ops {
            pool.trim(Zones::of(ZONES[zone]), pages(want), CX);
            let left = MODES.map(|mode| ready_in(&pool, mode, ZONES[zone]));
            let most = left.into_iter().max().unwrap();
            prop_assert!(left.iter().all(|n| n + 1 >= most), "{left:?}");
            let other = MODES.map(|mode| ready_in(&pool, mode, ZONES[1 - zone]));
            prop_assert_eq!(other, [6; 3]);
        }
    }
}
