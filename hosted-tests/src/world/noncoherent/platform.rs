//! The platform of a machine whose caches are not coherent.

use super::block::CachedBlock;
use super::board::{Board, Forget, Refuse};
use super::cache::{Adversary, Reach};
use super::device::Device;
use super::engine::DmaEngine;
use forebay::{
    AllocError, AllocRequest, BufferId, Busy, Caching, Context, Order, OwnedBlock, Pages, Platform, Zones,
    frame::{DmaAddr, ModeRefused},
};
use std::ops::Range;
use std::sync::Arc;

/// Around a source, whose blocks get simulated memory. It cleans and invalidates as the port says, but for what it is told
/// to [forget](NonCoherent::forget).
#[derive(Debug)]
pub struct NonCoherent<P> {
    inner: P,
    board: Arc<Board>,
}

impl<P> NonCoherent<P> {
    /// With cache lines of so many bytes.
    pub fn new(inner: P, line: usize, adversary: Adversary) -> Self {
        NonCoherent { inner, board: Arc::new(Board::new(line, adversary)) }
    }

    /// From now on it leaves out this duty, and only this.
    pub fn forget(&self, duty: Forget) {
        self.board.lock().forget = duty;
    }

    /// From now on it says no to this, and only to this.
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

impl<P: Platform<Mode = ()>> Platform for NonCoherent<P> {
    type Block = CachedBlock<P::Block>;
    type RawMutex = P::RawMutex;
    type Mode = Caching;
    const MAX_ORDER: Order = P::MAX_ORDER;
    const ZONES: u8 = P::ZONES;

    fn allocate(&self, order: Order, cx: Context) -> Result<Self::Block, AllocError> {
        self.inner.allocate(AllocRequest::new(order), cx).map(|block| self.cached(block))
    }

    fn allocate(&self, ask: AllocRequest, cx: Context) -> Result<Self::Block, AllocError> {
        self.inner.allocate(AllocRequest::new(ask), cx).map(|block| self.cached(block))
    }

    fn release(&self, block: Self::Block) {
        self.board.lock().iommu.assert_unmapped(&block.memory(), "goes home, and a device can reach it");
        self.inner.free(block.into_inner());
    }

    fn available(&self, zones: Zones) -> Option<Pages> {
        self.inner.free_pages(zones)
    }

    fn join(&self, left: Self::Block, right: Self::Block) -> Result<Self::Block, (Self::Block, Self::Block)> {
        if !Arc::ptr_eq(left.board(), right.board()) {
            return Err((left, right));
        }
        match self.inner.join(left.into_inner(), right.into_inner()) {
            Ok(joined) => Ok(self.cached(joined)),
            Err((left, right)) => Err((self.cached(left), self.cached(right))),
        }
    }

    fn zone(&self, block: &Self::Block) -> Zone {
        self.inner.zone(block.inner())
    }

    fn zones_for(&self, _: Caching) -> Zones {
        self.inner.zones_for(())
    }

    fn set_mode(
        &self,
        block: &mut Self::Block,
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

    fn map(&self, block: &Self::Block, _: Context) -> Result<DmaAddr, MapRefused> {
        let memory = block.memory();
        let mut s = self.board.lock();
        if s.refuse == Refuse::Map {
            return Err(MapRefused);
        }
        s.unless(Forget::CleanAtMap, |cache| cache.clean(memory.clone()));
        Ok(s.iommu.map(memory))
    }

    fn unmap(&self, block: &Self::Block, at: DmaAddr) {
        let memory = block.memory();
        let mut s = self.board.lock();
        s.iommu.unmap(at, &memory);
        s.unless(Forget::CleanAtUnmap, |cache| cache.clean(memory.clone()));
        s.unless(Forget::InvalidateAtUnmap, |cache| cache.invalidate(memory));
    }

    fn sync_for_device(&self, block: &Self::Block, bytes: Range<usize>) {
        let memory = block.part(bytes);
        self.board.lock().unless(Forget::CleanForDevice, |cache| cache.clean(memory));
    }

    fn sync_for_cpu(&self, block: &Self::Block, bytes: Range<usize>) {
        let memory = block.part(bytes);
        let mut s = self.board.lock();
        s.unless(Forget::CleanEdges, |cache| cache.clean_edges(memory.clone()));
        s.unless(Forget::InvalidateForCpu, |cache| cache.invalidate(memory));
    }

    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.before_evict(id, cx)
    }

    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        self.inner.after_restore(id, cx)
    }
}
