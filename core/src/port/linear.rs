//! Several blocks as one slice: optional; `()` gives none.

use crate::frame::{BufferId, Context};
#[cfg(doc)]
use crate::port::EvictHooks;

/// Several blocks as one slice. Only for ordinary memory: what a device or a guest may write at any time is never a slice.
pub trait LinearMap<B, M> {
    /// The bytes of these blocks, in this order, as one slice: they are neighbours in one range of memory, or this maps them
    /// at one range of addresses. `None`, the default, if there is no such slice, or not with what `cx` permits.
    ///
    /// Guards call it ([`contiguous`](crate::buffer::Guard::contiguous)) with all blocks of the buffer, at least one, in the
    /// mode `mode`. Several threads may ask at once for the same buffer, and each guard may ask more than once.
    ///
    /// A mapping has the mode of the blocks and exactly their bytes; a guard ignores a slice of another length. The mapping
    /// lives until [`before_evict`](EvictHooks::before_evict); dropping a guard does not end it. Any safe code may call
    /// this, so an implementation with `unsafe` relies on the blocks that are borrowed for `'b`, not on `id`, which only
    /// names the mapping; and it ends a mapping only with one of its blocks in hand, borrowed exclusively or owned. (TTM's
    /// `ttm_bo_vmap`.)
    ///
    /// # Complexity
    /// Linear in the blocks.
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        mode: M,
        blocks: impl Iterator<Item = &'b B>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        B: 'b,
    {
        let _ = (id, mode, blocks, cx);
        None
    }

    /// As [`contiguous`](LinearMap::contiguous), for writing. The caller has the only guard of the buffer.
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        mode: M,
        blocks: impl Iterator<Item = &'b mut B>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        B: 'b,
    {
        let _ = (id, mode, blocks, cx);
        None
    }
}

/// No slices of several blocks.
impl<B, M> LinearMap<B, M> for () {}

impl<B, M, L: LinearMap<B, M>> LinearMap<B, M> for &L {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        mode: M,
        blocks: impl Iterator<Item = &'b B>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        B: 'b,
    {
        (**self).contiguous(id, mode, blocks, cx)
    }
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        mode: M,
        blocks: impl Iterator<Item = &'b mut B>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        B: 'b,
    {
        (**self).contiguous_mut(id, mode, blocks, cx)
    }
}
