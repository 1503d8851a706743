//! A block in some caching mode, whether a pool keeps such ones, and why it may have none.

use crate::{Context, Mode, ModeRefused, OutOfFrames, OwnedBlock, Platform, Refused};
use core::fmt;
use core::ops::DerefMut;

/// Whether blocks wait on a shelf of the pool for their next taker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Keep {
    /// They do, while there is room.
    Shelf,
    /// They go straight home.
    Home,
}

/// Whether a fresh block is zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Wiped {
    /// It is.
    Yes,
    /// It may have anybody's bytes.
    Unknown,
}

/// Why a pool has no block to give.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TakeError {
    /// Neither shelf nor source has a block of that order.
    OutOfFrames(OutOfFrames),
    /// The platform refused the caching mode; the block is home again.
    ModeRefused,
}

impl From<OutOfFrames> for TakeError {
    fn from(why: OutOfFrames) -> Self {
        TakeError::OutOfFrames(why)
    }
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TakeError::OutOfFrames(why) => why.fmt(f),
            TakeError::ModeRefused => ModeRefused.fmt(f),
        }
    }
}

impl core::error::Error for TakeError {}

/// Blocks whose modes are changed with one flush, at most.
pub(crate) const RUN: usize = 8;

/// A block in some caching mode, from a pool.
///
/// The only way to the plain block is [`into_plain`](Pooled::into_plain), which may be refused: so no block
/// in another mode can reach a source or a store. The mode is kept with each block, never with a range.
#[must_use = "dropping it leaks the block: give it to its pool"]
pub struct Pooled<P: Platform> {
    block: P::Block,
    mode: P::Mode,
}

impl<P: Platform> Pooled<P> {
    /// A block as sources and stores know it.
    pub const fn plain(block: P::Block) -> Self {
        Pooled { block, mode: P::Mode::PLAIN }
    }

    /// The block, to read it.
    pub const fn block(&self) -> &P::Block {
        &self.block
    }

    /// Copies bytes in ([`OwnedBlock::copy_in`]); returns how many.
    pub fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
        self.block.copy_in(at, from)
    }

    /// Makes every byte zero.
    pub fn zero(&mut self) {
        self.block.zero();
    }

    /// Its bytes, where a block is simply bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8]
    where
        P::Block: DerefMut<Target = [u8]>,
    {
        &mut self.block
    }

    /// Not for users, who could put another block in its place, in another mode.
    pub(crate) const fn block_mut(&mut self) -> &mut P::Block {
        &mut self.block
    }

    /// Its caching mode.
    pub const fn mode(&self) -> P::Mode {
        self.mode
    }

    /// The block in another mode, ready for use; does nothing if it is in that one already.
    ///
    /// # Errors
    /// The block in the mode that it had.
    ///
    /// # Context
    /// As the platform's [`set_mode`](Platform::set_mode) and [`flush_modes`](Platform::flush_modes), which are told
    /// `cx`.
    pub fn into_mode(
        self,
        platform: &P,
        to: P::Mode,
        cx: Context,
    ) -> Result<Self, Refused<Self, ModeRefused>> {
        let from = self.mode;
        let changed = self.change_mode(platform, to, cx)?;
        if from.index() != to.index() {
            platform.flush_modes(cx);
        }
        Ok(changed)
    }

    /// The same, but for the flush, which the caller owes: once for many blocks.
    pub(crate) fn change_mode(
        mut self,
        platform: &P,
        to: P::Mode,
        cx: Context,
    ) -> Result<Self, Refused<Self, ModeRefused>> {
        if self.mode.index() != to.index() {
            if let Err(why) = platform.set_mode(&mut self.block, self.mode, to, cx) {
                return Err(Refused::new(self, why));
            }
            self.mode = to;
        }
        Ok(self)
    }

    /// The plain block.
    ///
    /// # Errors
    /// As [`into_mode`](Pooled::into_mode).
    pub fn into_plain(self, platform: &P, cx: Context) -> Result<P::Block, Refused<Self, ModeRefused>> {
        self.into_mode(platform, P::Mode::PLAIN, cx).map(|me| me.block)
    }
}

impl<P: Platform> fmt::Debug for Pooled<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?} mode {}", self.block.pfn(), self.block.order(), self.mode.index())
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform> defmt::Format for Pooled<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}+{} mode {=usize}", self.block.pfn(), self.block.order(), self.mode.index());
    }
}
