//! Hopeless requests: for what no eviction can ever give nothing leaves, and the answer says so.

use forebay_backends::shmem::Arena;
use forebay_backends::*;
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use hosted_tests::memory;

const NEVER: AccessError = AccessError::Alloc(AllocError::Never);

/// A source that says what it has, and counts allocations.
struct Asked<'n> {
    inner: &'n Near,
    allocations: std::cell::Cell<usize>,
}

impl FrameSource for Asked<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.allocations.set(self.allocations.get() + 1);
        self.inner.allocate(request, cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.inner.free(block);
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.inner.supply(request)
    }
}

/// Rule: what a source could ever give is what its ranges hold in aligned blocks, whatever is free; and a block is ready if an
/// allocation would find it.
#[test]
fn what_ram_could_ever_give() {
    for (from, to) in [(0, 16), (1, 16), (3, 14), (7, 9), (8, 16), (5, 6)] {
        let memory = &mut memory::leak(16 * PAGE, 0)[from * PAGE..to * PAGE];
        let ram = Near::new();
        let words = memory::words(Near::metadata_words(memory.len()));
        ram.add(memory, words).unwrap();
        let mut held = Vec::new();
        loop {
            for k in 0..6 {
                let request = AllocRequest::new(order(k));
                let whole =
                    (from.next_multiple_of(1 << k)..to).step_by(1 << k).filter(|at| at + (1 << k) <= to);
                let supply = ram.supply(&request);
                assert_eq!(
                    (supply.free, supply.ever),
                    (Some(ram.unused()), Some(pages(whole.count() << k))),
                    "{from}..{to} {k}"
                );
                let block = ram.allocate(request, CX);
                assert_eq!(supply.ready, Some(block.is_ok()));
                block.into_iter().for_each(|block| ram.free(block));
            }
            let elsewhere = ram.supply(&AllocRequest::new(order(0)).within(Zones::of(1)));
            assert_eq!(elsewhere, Supply { free: Some(NONE), ready: Some(false), ever: Some(NONE) });
            match ram.allocate(AllocRequest::new(order(held.len() as u8 % 3)), CX) {
                Ok(block) => held.push(block),
                Err(_) => break,
            }
        }
    }
}

/// Rule: a reclaim for a block that the source can never give evicts nothing, each time.
#[test]
fn a_block_that_no_range_holds() {
    let world = World::new(Contents::Compared);
    let near = Near::new();
    let memory = &mut memory::leak(16 * PAGE, 0)[PAGE..15 * PAGE]; // no aligned block of 8 pages lies in it
    near.add(memory, memory::words(Near::metadata_words(14 * PAGE))).unwrap();
    let far = far(64);
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<6, _>(home, order(1));
    for _ in 0..3 {
        for target in [order(3), order(4), order(10)].map(ReclaimTarget::block) {
            let report = home.reclaim(&tiles, target, Evict::ANY, CX);
            assert_eq!((report.outcome, report.evicted), (Outcome::Never, Evicted::default()));
        }
        let big = Buffer::new(home, order(3));
        let write = || big.write().map(drop);
        assert_eq!(home.or_reclaim(&tiles, pages(8), Evict::ANY, CX, write), Err(NEVER));
        assert_eq!(home.pool().take(AllocRequest::new(order(3)), (), CX).err(), Some(AllocError::Never));
    }
    assert_eq!(home.stats().evicted, Evicted::default());
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: a buffer of several blocks that all must be resident is counted as a whole, in its zones.
#[test]
fn a_buffer_larger_than_its_zone() {
    let world = World::new(Contents::Compared);
    let (near, far) = (TwoZones::new(8, 16), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<4, _>(home, order(1));
    let moved = || home.stats().evicted.moved();
    for (slots, zones, fits) in [
        (8, Zones::of(LOW), true),
        (9, Zones::of(LOW), false),
        (24, Zones::ALL, true),
        (25, Zones::ALL, false),
    ] {
        let before = moved();
        let wide = Buffer::with_slots(home, (0..slots).map(|_| Slot::EMPTY).collect::<Vec<_>>(), order(0))
            .with_zones(zones);
        let write = || wide.write().map(drop);
        let result = home.or_reclaim(&tiles, pages(slots), Evict::ANY, CX, write);
        match fits {
            true => assert_eq!(result, Ok(()), "{slots} in {zones:?}"),
            false => assert_eq!((result, moved()), (Err(NEVER), before), "{slots} in {zones:?}"),
        }
        drop(wide);
        check_all(&tiles);
        world.validate();
    }
}

/// Rule: what was exported and dropped is gone for ever.
#[test]
fn what_an_arena_exported() {
    let arena = Arena::builder(16 << 20).create().unwrap();
    let ever = |k| arena.supply(&AllocRequest::new(order(k))).ever;
    assert_eq!([0, 10].map(ever), [4096, 4096].map(|n| Some(pages(n))));
    let block = arena.allocate(AllocRequest::new(order(9)), CX).unwrap();
    arena.export(&block).expect("it is of this arena");
    assert_eq!(ever(0), Some(pages(4096)), "it is not dropped yet");
    arena.free(block);
    assert_eq!([0, 9, 10].map(ever), [3584, 3584, 3072].map(|n| Some(pages(n))));
    assert_eq!(BackingStore::space(&arena).pages, pages(3584), "nor is there room for contents");
}

/// Rule: the limit of an arena counts.
#[test]
fn a_block_above_the_limit_of_an_arena() {
    let arena = Arena::builder(16 << 20).limit(Pages::new(600)).create().unwrap();
    let ever = |k| arena.supply(&AllocRequest::new(order(k))).ever;
    assert_eq!([0, 7, 9, 10].map(ever), [600, 512, 512, 0].map(|n| Some(pages(n))));
    let home = Forebay::new(&arena, &arena);
    let tiles = [const { Order::new(7).unwrap() }; 4].map(|order| Buffer::new(&home, order));
    tiles.iter().for_each(|tile| drop(tile.write().unwrap()));
    let big = Buffer::new(&home, Order::TEN);
    for _ in 0..3 {
        let write = || big.write().map(drop);
        assert_eq!(home.or_reclaim(&tiles, pages(1024), Evict::TRANSFER, CX, write), Err(NEVER));
        let report = home.reclaim(&tiles, ReclaimTarget::block(Order::TEN), Evict::TRANSFER, CX);
        assert_eq!(report.outcome, Outcome::Never);
        assert_eq!(home.keep_free(&tiles, pages(601), Evict::TRANSFER, CX).unwrap().outcome, Outcome::Never);
    }
    assert_eq!(home.stats().evicted, Evicted::default());
    let block = arena.allocate(AllocRequest::new(order(9)), CX);
    assert_eq!(block.err(), Some(AllocError::Limit), "there is such a block, but not now");
}

/// Rule: a reclaim for a block takes none to see whether there is one, if the source can say so.
#[test]
fn to_look_for_a_block_takes_none() {
    let (near, far) = (near(16), far(64));
    let source = Asked { inner: &near, allocations: Default::default() };
    let home = &Forebay::new(&source, &far);
    let tiles: [Buffer<_>; 8] = std::array::from_fn(|_| Buffer::new(home, order(1)));
    tiles.iter().zip(0..).for_each(|(tile, seed)| fill(tile, seed));
    source.allocations.take();
    for k in 0..4 {
        let report = home.reclaim(&tiles, ReclaimTarget::block(order(k)), Evict::TRANSFER, CX);
        assert_eq!(report.outcome, Outcome::Reached, "{k}");
    }
    assert_eq!(source.allocations.get(), 0);
    tiles.iter().zip(0..).for_each(|(tile, seed)| check(tile, seed));
}

/// A source that does not say what is ready, and gives another block than the one that it is asked for.
struct Other<'n> {
    inner: &'n Near,
    /// It gives a block of half the size.
    smaller: bool,
    /// It says that its blocks lie in this zone.
    zone: u8,
}

impl FrameSource for Other<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    const ZONES: u8 = 2;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        let lower = request.order.lower().filter(|_| self.smaller && !request.may_reclaim);
        self.inner.allocate(AllocRequest::new(lower.unwrap_or(request.order)), cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.inner.free(block);
    }
    fn zone(&self, _: &RamBlock<PAGE>) -> u8 {
        self.zone
    }
}

/// Rule: a block is there only if the source gives one of that order, in one of these zones; what it gives instead has not been
/// asked for, and is given back.
#[test]
fn a_source_that_gives_another_block() {
    for (smaller, zone, outcome) in
        [(false, 0, Outcome::Reached), (true, 0, Outcome::Nothing), (false, 1, Outcome::Nothing)]
    {
        let near = near(16);
        let home = Forebay::new(Other { inner: &near, smaller, zone }, Null);
        let none: [Buffer<&Forebay<Other<'_>, Null>>; 0] = [];
        let target = ReclaimTarget::block(order(2)).within(Zones::of(0));
        assert_eq!(
            home.reclaim(&none, target, Evict::ANY, CX).outcome,
            outcome,
            "smaller: {smaller}, zone {zone}"
        );
        assert_eq!(near.unused(), near.total());
    }
}

/// Rule: an arena that is at its limit says so without trying.
#[test]
fn an_arena_at_its_limit() {
    let arena = Arena::builder(16 << 20).limit(Pages::new(6)).create().unwrap();
    let ready = |k| arena.supply(&AllocRequest::new(order(k))).ready;
    assert_eq!([1, 2, 3].map(ready), [None, None, Some(false)]);
    let block = arena.allocate(AllocRequest::new(order(2)), CX).unwrap();
    assert_eq!([1, 2, 3].map(ready), [None, Some(false), Some(false)]);
    arena.free(block);
    assert_eq!(ready(2), None);
    assert_eq!(arena.unused(), pages(4096), "to ask takes nothing");
}

/// A store whose table is full for ever.
struct Stuck(std::cell::Cell<u32>);

impl BackingStore<RamBlock<PAGE>> for Stuck {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::NotStored })
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::TRANSFER | Capabilities::TAKE_BACK
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        _: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        Err(Refused { item: block, why: StoreError::Backlog })
    }
    fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
        self.0.set(self.0.get() + 1);
        assert!(self.0.get() < 1000, "the reclaim waits for the store for ever");
        Settled::default()
    }
}

/// Rule: a reclaim ends where the store neither takes a block nor moves one on.
#[test]
fn a_store_that_is_stuck() {
    let near = near(16);
    let home = Forebay::new(&near, Stuck(std::cell::Cell::new(0)));
    let tiles: Vec<_> = (0..4).map(|_| Buffer::new(&home, order(1))).collect();
    tiles.iter().for_each(|tile| fill(tile, 1));
    for cx in [CX, Context::INTERRUPT] {
        for target in
            [ReclaimTarget::freed(pages(3)), ReclaimTarget::moved(pages(3)), ReclaimTarget::block(order(4))]
        {
            let report = home.reclaim(&tiles, target, Evict::TRANSFER, cx);
            assert_eq!((report.evicted.moved(), report.gained), (NONE, NONE), "{target:?}");
        }
        let full = home.or_reclaim(&tiles, pages(16), Evict::TRANSFER, cx, || {
            Err::<(), _>(AllocError::Exhausted.into())
        });
        assert_eq!(full, Err(AccessError::Alloc(AllocError::Exhausted)));
    }
    tiles.iter().for_each(|tile| check(tile, 1));
}
