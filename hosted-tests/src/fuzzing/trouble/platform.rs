//! The ports of a machine that panic or lie. In front of the oracle, which so knows what really happened.

use super::script::{Caller, Script};
use super::told::Told;
use forebay::{
    AllocError, AllocRequest, BufferId, Busy, Context, FrameSource, Order, Pages, Platform, Zones,
    frame::{Charge, DmaAddr, ModeRefused},
    port::{Accounting, CachingControl, DmaMap, EvictHooks, LinearMap, Supply},
};
use std::ops::Range;

/// Around a platform, with all of its ports but free lists.
pub(super) struct Unreliable<'s, P> {
    inner: &'s P,
    script: &'s Script,
}

impl<'s, P: Platform<Block = Told<'s>>> Unreliable<'s, P> {
    pub(super) const fn new(inner: &'s P, script: &'s Script) -> Self {
        Unreliable { inner, script }
    }

    /// One call of the platform inside.
    fn call<R>(&self, f: impl FnOnce(&P) -> R) -> R {
        self.script.call(|| self.script.by(Caller::Oracle, || f(self.inner)))
    }

    fn lie(&self) -> Option<u8> {
        self.script.lie()
    }
}

impl<'s, P: Platform<Block = Told<'s>>> FrameSource for Unreliable<'s, P> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    const MAX_ORDER: Order = P::Source::MAX_ORDER;
    const ZONES: u8 = P::Source::ZONES;

    /// A block of another order, one that says that it is, or one from anywhere; or a reason that is none.
    fn allocate(&self, mut request: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        let lie = self.lie();
        match lie.map(|what| what % 7) {
            None | Some(6) => {}
            Some(0) => request.order = request.order.lower().unwrap_or(P::Source::MAX_ORDER),
            Some(1) => request.order = Order::new(request.order.get() + 1).unwrap_or(Order::PAGE),
            Some(2) => request.zones = Zones::ALL,
            Some(3) => return Err(AllocError::Never),
            Some(4) => return Err(AllocError::Limit),
            Some(_) => return Err(AllocError::Exhausted),
        }
        let mut block = self.call(|inner| inner.source().allocate(request, cx))?;
        if let Some(what) = lie.filter(|what| what % 7 == 6) {
            block.lies_of_order(what / 7);
        }
        Ok(block)
    }

    fn free(&self, block: P::Block) {
        self.call(|inner| inner.source().free(block));
    }

    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        match self.lie() {
            None => self.call(|inner| inner.source().join(left, right)),
            Some(what) if what % 2 == 0 => Err((left, right)),
            Some(_) => Err((right, left)),
        }
    }

    fn supply(&self, request: &AllocRequest) -> Supply {
        let is = self.call(|inner| inner.source().supply(request));
        match self.lie().map(|what| what % 6) {
            None => is,
            Some(0) => Supply { free: Some(Pages::MAX), ..is },
            Some(1) => Supply { free: Some(Pages::ZERO), ..is },
            Some(2) => Supply { ready: is.ready.map(|ready| !ready), ..is },
            Some(3) => Supply { ever: Some(Pages::ZERO), ..is },
            Some(4) => Supply { ever: Some(Pages::MAX), ready: Some(true), free: Some(Pages::MAX) },
            Some(_) => Supply::default(),
        }
    }

    fn zone(&self, block: &P::Block) -> u8 {
        let is = self.call(|inner| inner.source().zone(block));
        self.lie().map_or(is, |what| [is ^ 1, P::Source::ZONES, 16, u8::MAX][usize::from(what) % 4])
    }

    /// No lie: a source that says zeros where there are none shows old bytes, and nothing in front of it could tell.
    fn is_zeroed(&self, block: &P::Block) -> bool {
        self.call(|inner| inner.source().is_zeroed(block))
    }

    fn is_poolable(&self, block: &P::Block) -> bool {
        self.call(|inner| inner.source().is_poolable(block)) ^ self.lie().is_some()
    }
}

impl<'s, P: Platform<Block = Told<'s>>> CachingControl<P::Block> for Unreliable<'s, P> {
    type Mode = P::Mode;

    fn set_mode(
        &self,
        block: &mut P::Block,
        from: P::Mode,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        match self.lie() {
            None => self.call(|inner| inner.caching().set_mode(block, from, to, cx)),
            Some(_) => Err(ModeRefused),
        }
    }

    fn flush(&self, cx: Context) {
        self.call(|inner| inner.caching().flush(cx));
    }

    fn zones_for(&self, mode: P::Mode) -> Zones {
        let is = self.call(|inner| inner.caching().zones_for(mode));
        self.lie().map_or(is, |what| Zones::from_bits_truncate(what.into()))
    }

    fn pools(&self, mode: P::Mode) -> bool {
        self.call(|inner| inner.caching().pools(mode)) ^ self.lie().is_some()
    }
}

impl<'s, P: Platform<Block = Told<'s>>> DmaMap<P::Block> for Unreliable<'s, P> {
    fn map(&self, block: &P::Block, cx: Context) -> Option<DmaAddr> {
        if self.lie().is_some() { None } else { self.call(|inner| inner.dma().map(block, cx)) }
    }

    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        self.call(|inner| inner.dma().unmap(block, at));
    }

    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        self.call(|inner| inner.dma().sync_for_device(block, bytes));
    }

    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        self.call(|inner| inner.dma().sync_for_cpu(block, bytes));
    }
}

impl<'s, P: Platform<Block = Told<'s>>> EvictHooks<P::Block> for Unreliable<'s, P> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy> {
        if self.lie().is_some() {
            Err(Busy)
        } else {
            self.call(|inner| inner.hooks().before_evict(id, blocks, cx))
        }
    }

    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        if self.lie().is_some() { Err(Busy) } else { self.call(|inner| inner.hooks().after_restore(id, cx)) }
    }
}

impl<'s, P: Platform<Block = Told<'s>>> Accounting for Unreliable<'s, P> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        if self.lie().is_some() { None } else { self.call(|inner| inner.accounting().charge(id, pages, cx)) }
    }

    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.call(|inner| inner.accounting().uncharge(charge, pages));
    }
}

impl<'s, P: Platform<Block = Told<'s>>> LinearMap<P::Block, P::Mode> for Unreliable<'s, P> {}
