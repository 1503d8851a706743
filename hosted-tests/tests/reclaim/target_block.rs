//! A block of some order is wanted, not just pages: fragmentation and shortage are told apart (`ttm-semantics.md` B9).

use forebay_backends::*;
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const BIG: Order = Order::new(3).expect("an order");

fn filled<H: Home + Copy>(home: H, order: Order, count: usize) -> Vec<Buffer<H>> {
    let tiles: Vec<_> = (0..count).map(|_| Buffer::new(home, order)).collect();
    tiles.iter().for_each(|t| fill(t, 6));
    tiles
}

fn resident<H: Home>(tiles: &[Buffer<H>]) -> usize {
    tiles.iter().filter(|t| t.residency().is_ok_and(|r| r.resident > NONE)).count()
}

fn refs<'b, H: Home>(parts: &[&'b [Buffer<H>]]) -> Vec<&'b Buffer<H>> {
    parts.iter().copied().flatten().collect()
}

fn told(report: &Report) -> ([usize; 2], Outcome) {
    ([report.evicted.moved().get(), report.gained.get()], report.outcome)
}

/// Rule: if the source has such a block nothing is done: no buffer loses anything, and no free list.
#[test]
fn what_is_there_costs_nothing() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay_with_lists::<_, _, 4, 1>(&near, &far, &world);
    home.pool().put(home.pool().take(AllocRequest::new(order(1)), (), CX).unwrap(), CX).unwrap();
    let tiles = filled(home, order(0), 4);
    let _ = tiles[0].set_purgeable(true).unwrap();
    let ready = home.pool().ready(Zones::ALL);
    for _ in 0..3 {
        let report = home.reclaim(&tiles[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
        assert_eq!(told(&report), ([0, 0], Outcome::Reached));
        assert_eq!(
            (report.evicted, home.pool().ready(Zones::ALL), resident(&tiles)),
            (Evicted::default(), ready, 4)
        );
    }
    tiles.iter().for_each(|t| check(t, 6));
    drop(tiles);
    home.pool().trim(Zones::ALL, ALL, CX);
    all_returned(&world, &near, &far);
}

/// Rule: blocks of that order or above go first, one is enough, and the small ones stay, wherever they are in the walk.
#[test]
fn large_blocks_go_first() {
    for how in [Evict::TRANSFER, Evict::COPY, Evict::ANY] {
        for large in [3, 4] {
            let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
            let home = &forebay(&near, &far, &world);
            let big = filled(home, order(large), 2);
            let small = filled(home, order(0), 64 - (2 << large));
            let all = refs(&[&small, &big]);
            let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), how, CX);
            assert_eq!(told(&report), ([1 << large; 2], Outcome::Reached), "{how:?}");
            assert_eq!((resident(&small), resident(&big)), (small.len(), 1));
            assert_eq!(
                (near.unused(), near.allocate(AllocRequest::new(BIG), CX).map(|b| near.free(b))),
                (pages(1 << large), Ok(()))
            );
            world.validate();
            all.iter().for_each(|t| check(t, 6));
            drop((big, small));
            all_returned(&world, &near, &far);
        }
    }
}

/// Rule: a buffer without such a block is not disturbed: no hook runs, whatever there is to find, or not.
#[test]
fn a_buffer_without_such_a_block_is_not_disturbed() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (TwoZones::new(8, 8), far(64));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), &far, &world);
    let buffer = |order, zone: u8| {
        let buffer = Buffer::new(home, order).with_zones(Zones::of(zone));
        fill(&buffer, 6);
        buffer
    };
    let small: [Buffer<_>; 4] = std::array::from_fn(|_| buffer(order(1), LOW));
    let high = [buffer(order(2), HIGH), buffer(order(2), HIGH)];
    small[2].evict(ALL, Evict::COPY, CX).unwrap();
    check(&small[2], 6); // clean
    log.take();
    let all = refs(&[&small, &high]);
    let hooks = || log.count(|e| matches!(e, Event::BeforeEvict(..) | Event::AfterRestore(..)));
    let report = home.reclaim(&all[..], ReclaimTarget::moved(ALL).within(Zones::of(HIGH)), Evict::ANY, CX);
    assert_eq!((report.evicted.moved(), hooks()), (pages(8), 2));
    let low: Vec<_> = small.iter().collect();
    let guard = small[0].read().unwrap(); // so that the shortage lasts
    home.reclaim(&low[..], ReclaimTarget::block(order(2)).within(Zones::of(HIGH)), Evict::ANY, CX);
    assert_eq!(hooks(), 0);
    let report =
        home.reclaim(&low[..], ReclaimTarget::block(order(2)).within(Zones::of(LOW)), Evict::TRANSFER, CX);
    assert_eq!((report.evicted.moved(), hooks()), (pages(4), 2), "as a shortage, two of them");
    drop(guard);
    all.iter().for_each(|t| check(t, 6));
    drop((small, high));
    world.assert_empty();
}

/// Rule: what is not needed, or clean, goes before other blocks, but only if it has such a block.
#[test]
fn only_large_ones_are_purged_and_dropped_clean() {
    for first in ["purged", "clean"] {
        let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
        let home = &forebay(&near, &far, &world);
        let big = filled(home, BIG, 4);
        let small = filled(home, order(1), 16);
        for tile in [&big[2], &small[3]] {
            if first == "purged" {
                let _ = tile.set_purgeable(true).unwrap();
            } else {
                tile.evict(ALL, Evict::COPY, CX).unwrap();
                check(tile, 6);
                tile.evict_if_idle(&EvictRequest::new(NONE, Evict::ANY, CX));
            }
        }
        let all = refs(&[&small, &big]);
        let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
        assert_eq!(told(&report), ([8, 8], Outcome::Reached), "{first}");
        assert_eq!((resident(&small), resident(&big)), (16, 3));
        assert_eq!(big[2].residency().unwrap().resident, NONE, "{first}");
        assert_eq!(report.evicted.clean + report.evicted.purged, pages(8));
        small.iter().for_each(|t| check(t, 6));
        drop((big, small));
        all_returned(&world, &near, &far);
    }
}

/// Rule: where enough is free, but in pieces, nothing more leaves (B9: the reclaim went on in a circle); and where a little
/// is missing, just that.
#[test]
fn fragmented_is_not_short() {
    for (free, leaves) in [(8, 0), (9, 0), (5, 3), (0, 8)] {
        let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
        let home = &forebay(&near, &far, &world);
        // Of each pair of pages one is in other hands for ever, so nothing can be joined.
        let hogged = leave(&near, (0..32).map(|n| 2 * n));
        let small = filled(home, order(0), 32 - free);
        let report = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
        assert_eq!(told(&report), ([leaves; 2], Outcome::Fragmented), "{free} free");
        assert_eq!(near.unused(), pages(free + leaves));
        let again = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
        assert_eq!(told(&again), ([0, 0], Outcome::Fragmented));
        world.validate();
        small.iter().for_each(|t| check(t, 6));
        drop(small);
        give_back(&near, hogged);
        all_returned(&world, &near, &far);
    }
}

/// Rule: where no such block left a buffer, no more is written out for it than it has pages, whatever is on its way.
#[test]
fn no_more_is_written_out_than_that() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), region::<32>(128, 0));
    let home = &forebay(&near, &far, &world);
    let hogged = leave(&near, (0..32).map(|n| 2 * n));
    let small = filled(home, order(0), 32);
    home.reclaim(&small[..], pages(24), Evict::TRANSFER, Context::INTERRUPT);
    let report = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::TRANSFER, CX);
    assert_eq!((report.evicted.moved(), report.outcome), (NONE, Outcome::Fragmented));
    assert_eq!((report.settled.written, far.pending(), near.unused()), (pages(8), pages(16), pages(8)));
    world.validate();
    small.iter().for_each(|t| check(t, 6));
    drop(small);
    give_back(&near, hogged);
    world.assert_empty();
}

/// Rule: in a shortage small blocks leave too, until the block's number of pages is free. Then the
/// outcome is `Reached` or `Fragmented`.
#[test]
fn in_a_shortage_small_ones_leave() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(64));
    let home = &forebay(&near, &far, &world);
    let small = filled(home, order(0), 16);
    let report = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(report.evicted.moved(), pages(8));
    assert!(matches!(report.outcome, Outcome::Reached | Outcome::Fragmented));
    let guards: Vec<_> = small.iter().map(|t| t.read()).collect(); // the eight resident ones are in use
    let report = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([0, 0], Outcome::Nothing));
    drop(guards);
    drop(small[0].write().unwrap());
    let guards: Vec<_> = small[1..].iter().map(|t| t.read()).collect();
    let report = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([1, 1], Outcome::Short), "the rest is in use");
    drop(guards);
    world.validate();
    small.iter().for_each(|t| check(t, 6));
    drop(small);
    all_returned(&world, &near, &far);
}

/// Rule: in an interrupt such a block is not free yet, and a second call evicts no more.
#[test]
fn in_an_interrupt_it_is_pending() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay(&near, &far, &world);
    let big = filled(home, BIG, 2);
    let small = filled(home, order(0), 16);
    let all = refs(&[&small, &big]);
    for moved in [8, 0, 0] {
        let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), Evict::ANY, Context::INTERRUPT);
        assert_eq!(told(&report), ([moved, 0], Outcome::Pending));
        assert_eq!((resident(&small), resident(&big)), (16, 1));
    }
    let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([0, 8], Outcome::Reached));
    all.iter().for_each(|t| check(t, 6));
    drop((big, small));
    all_returned(&world, &near, &far);
}

/// Rule: small blocks that are on their way do not stand for a large one: that goes too.
#[test]
fn small_ones_on_their_way_are_not_a_block() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
    let hogged = leave(&near, (0..16).map(|n| 2 * n).chain(32..64));
    let home = &forebay(&near, &far, &world);
    let big = filled(home, BIG, 4);
    let small = filled(home, order(0), 16);
    home.reclaim(&small[..], pages(16), Evict::TRANSFER, Context::INTERRUPT);
    assert_eq!((far.pending(), near.unused()), (pages(16), NONE));
    let all = refs(&[&small, &big]);
    let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), Evict::TRANSFER, CX);
    assert_eq!((report.outcome, report.evicted.moved()), (Outcome::Reached, pages(8)));
    assert_eq!(resident(&big), 3);
    world.validate();
    all.iter().for_each(|t| check(t, 6));
    drop((big, small));
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: a store that takes one block at a time is settled between.
#[test]
fn a_store_with_room_for_one() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), region::<1>(64, 0));
    let home = &forebay(&near, &far, &world);
    let big = filled(home, BIG, 2);
    let small = filled(home, order(0), 16);
    assert_eq!(small[3].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(1));
    let all = refs(&[&small, &big]);
    let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), Evict::TRANSFER, CX);
    assert_eq!((report.outcome, report.evicted.moved()), (Outcome::Reached, pages(8)));
    assert_eq!((resident(&small), resident(&big)), (15, 1));
    all.iter().for_each(|t| check(t, 6));
    drop((big, small));
    world.assert_empty();
}

/// Rule: free lists are emptied before any contents leave.
#[test]
fn free_lists_first() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay_with_lists::<_, _, 4, 16>(&near, &far, &world);
    let big = filled(home, BIG, 2);
    let pooled = filled(home, order(0), 16);
    drop(pooled);
    assert_eq!((near.unused(), home.pool().ready(Zones::ALL)), (NONE, pages(16)));
    let report = home.reclaim(&big[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!((report.outcome, report.evicted), (Outcome::Reached, Evicted::default()));
    assert_eq!((home.pool().ready(Zones::ALL), resident(&big)), (pages(8), 2), "as far as it takes");
    big.iter().for_each(|t| check(t, 6));
    drop(big);
    home.pool().trim(Zones::ALL, ALL, CX);
    all_returned(&world, &near, &far);
}

/// Rule: where the source does not say how much is free, what this call freed stands for it: as many pages leave as the
/// block has, not more.
#[test]
fn a_source_that_does_not_say() {
    let (near, far) = (near(64), far(128));
    let home = &Forebay::new(LoudRam(&near), &far);
    let hogged = leave(&near, (0..32).map(|n| 2 * n));
    let small = filled(home, order(0), 32);
    let report = home.reclaim(&small[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([8, 8], Outcome::Fragmented));
    assert_eq!(near.unused(), pages(8));
    small.iter().for_each(|t| check(t, 6));
    drop(small);
    give_back(&near, hogged);
    let big = filled(home, BIG, 8);
    let report = home.reclaim(&big[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([8, 8], Outcome::Reached));
    big.iter().for_each(|t| check(t, 6));
}

/// Rule: a block larger than the source ever gives costs nothing.
#[test]
fn larger_than_any() {
    let world = World::new(Contents::Compared);
    let (near, far) = (TwoZones::new(8, 8), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = filled(home, order(2), 4);
    let report = home.reclaim(&tiles[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([0, 0], Outcome::Never));
    assert_eq!(resident(&tiles), 4);
    drop(tiles);
    world.assert_empty();
}

/// Rule: what became reclaimable by the system counts once, also where small blocks had to follow.
#[test]
fn what_became_reclaimable_is_counted_to_the_end() {
    /// Whatever is transferred the system can have at once.
    struct Swapped(Far);
    impl BackingStore<RamBlock<PAGE>> for Swapped {
        fn ids(&self) -> StoreIds {
            BackingStore::<RamBlock<PAGE>>::ids(&self.0)
        }
        fn capabilities(&self) -> Capabilities {
            Capabilities::TRANSFER | Capabilities::TAKE_BACK
        }
        fn transfer(
            &self,
            block: RamBlock<PAGE>,
            _: Option<Charge>,
        ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
            self.0.transfer(block, None)
        }
        fn take_back(&self, h: Handle, cx: Context) -> Result<RamBlock<PAGE>, Refused<Handle, StoreError>> {
            self.0.take_back(h, cx)
        }
        fn discard(&self, h: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
            self.0.discard(h)
        }
        fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
            let mut settled = Settled::default();
            settled.reclaimable = self.0.pending();
            settled
        }
    }
    let (near, far) = (near(24), Swapped(far(64)));
    let home = &Forebay::new(&near, &far);
    let big = filled(home, BIG, 1);
    let small = filled(home, order(0), 16);
    let all = refs(&[&small, &big]);
    let report = home.reclaim(&all[..], ReclaimTarget::block(BIG), Evict::ANY, CX);
    assert_eq!(told(&report), ([16, 16], Outcome::Short), "the system has the pages, the source no block");
    all.iter().for_each(|t| check(t, 6));
}

type Caller = Forebay<CallsBack, Far>;

/// A source that knows nothing, and reclaims for a request that permits it, from within its `allocate`.
struct CallsBack {
    near: Near,
    home: OnceLock<&'static (Caller, OnceLock<Vec<Buffer<&'static Caller>>>)>,
    depth: AtomicUsize,
    deepest: AtomicUsize,
}

impl FrameSource for CallsBack {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        let depth = self.depth.fetch_add(1, Relaxed) + 1;
        assert!(depth < 100, "the stack would overflow");
        self.deepest.fetch_max(depth, Relaxed);
        let tiles = self.home.get().and_then(|(home, tiles)| Some((home, tiles.get()?)));
        if let (true, Some((home, tiles))) = (request.may_reclaim, tiles) {
            home.reclaim(tiles, ReclaimTarget::block(request.order), Evict::ANY, cx);
        }
        self.depth.fetch_sub(1, Relaxed);
        self.near.allocate(request, cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.near.free(block);
    }
}

/// Rule: a reclaim that asks a source for a block gives it no right to reclaim: a source that calls a reclaim from its `allocate`
/// comes back once, and no deeper. The reclaim that it calls helps.
#[test]
fn a_source_that_reclaims_comes_back_once() {
    let (home, depth, deepest) = (OnceLock::new(), AtomicUsize::new(0), AtomicUsize::new(0));
    let source = CallsBack { near: near(8), home, depth, deepest };
    let leaked: &'static (Caller, _) = Box::leak(Box::new((Forebay::new(source, far(16)), OnceLock::new())));
    let (home, source) = (&leaked.0, leaked.0.platform());
    assert!(source.home.set(leaked).is_ok());
    assert!(leaked.1.set(filled(home, order(0), 8)).is_ok());
    let tiles = leaked.1.get().unwrap();
    let more = filled(home, order(0), 4); // each needs a page of the tiles
    assert_eq!((source.deepest.load(Relaxed), resident(tiles)), (2, 4));
    let report = home.reclaim(tiles, ReclaimTarget::block(order(0)), Evict::ANY, CX);
    assert_eq!(
        (report.outcome, source.depth.load(Relaxed), source.deepest.load(Relaxed)),
        (Outcome::Reached, 0, 2)
    );
    more.iter().for_each(|tile| check(tile, 6));
    tiles.iter().for_each(|tile| check(tile, 6));
}
