//! A machine with caching modes and hooks.

use super::*;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a [`Machine`] refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum No {
    /// Nothing.
    #[default]
    Never,
    /// Any change of a mode.
    Mode,
    /// Into this one.
    ModeTo(Caching),
    /// Of the block at this frame.
    ModeAt(Pfn),
    /// That a buffer is evicted.
    Before,
    /// That it was restored.
    After,
}

#[derive(Debug, Default)]
struct MachineState {
    no: No,
    modes: HashMap<usize, Caching>,
    unmapped: HashSet<usize>,
    hooks: Vec<&'static str>,
}

/// A machine with three caching modes, kept for each frame, and hooks that must come in pairs. The other ports, also hooks
/// of its own, are those of the platform around which it stands.
///
/// It is made as a platform, which derefs to it.
#[derive(Debug)]
pub struct Machine<P> {
    /// Where its blocks come from.
    pub inner: P,
    state: Mutex<MachineState>,
}

impl<P> Machine<P> {
    /// With blocks of that one.
    pub fn new(inner: P) -> AllPorts<Self> {
        AllPorts(Machine { inner, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, MachineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // one panic is enough
    }

    /// From now on it refuses this, and only this.
    pub fn say_no(&self, to: No) {
        self.lock().no = to;
    }

    /// Pages that are in that mode (plain ones are not counted).
    pub fn in_mode(&self, mode: Caching) -> usize {
        self.lock().modes.values().filter(|m| **m == mode).count()
    }

    /// Hooks that did not refuse, since the last time.
    pub fn hooks(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().hooks)
    }
}

impl<P: Platform<Mode = ()>> FrameSource for Machine<P> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    const MAX_ORDER: Order = P::Source::MAX_ORDER;
    const ZONES: u8 = P::Source::ZONES;
    const LOBBY: Zones = P::Source::LOBBY;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<P::Block, AllocError> {
        self.inner.source().allocate(request, cx)
    }
    fn free(&self, block: P::Block) {
        self.inner.source().free(block);
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.source().join(left, right)
    }
    /// It does not say whether a block is ready: a reclaim looks for one by allocating it.
    fn supply(&self, request: &AllocRequest) -> Supply {
        Supply { ready: None, ..self.inner.source().supply(request) }
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

impl<P: Platform<Mode = ()>> CachingControl<P::Block> for Machine<P> {
    type Mode = Caching;

    fn set_mode(
        &self,
        block: &mut P::Block,
        from: Caching,
        to: Caching,
        _: Context,
    ) -> Result<(), ModeRefused> {
        let mut s = self.lock();
        if [No::Mode, No::ModeTo(to), No::ModeAt(block.pfn())].contains(&s.no) {
            return Err(ModeRefused);
        }
        for n in block.pfn().0..block.pfn().0 + block.order().pages().get() {
            let was = s.modes.insert(n, to).unwrap_or(Caching::WriteBack);
            assert_eq!(was, from, "frame {n:x} was in another mode than forebay believes");
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

impl<P: Platform<Mode = ()>> DmaMap<P::Block> for Machine<P> {
    fn map(&self, block: &P::Block, cx: Context) -> Option<DmaAddr> {
        self.inner.dma().map(block, cx)
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

impl<P: Platform<Mode = ()>> EvictHooks<P::Block> for Machine<P> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut P::Block>,
        cx: Context,
    ) -> Result<(), Busy> {
        let mut s = self.lock();
        if s.no == No::Before {
            return Err(Busy);
        }
        self.inner.hooks().before_evict(id, blocks, cx)?;
        assert!(s.unmapped.insert(id.0), "before_evict twice for {id:?}, without after_restore between");
        s.hooks.push("before");
        Ok(())
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let mut s = self.lock();
        if s.no == No::After {
            return Err(Busy);
        }
        self.inner.hooks().after_restore(id, cx)?;
        assert!(s.unmapped.remove(&id.0), "after_restore for {id:?}, without before_evict");
        s.hooks.push("after");
        Ok(())
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

impl<P: Platform<Mode = ()>> Accounting for Machine<P> {
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Option<Charge> {
        self.inner.accounting().charge(id, pages, cx)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        self.inner.accounting().uncharge(charge, pages);
    }
}

impl<P: Platform<Mode = ()>> LinearMap<P::Block, Caching> for Machine<P> {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        _: Caching,
        blocks: impl Iterator<Item = &'b P::Block>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        P::Block: 'b,
    {
        self.inner.linear().contiguous(id, (), blocks, cx)
    }
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        _: Caching,
        blocks: impl Iterator<Item = &'b mut P::Block>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        P::Block: 'b,
    {
        self.inner.linear().contiguous_mut(id, (), blocks, cx)
    }
}
