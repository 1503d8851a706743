//! The pool: shelves of ready blocks in front of the platform.
//!
//! A shelf saves two things: the way to the source, and the change of the caching mode, which on many machines
//! costs a flush on every core. That is why pools exist at all (TTM's `ttm_pool.c` says so in its first lines),
//! and why there is a shelf for each mode and order.

use crate::{Context, Locked, Mode, ModeRefused, Order, OutOfFrames, OwnedBlock, Pages, Platform, Refused};
use core::fmt;
use core::ops::DerefMut;

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

    /// The block in another mode; does nothing if it is in that one already.
    ///
    /// # Errors
    /// The block in the mode that it had.
    ///
    /// # Context
    /// As the platform's [`set_mode`](Platform::set_mode), which is told `cx`.
    pub fn into_mode(
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

/// Room for one block on a shelf.
#[derive(Debug)]
pub struct Place<P: Platform>(Content<P>);

#[derive(Debug)]
enum Content<P: Platform> {
    Empty,
    Ready(Pooled<P>),
    /// Empty, but kept for a block that may come back.
    Reserved,
}

impl<P: Platform> Place<P> {
    /// Nothing in it.
    pub const EMPTY: Self = Place(Content::Empty);

    fn take(&mut self) -> Option<Pooled<P>> {
        self.take_and_leave(Content::Empty)
    }

    fn take_and_leave(&mut self, next: Content<P>) -> Option<Pooled<P>> {
        match core::mem::replace(&mut self.0, next) {
            Content::Ready(block) => Some(block),
            other => {
                self.0 = other;
                None
            }
        }
    }
}

/// Where a pool keeps its places: `[Place; N]` or `[Place]`.
pub trait Places<P: Platform>: AsMut<[Place<P>]> {}
impl<P: Platform, M: AsMut<[Place<P>]> + ?Sized> Places<P> for M {}

/// Blocks ready for use, by caching mode and order, in front of a platform.
///
/// `M` is `[Place; modes × orders × depth]`; sized where the pool is made, unsized (the default) everywhere
/// else, so that its length stays out of other signatures. `[Place; 0]` is a pool without shelves. Taking and
/// giving look at the places of one shelf under the lock: O(depth).
/// Dropping a pool sends what is ready home.
pub struct Pool<P: Platform, M: Places<P> + ?Sized = [Place<P>]> {
    platform: P,
    depth: usize,
    places: Locked<P::Lock, M>,
}

impl<P: Platform, const N: usize> Pool<P, [Place<P>; N]> {
    /// A pool that keeps up to `depth` blocks for each mode and order, for as many orders, from 0 up, as the `N`
    /// places are enough for: give it `orders × modes × depth`. Blocks of higher orders go straight home.
    pub const fn new(platform: P, depth: usize) -> Self {
        Pool { platform, depth, places: Locked::new([const { Place::EMPTY }; N]) }
    }
}

impl<P: Platform, M: Places<P> + ?Sized> Pool<P, M> {
    /// What the pool stands in front of.
    pub const fn platform(&self) -> &P {
        &self.platform
    }

    /// Sends a plain block home, past the shelves.
    pub fn release(&self, block: P::Block) {
        self.platform.release(block);
    }

    /// A zeroed block in that mode: from its shelf, else from the platform.
    ///
    /// # Errors
    /// [`TakeError`]; nothing changed.
    ///
    /// # Context
    /// Zeroing takes time in proportion to the block. Interrupt-safe if the lock is.
    pub fn take(&self, order: Order, mode: P::Mode, cx: Context) -> Result<Pooled<P>, TakeError> {
        let mut block = self.take_unwiped(order, mode, cx)?;
        block.block_mut().zero();
        Ok(block)
    }

    /// A zeroed block of `most`, or of the largest order down to `least` that is to be had; the shelf is tried
    /// before the platform at each order (after TTM's `__ttm_pool_alloc`).
    ///
    /// # Errors
    /// Why there was none of order `least`; nothing changed.
    ///
    /// # Context
    /// As [`take`](Pool::take), for each order that is tried.
    pub fn take_up_to(
        &self,
        most: Order,
        least: Order,
        mode: P::Mode,
        cx: Context,
    ) -> Result<Pooled<P>, TakeError> {
        let mut block = self.take_up_to_unwiped(most, least, mode, cx)?;
        block.block_mut().zero();
        Ok(block)
    }

    /// For one who writes every byte before anybody reads one.
    pub(crate) fn take_up_to_unwiped(
        &self,
        most: Order,
        least: Order,
        mode: P::Mode,
        cx: Context,
    ) -> Result<Pooled<P>, TakeError> {
        let mut order = most.max(least);
        loop {
            match (self.take_unwiped(order, mode, cx), order.lower()) {
                (Err(_), Some(lower)) if lower >= least => order = lower,
                (result, _) => return result,
            }
        }
    }

    fn take_unwiped(&self, order: Order, mode: P::Mode, cx: Context) -> Result<Pooled<P>, TakeError> {
        if let Some(block) = self.on_shelf(order, mode, |shelf| shelf.iter_mut().find_map(Place::take)) {
            return Ok(block);
        }
        let fresh = Pooled::plain(self.platform.allocate(order, cx)?);
        fresh.into_mode(&self.platform, mode, cx).map_err(|refused| {
            self.platform.release(refused.item.block); // its mode is still the plain one
            TakeError::ModeRefused
        })
    }

    /// A block for the next taker: onto its shelf, or home if that is full.
    ///
    /// # Errors
    /// The block, if it has to go home and its mode can't be undone.
    ///
    /// # Context
    /// O(depth), and a mode change if the shelf is full. Interrupt-safe if lock and platform are.
    pub fn give(&self, block: Pooled<P>, cx: Context) -> Result<(), Refused<Pooled<P>, ModeRefused>> {
        let (order, mode) = (block.block.order(), block.mode);
        let mut left = Some(block);
        self.on_shelf(order, mode, |shelf| {
            let place = shelf.iter_mut().find(|p| matches!(p.0, Content::Empty))?;
            place.0 = Content::Ready(left.take()?);
            Some(())
        });
        match left {
            Some(block) => self.send_home(block, cx),
            None => Ok(()),
        }
    }

    /// Sends ready blocks home until at least `want` pages went, or none is left; returns how many went. It
    /// overshoots by less than one block. A block whose mode can't be undone stays on its shelf.
    ///
    /// # Context
    /// O(places), a lock for each. Interrupt-safe if lock and platform are. (TTM's `ttm_pool_shrink`, whose count of
    /// blocks for pages overshoots.)
    pub fn trim(&self, want: Pages, cx: Context) -> Pages {
        let mut done = Pages::ZERO;
        let mut at = 0;
        while done < want {
            let step = self.places.with(|all| {
                let place = all.as_mut().get_mut(at)?;
                Some(place.take_and_leave(Content::Reserved))
            });
            let Some(found) = step else { break };
            if let Some(block) = found {
                let pages = block.block.pages();
                let next = match self.send_home(block, cx) {
                    Ok(()) => {
                        done += pages;
                        Content::Empty
                    }
                    Err(refused) => Content::Ready(refused.item),
                };
                self.places.with(|all| {
                    if let Some(place) = all.as_mut().get_mut(at) {
                        place.0 = next;
                    }
                });
            }
            at += 1;
        }
        done
    }

    /// Pages on the shelves. Looks at every place, each under a lock of its own.
    pub fn ready(&self) -> Pages {
        let per_order = self.depth * P::Mode::COUNT;
        let mut sum = Pages::ZERO;
        let mut at = 0;
        while let Some(full) =
            self.places.with(|all| all.as_mut().get(at).map(|place| matches!(place.0, Content::Ready(_))))
        {
            let order = at.checked_div(per_order).and_then(|o| Order::new(u8::try_from(o).ok()?));
            if let (true, Some(order)) = (full, order) {
                sum += order.pages();
            }
            at += 1;
        }
        sum
    }

    fn send_home(&self, block: Pooled<P>, cx: Context) -> Result<(), Refused<Pooled<P>, ModeRefused>> {
        block.into_plain(&self.platform, cx).map(|b| self.platform.release(b))
    }

    /// Runs `f` on the places for one mode and order, under the lock; `f` calls nobody.
    fn on_shelf<R>(
        &self,
        order: Order,
        mode: P::Mode,
        f: impl FnOnce(&mut [Place<P>]) -> Option<R>,
    ) -> Option<R> {
        let shelf = usize::from(order.get()) * P::Mode::COUNT + mode.index();
        let first = shelf.checked_mul(self.depth)?;
        let end = first.checked_add(self.depth)?;
        self.places.with(|all| all.as_mut().get_mut(first..end).and_then(f))
    }
}

impl<P: Platform, M: Places<P> + ?Sized> Drop for Pool<P, M> {
    fn drop(&mut self) {
        self.trim(Pages::MAX, Context::INTERRUPT); // who drops it may be anywhere
    }
}

impl<P: Platform, M: Places<P> + ?Sized> fmt::Debug for Pool<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("depth", &self.depth)
            .field("ready", &self.ready())
            .finish_non_exhaustive()
    }
}
