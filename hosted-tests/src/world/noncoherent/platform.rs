//! The platform of a machine whose caches are not coherent.

use super::block::CachedBlock;
use super::board::{Board, Forget, Refuse};
use super::cache::{Adversary, Reach};
use super::device::Device;
use super::engine::DmaEngine;
use forebay::{
    AllocError, AllocRequest, BufferId, Busy, Caching, Context, FrameSource, Order, OwnedBlock, Pages,
    Platform, Zones,
    frame::{Charge, DmaAddr, ModeRefused},
    port::{Accounting, AllPorts, CachingControl, DmaMap, EvictHooks, LinearMap, Supply},
};
use std::ops::Range;
use std::sync::Arc;

/// Around a source, whose blocks get simulated memory. It cleans and invalidates as the port says, but for what it is told
/// to [forget](NonCoherent::forget). It implements every port, and is made as a platform.
#[derive(Debug)]
pub struct NonCoherent<P> {
    inner: P,
    board: Arc<Board>,
}

impl<P> NonCoherent<P> {
    /// With cache lines of `line` bytes.
    pub fn new(inner: P, line: usize, adversary: Adversary) -> AllPorts<Self> {
        AllPorts(NonCoherent { inner, board: Arc::new(Board::new(line, adversary)) })
    }

    /// From now on it leaves out this duty, and only this.
    pub fn forget(&self, duty: Forget) {
        self.board.lock().forget = duty;
    }

    /// From now on it refuses this, and only this.
    pub fn refuse(&self, what: Refuse) {
        self.board.lock().refuse = what;
    }

    /// A device of this machine.
    pub fn device(&self) -> Device {
        Device::new(Arc::clone(&self.board))
    }

    /// A copy engine of this machine.
    pub fn engine<B: OwnedBlock, const PAGE: usize>(&self) -> DmaEngine<B, PAGE>
    where
        P: Platform<Block = B>,
    {
        DmaEngine::new(Arc::clone(&self.board))
    }

    /// What a block of the source is here.
    fn cached<B: OwnedBlock>(&self, inner: B) -> CachedBlock<B> {
        CachedBlock::new(inner, Arc::clone(&self.board))
    }
}

fn reach(mode: Caching) -> Reach {
    match mode {
        Caching::WriteBack => Reach::ThroughTheCache,
        Caching::WriteCombined | Caching::Uncached => Reach::PastTheCache,
    }
}

impl<P: Platform<Mode = ()>> FrameSource for NonCoherent<P> {
    type Block = CachedBlock<P::Block>;
    type RawMutex = P::RawMutex;
    const MAX_ORDER: Order = P::Source::MAX_ORDER;
    const ZONES: u8 = P::Source::ZONES;
    const LOBBY: Zones = P::Source::LOBBY;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Self::Block, AllocError> {
        self.inner.source().allocate(request, cx).map(|block| self.cached(block))
    }

    fn free(&self, block: Self::Block) {
        self.board.lock().iommu.assert_unmapped(&block.memory(), "is returned, and a device can reach it");
        self.inner.source().free(block.into_inner());
    }

    fn join(&self, left: Self::Block, right: Self::Block) -> Result<Self::Block, (Self::Block, Self::Block)> {
        if !Arc::ptr_eq(left.board(), right.board()) {
            return Err((left, right));
        }
        match self.inner.source().join(left.into_inner(), right.into_inner()) {
            Ok(joined) => Ok(self.cached(joined)),
            Err((left, right)) => Err((self.cached(left), self.cached(right))),
        }
    }

    fn supply(&self, request: &AllocRequest) -> Supply {
        self.inner.source().supply(request)
    }

    fn zone(&self, block: &Self::Block) -> u8 {
        self.inner.source().zone(block.inner())
    }

    fn is_poolable(&self, block: &Self::Block) -> bool {
        self.inner.source().is_poolable(block.inner())
    }
}

impl<P: Platform<Mode = ()>> CachingControl<CachedBlock<P::Block>> for NonCoherent<P> {
    type Mode = Caching;

    fn set_mode(
        &self,
        block: &mut CachedBlock<P::Block>,
        from: Caching,
        to: Caching,
        _: Context,
    ) -> Result<(), ModeRefused> {
        let memory = block.memory();
        let mut s = self.board.lock();
        s.iommu.assert_unmapped(&memory, "changes its mode, and a device can reach it");
        if s.refuse == Refuse::ModeTo(to) {
            return Err(ModeRefused);
        }
        s.cache.reach(memory.clone(), reach(to));
        if (reach(from), reach(to)) == (Reach::ThroughTheCache, Reach::PastTheCache) {
            s.unless(Forget::CleanAtMode, |cache| cache.clean(memory.clone()));
            s.unless(Forget::InvalidateAtMode, |cache| cache.invalidate(memory));
        }
        Ok(())
    }

    fn flush(&self, cx: Context) {
        self.inner.caching().flush(cx);
    }

    fn zones_for(&self, _: Caching) -> Zones {
        self.inner.caching().zones_for(())
    }

    fn pools(&self, _: Caching) -> bool {
        self.inner.caching().pools(())
    }
}

impl<P: Platform<Mode = ()>> DmaMap<CachedBlock<P::Block>> for NonCoherent<P> {
    fn map(&self, block: &CachedBlock<P::Block>, _: Context) -> Option<DmaAddr> {
        let memory = block.memory();
        let mut s = self.board.lock();
        if s.refuse == Refuse::Map {
            return None;
        }
        s.unless(Forget::CleanAtMap, |cache| cache.clean(memory.clone()));
        Some(s.iommu.map(memory))
    }

    fn unmap(&self, block: &CachedBlock<P::Block>, at: DmaAddr) {
        let memory = block.memory();
        let mut s = self.board.lock();
        s.iommu.unmap(at, &memory);
        s.unless(Forget::CleanAtUnmap, |cache| cache.clean(memory.clone()));
        s.unless(Forget::InvalidateAtUnmap, |cache| cache.invalidate(memory));
    }

    fn sync_for_device(&self, block: &CachedBlock<P::Block>, bytes: Range<usize>) {
        let memory = block.part(bytes);
        self.board.lock().unless(Forget::CleanForDevice, |cache| cache.clean(memory));
    }

    fn sync_for_cpu(&self, block: &CachedBlock<P::Block>, bytes: Range<usize>) {
        let memory = block.part(bytes);
        let mut s = self.board.lock();
        s.unless(Forget::CleanEdges, |cache| cache.clean_edges(memory.clone()));
        s.unless(Forget::InvalidateForCpu, |cache| cache.invalidate(memory));
    }
}

impl<P: Platform<Mode = ()>> EvictHooks<CachedBlock<P::Block>> for NonCoherent<P> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut CachedBlock<P::Block>>,
        cx: Context,
    ) -> Result<(), Busy> {
        self.inner.hooks().before_evict(id, &mut blocks.map(CachedBlock::inner_mut), cx)
    }

    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.hooks().after_restore(id, cx)
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

impl<P: Platform<Mode = ()>> Accounting for NonCoherent<P> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        self.inner.accounting().charge(id, pages, cx)
    }

    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.accounting().uncharge(charge, pages);
    }
}

/// The memory is simulated, so there are no slices of it.
impl<P: Platform<Mode = ()>> LinearMap<CachedBlock<P::Block>, Caching> for NonCoherent<P> {}
