//! References and `Arc`s to a port pass every method on.

use super::defaults::{Bare, ID, Plain, plain};
use hosted_tests::kit::*;
use std::ops::Range;
use std::sync::{Arc, Mutex as StdMutex};

/// A value whose every answer is another than the default.
struct Odd {
    said: StdMutex<Vec<&'static str>>,
}

impl Odd {
    fn say(&self, what: &'static str) {
        self.said.lock().unwrap().push(what);
    }
}

impl FrameSource for Odd {
    type Block = Plain;
    type RawMutex = SpinRawMutex;
    const MAX_ORDER: Order = Order::new(3).unwrap();
    const ZONES: u8 = 4;
    fn allocate(&self, _: AllocRequest, _: Context) -> Result<Plain, AllocError> {
        self.say("allocate");
        Err(AllocError::Failed)
    }
    fn allocate_more(
        &self,
        _: AllocRequest,
        _: &mut [Option<Plain>],
        _: Context,
    ) -> Result<Plain, AllocError> {
        self.say("allocate_more");
        Err(AllocError::Limit)
    }
    fn free(&self, _: Plain) {
        self.say("free");
    }
    fn join(&self, left: Plain, _: Plain) -> Result<Plain, (Plain, Plain)> {
        self.say("join");
        Ok(left)
    }
    fn supply(&self, _: &AllocRequest) -> Supply {
        self.say("supply");
        Supply { free: Some(pages(5)), ..Supply::default() }
    }
    fn zone(&self, _: &Plain) -> u8 {
        self.say("zone");
        3
    }
    fn is_zeroed(&self, _: &Plain) -> bool {
        self.say("is_zeroed");
        true
    }
    fn is_poolable(&self, _: &Plain) -> bool {
        self.say("is_poolable");
        false
    }
}

impl CachingControl<Plain> for Odd {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Plain, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        self.say("set_mode");
        Err(ModeRefused)
    }
    fn flush(&self, _: Context) {
        self.say("flush");
    }
    fn zones_for(&self, _: Caching) -> Zones {
        self.say("zones_for");
        Zones::of(2)
    }
    fn pools(&self, _: Caching) -> bool {
        self.say("pools");
        false
    }
}

impl DmaMap<Plain> for Odd {
    fn map(&self, _: &Plain, _: Context) -> Option<DmaAddr> {
        self.say("map");
        DmaAddr::new(17)
    }
    fn unmap(&self, _: &Plain, _: DmaAddr) {
        self.say("unmap");
    }
    fn sync_for_device(&self, _: &Plain, _: Range<usize>) {
        self.say("sync_for_device");
    }
    fn sync_for_cpu(&self, _: &Plain, _: Range<usize>) {
        self.say("sync_for_cpu");
    }
}

impl EvictHooks<Plain> for Odd {
    fn before_evict(
        &self,
        _: BufferId,
        _: &mut dyn Iterator<Item = &mut Plain>,
        _: Context,
    ) -> Result<(), Busy> {
        self.say("before_evict");
        Err(Busy)
    }
    fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        self.say("after_restore");
        Err(Busy)
    }
    fn second_chance(&self, _: BufferId, _: Context) -> bool {
        self.say("second_chance");
        true
    }
}

impl Accounting for Odd {
    fn charge(&self, _: BufferId, _: Pages, _: Context) -> Option<Charge> {
        self.say("charge");
        None
    }
    fn uncharge(&self, _: Charge, _: Pages) {
        self.say("uncharge");
    }
}

impl LinearMap<Plain, Caching> for Odd {
    fn contiguous<'b>(
        &'b self,
        _: BufferId,
        _: Caching,
        _: impl Iterator<Item = &'b Plain>,
        _: Context,
    ) -> Option<&'b [u8]> {
        self.say("contiguous");
        Some(&[1, 2])
    }
    fn contiguous_mut<'b>(
        &'b self,
        _: BufferId,
        _: Caching,
        _: impl Iterator<Item = &'b mut Plain>,
        _: Context,
    ) -> Option<&'b mut [u8]> {
        self.say("contiguous_mut");
        Some(&mut [])
    }
}

impl FreeLists<Plain, Caching> for Odd {
    fn take(&self, _: FreeListId) -> Option<PooledBlock<Plain, Caching>> {
        self.say("take");
        None
    }
    fn put(&self, _: FreeListId, _: PooledBlock<Plain, Caching>) -> Result<(), PooledBlock<Plain, Caching>> {
        self.say("put");
        Ok(())
    }
    fn take_reserved(&self, _: FreeListId) -> Option<PooledBlock<Plain, Caching>> {
        self.say("take_reserved");
        None
    }
    fn unreserve(
        &self,
        _: FreeListId,
        _: Option<PooledBlock<Plain, Caching>>,
    ) -> Result<(), Option<PooledBlock<Plain, Caching>>> {
        self.say("unreserve");
        Ok(())
    }
    fn batch(&self, _: FreeListId) -> usize {
        self.say("batch");
        3
    }
    fn counts(&self, _: FreeListId) -> Option<FreeListCounts> {
        self.say("counts");
        Some(FreeListCounts::default())
    }
}

impl BackingStore<Plain> for Odd {
    fn ids(&self) -> StoreIds {
        self.say("ids");
        StoreId::DEFAULT.into()
    }
    fn discard(&self, _: Handle) -> Result<Option<Plain>, Refused<Handle, StoreError>> {
        self.say("discard");
        Ok(None)
    }
    fn capabilities(&self) -> Capabilities {
        self.say("capabilities");
        Capabilities::all()
    }
    fn space(&self) -> Space {
        self.say("space");
        Space::default()
    }
    fn room_of(&self, _: &Handle) -> Pages {
        self.say("room_of");
        pages(77)
    }
    fn save(&self, _: &Plain, _: Order, _: Option<Charge>, _: Context) -> Result<Handle, StoreError> {
        self.say("save");
        Err(StoreError::Io)
    }
    fn load(&self, _: &Handle, _: &mut Plain, _: Pages, _: Context) -> Result<(), StoreError> {
        self.say("load");
        Err(StoreError::Io)
    }
    fn transfer(&self, block: Plain, _: Option<Charge>) -> Result<Handle, Refused<Plain, StoreError>> {
        self.say("transfer");
        Err(Refused { item: block, why: StoreError::Io })
    }
    fn take_back(&self, handle: Handle, _: Context) -> Result<Plain, Refused<Handle, StoreError>> {
        self.say("take_back");
        Err(Refused { item: handle, why: StoreError::Io })
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.say("split");
        Err(Refused { item: handle, why: StoreError::Io })
    }
    fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(Plain)) -> Settled {
        self.say("settle");
        let mut settled = Settled::default();
        settled.written = pages(9);
        settled
    }
}

fn of_a_source<S: FrameSource<Block = Plain>>(source: &S) -> usize {
    assert_eq!((S::MAX_ORDER, S::ZONES), (order(3), 4));
    assert_eq!(source.allocate(AllocRequest::new(order(0)), CX).err(), Some(AllocError::Failed));
    assert_eq!(source.allocate_more(AllocRequest::new(order(0)), &mut [], CX).err(), Some(AllocError::Limit));
    source.free(plain(1));
    assert!(source.join(plain(1), plain(1)).is_ok());
    assert_eq!(source.supply(&AllocRequest::new(order(0))).free, Some(pages(5)));
    let block = &plain(1);
    assert_eq!((source.zone(block), source.is_zeroed(block), source.is_poolable(block)), (3, true, false));
    8
}

fn of_caching<C: CachingControl<Plain, Mode = Caching>>(port: &C) -> usize {
    let (from, to) = (Caching::WriteBack, Caching::Uncached);
    assert_eq!(port.set_mode(&mut plain(1), from, to, CX), Err(ModeRefused));
    port.flush(CX);
    assert_eq!((port.zones_for(to), port.pools(to)), (Zones::of(2), false));
    4
}

fn of_dma<D: DmaMap<Plain>>(port: &D) -> usize {
    let (block, at) = (plain(1), DmaAddr::new(17));
    assert_eq!(port.map(&block, CX), at);
    port.unmap(&block, at.unwrap());
    port.sync_for_device(&block, 0..1);
    port.sync_for_cpu(&block, 0..1);
    4
}

fn of_hooks_and_accounting<X: EvictHooks<Plain> + Accounting>(port: &X) -> usize {
    assert_eq!(port.before_evict(ID, &mut std::iter::empty(), CX), Err(Busy));
    assert_eq!(port.after_restore(ID, CX), Err(Busy));
    assert!(port.second_chance(ID, CX));
    assert_eq!(port.charge(ID, pages(1), CX), None);
    port.uncharge(core::num::NonZeroUsize::new(1).map(Charge).unwrap(), pages(1));
    5
}

fn of_slices<L: LinearMap<Plain, Caching>>(port: &L) -> usize {
    let mode = Caching::WriteBack;
    assert_eq!(port.contiguous(ID, mode, std::iter::empty(), CX), Some(&[1, 2][..]));
    assert_eq!(port.contiguous_mut(ID, mode, std::iter::empty(), CX), Some(&mut [][..]));
    2
}

fn of_lists<L: FreeLists<Plain, Caching>>(port: &L) -> usize {
    let pool = Pool::new(WithCaching(Bare, Bare));
    let block = pool.take(AllocRequest::new(order(0)), Caching::WriteBack, CX).unwrap();
    let id = FreeListId { number: 1, order: order(0) };
    const { assert!(L::ENABLED) }
    assert!(port.take(id).is_none() && port.take_reserved(id).is_none());
    assert!(port.put(id, block).is_ok());
    assert!(port.unreserve(id, None).is_ok());
    assert_eq!(port.batch(id), 3);
    assert_eq!(port.counts(id), Some(FreeListCounts::default()));
    6
}

fn of_a_store<S: BackingStore<Plain>>(store: &S) -> usize {
    let handle = || Handle::new(StoreId::DEFAULT, order(0), 1).unwrap();
    assert_eq!(store.ids(), StoreId::DEFAULT.into());
    assert!(store.discard(handle()).is_ok_and(|block| block.is_none()));
    assert_eq!((store.capabilities(), store.space()), (Capabilities::all(), Space::default()));
    assert_eq!(store.room_of(&handle()), pages(77));
    let (io, mut block) = (StoreError::Io, plain(1));
    assert_eq!(store.save(&block, order(0), None, CX), Err(io));
    assert_eq!(store.load(&handle(), &mut block, NONE, CX), Err(io));
    assert!(store.transfer(block, None).is_err_and(|refused| refused.why == io));
    assert!(store.take_back(handle(), CX).is_err_and(|refused| refused.why == io));
    assert!(store.split(handle()).is_err_and(|refused| refused.why == io));
    assert_eq!(store.settle(ALL, CX, &mut drop).written, pages(9));
    11
}

/// Rule: a pointer to a port passes every method on, and every constant.
#[test]
fn pointers_forget_no_method() {
    let odd = Arc::new(Odd { said: StdMutex::default() });
    let counted = |n: usize| {
        let said = std::mem::take(&mut *odd.said.lock().unwrap());
        let mut once = said.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!((said.len(), once.len()), (n, n), "{said:?}");
    };
    let bare: &Odd = &odd;
    counted(of_a_source(&bare));
    counted(of_a_source(&&bare));
    counted(of_a_source(&odd));
    counted(of_a_store(&bare));
    counted(of_a_store(&&bare));
    counted(of_a_store(&odd));
    let dynamic: &dyn BackingStore<Plain> = bare;
    counted(of_a_store(&dynamic));
    counted(of_caching(&bare));
    let dynamic: &dyn CachingControl<Plain, Mode = Caching> = bare;
    counted(of_caching(&dynamic));
    counted(of_dma(&bare));
    let dynamic: &dyn DmaMap<Plain> = bare;
    counted(of_dma(&dynamic));
    counted(of_hooks_and_accounting(&bare));
    counted(of_slices(&bare));
    counted(of_lists(&bare));
}
