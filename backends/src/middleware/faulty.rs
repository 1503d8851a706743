//! Faults on purpose.

use crate::ram::RamBlock;
use crate::region::{Region, RegionBacked};
use core::fmt;
use core::ops::Range;
use forebay::frame::{Charge, DmaAddr, ModeRefused};
use forebay::port::{
    Accounting, CachingControl, Capabilities, DmaMap, EvictHooks, LinearMap, Rooms, Settled, Space, StoreIds,
    Supply,
};
use forebay::sync::{Mutex, RawMutex};
use forebay::{
    AllocError, AllocRequest, BackingStore, BufferId, Busy, Context, FrameSource, Handle, Order, OwnedBlock,
    Pages, Platform, Refused, StoreError, Zones,
};

/// Which calls fail. Counted are the calls that may fail at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Faults {
    /// Exactly this call fails, counted from 0.
    pub kth: Option<u32>,
    /// About this many of a thousand calls fail, drawn from `seed`.
    pub per_mille: u16,
    /// The same seed gives the same faults.
    pub seed: u32,
}

#[derive(Default)]
struct State {
    faults: Faults,
    calls: u32,
    failed: u32,
    random: u32,
    error: Option<StoreError>,
}

/// A platform or a store whose calls fail on purpose, without having done anything: `allocate`, `set_mode`, `map`, `charge`,
/// `contiguous` and the hooks of a platform; `save`, `load`, `transfer`, `take_back`, `split` of a store, and its `settle`,
/// which then writes nothing out and reports the error. What can't fail (`free`, `discard`) never does. A store answers
/// [`StoreError::Io`] unless it is told another error ([`fail_with`](Faulty::fail_with)).
///
/// Around a platform it implements every port: `AllPorts(Faulty::new(platform))` is a platform.
pub struct Faulty<T, L> {
    inner: T,
    state: Mutex<L, State>,
}

impl<T, L: RawMutex> Faulty<T, L> {
    /// Around `inner`, without faults.
    pub const fn new(inner: T) -> Self {
        let faults = Faults { kth: None, per_mille: 0, seed: 0 };
        Faulty { inner, state: Mutex::new(State { faults, calls: 0, failed: 0, random: 1, error: None }) }
    }

    /// From now on these faults; counting begins again.
    pub fn set(&self, faults: Faults) {
        self.state.lock(|s| {
            *s = State {
                faults,
                calls: 0,
                failed: 0,
                random: (faults.seed ^ 0x9e37_79b9).max(1),
                error: s.error,
            };
        });
    }

    /// From now on a store's calls fail with this error.
    pub fn fail_with(&self, error: StoreError) {
        self.state.lock(|s| s.error = Some(error));
    }

    /// The platform or store inside.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    /// Calls since [`set`](Faulty::set) that could have failed.
    pub fn calls(&self) -> u32 {
        self.state.lock(|s| s.calls)
    }

    /// Calls since [`set`](Faulty::set) that did fail.
    pub fn failed(&self) -> u32 {
        self.state.lock(|s| s.failed)
    }

    fn fails(&self) -> bool {
        self.fault().is_some()
    }

    /// The error to fail with, if this call is to.
    fn fault(&self) -> Option<StoreError> {
        self.state.lock(|s| {
            let call = s.calls;
            s.calls = s.calls.wrapping_add(1);
            // xorshift32 (Marsaglia 2003)
            s.random ^= s.random << 13;
            s.random ^= s.random >> 17;
            s.random ^= s.random << 5;
            let fails = s.faults.kth == Some(call) || s.random % 1000 < u32::from(s.faults.per_mille);
            s.failed += u32::from(fails);
            fails.then_some(s.error.unwrap_or(StoreError::Io))
        })
    }
}

impl<P: Platform, L: RawMutex> FrameSource for Faulty<P, L> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    const MAX_ORDER: Order = P::Source::MAX_ORDER;
    const ZONES: u8 = P::Source::ZONES;
    const LOBBY: Zones = P::Source::LOBBY;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        if self.fails() { Err(AllocError::Exhausted) } else { self.inner.source().allocate(request, cx) }
    }
    fn free(&self, block: P::Block) {
        self.inner.source().free(block);
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.source().join(left, right)
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.inner.source().supply(request)
    }
    fn zone(&self, block: &P::Block) -> u8 {
        self.inner.source().zone(block)
    }
    fn is_zeroed(&self, block: &P::Block) -> bool {
        self.inner.source().is_zeroed(block)
    }
    fn is_poolable(&self, block: &P::Block) -> bool {
        self.inner.source().is_poolable(block)
    }
}

impl<P: Platform, L: RawMutex> CachingControl<P::Block> for Faulty<P, L> {
    type Mode = P::Mode;
    fn set_mode(
        &self,
        block: &mut P::Block,
        from: P::Mode,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        if self.fails() { Err(ModeRefused) } else { self.inner.caching().set_mode(block, from, to, cx) }
    }
    fn flush(&self, cx: Context) {
        self.inner.caching().flush(cx);
    }
    fn zones_for(&self, mode: P::Mode) -> Zones {
        self.inner.caching().zones_for(mode)
    }
    fn pools(&self, mode: P::Mode) -> bool {
        self.inner.caching().pools(mode)
    }
}

impl<P: Platform, L: RawMutex> DmaMap<P::Block> for Faulty<P, L> {
    fn map(&self, block: &P::Block, cx: Context) -> Option<DmaAddr> {
        if self.fails() { None } else { self.inner.dma().map(block, cx) }
    }
    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        self.inner.dma().unmap(block, at);
    }
    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        self.inner.dma().sync_for_device(block, bytes);
    }
    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        self.inner.dma().sync_for_cpu(block, bytes);
    }
}

impl<P: Platform, L: RawMutex> EvictHooks<P::Block> for Faulty<P, L> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy> {
        if self.fails() { Err(Busy) } else { self.inner.hooks().before_evict(id, blocks, cx) }
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        if self.fails() { Err(Busy) } else { self.inner.hooks().after_restore(id, cx) }
    }
    fn second_chance(&self, id: BufferId, cx: Context) -> bool {
        self.inner.hooks().second_chance(id, cx)
    }
    fn allocation_failed(&self, id: BufferId, why: AllocError) {
        self.inner.hooks().allocation_failed(id, why);
    }
    fn released(&self, id: BufferId) {
        self.inner.hooks().released(id);
    }
}

impl<P: Platform, L: RawMutex> Accounting for Faulty<P, L> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        if self.fails() { None } else { self.inner.accounting().charge(id, pages, cx) }
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.accounting().uncharge(charge, pages);
    }
}

impl<P: Platform, L: RawMutex> LinearMap<P::Block, P::Mode> for Faulty<P, L> {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        mode: P::Mode,
        blocks: impl Iterator<Item = &'b P::Block>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        P::Block: 'b,
    {
        if self.fails() { None } else { self.inner.linear().contiguous(id, mode, blocks, cx) }
    }
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        mode: P::Mode,
        blocks: impl Iterator<Item = &'b mut P::Block>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        P::Block: 'b,
    {
        if self.fails() { None } else { self.inner.linear().contiguous_mut(id, mode, blocks, cx) }
    }
}

impl<B: OwnedBlock, S: BackingStore<B>, L: RawMutex> BackingStore<B> for Faulty<S, L> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }
    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.fault().map_or_else(|| self.inner.save(block, order, payer, cx), Err)
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        self.fault().map_or_else(|| self.inner.load(handle, block, at, cx), Err)
    }
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        match self.fault() {
            Some(why) => Err(Refused { item: block, why }),
            None => self.inner.transfer(block, payer),
        }
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        match self.fault() {
            Some(why) => Err(Refused { item: handle, why }),
            None => self.inner.take_back(handle, cx),
        }
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        match self.fault() {
            Some(why) => Err(Refused { item: handle, why }),
            None => self.inner.split(handle),
        }
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn rooms(&self) -> Option<&dyn Rooms<B>> {
        self.inner.rooms().map(|_| self as &dyn Rooms<B>)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let fault = self.fault();
        let budget = if fault.is_some() { Pages::ZERO } else { budget };
        let mut settled = self.inner.settle(budget, cx, owner);
        settled.error = settled.error.or(fault);
        settled
    }
}

impl<B: OwnedBlock, S: BackingStore<B>, L: RawMutex> Rooms<B> for Faulty<S, L> {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        let rooms = || self.inner.rooms().ok_or(StoreError::Unsupported);
        self.fault().map_or_else(|| rooms()?.reserve(order), Err)
    }
    fn transfer_into(&self, room: Handle, block: B) -> Result<Handle, Refused<(Handle, B), StoreError>> {
        match (self.fault(), self.inner.rooms()) {
            (None, Some(rooms)) => rooms.transfer_into(room, block),
            (why, _) => Err(Refused { item: (room, block), why: why.unwrap_or(StoreError::Unsupported) }),
        }
    }
    fn save_into(&self, room: &Handle, block: &B, cx: Context) -> Result<(), StoreError> {
        let rooms = || self.inner.rooms().ok_or(StoreError::Unsupported);
        self.fault().map_or_else(|| rooms()?.save_into(room, block, cx), Err)
    }
    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, B), Refused<Handle, StoreError>> {
        match (self.fault(), self.inner.rooms()) {
            (None, Some(rooms)) => rooms.take_back_from(handle, cx),
            (why, _) => Err(Refused { item: handle, why: why.unwrap_or(StoreError::Unsupported) }),
        }
    }
}

impl<L, K, S, const PAGE: usize, const N: usize> RegionBacked<L, PAGE, N> for Faulty<S, K>
where
    L: RawMutex,
    K: RawMutex,
    S: RegionBacked<L, PAGE, N>,
{
    type Checksum = S::Checksum;
    const META_IN_SLOW: bool = S::META_IN_SLOW;
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, S::Checksum> {
        self.inner.region()
    }
    fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize {
        self.inner.write_out_now(max_bytes, owner)
    }
}

impl<T: fmt::Debug, L: RawMutex> fmt::Debug for Faulty<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("inner", &self.inner)
            .field("failed", &self.failed())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<T: defmt::Format, L: RawMutex> defmt::Format for Faulty<T, L> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Faulty({}, {=u32} failed)", self.inner, self.failed());
    }
}
