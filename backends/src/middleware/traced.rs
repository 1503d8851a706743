//! A trace of every call.

use core::ops::Range;
use forebay::{AllocRequest, BackingStore, BufferId, Busy, Context, Handle, Order, AllocError, OwnedBlock, Pages, Pfn, Platform, Refused, StoreError, Zones, frame::{Charge, DmaAddr, Mode, ModeRefused}, port::{Capabilities, Settled, Space, StoreIds}};

/// One call, after it returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Event {
    /// A source gave a block of that order, or had none.
    Allocate(Order, Result<Pfn, AllocError>),
    /// A source took one home.
    Release(Pfn, Order),
    /// Two neighbours were joined, or not.
    Join(Order, Result<Pfn, ()>),
    /// A block was put into the mode with this index.
    SetMode(Pfn, usize, Result<(), ModeRefused>),
    /// The changes of mode were flushed.
    FlushModes,
    /// A block was to get an address for devices.
    Map(Pfn, Order, Result<DmaAddr, MapRefused>),
    /// A block lost its address.
    Unmap(Pfn, Order, DmaAddr),
    /// Bytes of a block, from an offset on so many, were made visible to devices.
    SyncForDevice(Pfn, usize, usize),
    /// Bytes of a block, from an offset on so many, were made visible to the CPU.
    SyncForCpu(Pfn, usize, usize),
    /// The bytes of a buffer were to be had as one slice; it has so many.
    Contiguous(BufferId, Option<usize>),
    /// Somebody was to pay for new contents of a buffer.
    Charge(BufferId, Pages, Result<Charge, OverLimit>),
    /// Contents that somebody paid for were dropped.
    Uncharge(Charge, Pages),
    /// The hook before an eviction.
    BeforeEvict(BufferId, Result<(), Busy>),
    /// The hook after a restore.
    AfterRestore(BufferId, Result<(), Busy>),
    /// So many pages of a block were to be copied in; so many were.
    Save(Pfn, Order, Result<Order, StoreError>),
    /// So much was to be copied out to that block.
    Load(Order, Pfn, Result<(), StoreError>),
    /// A block was handed over.
    Transfer(Pfn, Order, Result<(), StoreError>),
    /// So much was asked back; that block came.
    TakeBack(Order, Result<Pfn, StoreError>),
    /// A handle was split.
    Split(Order, Result<(), StoreError>),
    /// Something was dropped; a block came to light.
    Discard(Order, Result<Option<Pfn>, StoreError>),
    /// The store was settled.
    Settle(Settled),
    /// Settling gave that block home.
    Home(Pfn, Order),
}

/// Where events go. Any `Fn(&Event)` is one, for example `|e| defmt::trace!("{}", e)`.
///
/// Called outside every lock of forebay, in whatever context the traced call was made, so perhaps from an
/// interrupt.
pub trait Sink {
    /// Takes note of an event.
    fn event(&self, event: &Event);
}

impl<F: Fn(&Event)> Sink for F {
    fn event(&self, event: &Event) {
        self(event);
    }
}

/// A platform or a store that reports every call to a [`Sink`].
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

    /// What it stands around.
    pub const fn inner(&self) -> &T {
        &self.inner
    }

    fn note(&self, event: Event) {
        self.sink.event(&event);
    }

    fn saved<B: OwnedBlock>(
        &self,
        block: &B,
        order: Order,
        result: Result<Handle, StoreError>,
    ) -> Result<Handle, StoreError> {
        self.note(Event::Save(block.pfn(), order, result.as_ref().map(Handle::order).map_err(|e| *e)));
        result
    }

    fn transferred<B>(
        &self,
        pfn: Pfn,
        order: Order,
        result: Result<Handle, Refused<B, StoreError>>,
    ) -> Result<Handle, Refused<B, StoreError>> {
        self.note(Event::Transfer(pfn, order, result.as_ref().map(|_| ()).map_err(|r| r.why)));
        result
    }
}

impl<P: Platform, O: Sink> Platform for Traced<P, O> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    type Mode = P::Mode;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, order: Order, cx: Context) -> Result<P::Block, AllocError> {
        self.allocate(AllocRequest::new(order), cx)
    }
    fn allocate(&self, ask: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        let result = self.inner.allocate(ask, cx);
        self.note(Event::Allocate(ask.order, result.as_ref().map(OwnedBlock::pfn).map_err(|e| *e)));
        result
    }
    fn release(&self, block: P::Block) {
        let (pfn, order) = (block.pfn(), block.order());
        self.inner.release(block);
        self.note(Event::Release(pfn, order));
    }
    const ZONES: u8 = P::ZONES;
    fn zone(&self, block: &P::Block) -> Zone {
        self.inner.zone(block)
    }
    fn zones_for(&self, mode: P::Mode) -> Zones {
        self.inner.zones_for(mode)
    }
    fn keep(&self, block: &P::Block, mode: P::Mode) -> Keep {
        self.inner.keep(block, mode)
    }
    fn wiped(&self, block: &P::Block) -> Wiped {
        self.inner.wiped(block)
    }
    fn available(&self, zones: Zones) -> Option<Pages> {
        self.inner.free_pages(zones)
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        let order = left.order();
        let result = self.inner.join(left, right);
        self.note(Event::Join(order, result.as_ref().map(OwnedBlock::pfn).map_err(|_| ())));
        result
    }
    fn set_mode(
        &self,
        block: &mut P::Block,
        from: P::Mode,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        let result = self.inner.set_mode(block, from, to, cx);
        self.note(Event::SetMode(block.pfn(), to.index(), result));
        result
    }
    fn flush(&self, cx: Context) {
        self.inner.flush(cx);
        self.note(Event::FlushModes);
    }
    fn map(&self, block: &P::Block, cx: Context) -> Result<DmaAddr, MapRefused> {
        let result = self.inner.map(block, cx);
        self.note(Event::Map(block.pfn(), block.order(), result));
        result
    }
    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        self.inner.unmap(block, at);
        self.note(Event::Unmap(block.pfn(), block.order(), at));
    }
    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        let (at, len) = (bytes.start, bytes.len());
        self.inner.sync_for_device(block, bytes);
        self.note(Event::SyncForDevice(block.pfn(), at, len));
    }
    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        let (at, len) = (bytes.start, bytes.len());
        self.inner.sync_for_cpu(block, bytes);
        self.note(Event::SyncForCpu(block.pfn(), at, len));
    }
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
        let result = self.inner.contiguous(id, mode, blocks, cx);
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
        let result = self.inner.contiguous_mut(id, mode, blocks, cx);
        self.note(Event::Contiguous(id, result.as_ref().map(|bytes| bytes.len())));
        result
    }
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Result<Charge, OverLimit> {
        let result = self.inner.charge(id, pages, cx);
        self.note(Event::Charge(id, pages, result));
        result
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.uncharge(charge, pages);
        self.note(Event::Uncharge(charge, pages));
    }
    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let result = self.inner.before_evict(id, cx);
        self.note(Event::BeforeEvict(id, result));
        result
    }
    fn before_evict_with<'b>(
        &self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy>
    where
        P::Block: 'b,
    {
        let result = self.inner.before_evict_with(id, blocks, cx);
        self.note(Event::BeforeEvict(id, result));
        result
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let result = self.inner.after_restore(id, cx);
        self.note(Event::AfterRestore(id, result));
        result
    }
}

impl<B: OwnedBlock, S: BackingStore<B>, O: Sink> BackingStore<B> for Traced<S, O> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn owns(&self, handle: &Handle) -> bool {
        self.inner.owns(handle)
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
    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        self.saved(block, order, self.inner.save(block, order, cx))
    }
    fn save_for(&self, charge: Charge, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        self.saved(block, order, self.inner.save_for(charge, block, order, cx))
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        let result = self.inner.load(handle, block, at, cx);
        self.note(Event::Load(handle.order(), block.pfn(), result));
        result
    }
    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        let (pfn, order) = (block.pfn(), block.order());
        self.transferred(pfn, order, self.inner.transfer(block))
    }
    fn transfer_for(&self, charge: Charge, block: B) -> Result<Handle, Refused<B, StoreError>> {
        let (pfn, order) = (block.pfn(), block.order());
        self.transferred(pfn, order, self.inner.transfer_for(charge, block))
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
    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(B)) -> Settled {
        let settled = self.inner.settle(budget, cx, &mut |block: B| {
            self.note(Event::Home(block.pfn(), block.order()));
            home(block);
        });
        self.note(Event::Settle(settled));
        settled
    }
}

/// The sink is mostly a closure, which has nothing to show.
#[cfg(feature = "defmt")]
impl<T: defmt::Format, O> defmt::Format for Traced<T, O> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Traced({})", self.inner);
    }
}
