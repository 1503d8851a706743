//! Hooks around an eviction, and at the end of a use: optional; `()` has none.

use crate::frame::{AllocError, BufferId, Busy, Context};
#[cfg(doc)]
use crate::port::LinearMap;

/// Surrounds an eviction, and tells of a buffer that is free again.
pub trait EvictHooks<B> {
    /// Revokes every use of the buffer outside forebay: unmaps it, waits for the device. `blocks` are its resident blocks, in
    /// order. The buffer is held exclusively meanwhile.
    ///
    /// Called before anything of the buffer moves, to the store or, purged, to the pool; once, until
    /// [`after_restore`](EvictHooks::after_restore). A machine that mapped the buffer for
    /// [`LinearMap::contiguous`] ends that mapping here: the exclusive borrow of the blocks proves that no slice of them is
    /// left. The default does nothing.
    ///
    /// # Errors
    /// [`Busy`]: the buffer can't be evicted or purged now. A reclaim goes on with the next one. (Dropping a buffer can't be
    /// refused: its owner ensures that nothing uses it.)
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut B>,
        cx: Context,
    ) -> Result<(), Busy> {
        let _ = (id, blocks, cx);
        Ok(())
    }

    /// Undoes [`before_evict`](EvictHooks::before_evict): everything of the buffer is resident again, or nothing of it moved
    /// after all. The default does nothing.
    ///
    /// # Errors
    /// [`Busy`]: the guard is refused; the next attempt calls this again.
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let _ = (id, cx);
        Ok(())
    }

    /// Whether the buffer was used without a guard since this was called last, as the accessed bit of a mapping tells. Clears the
    /// bit. Then a reclaim skips the buffer in this round, as one that was used by a guard. That is no refusal, and is not counted.
    ///
    /// Called when a reclaim looks at the buffer, also by [`ByPolicy`](crate::reclaim::ByPolicy) and
    /// [`Forebay::transfer`](crate::Forebay::transfer); not for a purge or [`Buffer::evict`](crate::Buffer::evict). Who hears of
    /// each use calls [`Buffer::touch`](crate::Buffer::touch) instead. The default says no, and costs nothing.
    ///
    /// # Context
    /// That of the reclaim, perhaps an interrupt; O(1), under no lock. The buffer is not held: another context may use or evict it.
    fn second_chance(&self, id: BufferId, cx: Context) -> bool {
        let _ = (id, cx);
        false
    }

    /// No block was allocated for the buffer, and an access fails for it; `why` says what helps. To count, to log, or to wake what
    /// frees memory. It must not block, panic or use a buffer, which is held meanwhile; under no lock. The default does nothing.
    fn allocation_failed(&self, id: BufferId, why: AllocError) {
        let _ = (id, why);
    }

    /// The buffer is free now, or may be read, and a call for it was answered with [`Busy`] since it was free last. That call
    /// may be tried again; another context may be faster, and then this is called again when that one is done.
    ///
    /// A [`Busy`] that comes from a store or from [`before_evict`](EvictHooks::before_evict) is not announced: the buffer was free,
    /// and its contents were out of reach. Then the program waits for what keeps them away, such as an engine or a gate.
    ///
    /// No refusal by another use of the buffer is missed. So a context may sleep until this is called, if it made itself known
    /// before it tried: what is called between its try and its sleep has to end the sleep. Not called for
    /// [`residency`](crate::Buffer::residency) and [`set_purgeable`](crate::Buffer::set_purgeable), which ask no one to end
    /// early, nor for a buffer that a reclaim skipped.
    ///
    /// # Context
    /// That of the guard, eviction or restore that ended, perhaps an interrupt; under no lock. It must not block, panic or use a
    /// buffer: it only wakes others. The default does nothing.
    fn released(&self, id: BufferId) {
        let _ = id;
    }
}

/// No hooks.
impl<B> EvictHooks<B> for () {}

impl<B, H: EvictHooks<B> + ?Sized> EvictHooks<B> for &H {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut B>,
        cx: Context,
    ) -> Result<(), Busy> {
        (**self).before_evict(id, blocks, cx)
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        (**self).after_restore(id, cx)
    }
    fn second_chance(&self, id: BufferId, cx: Context) -> bool {
        (**self).second_chance(id, cx)
    }
    fn allocation_failed(&self, id: BufferId, why: AllocError) {
        (**self).allocation_failed(id, why);
    }
    fn released(&self, id: BufferId) {
        (**self).released(id);
    }
}
