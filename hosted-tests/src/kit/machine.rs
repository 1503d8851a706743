//! A machine with caching modes and hooks.

use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What a [`Machine`] says no to.
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

/// A platform with three caching modes, kept for each frame, and hooks that must come in pairs.
#[derive(Debug)]
pub struct Machine<P> {
    /// Where its blocks come from.
    pub inner: P,
    state: Mutex<MachineState>,
}

impl<P> Machine<P> {
    /// With blocks of that one.
    pub fn new(inner: P) -> Self {
        Machine { inner, state: Mutex::default() }
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

impl<P: Platform<Mode = ()>> Platform for Machine<P> {
    type Block = P::Block;
    type RawMutex = P::RawMutex;
    type Mode = Caching;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, order: Order, cx: Context) -> Result<P::Block, AllocError> {
        self.inner.allocate(AllocRequest::new(order), cx)
    }
    fn release(&self, block: P::Block) {
        self.inner.free(block);
    }
    fn available(&self, zones: Zones) -> Option<Pages> {
        self.inner.free_pages(zones)
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.join(left, right)
    }
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
        for n in block.pfn().get()..block.pfn().get() + block.order().pages().get() {
            let was = s.modes.insert(n, to).unwrap_or(Caching::WriteBack);
            assert_eq!(was, from, "frame {n:x} was in another mode than forebay believes");
        }
        Ok(())
    }
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
        self.inner.contiguous(id, (), blocks, cx)
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
        self.inner.contiguous_mut(id, (), blocks, cx)
    }
    fn before_evict(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        let mut s = self.lock();
        if s.no == No::Before {
            return Err(Busy);
        }
        assert!(s.unmapped.insert(id.0), "before_evict twice for {id:?}, without after_restore between");
        s.hooks.push("before");
        Ok(())
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        let mut s = self.lock();
        if s.no == No::After {
            return Err(Busy);
        }
        assert!(s.unmapped.remove(&id.0), "after_restore for {id:?}, without before_evict");
        s.hooks.push("after");
        Ok(())
    }
}
