//! What a reclaim promises however store, source and others behave: it ends, it counts what is so, and it takes no more than
//! was wanted.

use forebay_backends::*;
use hosted_tests::kit::walkers::stone;
use hosted_tests::kit::*;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A source that does not count, in two zones of which the second has nothing; its hook refuses to let `stubborn` go.
pub(crate) struct Plain<'n> {
    near: &'n Near,
    stubborn: Option<BufferId>,
    hooks: AtomicUsize,
}

impl<'n> Plain<'n> {
    pub(crate) fn new(near: &'n Near) -> Self {
        Plain { near, stubborn: None, hooks: AtomicUsize::new(0) }
    }
}

impl FrameSource for Plain<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    const ZONES: u8 = 2;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Self::Block, AllocError> {
        self.near.allocate(request, cx)
    }
    fn free(&self, block: Self::Block) {
        self.near.free(block);
    }
}

impl EvictHooks<RamBlock<PAGE>> for Plain<'_> {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut RamBlock<PAGE>>,
        _: Context,
    ) -> Result<(), Busy> {
        if self.stubborn.is_none_or(|stubborn| stubborn == id) {
            self.hooks.fetch_add(1, Relaxed);
        }
        if self.stubborn == Some(id) { Err(Busy) } else { Ok(()) }
    }
}

impl CachingControl<RamBlock<PAGE>> for Plain<'_> {
    type Mode = ();
    fn set_mode(&self, _: &mut RamBlock<PAGE>, (): (), (): (), _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

impl DmaMap<RamBlock<PAGE>> for Plain<'_> {}
impl Accounting for Plain<'_> {}
impl LinearMap<RamBlock<PAGE>, ()> for Plain<'_> {}

/// How a [`Sys`] settles.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settles {
    /// All of it becomes reclaimable by the system, as with shmem.
    Reclaimable,
    /// One page each time is returned.
    OnePage,
    /// Nothing moves; whatever `meanwhile` does is done.
    Never,
    /// It says that it wrote a page.
    Lies,
    /// It can't write out any more, but copies, to elsewhere.
    Broken,
    /// Nothing moves, but copies become reclaimable by the system.
    Copies,
}

#[derive(Default)]
struct Kept {
    blocks: HashMap<usize, (RamBlock<PAGE>, bool)>,
    next: usize,
    copied: Pages,
}

pub(crate) struct Sys {
    settles: Settles,
    /// How many blocks may be pending at a time.
    pub(crate) most: usize,
    kept: Mutex<Kept>,
    calls: AtomicUsize,
    meanwhile: Mutex<Option<Box<dyn Fn() + Send>>>,
}

impl Sys {
    pub(crate) fn new(settles: Settles) -> Self {
        let (calls, meanwhile) = (AtomicUsize::new(0), Mutex::new(None));
        Sys { settles, most: usize::MAX, kept: Mutex::default(), calls, meanwhile }
    }
}

impl BackingStore<RamBlock<PAGE>> for Sys {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        match self.settles {
            Settles::Broken | Settles::Copies => Capabilities::TRANSFER | Capabilities::COPY,
            _ => Capabilities::TRANSFER,
        }
    }
    fn save(
        &self,
        _: &RamBlock<PAGE>,
        order: Order,
        _: Option<Charge>,
        _: Context,
    ) -> Result<Handle, StoreError> {
        let mut kept = self.kept.lock().unwrap();
        kept.next += 1;
        kept.copied += order.pages();
        Ok(Handle::new(StoreId::DEFAULT, order, kept.next).unwrap()) // it is not read again
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        _: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        let mut kept = self.kept.lock().unwrap();
        if kept.blocks.values().filter(|(_, reclaimable)| !reclaimable).count() >= self.most {
            return Err(Refused { item: block, why: StoreError::Backlog });
        }
        kept.next += 1;
        let (n, order) = (kept.next, block.order());
        kept.blocks.insert(n, (block, false));
        Ok(Handle::new(StoreId::DEFAULT, order, n).unwrap())
    }
    fn take_back(&self, h: Handle, _: Context) -> Result<RamBlock<PAGE>, Refused<Handle, StoreError>> {
        let block = self.kept.lock().unwrap().blocks.remove(&h.value());
        block.map(|(block, _)| block).ok_or(Refused { item: h, why: StoreError::NotStored })
    }
    fn discard(&self, h: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        Ok(self.kept.lock().unwrap().blocks.remove(&h.value()).map(|(block, _)| block))
    }
    fn settle(&self, budget: Pages, _: Context, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
        let calls = self.calls.fetch_add(1, Relaxed);
        assert!(calls < 5_000, "the reclaim does not end: it settled {calls} times");
        if let Some(meanwhile) = &*self.meanwhile.lock().unwrap() {
            meanwhile();
        }
        let mut kept = self.kept.lock().unwrap();
        let mut settled = Settled::default();
        match self.settles {
            Settles::Reclaimable => kept.blocks.values_mut().for_each(|(_, reclaimable)| *reclaimable = true),
            Settles::OnePage if budget > NONE => {
                let first = kept.blocks.keys().min().copied();
                for (block, _) in first.and_then(|first| kept.blocks.remove(&first)).into_iter() {
                    (settled.written, settled.freed) = (block.order().pages(), block.order().pages());
                    owner(block);
                }
            }
            Settles::Lies => settled.written = pages(1),
            Settles::Broken => settled.error = Some(StoreError::Io),
            Settles::Copies => settled.reclaimable = kept.copied,
            _ => {}
        }
        for (block, reclaimable) in kept.blocks.values() {
            *(if *reclaimable { &mut settled.reclaimable } else { &mut settled.pending }) +=
                block.order().pages();
        }
        settled
    }
}

type Bare<'n> = Forebay<AllPorts<Plain<'n>>, Sys>;

fn bare(near: &Near, settles: Settles) -> Bare<'_> {
    Forebay::new(AllPorts(Plain::new(near)), Sys::new(settles))
}

pub(crate) fn is_here<H: Home>(tile: &Buffer<H>) -> bool {
    tile.residency().unwrap().resident > NONE
}

/// Rule: what a reclaim made possible is tried. A trim of the free lists reaches it and gains no page of a buffer.
#[test]
fn a_block_from_the_free_lists_is_tried_for() {
    let near = near(4);
    let home = &Forebay::new(with_lists::<_, 4, 4>(&near), Null);
    let taken: Vec<_> =
        (0..4).map(|_| home.pool().take(AllocRequest::new(order(0)), (), CX).unwrap()).collect();
    taken.into_iter().for_each(|block| home.pool().put(block, CX).unwrap());
    let idle = [Buffer::new(home, order(0))];
    let mut tries = 0;
    let got = home.or_reclaim(&idle, ReclaimTarget::block(order(2)), Evict::ANY, CX, || {
        tries += 1;
        home.pool().take(AllocRequest::new(order(2)), (), CX).map_err(AccessError::from)
    });
    assert!(got.is_ok(), "{:?} after {tries} tries, and {:?} are free", got.err(), near.unused());
}

/// Rule: `Reached` says that what was wanted is reached.
#[test]
fn a_block_that_is_not_there_is_not_reached() {
    let near = near(8);
    let home = &bare(&near, Settles::Reclaimable);
    let all: [_; 8] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    all.iter().for_each(|b| fill(b, 1));
    let report = home.reclaim(&all, ReclaimTarget::block(order(2)), Evict::TRANSFER, CX);
    assert!(near.allocate(AllocRequest::new(order(2)), CX).is_err());
    assert_ne!(report.outcome, Outcome::Reached, "{report:?}");
}

/// Rule: no more leaves than is missing: what was gained by large blocks counts when the smaller ones follow.
#[test]
fn the_second_half_of_a_block_does_not_forget_the_first() {
    let near = near(20);
    let home = &bare(&near, Settles::Reclaimable);
    let large = [0, 1, 2].map(|_| Buffer::new(home, order(2)));
    let small: [_; 8] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    large.iter().chain(&small).for_each(|b| fill(b, 1));
    let all: Vec<&dyn Evictable> = large[..1].iter().chain(&small).map(|b| b as &dyn Evictable).collect();
    let report = home.reclaim(&all[..], ReclaimTarget::block(order(2)), Evict::TRANSFER, CX);
    // 4 by the large one; 4 more since the source has none of them.
    assert!(report.evicted.transferred <= pages(8), "{report:?}");
}

/// Rule: what the store has pending goes first.
#[test]
fn what_was_pending_counts() {
    let near = near(8);
    let home = &bare(&near, Settles::Reclaimable);
    let tiles = [0, 1].map(|_| Buffer::new(home, order(2)));
    tiles.iter().for_each(|b| fill(b, 1));
    assert_eq!(tiles[0].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4)); // pending now
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(4)), Evict::TRANSFER, CX);
    assert_eq!(report.outcome, Outcome::Reached);
    assert!(is_here(&tiles[1]), "4 pending pages became reclaimable, and 4 more left: {report:?}");
}

/// Rule: a pending block that a purge returns counts once: it does not explain copies that became reclaimable.
#[test]
fn what_was_pending_and_purged_counts_once() {
    let near = near(12);
    let home = &bare(&near, Settles::Copies);
    let tiles = [0, 1, 2].map(|_| Buffer::new(home, order(2)));
    tiles.iter().for_each(|b| fill(b, 1));
    assert_eq!(tiles[0].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4)); // pending now
    let _ = tiles[0].set_purgeable(true).unwrap();
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(16)), Evict::COPY | Evict::PURGE, CX);
    assert_eq!((near.unused(), report.gained, report.outcome), (pages(12), pages(12), Outcome::Short));
}

/// Rule: the same of a block that became reclaimable since the last look.
#[test]
fn what_became_reclaimable_and_is_purged_counts_once() {
    let near = near(8);
    let home = &bare(&near, Settles::Reclaimable);
    let tiles = [0, 1].map(|_| Buffer::new(home, order(2)));
    tiles.iter().for_each(|b| fill(b, 1));
    assert_eq!(tiles[0].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4));
    home.store().settle(NONE, CX, &mut |_| {}); // by another
    let _ = tiles[0].set_purgeable(true).unwrap();
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(8)), Evict::PURGE, CX);
    assert_eq!((near.unused(), report.gained, report.outcome), (pages(4), pages(4), Outcome::Short));
}

/// Rule: nor does what was reclaimable and purged hide what becomes reclaimable now.
#[test]
fn what_was_reclaimable_and_purged_hides_nothing() {
    let near = near(12);
    let home = &bare(&near, Settles::Reclaimable);
    let tiles = [0, 1, 2].map(|_| Buffer::new(home, order(2)));
    tiles.iter().for_each(|b| fill(b, 1));
    assert_eq!(tiles[0].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4));
    home.settle(NONE, CX); // reclaimable now
    let _ = tiles[0].set_purgeable(true).unwrap();
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(8)), Evict::TRANSFER | Evict::PURGE, CX);
    assert_eq!((report.gained, report.outcome), (pages(8), Outcome::Reached));
    assert_eq!(report.evicted.moved(), pages(8), "4 purged, 4 reclaimable, and more left: {report:?}");
}

/// Rule: what is freed elsewhere is not what was wanted.
#[test]
fn a_purge_elsewhere_reaches_nothing() {
    let near = near(8);
    let home = &bare(&near, Settles::Never);
    let tiles = [Buffer::new(home, order(0))];
    fill(&tiles[0], 1);
    let _ = tiles[0].set_purgeable(true).unwrap();
    let there = Zones::of(1);
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(1)).within(there), Evict::ANY, CX);
    assert_ne!(report.outcome, Outcome::Reached, "no page of that zone was freed: {report:?}");
}

/// Rule: no device is stopped for blocks that are not meant.
#[test]
fn what_is_not_meant_is_not_unmapped() {
    let near = near(8);
    let home = &bare(&near, Settles::Never);
    let tiles = [Buffer::new(home, order(0))];
    fill(&tiles[0], 1);
    let there = Zones::of(1);
    home.reclaim(&tiles, ReclaimTarget::moved(pages(1)).within(there), Evict::TRANSFER, CX);
    assert_eq!(home.platform().hooks.load(Relaxed), 0, "calls of before_evict");
}

/// The same once none was used lately: each is asked twice, once a round.
#[test]
fn what_is_not_meant_is_not_unmapped_twice() {
    let near = near(12);
    let home = &bare(&near, Settles::Never);
    let tiles: [_; 12] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    tiles.iter().for_each(|b| fill(b, 1));
    let there = Zones::of(1);
    for _ in 0..2 {
        home.platform().hooks.store(0, Relaxed);
        home.reclaim(&tiles, ReclaimTarget::moved(pages(1)).within(there), Evict::TRANSFER, CX);
    }
    assert_eq!(
        home.platform().hooks.load(Relaxed),
        0,
        "calls of before_evict for 12 buffers, of which none is meant"
    );
}

/// Rule (DESIGN, Reclaim): a hook that refused is not asked again by the same reclaim, if there is one phase for its buffer.
#[test]
fn what_refused_is_asked_once() {
    let near = near(16);
    let mut plain = Plain::new(&near);
    plain.stubborn = Some(BufferId(99));
    let home = &Forebay::new(AllPorts(plain), Sys::new(Settles::OnePage));
    let tiles: [_; 8] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    tiles.iter().for_each(|b| fill(b, 1));
    let gone = tiles.iter().map(|b| b.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred).sum();
    assert_eq!(pages(8), gone);
    let stubborn = [Buffer::new(home, order(0)).with_id(BufferId(99))];
    fill(&stubborn[0], 1);
    home.reclaim(&stubborn, ReclaimTarget::freed(pages(20)), Evict::TRANSFER, CX);
    assert_eq!(home.platform().hooks.load(Relaxed), 1, "calls of the hook that refuses");
}

/// Rule: a reclaim ends, whatever others do meanwhile.
#[test]
fn a_reclaim_ends_while_others_take_back() {
    let near = forever(near(8));
    let home: &'static Bare<'static> = forever(bare(near, Settles::Never));
    let tiles: &'static [Buffer<_>; 1] = forever([Buffer::new(home, order(0))]);
    fill(&tiles[0], 1);
    // Another core reads it, each time between two passes.
    *home.store().meanwhile.lock().unwrap() = Some(Box::new(|| drop(tiles[0].read().unwrap())));
    home.reclaim(tiles, ReclaimTarget::freed(pages(1)), Evict::TRANSFER, Context::INTERRUPT);
    *home.store().meanwhile.lock().unwrap() = None;
}

/// Rule: a reclaim ends, whatever the store says.
#[test]
fn a_reclaim_ends_though_the_store_lies() {
    let near = near(8);
    let home = &bare(&near, Settles::Lies);
    let tiles = [Buffer::new(home, order(0))];
    fill(&tiles[0], 1);
    home.reclaim(&tiles, ReclaimTarget::freed(pages(2)), Evict::TRANSFER, CX);
}

/// Rule: memory is not called fragmented while a cold block of that order lies in a buffer.
#[test]
fn a_block_in_a_buffer_goes_before_memory_is_fragmented() {
    let (near, far) = (near(16), far(32));
    let home = &Forebay::new(&near, &far);
    let large = [Buffer::new(home, order(2))];
    fill(&large[0], 1);
    let small: [_; 12] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    small.iter().for_each(|b| fill(b, 1));
    for every_other in small.iter().step_by(2).take(4) {
        assert_eq!(every_other.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(1));
    }
    let report = home.reclaim(&large, ReclaimTarget::block(order(2)), Evict::TRANSFER, CX);
    assert_eq!((report.outcome, is_here(&large[0])), (Outcome::Reached, false));
}

/// Rule: no idle buffer with blocks is hidden from a reclaim: one whose guard was leaked is busy, also after a setting, until a
/// call by its owner shows that the guard can't be alive.
#[test]
fn a_setting_hides_nothing() {
    let near = near(4);
    let home = &bare(&near, Settles::Never);
    let tile = Buffer::new(home, order(0));
    std::mem::forget(tile.write().unwrap());
    let mut tiles = [tile.with_id(BufferId(1))];
    assert_eq!(tiles[0].read().err(), Some(AccessError::Busy));
    let report = home.reclaim(&tiles, pages(1), Evict::TRANSFER, CX);
    assert_eq!((report.evicted, report.outcome), (Evicted::default(), Outcome::Nothing));
    assert_eq!(tiles[0].evict_mut(NONE, Evict::TRANSFER, CX), Evicted::default());
    let report = home.reclaim(&tiles, pages(1), Evict::TRANSFER, CX);
    assert_eq!(report.evicted.transferred, pages(1), "idle, resident, and not seen");
}

/// Rule (EvictionIndex): a dropped buffer is in no list.
#[test]
fn a_dropped_buffer_is_on_no_list() {
    let near = near(4);
    let machine = Machine::new(&near);
    let home = &Forebay::new(&machine, Null);
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(4)]);
    let slots = index.indexed(1, [const { Slot::EMPTY }; 1]).unwrap();
    let tile = Buffer::with_slots(home, slots, Order::PAGE).with_mode(Caching::WriteCombined);
    drop(tile.write().unwrap());
    let others: [_; 4] = std::array::from_fn(|_| stone(home));
    let lists = [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE];
    let found = || lists.map(|list| index.candidates(&others).find_candidate(list, 0..4));
    assert_eq!(found(), [Some(1), None, None]);
    machine.say_no(No::Mode);
    drop(tile);
    assert_eq!(found(), [None; 3], "the entry of a buffer that is gone");
}

/// Rule: an entry has one buffer at a time, so that none can hide another: the next one gets it when that is dropped.
#[test]
fn an_entry_is_taken_over() {
    let near = near(4);
    let home = &bare(&near, Settles::Never);
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(4)]);
    let make = |number| {
        let slots = index.indexed(number, [const { Slot::EMPTY }; 1]).map_err(|refused| refused.why)?;
        let tile = Buffer::with_slots(home, slots, Order::PAGE);
        drop(tile.write().unwrap());
        Ok(tile)
    };
    let mut tiles = [0, 1, 2].map(|number| Some(make(number).unwrap()));
    assert_eq!(make(2).err(), Some(IndexFull::Taken));
    drop(tiles[2].take());
    tiles[2] = Some(make(2).unwrap());
    let tiles = tiles.map(Option::unwrap);
    for tile in &tiles[..2] {
        tile.purge(CX).unwrap();
    }
    let report = home.reclaim(index.candidates(&tiles), pages(1), Evict::TRANSFER, CX);
    assert_eq!(report.evicted.transferred, pages(1), "resident, idle, and not found");
}

/// Rule: where memory is short, what no buffer has comes before contents: ready blocks of another mode.
#[test]
fn what_is_in_free_lists_is_freed_for_others() {
    let near = near(8);
    let machine = Machine::new(&near);
    let home = &Forebay::new(with_lists::<_, 3, 4>(&machine), Null);
    let taken: Vec<_> = (0..4)
        .map(|_| home.pool().take(AllocRequest::new(order(0)), Caching::WriteCombined, CX).unwrap())
        .collect();
    let hogs: Vec<_> = (0..4).map(|_| near.allocate(AllocRequest::new(order(0)), CX).unwrap()).collect();
    taken.into_iter().for_each(|block| home.pool().put(block, CX).unwrap());
    assert_eq!((near.unused(), home.pool().ready(Zones::ALL)), (NONE, pages(4)));
    let tiles = [0, 1].map(|_| Buffer::new(home, order(0)));
    let got = home.or_reclaim(&tiles, pages(1), Evict::ANY, CX, || tiles[0].write().map(drop));
    hogs.into_iter().for_each(|block| near.free(block));
    assert_eq!(got, Ok(()), "and {:?} are ready for no use", home.pool().ready(Zones::ALL));
}

/// Rule: what is gained is what this call gained: others who take back of what was reclaimable make nothing else leave.
#[test]
fn what_others_take_back_makes_nothing_leave() {
    let near = forever(near(24));
    let home: &'static Bare<'static> = forever(bare(near, Settles::Reclaimable));
    let tiles: &'static [Buffer<_>; 20] = forever(std::array::from_fn(|_| Buffer::new(home, order(0))));
    let theirs: &'static Buffer<_> = forever(Buffer::new(home, order(2)));
    tiles.iter().chain([theirs]).for_each(|b| fill(b, 1));
    theirs.evict(ALL, Evict::TRANSFER, CX).unwrap();
    home.settle(NONE, CX); // 4 are reclaimable
    let call = AtomicUsize::new(0);
    *home.store().meanwhile.lock().unwrap() = Some(Box::new(move || {
        if call.fetch_add(1, Relaxed) == 2 {
            drop(theirs.read().unwrap()); // another core wants it
        }
    }));
    let report = home.reclaim(tiles, ReclaimTarget::freed(pages(4)), Evict::TRANSFER, CX);
    *home.store().meanwhile.lock().unwrap() = None;
    assert!(report.evicted.transferred <= pages(4), "{report:?}");
}

/// Rule: a block that no source of this kind ever gives costs no buffer its contents.
#[test]
fn an_order_that_there_is_not_costs_nothing() {
    let (near, far) = (near(8), far(32));
    let home = &Forebay::new(&near, &far);
    let tiles: [_; 8] = std::array::from_fn(|_| Buffer::new(home, order(0)));
    tiles.iter().for_each(|b| fill(b, 1));
    let report = home.reclaim(&tiles, ReclaimTarget::block(order(11)), Evict::TRANSFER, CX); // `Ram` has none above 10
    assert_eq!(report.evicted.moved(), NONE, "{report:?}");
}

/// Rule: what the store can't settle holds up no other way out.
#[test]
fn what_is_pending_for_ever_holds_up_nothing() {
    let near = near(8);
    let home = &bare(&near, Settles::Broken);
    let tiles = [0, 1].map(|_| Buffer::new(home, order(2)));
    tiles.iter().for_each(|b| fill(b, 1));
    assert_eq!(tiles[0].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(4)); // and it stays pending
    let reports = [0, 1, 2].map(|_| home.reclaim(&tiles, ReclaimTarget::freed(pages(4)), Evict::COPY, CX));
    assert_eq!(near.unused(), pages(4), "the other could be copied: {:?}", reports[2]);
}
