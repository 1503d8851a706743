//! A trace of every call.

use crate::ram::RamBlock;
use crate::region::{Region, RegionBacked};
use core::ops::Range;
use forebay::frame::{Charge, DmaAddr, Mode, ModeRefused};
use forebay::port::{
    Accounting, CachingControl, Capabilities, DmaMap, EvictHooks, LinearMap, Rooms, Settled, Space, StoreIds,
    Supply,
};
use forebay::sync::RawMutex;
use forebay::{
    AllocError, AllocRequest, BackingStore, BufferId, Busy, Context, FrameSource, Handle, Order, OwnedBlock,
    Pages, Pfn, Platform, Refused, StoreError, Zones,
};

/// One call, after it returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// A source allocated a block of that order, or had none.
    Allocate(Order, Result<Pfn, AllocError>),
    /// A source freed a block.
    Free(Pfn, Order),
    /// Two neighbours were joined, or not.
    Join(Order, Result<Pfn, ()>),
    /// A block was put into the mode with this index.
    SetMode(Pfn, usize, Result<(), ModeRefused>),
    /// The changes of mode were flushed.
    Flush,
    /// A block was mapped for devices, or refused.
    Map(Pfn, Order, Option<DmaAddr>),
    /// A block lost its address.
    Unmap(Pfn, Order, DmaAddr),
    /// Bytes of a block, an offset and a length, were made visible to devices.
    SyncForDevice(Pfn, usize, usize),
    /// Bytes of a block, an offset and a length, were made visible to the CPU.
    SyncForCpu(Pfn, usize, usize),
    /// The bytes of a buffer were requested as one slice; its length, if there is one.
    Contiguous(BufferId, Option<usize>),
    /// New contents of a buffer were charged, or its payer was at its limit.
    Charge(BufferId, Pages, Option<Charge>),
    /// Charged contents were dropped.
    Uncharge(Charge, Pages),
    /// The hook before an eviction.
    BeforeEvict(BufferId, Result<(), Busy>),
    /// The hook after a restore.
    AfterRestore(BufferId, Result<(), Busy>),
    /// A prefix of a block was to be copied in; the order that was copied.
    Save(Pfn, Order, Result<Order, StoreError>),
    /// Contents of that order were to be loaded into that block.
    Load(Order, Pfn, Result<(), StoreError>),
    /// A block was transferred, or refused.
    Transfer(Pfn, Order, Result<(), StoreError>),
    /// Contents of that order were to be taken back; their block.
    TakeBack(Order, Result<Pfn, StoreError>),
    /// Room was reserved, or not.
    Reserve(Order, Result<(), StoreError>),
    /// A handle was split.
    Split(Order, Result<(), StoreError>),
    /// Contents were discarded; that block was still in the store.
    Discard(Order, Result<Option<Pfn>, StoreError>),
    /// The store was settled.
    Settle(Settled),
    /// Settling, or writing out, returned that block to its owner.
    Returned(Pfn, Order),
    /// The number of bytes that the CPU wrote out, by [`RegionBacked::write_out_now`].
    WroteOut(usize),
}

/// Receives events. Any `Fn(&Event)` is one, for example `|e| defmt::trace!("{}", e)`.
///
/// Called outside every lock of forebay, in whatever context the traced call was made, so perhaps from an
/// interrupt.
pub trait Sink {
    /// Receives an event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event)> Sink for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// A platform or a store that reports every call to a [`Sink`].
///
/// Around a platform it implements every port: `AllPorts(Traced::new(platform, sink))` is a platform.
#[derive(Clone, Copy, Debug)]
pub struct Traced<T, O> {
    inner: T,
    sink: O,
}

impl<T, O: Sink> Traced<T, O> {
    /// Around `inner`.
    pub const fn new(inner: T, sink: O) -> Self {
        Traced { inner, sink }
    }

    /// The platform or store inside.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    fn note(&self, event: Event) {
        self.sink.event(&event);
    }
}

impl<P: Platform, O: Sink> FrameSource for Traced<P, O> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    const MAX_ORDER: Order = P::Source::MAX_ORDER;
    const ZONES: u8 = P::Source::ZONES;
    const LOBBY: Zones = P::Source::LOBBY;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        let result = self.inner.source().allocate(request, cx);
        self.note(Event::Allocate(request.order, result.as_ref().map(OwnedBlock::pfn).map_err(|e| *e)));
        result
    }
    fn free(&self, block: P::Block) {
        let (pfn, order) = (block.pfn(), block.order());
        self.inner.source().free(block);
        self.note(Event::Free(pfn, order));
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        let order = left.order();
        let result = self.inner.source().join(left, right);
        self.note(Event::Join(order, result.as_ref().map(OwnedBlock::pfn).map_err(|_| ())));
        result
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

impl<P: Platform, O: Sink> CachingControl<P::Block> for Traced<P, O> {
    type Mode = P::Mode;
    fn set_mode(
        &self,
        block: &mut P::Block,
        from: P::Mode,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        let result = self.inner.caching().set_mode(block, from, to, cx);
        self.note(Event::SetMode(block.pfn(), to.index(), result));
        result
    }
    fn flush(&self, cx: Context) {
        self.inner.caching().flush(cx);
        self.note(Event::Flush);
    }
    fn zones_for(&self, mode: P::Mode) -> Zones {
        self.inner.caching().zones_for(mode)
    }
    fn pools(&self, mode: P::Mode) -> bool {
        self.inner.caching().pools(mode)
    }
}

impl<P: Platform, O: Sink> DmaMap<P::Block> for Traced<P, O> {
    fn map(&self, block: &P::Block, cx: Context) -> Option<DmaAddr> {
        let result = self.inner.dma().map(block, cx);
        self.note(Event::Map(block.pfn(), block.order(), result));
        result
    }
    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        self.inner.dma().unmap(block, at);
        self.note(Event::Unmap(block.pfn(), block.order(), at));
    }
    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        let (at, len) = (bytes.start, bytes.len());
        self.inner.dma().sync_for_device(block, bytes);
        self.note(Event::SyncForDevice(block.pfn(), at, len));
    }
    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        let (at, len) = (bytes.start, bytes.len());
        self.inner.dma().sync_for_cpu(block, bytes);
        self.note(Event::SyncForCpu(block.pfn(), at, len));
    }
}

impl<P: Platform, O: Sink> EvictHooks<P::Block> for Traced<P, O> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy> {
        let result = self.inner.hooks().before_evict(id, blocks, cx);
        self.note(Event::BeforeEvict(id, result));
        result
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let result = self.inner.hooks().after_restore(id, cx);
        self.note(Event::AfterRestore(id, result));
        result
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

impl<P: Platform, O: Sink> Accounting for Traced<P, O> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        let result = self.inner.accounting().charge(id, pages, cx);
        self.note(Event::Charge(id, pages, result));
        result
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.accounting().uncharge(charge, pages);
        self.note(Event::Uncharge(charge, pages));
    }
}

impl<P: Platform, O: Sink> LinearMap<P::Block, P::Mode> for Traced<P, O> {
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
        let result = self.inner.linear().contiguous(id, mode, blocks, cx);
        self.note(Event::Contiguous(id, result.as_ref().map(|bytes| bytes.len())));
        result
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
        let result = self.inner.linear().contiguous_mut(id, mode, blocks, cx);
        self.note(Event::Contiguous(id, result.as_ref().map(|bytes| bytes.len())));
        result
    }
}

impl<B: OwnedBlock, S: BackingStore<B>, O: Sink> BackingStore<B> for Traced<S, O> {
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
        let result = self.inner.save(block, order, payer, cx);
        self.note(Event::Save(block.pfn(), order, result.as_ref().map(Handle::order).map_err(|e| *e)));
        result
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        let result = self.inner.load(handle, block, at, cx);
        self.note(Event::Load(handle.order(), block.pfn(), result));
        result
    }
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        let (pfn, order) = (block.pfn(), block.order());
        let result = self.inner.transfer(block, payer);
        self.note(Event::Transfer(pfn, order, result.as_ref().map(|_| ()).map_err(|r| r.why)));
        result
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let order = handle.order();
        let result = self.inner.take_back(handle, cx);
        self.note(Event::TakeBack(order, result.as_ref().map(OwnedBlock::pfn).map_err(|r| r.why)));
        result
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let order = handle.order();
        let result = self.inner.split(handle);
        self.note(Event::Split(order, result.as_ref().map(|_| ()).map_err(|r| r.why)));
        result
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        let order = handle.order();
        let result = self.inner.discard(handle);
        let note = result.as_ref().map(|block| block.as_ref().map(OwnedBlock::pfn)).map_err(|r| r.why);
        self.note(Event::Discard(order, note));
        result
    }
    fn rooms(&self) -> Option<&dyn Rooms<B>> {
        self.inner.rooms().map(|_| self as &dyn Rooms<B>)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let settled = self.inner.settle(budget, cx, &mut |block: B| {
            self.note(Event::Returned(block.pfn(), block.order()));
            owner(block);
        });
        self.note(Event::Settle(settled));
        settled
    }
}

/// Reported as the calls without room: `Transfer`, `Save`, `TakeBack`.
impl<B: OwnedBlock, S: BackingStore<B>, O: Sink> Rooms<B> for Traced<S, O> {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        let result = self.inner.rooms().ok_or(StoreError::Unsupported).and_then(|rooms| rooms.reserve(order));
        self.note(Event::Reserve(order, result.as_ref().map(|_| ()).map_err(|e| *e)));
        result
    }
    fn transfer_into(&self, room: Handle, block: B) -> Result<Handle, Refused<(Handle, B), StoreError>> {
        let (pfn, order) = (block.pfn(), block.order());
        let result = match self.inner.rooms() {
            Some(rooms) => rooms.transfer_into(room, block),
            None => Err(Refused { item: (room, block), why: StoreError::Unsupported }),
        };
        self.note(Event::Transfer(pfn, order, result.as_ref().map(|_| ()).map_err(|r| r.why)));
        result
    }
    fn save_into(&self, room: &Handle, block: &B, cx: Context) -> Result<(), StoreError> {
        let order = room.order();
        let rooms = self.inner.rooms().ok_or(StoreError::Unsupported);
        let result = rooms.and_then(|rooms| rooms.save_into(room, block, cx));
        self.note(Event::Save(block.pfn(), order, result.map(|()| order)));
        result
    }
    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, B), Refused<Handle, StoreError>> {
        let order = handle.order();
        let result = match self.inner.rooms() {
            Some(rooms) => rooms.take_back_from(handle, cx),
            None => Err(Refused { item: handle, why: StoreError::Unsupported }),
        };
        self.note(Event::TakeBack(order, result.as_ref().map(|(_, block)| block.pfn()).map_err(|r| r.why)));
        result
    }
}

impl<L, O, S, const PAGE: usize, const N: usize> RegionBacked<L, PAGE, N> for Traced<S, O>
where
    L: RawMutex,
    O: Sink,
    S: RegionBacked<L, PAGE, N>,
{
    type Checksum = S::Checksum;
    const META_IN_SLOW: bool = S::META_IN_SLOW;
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, S::Checksum> {
        self.inner.region()
    }
    fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize {
        let bytes = self.inner.write_out_now(max_bytes, &mut |block| {
            self.note(Event::Returned(block.pfn(), block.order()));
            owner(block);
        });
        self.note(Event::WroteOut(bytes));
        bytes
    }
}

/// The sink is mostly a closure, which can't be formatted.
#[cfg(feature = "defmt")]
impl<T: defmt::Format, O> defmt::Format for Traced<T, O> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Traced({})", self.inner);
    }
}
