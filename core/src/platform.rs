//! The port an integrator implements: where blocks come from, and what surrounds an eviction.

use crate::{
    Ask, Charge, Context, DmaAddr, Keep, MapRefused, Mode, Order, OverLimit, OwnedBlock, Pages, RawLock,
    Wiped, Zone, Zones,
};
use core::fmt;
use core::ops::Range;

/// Why a source has no block to give. Nothing changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum OutOfFrames {
    /// None of that order is free now. A smaller one may be.
    Exhausted,
    /// There is one, but the source's own limit is reached: evict something, then try again.
    Limit,
    /// There is one, but filling it with memory would, as far as the source can see it, exceed what the machine has, or
    /// what the group of processes that it runs in may have. Evicting helps as far as something frees that memory.
    NoHeadroom,
    /// Bringing in its memory failed, though not for want of it: it is broken, or the system refuses to. Reclaiming does
    /// not help.
    Failed,
    /// The source can't be used from here, for good: it belongs to another process (after a fork).
    Unavailable,
}

impl fmt::Display for OutOfFrames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OutOfFrames::Exhausted => {
                "no block of that order is free: reclaim, ask for a smaller order, or give the source more memory"
            }
            OutOfFrames::Limit => "the source's own limit is reached: reclaim, then try again",
            OutOfFrames::NoHeadroom => {
                "the machine, or its control group, has no memory for one more block: free some, or raise the limit"
            }
            OutOfFrames::Failed => "the source's memory failed, or the system refuses to bring it in",
            OutOfFrames::Unavailable => "the source belongs to another process: make one in this process",
        })
    }
}

impl core::error::Error for OutOfFrames {}

/// In use by somebody else; nothing changed; try again later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("in use: try again later")
    }
}

impl core::error::Error for Busy {}

/// The caching mode could not be changed and is as before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ModeRefused;

impl fmt::Display for ModeRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the platform refused the caching mode: the block is in the mode it had")
    }
}

impl core::error::Error for ModeRefused {}

/// The number that the integrator gave to a buffer ([`Buffer::with_id`](crate::Buffer::with_id)).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BufferId(pub usize);

/// Source of blocks, caching control and hooks of one machine.
///
/// Two methods are required; the others have defaults for a machine that needs nothing done. Every method may
/// be called from several threads at once, and from an interrupt if buffers are evicted there; `cx` says what
/// the caller may do. forebay holds no lock of its own during any of these calls.
///
/// Safe to implement: a wrong implementation costs data, not memory safety, because the blocks are its own
/// type and forebay never looks behind them.
pub trait Platform {
    /// The integrator's own block type.
    type Block: OwnedBlock;
    /// What guards pool, buffers and counters.
    type Lock: RawLock;
    /// The caching modes; `()` for one.
    type Mode: Mode;

    /// The largest order that buffers ask for, unless one slot of theirs is larger
    /// ([`Buffer::new`](crate::Buffer::new), [`with_unit`](crate::Buffer::with_unit)).
    const MAX_ORDER: Order = Order::TEN;

    /// A block of that order, in the plain mode. Its bytes are whatever they were. A pool sends one of another order home
    /// again, and takes it for [`Exhausted`](OutOfFrames::Exhausted).
    ///
    /// # Errors
    /// [`OutOfFrames`]; after [`Exhausted`](OutOfFrames::Exhausted) the caller may try a smaller order.
    fn allocate(&self, order: Order, cx: Context) -> Result<Self::Block, OutOfFrames>;

    /// How many zones its memory is in: their numbers are below this. At most 16. Blocks of any other zone are never on a shelf.
    const ZONES: u8 = 1;

    /// The zone that a block is in. O(1).
    fn zone(&self, block: &Self::Block) -> Zone {
        let _ = block;
        Zone::ONLY
    }

    /// The zones whose memory can be in that mode: where the hardware fixes the mode for a whole zone (an MPU, SRAM
    /// that no cache covers), those where it is this one.
    fn zones_for(&self, mode: Self::Mode) -> Zones {
        let _ = mode;
        Zones::ALL
    }

    /// Whether a pool keeps this block, which is in that mode, on a shelf. Where a block costs nothing to make, as an
    /// ordinary cached one does, keeping it only withholds it from others (TTM pools no cached pages); and one that must
    /// have no second owner goes home.
    fn keep(&self, block: &Self::Block, mode: Self::Mode) -> Keep {
        let _ = (block, mode);
        Keep::Shelf
    }

    /// Whether this block, which was allocated just now and shown to nobody, is zeros already: then a pool need not wipe
    /// it.
    fn wiped(&self, block: &Self::Block) -> Wiped {
        let _ = block;
        Wiped::Unknown
    }

    /// [`allocate`](Platform::allocate), told where the block may be and what may be done for it. A pool calls only this
    /// one. The default looks at neither; a block from elsewhere is sent home again.
    ///
    /// # Errors
    /// As there.
    fn allocate_for(&self, ask: Ask, cx: Context) -> Result<Self::Block, OutOfFrames> {
        self.allocate(ask.order, cx)
    }

    /// How many pages of these zones could be allocated now, in blocks of whatever order: a hint, O(1), as others may take
    /// them first. `None` if it does not know. ([`Forebay::keep_free`](crate::Forebay::keep_free) asks, and a reclaim that
    /// wants a [block](crate::Want::block), to tell a shortage from fragments.)
    fn available(&self, zones: Zones) -> Option<Pages> {
        let _ = zones;
        None
    }

    /// Takes home a block, or a part of one, that it once gave out; in the plain mode. Must not fail and must
    /// not block: interrupts call it.
    fn release(&self, block: Self::Block);

    /// One block from two neighbours of the same order, of which `left` may begin a block of twice the size.
    ///
    /// # Errors
    /// Both blocks, unchanged, if they are not such neighbours, or if this source never joins (the default).
    /// Then a block whose split was refused half way stays in pieces.
    fn join(&self, left: Self::Block, right: Self::Block) -> Result<Self::Block, (Self::Block, Self::Block)> {
        Err((left, right))
    }

    /// Changes the caching mode of the whole block, `from` being its present one.
    ///
    /// Called for blocks that nobody else uses; with `to` = [`Mode::PLAIN`] before a block goes to the source
    /// or to a store (TTM: "anything returned to the system needs to be cached").
    ///
    /// What the CPU wrote to the block it reads again in the new mode. Blocks are zeroed and loaded in the plain mode, so
    /// where the new one goes past the cache, this cleans and then invalidates the block's lines.
    ///
    /// A platform that must wait for other cores to flush refuses where `cx` does not permit that. One that can put the
    /// flush off does it in [`flush_modes`](Platform::flush_modes), once for many blocks.
    ///
    /// # Errors
    /// [`ModeRefused`]: the mode is `from` as before, for every page of the block.
    fn set_mode(
        &self,
        block: &mut Self::Block,
        from: Self::Mode,
        to: Self::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        let _ = (block, from, to, cx);
        Ok(())
    }

    /// Completes the changes of mode and the unmappings since the last call, by this caller and with this `cx`: caches
    /// and translations of all cores, and of devices. Called once for a run of blocks, before any of them is used in its
    /// new mode or goes on to somebody else. (TTM converts runs of pages, since each conversion is a flush on every core.)
    fn flush_modes(&self, cx: Context) {
        let _ = cx;
    }

    /// Gives the whole block, which is in its buffer's mode by now, consecutive addresses for a device, and returns the
    /// first. What the CPU wrote until now, zeros and what was restored among it, the device sees from now on: where caches
    /// are not coherent this cleans those of the block.
    ///
    /// Called before a guard of a buffer that keeps addresses ([`Addressed`](crate::Addressed)) is given out, or when all of
    /// the buffer is resident again, once for each block that has none; that of one that was to be evicted and stays is
    /// mapped again. The default is the physical address, for devices that use that and caches that are coherent. Memory that has an
    /// address from birth (Linux's coherent allocations) answers with that, and has nothing to do in `unmap` and the two
    /// `sync`s. (TTM maps in `ttm_pool_page_allocated`, once for a block.)
    ///
    /// # Errors
    /// [`MapRefused`]: the guard is refused, and all blocks of the buffer are unmapped again. One that was to be evicted and
    /// stays is left to the next guard.
    fn map(&self, block: &Self::Block, cx: Context) -> Result<DmaAddr, MapRefused> {
        let _ = cx;
        let address = (block.pfn().get() as u64).checked_mul(Self::Block::PAGE as u64);
        address.and_then(DmaAddr::new).ok_or(MapRefused)
    }

    /// Undoes [`map`](Platform::map): the device can't reach the block any more, at the latest after
    /// [`flush_modes`](Platform::flush_modes). What the device wrote until now the CPU sees, and of what the CPU wrote
    /// nothing is lost: where caches are not coherent this cleans and then invalidates those of the block.
    ///
    /// Called before a block leaves its buffer, whichever way, and before its mode changes or it is split; after
    /// [`before_evict`](Platform::before_evict), so the device is done. Must not fail and must not block: interrupts call
    /// it. Where it has lines to clean, it is linear in the block; nothing else of a transfer is.
    fn unmap(&self, block: &Self::Block, at: DmaAddr) {
        let _ = (block, at);
    }

    /// What the CPU wrote to these bytes of the block the device sees from now on: where caches are not coherent, clean
    /// them (and where writes are combined, wait until they are through). Called by guards, on behalf of a driver, before a
    /// device reads or writes: a line that was left dirty could be written back over what the device wrote.
    fn sync_for_device(&self, block: &Self::Block, bytes: Range<usize>) {
        let _ = (block, bytes);
    }

    /// What the device wrote to these bytes of the block the CPU sees from now on: where caches are not coherent, invalidate
    /// them. A cache line that is only partly meant is cleaned first, for the sake of its other bytes; no line has bytes of
    /// two blocks. Called by guards, on behalf of a driver, after a device wrote: not before, since a CPU may fetch lines that
    /// nobody asked for.
    fn sync_for_cpu(&self, block: &Self::Block, bytes: Range<usize>) {
        let _ = (block, bytes);
    }

    /// The bytes of these blocks as one slice, in this order: because they are neighbours in one piece of memory, or because
    /// this maps them at one range of addresses. `None` if they can't be had so (the default), or not with what `cx` permits.
    ///
    /// Called by guards ([`Read::contiguous`](crate::Read::contiguous)) with all blocks of the buffer, at least one, in the
    /// mode `mode`; also for one that has a single block, which may be smaller or larger than that of the last call. Several
    /// threads may ask at once for the same buffer, and each guard may ask more than once.
    ///
    /// Only for ordinary memory: what a device or a guest writes meanwhile is never a slice.
    ///
    /// A mapping has the mode that the blocks have, and exactly their bytes; a guard throws a slice of another length away.
    /// It stays valid until [`before_evict_with`](Platform::before_evict_with), as nobody says when a guard is dropped; the
    /// next guard may be given the same one. Any safe code may call this, so whoever needs `unsafe` for it relies on the
    /// blocks that are borrowed for `'b`, not on `id`, which only says under which name to remember the mapping; and ends one
    /// only with one of its blocks in hand, borrowed exclusively or owned. (TTM's `ttm_bo_vmap`.)
    ///
    /// # Complexity
    /// Linear in the blocks.
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        mode: Self::Mode,
        blocks: impl Iterator<Item = &'b Self::Block>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        Self::Block: 'b,
    {
        let _ = (id, mode, blocks, cx);
        None
    }

    /// The same, to write. Nobody else has a guard of the buffer then.
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        mode: Self::Mode,
        blocks: impl Iterator<Item = &'b mut Self::Block>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        Self::Block: 'b,
    {
        let _ = (id, mode, blocks, cx);
        None
    }

    /// Charges somebody for new contents of that buffer: the token says whom. Called where a buffer that keeps charges
    /// ([`Charged`](crate::Charged)) gets a block for what was empty. Nothing is charged anew when contents are evicted or
    /// restored. The default's token is the number of the buffer.
    ///
    /// # Errors
    /// [`OverLimit`]: the block goes back to the pool, and the guard is refused.
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Result<Charge, OverLimit> {
        let _ = (pages, cx);
        Charge::new(id.0).ok_or(OverLimit)
    }

    /// So many pages of contents that this token paid for are dropped. Must not fail and must not block: interrupts call
    /// it.
    fn uncharge(&self, charge: Charge, pages: Pages) {
        let _ = (charge, pages);
    }

    /// Revokes every use of the buffer outside forebay: unmap it, wait for the device. The buffer is held
    /// exclusively meanwhile. Called before anything of it moves, be it to the store or, purged, to the pool; once,
    /// until [`after_restore`](Platform::after_restore).
    ///
    /// # Errors
    /// [`Busy`]: it can't be evicted or purged now. A walk goes on with the next buffer. (A buffer that is dropped
    /// can't be refused: its owner has seen to it that nobody uses it.)
    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let _ = (id, cx);
        Ok(())
    }

    /// [`before_evict`](Platform::before_evict), with the blocks that the buffer has, in order. A buffer calls only this one.
    /// The default looks at none of them.
    ///
    /// This is where a platform that mapped a buffer for [`contiguous`](Platform::contiguous) ends that mapping: a block that
    /// is borrowed exclusively proves that nobody has a slice of it any more, whoever calls this.
    ///
    /// # Errors
    /// As there.
    fn before_evict_with<'b>(
        &self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b mut Self::Block>,
        cx: Context,
    ) -> Result<(), Busy>
    where
        Self::Block: 'b,
    {
        let _ = blocks;
        self.before_evict(id, cx)
    }

    /// Undoes [`before_evict`](Platform::before_evict): everything of the buffer is resident again, or nothing
    /// of it moved after all.
    ///
    /// # Errors
    /// [`Busy`]: the guard is refused; the next attempt calls this again.
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        let _ = (id, cx);
        Ok(())
    }
}

impl<P: Platform> Platform for &P {
    type Block = P::Block;
    type Lock = P::Lock;
    type Mode = P::Mode;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, order: Order, cx: Context) -> Result<P::Block, OutOfFrames> {
        (**self).allocate(order, cx)
    }
    const ZONES: u8 = P::ZONES;
    fn zone(&self, block: &P::Block) -> Zone {
        (**self).zone(block)
    }
    fn zones_for(&self, mode: P::Mode) -> Zones {
        (**self).zones_for(mode)
    }
    fn keep(&self, block: &P::Block, mode: P::Mode) -> Keep {
        (**self).keep(block, mode)
    }
    fn wiped(&self, block: &P::Block) -> Wiped {
        (**self).wiped(block)
    }
    fn allocate_for(&self, ask: Ask, cx: Context) -> Result<P::Block, OutOfFrames> {
        (**self).allocate_for(ask, cx)
    }
    fn available(&self, zones: Zones) -> Option<Pages> {
        (**self).available(zones)
    }
    fn release(&self, block: P::Block) {
        (**self).release(block);
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        (**self).join(left, right)
    }
    fn set_mode(
        &self,
        block: &mut P::Block,
        from: P::Mode,
        to: P::Mode,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        (**self).set_mode(block, from, to, cx)
    }
    fn flush_modes(&self, cx: Context) {
        (**self).flush_modes(cx);
    }
    fn map(&self, block: &P::Block, cx: Context) -> Result<DmaAddr, MapRefused> {
        (**self).map(block, cx)
    }
    fn unmap(&self, block: &P::Block, at: DmaAddr) {
        (**self).unmap(block, at);
    }
    fn sync_for_device(&self, block: &P::Block, bytes: Range<usize>) {
        (**self).sync_for_device(block, bytes);
    }
    fn sync_for_cpu(&self, block: &P::Block, bytes: Range<usize>) {
        (**self).sync_for_cpu(block, bytes);
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
        (**self).contiguous(id, mode, blocks, cx)
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
        (**self).contiguous_mut(id, mode, blocks, cx)
    }
    fn charge(&self, id: BufferId, pages: Pages, cx: Context) -> Result<Charge, OverLimit> {
        (**self).charge(id, pages, cx)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        (**self).uncharge(charge, pages);
    }
    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        (**self).before_evict(id, cx)
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
        (**self).before_evict_with(id, blocks, cx)
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        (**self).after_restore(id, cx)
    }
}
