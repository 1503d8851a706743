//! Free lists: blocks that wait in front of the source for their next user, with the caching mode that they have.

use crate::frame::{Context, Mode, ModeRefused, Order};
use crate::port::{CachingControl, OwnedBlock, Platform};
use core::fmt;
use core::ops::Deref;

/// A block in some caching mode, owned by a pool, by its free lists or by a buffer.
///
/// Only [`Pool::put`](crate::pool::Pool::put) and an eviction lead to the plain block, and both may be refused: so no block in
/// another mode than [`Mode::CACHED`] reaches a source or a store. The mode is kept with each block, never with a range.
#[must_use = "dropping it leaks the block: put it into its pool"]
pub struct PooledBlock<B, M> {
    pub(crate) block: B,
    pub(crate) mode: M,
}

/// To read it. There is no `DerefMut`, which would let another block take its place.
impl<B, M> Deref for PooledBlock<B, M> {
    type Target = B;
    fn deref(&self) -> &B {
        &self.block
    }
}

impl<B: OwnedBlock, M: Mode> PooledBlock<B, M> {
    /// A block from a source or a store.
    pub(crate) const fn cached(block: B) -> Self {
        PooledBlock { block, mode: M::CACHED }
    }

    /// Copies bytes into the block ([`OwnedBlock::write_at`]). Returns how many.
    pub fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.block.write_at(at, from)
    }

    /// Whether it is in the mode of sources and stores.
    pub(crate) fn is_cached(&self) -> bool {
        self.is_in(M::CACHED)
    }

    pub(crate) fn is_in(&self, mode: M) -> bool {
        M::COUNT == 1 || self.mode.index() == mode.index()
    }
}

impl<B: OwnedBlock, M: Mode> fmt::Debug for PooledBlock<B, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?} mode {}", self.block.pfn(), self.block.order(), self.mode.index())
    }
}

#[cfg(feature = "defmt")]
impl<B: OwnedBlock, M: Mode> defmt::Format for PooledBlock<B, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}+{} mode {=usize}", self.block.pfn(), self.block.order(), self.mode.index());
    }
}

/// Changes of mode and unmappings that wait for one flush.
///
/// The one place where modes are changed. A block that refuses is where it was, in the mode that it had. What uses changed
/// blocks flushes before. The value outlives a panic of a port, so the flush is not forgotten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingFlush(bool);

impl PendingFlush {
    pub(crate) const NONE: PendingFlush = PendingFlush(false);

    /// Changes the mode of a block in no slot; does nothing if it is in that mode.
    pub(crate) fn set_mode<P: Platform>(
        &mut self,
        platform: &P,
        block: &mut PooledBlock<P::Block, P::Mode>,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        if !block.is_in(to) {
            self.0 = true; // before the call, which may panic
            platform.caching().set_mode(&mut block.block, block.mode, to, cx)?;
            block.mode = to;
        }
        Ok(())
    }

    /// The same for a block in a slot. If the platform panics, the slot is empty and the block is leaked: its mode is not
    /// known, so it must not reach a source.
    pub(crate) fn set_mode_in<P: Platform>(
        &mut self,
        slot: &mut Option<PooledBlock<P::Block, P::Mode>>,
        platform: &P,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        let Some(mut block) = slot.take_if(|block| !block.is_in(to)) else { return Ok(()) };
        let result = self.set_mode(platform, &mut block, to, cx);
        *slot = Some(block);
        result
    }

    /// Something else waits for the flush.
    pub(crate) fn add(&mut self) {
        self.0 = true;
    }

    /// One flush for everything since the last one.
    pub(crate) fn flush<P: Platform>(&mut self, platform: &P, cx: Context) {
        if self.0 {
            platform.caching().flush(cx);
            self.0 = false;
        }
    }
}

/// A free list: blocks of one order, mode and zone. The pool numbers them consecutively from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FreeListId {
    /// The number of the list.
    pub number: usize,
    /// The order of its blocks.
    pub order: Order,
}

/// Where blocks wait for their next user.
///
/// `()` keeps nothing. [`FreeListArray`](crate::pool::FreeListArray) keeps a fixed number of each kind. Every method may be called
/// from several threads at once, and from an interrupt; O(blocks of a list) or less.
pub trait FreeLists<B, M> {
    /// Whether there are any: without, the code for them is not linked.
    const ENABLED: bool = true;

    /// The largest [`batch`](FreeLists::batch). A pool fetches up to 17 blocks at a time. Where it is 1, as by default, the code for batches is not linked.
    const BATCH: usize = 1;

    /// A block from that list.
    fn take(&self, list: FreeListId) -> Option<PooledBlock<B, M>>;

    /// Puts a block into that list.
    ///
    /// # Errors
    /// The block, if there is no such list, no room, or a limit is reached. It is returned to the source then.
    fn put(&self, list: FreeListId, block: PooledBlock<B, M>) -> Result<(), PooledBlock<B, M>>;

    /// A block from that list that is about to be returned to the source. Its place is reserved until
    /// [`unreserve`](FreeLists::unreserve).
    fn take_reserved(&self, list: FreeListId) -> Option<PooledBlock<B, M>>;

    /// Ends a reservation: with the block, if its mode could not be changed, or without.
    ///
    /// # Errors
    /// What was handed in, if that list has no reservation.
    fn unreserve(
        &self,
        list: FreeListId,
        block: Option<PooledBlock<B, M>>,
    ) -> Result<(), Option<PooledBlock<B, M>>>;

    /// How many blocks a pool fetches at a time when that list is empty, at most [`BATCH`](FreeLists::BATCH). By default it is one, so the
    /// list gets only what was put.
    fn batch(&self, list: FreeListId) -> usize {
        let _ = list;
        1
    }

    /// What is in that list, and how it was used. `None` if there is no such list.
    fn counts(&self, list: FreeListId) -> Option<FreeListCounts>;
}

/// What is in one free list, and how it was used. Its counts of uses start again at 0 after `u32::MAX`, so a difference is right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct FreeListCounts {
    /// Blocks that are ready now.
    pub ready: usize,
    /// Blocks that were taken from it.
    pub hits: u32,
    /// How often it was found empty.
    pub misses: u32,
}

impl<B, M> FreeLists<B, M> for () {
    const ENABLED: bool = false;
    fn take(&self, _: FreeListId) -> Option<PooledBlock<B, M>> {
        None
    }
    fn put(&self, _: FreeListId, block: PooledBlock<B, M>) -> Result<(), PooledBlock<B, M>> {
        Err(block)
    }
    fn take_reserved(&self, _: FreeListId) -> Option<PooledBlock<B, M>> {
        None
    }
    fn unreserve(
        &self,
        _: FreeListId,
        block: Option<PooledBlock<B, M>>,
    ) -> Result<(), Option<PooledBlock<B, M>>> {
        Err(block)
    }
    fn counts(&self, _: FreeListId) -> Option<FreeListCounts> {
        None
    }
}

impl<B, M, L: FreeLists<B, M> + ?Sized> FreeLists<B, M> for &L {
    const ENABLED: bool = L::ENABLED;
    const BATCH: usize = L::BATCH;
    fn take(&self, list: FreeListId) -> Option<PooledBlock<B, M>> {
        (**self).take(list)
    }
    fn put(&self, list: FreeListId, block: PooledBlock<B, M>) -> Result<(), PooledBlock<B, M>> {
        (**self).put(list, block)
    }
    fn take_reserved(&self, list: FreeListId) -> Option<PooledBlock<B, M>> {
        (**self).take_reserved(list)
    }
    fn unreserve(
        &self,
        list: FreeListId,
        block: Option<PooledBlock<B, M>>,
    ) -> Result<(), Option<PooledBlock<B, M>>> {
        (**self).unreserve(list, block)
    }
    fn batch(&self, list: FreeListId) -> usize {
        (**self).batch(list)
    }
    fn counts(&self, list: FreeListId) -> Option<FreeListCounts> {
        (**self).counts(list)
    }
}
