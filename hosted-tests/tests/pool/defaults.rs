//! What each port does by default, and that no default switches a feature off.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;

type Block = RamBlock<PAGE>;

pub(crate) const ID: BufferId = BufferId(7);
/// Bytes of a block of two pages.
pub(crate) const LEN: usize = 2 * PAGE;

/// A block that says only what it must; it counts what is written to it, and takes no byte behind `writable`.
pub(crate) struct Plain {
    bytes: Vec<u8>,
    writes: Cell<usize>,
    writable: usize,
}

impl OwnedBlock for Plain {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        Pfn(8)
    }
    fn order(&self) -> Order {
        Order::for_pages(pages(self.bytes.len() / PAGE)).unwrap()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.bytes.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.writes.set(self.writes.get() + 1);
        self.bytes[..self.writable].iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
    }
}

pub(crate) fn plain(pages: usize) -> Plain {
    Plain { bytes: vec![0xA5; pages * PAGE], writes: Cell::default(), writable: pages * PAGE }
}

/// A source, and every port of a platform, with what must be written and no more.
pub(crate) struct Bare;

impl FrameSource for Bare {
    type Block = Plain;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, _: Context) -> Result<Plain, AllocError> {
        Ok(plain(request.order.pages().get()))
    }
    fn free(&self, _: Plain) {}
}
impl CachingControl<Plain> for Bare {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Plain, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}
impl DmaMap<Plain> for Bare {}
impl EvictHooks<Plain> for Bare {}
impl Accounting for Bare {}
impl<M> LinearMap<Plain, M> for Bare {}

/// Rule: the size of a block follows from its order; it is zeroed 64 bytes at a time, and that ends if it takes no bytes.
#[test]
fn defaults_of_a_block() {
    for n in [1, 2, 8] {
        let mut block = plain(n);
        assert_eq!(block.bytes(), n * PAGE);
        block.zero();
        assert!(block.bytes.iter().all(|byte| *byte == 0));
        assert_eq!(block.writes.get(), n * PAGE / 64);
    }
    let mut short = plain(2);
    short.writable = 100;
    short.zero();
    assert!(
        short.bytes[..100].iter().all(|byte| *byte == 0)
            && short.bytes[100..].iter().all(|byte| *byte == 0xA5)
    );
    assert_eq!(short.writes.get(), 3, "64 bytes, 36, and none");
}

/// Rule: a source has orders up to 10, one zone, and joins nothing; how much is free and what is in a block is not known; and
/// every block may be pooled.
#[test]
fn defaults_of_a_source() {
    assert_eq!((Bare::MAX_ORDER, Bare::ZONES), (order(10), 1));
    let (left, right) = (plain(1), plain(2));
    let Err((left, right)) = Bare.join(left, right) else { panic!("they are joined") };
    assert_eq!((left.bytes.len(), right.bytes.len()), (PAGE, 2 * PAGE));
    for zones in [Zones::ALL, Zones::of(0), Zones::of(3)] {
        assert_eq!(Bare.supply(&AllocRequest::new(order(0)).within(zones)), Supply::default());
    }
    assert_eq!((Bare.zone(&left), Bare.is_zeroed(&left), Bare.is_poolable(&left)), (0, false, true));
}

/// Rule: every mode is pooled and possible in all zones, and there is nothing to flush. `()` has one mode.
#[test]
fn defaults_of_caching_control() {
    for mode in [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached] {
        assert_eq!((Bare.zones_for(mode), Bare.pools(mode)), (Zones::ALL, true));
    }
    CachingControl::<Plain>::flush(&Bare, CX);
    let none: &dyn CachingControl<Plain, Mode = ()> = &();
    assert_eq!(none.set_mode(&mut plain(1), (), (), Context::INTERRUPT), Ok(()));
    assert_eq!((none.zones_for(()), none.pools(())), (Zones::ALL, true));
    none.flush(Context::INTERRUPT);
    assert_eq!((<()>::COUNT, ().index()), (1, 0));
}

/// A block at that frame.
struct At(Pfn);
impl OwnedBlock for At {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0
    }
    fn order(&self) -> Order {
        Order::PAGE
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, _: usize, _: &mut [u8]) -> usize {
        0
    }
    fn write_at(&mut self, _: usize, _: &[u8]) -> usize {
        0
    }
}

/// Rule: an address for a device is the physical one, and there is none past the end of all addresses; nothing is done for
/// caches, and no byte changes.
#[test]
fn defaults_of_a_dma_map() {
    let ports: [&dyn DmaMap<Plain>; 2] = [&Bare, &()];
    for port in ports {
        let block = plain(2);
        let at = port.map(&block, Context::INTERRUPT).unwrap();
        assert_eq!(at.get(), 8 * PAGE as u64);
        port.sync_for_device(&block, 0..LEN);
        port.sync_for_cpu(&block, 0..LEN);
        port.unmap(&block, at);
        assert!(block.bytes.iter().all(|byte| *byte == 0xA5) && block.writes.get() == 0);
    }
    let last = usize::MAX / PAGE;
    assert_eq!(().map(&At(Pfn(last)), CX).map(DmaAddr::get), Some((last * PAGE) as u64));
    if size_of::<usize>() == 8 {
        assert_eq!(().map(&At(Pfn(last + 1)), CX), None);
    }
}

/// Rule: hooks permit everything, and look at no block; the number of the buffer pays, without a limit; there are no slices.
#[test]
fn defaults_of_hooks_accounting_and_slices() {
    let hooks: [&dyn EvictHooks<Plain>; 2] = [&Bare, &()];
    let mut one = [plain(1)];
    for port in hooks {
        let mut blocks = one.iter_mut();
        assert_eq!(port.before_evict(ID, &mut blocks, Context::INTERRUPT), Ok(()));
        assert_eq!(blocks.len(), 1);
        assert_eq!(port.after_restore(ID, Context::INTERRUPT), Ok(()));
        assert!(!port.second_chance(ID, Context::INTERRUPT));
        port.released(ID);
    }
    let accounting: [&dyn Accounting; 2] = [&Bare, &()];
    for port in accounting {
        for id in [0, 7, usize::MAX - 1] {
            let payer = port.charge(BufferId(id), Pages::MAX, Context::INTERRUPT).unwrap();
            assert_eq!(payer.0.get(), id + 1);
            port.uncharge(payer, Pages::MAX);
        }
    }
    assert!(LinearMap::<_, ()>::contiguous(&Bare, ID, (), one.iter(), CX).is_none());
    assert!(LinearMap::<_, ()>::contiguous_mut(&Bare, ID, (), one.iter_mut(), CX).is_none());
    assert!(LinearMap::<Plain, Caching>::contiguous(&(), ID, Caching::CACHED, one.iter(), CX).is_none());
    assert!(
        LinearMap::<Plain, Caching>::contiguous_mut(&(), ID, Caching::CACHED, one.iter_mut(), CX).is_none()
    );
}

/// Rule: free lists of nothing keep nothing.
#[test]
fn free_lists_of_nothing() {
    let near = near(4);
    let pool = Pool::new(WithLists(&near, ()));
    let block = pool.take(AllocRequest::new(order(1)), (), CX).unwrap();
    let id = FreeListId { number: 0, order: order(1) };
    assert_eq!(FreeLists::<Block, ()>::counts(&(), id), None);
    let Err(block) = FreeLists::put(&(), id, block) else { panic!("it is kept") };
    assert!(FreeLists::<Block, ()>::take(&(), id).is_none());
    assert!(FreeLists::<Block, ()>::take_reserved(&(), id).is_none());
    assert!(FreeLists::<Block, ()>::unreserve(&(), id, None).is_err());
    assert_eq!(FreeLists::<Block, ()>::batch(&(), id), 1);
    assert_eq!(
        (pool.lists().count(), pool.ready(Zones::ALL), pool.to_string().lines().count()),
        (0, NONE, 1)
    );
    pool.put(block, CX).unwrap();
    assert_eq!((near.unused(), pool.trim(Zones::ALL, ALL, CX)), (near.total(), NONE));
}

/// A store with what must be written and no more.
struct BareStore;
impl BackingStore<Block> for BareStore {
    fn ids(&self) -> StoreIds {
        StoreIds::empty()
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::WrongStore })
    }
}

/// Rule: a store can do nothing by default, says so, and gives everything back; how much room it has is not known, and a
/// handle takes as much as it is large.
#[test]
fn defaults_of_a_store() {
    let near = near(8);
    let store: &dyn BackingStore<Block> = &BareStore;
    let mut block = near.allocate(AllocRequest::new(order(1)), CX).unwrap();
    block.fill(0x5A);
    let pfn = block.pfn();
    let handle = |n| Handle::new(StoreId::DEFAULT, order(n), 9).unwrap();
    assert_eq!((store.capabilities(), store.space()), (Capabilities::empty(), Space::UNKNOWN));
    assert_eq!(Space::UNKNOWN, Space { pages: Pages::MAX, transfers: usize::MAX });
    assert_eq!([0, 3].map(|n| store.room_of(&handle(n))), [pages(1), pages(8)]);
    let unsupported = StoreError::Unsupported;
    assert_eq!(
        store.save(&block, order(1), core::num::NonZeroUsize::new(1).map(Charge), CX),
        Err(unsupported)
    );
    assert_eq!(store.load(&handle(1), &mut block, NONE, CX), Err(unsupported));
    assert!(block.iter().all(|byte| *byte == 0x5A));
    let refused = store.transfer(block, core::num::NonZeroUsize::new(1).map(Charge)).unwrap_err();
    assert_eq!((refused.item.pfn(), refused.why), (pfn, unsupported));
    near.free(refused.item);
    let refused = store.take_back(handle(2), CX).unwrap_err();
    assert_eq!((refused.item, refused.why), (handle(2), unsupported));
    let refused = store.split(handle(2)).unwrap_err();
    assert_eq!((refused.item, refused.why), (handle(2), unsupported));
    assert_eq!(store.settle(ALL, CX, &mut |_| panic!("it has no block")), Settled::default());
    // A buffer over it works, and says why nothing leaves.
    let home = Forebay::new(&near, store);
    let tile = Buffer::new(&home, order(1));
    fill(&tile, 1);
    for how in METHODS {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.why), (NONE, Some(RefusalReason::Store(unsupported))));
    }
    check(&tile, 1);
}

/// A store that copies, takes blocks and gives them back, and leaves every hint to the defaults.
struct Quiet<'f>(&'f Far);
impl BackingStore<Block> for Quiet<'_> {
    fn ids(&self) -> StoreIds {
        self.0.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.0.discard(handle)
    }
    fn save(
        &self,
        block: &Block,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.0.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.0.load(handle, block, at, cx)
    }
    fn transfer(&self, block: Block, payer: Option<Charge>) -> Result<Handle, Refused<Block, StoreError>> {
        self.0.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Block, Refused<Handle, StoreError>> {
        self.0.take_back(handle, cx)
    }
}

/// Rule: a default switches no feature off. A store without `space()` keeps clean copies: the second eviction copies nothing.
/// It is offered transfers, from a reclaim too; its copies can be discarded; and one that does not settle itself is asked
/// for blocks that it gives back.
#[test]
fn a_quiet_store_has_every_feature() {
    let (near, far) = (near(16), far(16));
    let home = Forebay::new(&near, Quiet(&far));
    let tile = Buffer::new(&home, order(2));
    fill(&tile, 1);
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(4));
    check(&tile, 1);
    assert_eq!(tile.residency(), residency(4, 4, 0), "the copy is kept");
    let before = home.stats().evicted.copied;
    let again = tile.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!((again.clean, again.copied), (pages(4), NONE));
    assert_eq!(home.stats().evicted.copied, before);
    check(&tile, 1);
    assert_eq!((tile.discard_copies(), tile.residency()), (Ok(pages(4)), residency(4, 0, 0)));
    drop(tile.read().unwrap());
    let report = home.reclaim(&[&tile], pages(4), Evict::TRANSFER, Context::INTERRUPT);
    assert_eq!((report.evicted.transferred, report.outcome), (pages(4), Outcome::Reached));
    drop(tile.read_in(Context::INTERRUPT).expect("the block is taken back"));
    assert_eq!(home.stats().restored.taken_back, pages(4));
    check(&tile, 1);
    drop(tile);
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
}

/// Rule: where a store does not say what became of the blocks that it took, they count as pending: a reclaim for free frames
/// says so, and its report agrees with the counters, whatever came back, was purged or was dropped since.
#[test]
fn what_a_quiet_store_took_is_pending() {
    let (near, far) = (near(16), far(16));
    let home = Forebay::new(&near, Quiet(&far));
    let mut tiles = [(); 8].map(|()| Buffer::new(&home, order(0))).into_iter().collect::<Vec<_>>();
    tiles.iter().for_each(|tile| fill(tile, 1));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(2)), Evict::TRANSFER, Context::INTERRUPT);
    let told = |report: Report| (report.evicted.moved(), report.settled.pending, report.outcome);
    assert_eq!(told(report), (pages(2), pages(2), Outcome::Pending));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(2)), Evict::TRANSFER, Context::INTERRUPT);
    assert_eq!(told(report), (NONE, pages(2), Outcome::Pending), "no buffer pays for what is on its way");
    let report = home.reclaim(&tiles, pages(4), Evict::TRANSFER, CX);
    assert_eq!(told(report), (pages(4), pages(6), Outcome::Reached));
    let pending = |left| {
        assert_eq!((home.settle(ALL, CX).pending, home.stats().pending), (pages(left), pages(left)));
        assert_eq!((near.unused(), far.pending()), (pages(8), pages(left)), "what the store has");
    };
    pending(6);
    check(tiles.iter().find(|tile| tile.residency().unwrap().stored > NONE).unwrap(), 1); // taken back
    assert_eq!(home.settle(ALL, CX).pending, pages(5));
    let stored: Vec<usize> = (0..8).filter(|i| tiles[*i].residency().unwrap().stored > NONE).collect();
    tiles[stored[0]].purge(CX).unwrap();
    let _ = tiles[stored[1]].set_purgeable(true).unwrap();
    assert_eq!(home.reclaim(&tiles, pages(1), Evict::PURGE, CX).evicted.purged, pages(1));
    drop(tiles.remove(stored[2]));
    assert_eq!(home.settle(ALL, CX).pending, pages(2));
    assert_eq!((near.unused(), far.pending()), (pages(11), pages(2)), "what the store has");
    tiles.iter().filter(|tile| tile.residency() != residency(0, 0, 0)).for_each(|tile| check(tile, 1));
    assert_eq!((home.settle(ALL, CX).pending, far.pending()), (NONE, NONE));
}

/// A source that leaves every hint to the defaults.
struct QuietRam<'n>(&'n Near);
impl FrameSource for QuietRam<'_> {
    type Block = Block;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.0.allocate(request, cx)
    }
    fn free(&self, block: Block) {
        self.0.free(block);
    }
}

/// Rule: a source that does not know how much is free, nor what is in its blocks, has pooled blocks, zeros, reclaims for pages
/// and for a block, and a retry; only `keep_free`, which needs that number, does nothing.
#[test]
fn a_quiet_source_has_every_feature() {
    let (near, far) = (near(8), far(16));
    let mut dirty = near.allocate(AllocRequest::new(order(3)), CX).unwrap();
    dirty.fill(0x5E);
    near.free(dirty);
    let home = Forebay::new(with_lists::<_, 4, 2>(QuietRam(&near)), &far);
    let tiles = [(); 2].map(|()| Buffer::new(&home, order(2)));
    for tile in &tiles {
        assert!(contents(tile).iter().all(|byte| *byte == 0));
        fill(tile, 1);
    }
    let third = Buffer::new(&home, order(2));
    assert_eq!(third.write().err(), Some(AccessError::Alloc(AllocError::Exhausted)));
    assert_eq!(home.keep_free(&tiles, pages(4), Evict::ANY, CX), None);
    let write = || third.write().map(drop);
    home.or_reclaim(&tiles, ReclaimTarget::block(order(2)), Evict::ANY, CX, write).unwrap();
    drop(third);
    assert_eq!(home.pool().ready(Zones::ALL), pages(4));
    let report = home.reclaim(&tiles, ReclaimTarget::block(order(3)), Evict::ANY, CX);
    assert_eq!(report.outcome, Outcome::Reached, "{report:?}");
    assert_eq!(near.unused(), pages(8));
    tiles.iter().for_each(|tile| check(tile, 1));
}
