//! The port an integrator implements: where blocks come from, and what surrounds an eviction.

use crate::{Ask, Context, Keep, Mode, Order, OwnedBlock, RawLock, Wiped, Zone, Zones};
use core::fmt;

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

    /// The largest order that buffers ask for.
    const MAX_ORDER: Order = Order::TEN;

    /// A block of that order, in the plain mode. Its bytes are whatever they were.
    ///
    /// # Errors
    /// [`OutOfFrames`]; after [`Exhausted`](OutOfFrames::Exhausted) the caller may try a smaller order.
    fn allocate(&self, order: Order, cx: Context) -> Result<Self::Block, OutOfFrames>;

    /// How many zones its memory is in: their numbers are below this. At most 16.
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

    /// Completes the changes of mode since the last call, by this caller and with this `cx`: caches and translations of
    /// all cores. Called once for a run of blocks, before any of them is used in its new mode. (TTM converts runs of
    /// pages, since each conversion is a flush on every core.)
    fn flush_modes(&self, cx: Context) {
        let _ = cx;
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
    fn before_evict(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        (**self).before_evict(id, cx)
    }
    fn after_restore(&self, id: BufferId, cx: Context) -> Result<(), Busy> {
        (**self).after_restore(id, cx)
    }
}
