//! Hooks around an eviction: optional; `()` has none.

use crate::frame::{BufferId, Busy, Context};
#[cfg(doc)]
use crate::port::LinearMap;

/// Surrounds an eviction.
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
}
