//! The pool: shelves of ready blocks in front of the platform.
//!
//! A shelf saves two things: the way to the source, and the change of the caching mode, which on many machines
//! costs a flush on every core. That is why pools exist at all (TTM's `ttm_pool.c` says so in its first lines),
//! and why there is a shelf for each mode and order.

use crate::event::{self, Event};
use crate::pooled::RUN;
use crate::shelf::{Kind, Layout, Leaving, Round, Shelves};
use crate::{
    Ask, Context, Keep, Locked, Mode, ModeRefused, Order, OutOfFrames, OwnedBlock, Pages, Place, Places,
    Platform, PoolTable, Pooled, Refused, Shelf, ShelfStats, TakeError, Wiped, Zone, Zones,
};
use core::fmt;

/// When the bytes of a block are made zero.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Wipe {
    /// When it is taken: giving one back is quick, and may be done in an interrupt.
    #[default]
    OnTake,
    /// When it is given back, so that taking one from a shelf is quick (as TTM's `ttm_pool_type_give` does). Where the
    /// context does not permit to take that long, it goes home instead of onto its shelf; only if its mode can't be
    /// undone there, it is made zero all the same, as otherwise it would have nowhere to go.
    OnGive,
}

/// Blocks ready for use, by order, caching mode and zone, in front of a platform.
///
/// `M` is `[Place; orders × modes × zones × depth]`; sized where the pool is made, unsized (the default) everywhere
/// else, so that its length stays out of other signatures. `[Place; 0]` is a pool without shelves. Taking and
/// giving look at the places of one shelf for each zone that will do, O(depth), one at a time under the lock.
/// Dropping a pool sends what is ready home; that nobody is at it then, not even a shrinker, the borrow proves. A block
/// whose mode can't be undone, though it was tried twice, is lost with it: to see that, [`trim`](Pool::trim) before.
pub struct Pool<P: Platform, M: Places<P> + ?Sized = [Place<P>]> {
    platform: P,
    limit: Pages,
    wipe: Wipe,
    /// The order that is worth reclaiming for.
    beneficial: Option<Order>,
    layout: Layout,
    shelves: Locked<P::Lock, Shelves<M>>,
}

impl<P: Platform, const N: usize> Pool<P, [Place<P>; N]> {
    /// A pool that keeps up to `depth` blocks of each kind, for as many orders, from 0 up, as the `N`
    /// places are enough for: give it `orders × modes × zones × depth`. Blocks of higher orders go straight home.
    ///
    /// Any other number is no error. Shelves are made by order, then mode, then zone, so what is left over is enough for some
    /// kinds of one order more, and fewer than `depth` places are for nobody; with a depth of 0, as without places, all
    /// blocks go straight home. [`shelves`](Pool::shelves) says which there are.
    ///
    /// ```
    /// # use forebay::*;
    /// # fn make<P: Platform<Mode = Caching>>(machine: P) -> Pool<P, [Place<P>; 96]> {
    /// // 4 orders × 3 modes × 2 zones × 4 of each: blocks of up to 8 pages.
    /// Pool::new(machine, 4)
    /// # }
    /// ```
    pub const fn new(platform: P, depth: usize) -> Self {
        let shelves = Shelves::new([const { Place::EMPTY }; N]);
        Pool {
            platform,
            limit: Pages::MAX,
            wipe: Wipe::OnTake,
            beneficial: None,
            layout: Layout::new(depth, N),
            shelves: Locked::new(shelves),
        }
    }

    /// The most pages that are ready at a time; what is over it goes home, round robin over the kinds, as soon as
    /// somebody gives a block. No limit but the places if left out.
    #[must_use]
    pub const fn with_limit(mut self, pages: Pages) -> Self {
        self.limit = pages;
        self
    }

    /// When blocks are made zero; when they are taken, if left out.
    #[must_use]
    pub const fn with_wipe(mut self, when: Wipe) -> Self {
        self.wipe = when;
        self
    }

    /// The order above 0 that is worth reclaiming for, because the hardware gains by it, such as that of a huge page.
    /// None if left out. (TTM's beneficial order, which is one in each device.)
    #[must_use]
    pub const fn with_beneficial_order(mut self, order: Order) -> Self {
        self.beneficial = Some(order);
        self
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
        self.take_for(self.ask(order), mode, cx)
    }

    /// A zeroed block in that mode from the zones that are asked for: from a shelf, the preferred zone first, else
    /// from the platform.
    ///
    /// # Errors
    /// [`TakeError`]; nothing changed.
    ///
    /// # Context
    /// As [`take`](Pool::take).
    pub fn take_for(&self, ask: Ask, mode: P::Mode, cx: Context) -> Result<Pooled<P>, TakeError> {
        self.in_mode(self.take_wiped(ask, mode, cx)?, mode, cx)
    }

    /// A zeroed block of `most`, or of the largest order down to `least` that is to be had; the shelves are tried
    /// before the platform at each order (after TTM's `__ttm_pool_alloc`).
    ///
    /// # Errors
    /// Why there was none of order `least`, or that the mode of a fresh one was refused; nothing changed.
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
        self.in_mode(self.take_up_to_wiped(most, least, Zones::ALL, mode, cx)?, mode, cx)
    }

    /// As [`take_up_to`](Pool::take_up_to), but a fresh block is still plain: the caller changes the modes of many at
    /// once.
    pub(crate) fn take_up_to_wiped(
        &self,
        most: Order,
        least: Order,
        zones: Zones,
        mode: P::Mode,
        cx: Context,
    ) -> Result<Pooled<P>, TakeError> {
        down(most, least, |order| self.take_wiped(self.ask(order).within(zones), mode, cx))
    }

    /// The same for one who writes every byte before anybody reads one.
    pub(crate) fn take_up_to_unwiped(
        &self,
        most: Order,
        least: Order,
        zones: Zones,
        mode: P::Mode,
        cx: Context,
    ) -> Result<Pooled<P>, TakeError> {
        let take = |order| self.take_unwiped(self.ask(order).within(zones), mode, cx);
        down(most, least, take).map(|(block, _)| block)
    }

    fn ask(&self, order: Order) -> Ask {
        let ask = Ask::of(order);
        self.beneficial.map_or(ask, |beneficial| ask.worth_reclaiming_at(beneficial))
    }

    fn take_wiped(&self, ask: Ask, mode: P::Mode, cx: Context) -> Result<Pooled<P>, TakeError> {
        let (mut block, wiped) = self.take_unwiped(ask, mode, cx)?;
        if wiped == Wiped::Unknown {
            block.block_mut().zero();
        }
        Ok(block)
    }

    /// In its mode if it is from a shelf, plain if it is fresh.
    fn take_unwiped(&self, ask: Ask, mode: P::Mode, cx: Context) -> Result<(Pooled<P>, Wiped), TakeError> {
        let zones = ask.zones.intersection(self.platform.zones_for(mode));
        for zone in zones.below(P::ZONES) {
            let kind = Kind { order: ask.order, mode, zone };
            if let Some(block) = self.take_ready(&kind) {
                if block.mode().index() != mode.index() {
                    self.platform.flush_modes(cx); // a trim that panicked left it plain, perhaps not flushed
                }
                let wiped = if self.wipe == Wipe::OnGive { Wiped::Yes } else { Wiped::Unknown };
                return Ok((block, wiped));
            }
        }
        let block = self.platform.allocate_for(ask.within(zones), cx)?;
        // One of another size would lie over what is behind its slot, or leave a hole there.
        if block.order() == ask.order && zones.contains(self.platform.zone(&block)) {
            let wiped = self.platform.wiped(&block);
            return Ok((Pooled::plain(block), wiped));
        }
        self.platform.release(block);
        Err(OutOfFrames::Exhausted.into())
    }

    /// A block from its shelf. O(depth).
    fn take_ready(&self, kind: &Kind<P>) -> Option<Pooled<P>> {
        let shelf = self.layout.places(kind.number()?)?;
        let (first, mut place) = (shelf.start, shelf.start);
        while place != shelf.end {
            if let Some(block) = self.shelves.with(|s| s.take(place, kind.order.pages())) {
                return Some(block);
            }
            place += 1;
        }
        self.shelves.with(|s| s.missed(first));
        None
    }

    /// The block in that mode, or sent home.
    fn in_mode(&self, block: Pooled<P>, mode: P::Mode, cx: Context) -> Result<Pooled<P>, TakeError> {
        block.into_mode(&self.platform, mode, cx).map_err(|refused| {
            // It was fresh, so its mode is still the plain one.
            if let Ok(plain) = refused.item.into_plain(&self.platform, cx) {
                self.platform.release(plain);
            }
            TakeError::ModeRefused
        })
    }

    /// A block for the next taker: onto its shelf, or home if that is full, or kept for nobody.
    ///
    /// # Errors
    /// The block, if it has to go home and its mode can't be undone.
    ///
    /// # Context
    /// O(depth), and a mode change if it goes home; if more is ready than the limit permits, so many blocks go home.
    /// Zeroes it if blocks are wiped when they are given. Interrupt-safe if lock and platform are.
    pub fn give(&self, block: Pooled<P>, cx: Context) -> Result<(), Refused<Pooled<P>, ModeRefused>> {
        let limit = self.limit; // read once: a lock lies between
        let given = self.shelve(block, cx);
        if limit < Pages::MAX {
            let over = self.ready() - limit;
            if over > Pages::ZERO {
                self.trim(over, cx);
            }
        }
        given
    }

    /// Onto its shelf, or home.
    fn shelve(&self, mut block: Pooled<P>, cx: Context) -> Result<(), Refused<Pooled<P>, ModeRefused>> {
        let (order, mode, zone) = (block.block().order(), block.mode(), self.platform.zone(block.block()));
        let too_long = self.wipe == Wipe::OnGive && !cx.contains(Context::MAY_BLOCK);
        let homeward = order.pages() > self.limit || self.platform.keep(block.block(), mode) == Keep::Home;
        if homeward || too_long {
            match self.send_home(block, cx) {
                Err(refused) if !homeward => block = refused.item, // rather late than lost
                sent => return sent,
            }
        }
        if self.wipe == Wipe::OnGive {
            block.block_mut().zero();
        }
        let kind = Kind::<P> { order, mode, zone };
        let Some(shelf) = kind.number().and_then(|number| self.layout.places(number)) else {
            return self.send_home(block, cx);
        };
        let mut place = shelf.start;
        while place != shelf.end {
            match self.shelves.with(|s| s.put(place, order.pages(), block)) {
                Ok(()) => return Ok(()),
                Err(back) => block = back,
            }
            place += 1;
        }
        self.send_home(block, cx)
    }

    /// [`trim_within`](Pool::trim_within) all zones.
    ///
    /// # Context
    /// As there.
    pub fn trim(&self, want: Pages, cx: Context) -> Pages {
        self.trim_within(Zones::ALL, want, cx)
    }

    /// Sends ready blocks of these zones home until at least `want` pages went, or each place was looked at once; returns
    /// how many went. It overshoots by less than one block, goes round robin over the kinds, and goes on where the last
    /// call ended, whatever zones that was for. A block whose mode can't be undone stays on its shelf. Up to eight blocks
    /// are made plain with one flush.
    ///
    /// For an outer shrinker this is *scan*, and [`ready_within`](Pool::ready_within) is *count*. If nothing went, nothing
    /// can go in this context for now: stop (Linux: `SHRINK_STOP`).
    ///
    /// # Context
    /// O(places of those zones), a lock for each. Interrupt-safe if lock and platform are. (TTM's `ttm_pool_shrink`, whose
    /// count of blocks for pages overshoots.)
    pub fn trim_within(&self, zones: Zones, want: Pages, cx: Context) -> Pages {
        let mut done = Pages::ZERO;
        let mut round = self.shelves.with(|s| s.begin_round::<P>(self.layout, zones));
        while done < want && !round.is_over() {
            let mut run = Run::new(self);
            run.stage(want - done, &mut round, cx);
            done += run.send_home(cx);
        }
        self.shelves.with(|s| s.end_round(&round));
        event::send(Event::Trimmed(done));
        done
    }

    /// Pages on the shelves. O(1).
    pub fn ready(&self) -> Pages {
        self.shelves.with(|s| s.ready())
    }

    /// Pages on the shelves of these zones: what [`trim_within`](Pool::trim_within) may send home. For an outer shrinker
    /// this is *count*; zero says that there is nothing to shrink (Linux: `SHRINK_EMPTY`).
    ///
    /// # Context
    /// O(1) for all zones that there are, else O(places), a lock for each shelf, so that it is no sum of one moment.
    pub fn ready_within(&self, zones: Zones) -> Pages {
        if zones.below(P::ZONES).count() == Zones::ALL.below(P::ZONES).count() {
            return self.ready();
        }
        self.shelves().filter(|shelf| zones.contains(shelf.zone)).map(|shelf| shelf.ready()).sum()
    }

    /// What the shelf of that kind went through. `None` if the pool has no such shelf. O(depth), under the lock.
    pub fn shelf(&self, order: Order, mode: P::Mode, zone: Zone) -> Option<ShelfStats> {
        let number = Kind::<P> { order, mode, zone }.number()?;
        self.shelves.with(|s| s.shelf::<P>(self.layout, number)).map(|shelf| shelf.stats)
    }

    /// All shelves, by order, mode and zone; a lock for each, O(depth), so that the pool may change between two.
    pub fn shelves(&self) -> impl Iterator<Item = Shelf> {
        (0..self.layout.shelves())
            .map_while(|number| self.shelves.with(|s| s.shelf::<P>(self.layout, number)))
    }

    /// All shelves, to be printed.
    pub const fn table(&self) -> PoolTable<'_, P, M> {
        PoolTable::new(self)
    }

    /// Past the shelves.
    pub(crate) fn send_home(
        &self,
        block: Pooled<P>,
        cx: Context,
    ) -> Result<(), Refused<Pooled<P>, ModeRefused>> {
        block.into_plain(&self.platform, cx).map(|b| self.platform.release(b))
    }
}

/// Blocks on their way home. The place of each is for that block if it stays, else empty, even if the platform panics:
/// that costs the one block that the platform had in its hands.
struct Run<'p, P: Platform, M: Places<P> + ?Sized> {
    pool: &'p Pool<P, M>,
    leaving: [Option<Leaving<P>>; RUN],
}

impl<'p, P: Platform, M: Places<P> + ?Sized> Run<'p, P, M> {
    /// Where there is one mode, nothing is flushed, and one block at a time will do.
    const LEN: usize = if P::Mode::COUNT > 1 { RUN } else { 1 };

    fn new(pool: &'p Pool<P, M>) -> Self {
        Run { pool, leaving: [const { None }; RUN] }
    }

    /// Takes blocks from their places and makes them plain, with one flush: as many as `want` needs, and the round gives. One
    /// that is refused is back at its place.
    fn stage(&mut self, want: Pages, round: &mut Round, cx: Context) {
        let Pool { platform, shelves, .. } = self.pool;
        let (mut pages, mut flush) = (Pages::ZERO, false);
        for room in self.leaving.iter_mut().take(Self::LEN) {
            while room.is_none() && pages < want && !round.is_over() {
                *room = shelves.with(|s| s.step(round));
                let Some(leaving) = room else { continue };
                match leaving.block.take().map(|block| block.change_mode(platform, P::Mode::PLAIN, cx)) {
                    Some(Ok(plain)) => {
                        leaving.block = Some(plain);
                        pages += leaving.pages;
                        // Not by the block's own mode: a panic may have left it plain, and not flushed.
                        flush |= leaving.mode != P::Mode::PLAIN.index();
                    }
                    Some(Err(refused)) => {
                        leaving.block = Some(refused.item);
                        room.take().into_iter().for_each(|stays| shelves.with(|s| s.end_step(stays)));
                    }
                    None => {} // not reached: a step has a block
                }
            }
        }
        if flush {
            platform.flush_modes(cx);
        }
    }

    /// Sends home what is staged; returns how many pages.
    fn send_home(mut self, cx: Context) -> Pages {
        let mut sum = Pages::ZERO;
        for leaving in self.leaving.iter_mut().flatten() {
            match leaving.block.take().map(|block| self.pool.send_home(block, cx)) {
                Some(Ok(())) => sum += leaving.pages,
                Some(Err(refused)) => leaving.block = Some(refused.item), // not reached: it is plain
                None => {}
            }
        }
        sum
    }
}

impl<P: Platform, M: Places<P> + ?Sized> Drop for Run<'_, P, M> {
    fn drop(&mut self) {
        for leaving in self.leaving.iter_mut().filter_map(Option::take) {
            self.pool.shelves.with(|s| s.end_step(leaving));
        }
    }
}

/// What `take` gives for the largest order from `most` down to `least` for which it gives something.
fn down<T>(most: Order, least: Order, take: impl Fn(Order) -> Result<T, TakeError>) -> Result<T, TakeError> {
    let mut order = most.max(least);
    loop {
        match (take(order), order.lower()) {
            (Err(_), Some(lower)) if lower >= least => order = lower,
            (result, _) => return result,
        }
    }
}

impl<P: Platform, M: Places<P> + ?Sized> Drop for Pool<P, M> {
    fn drop(&mut self) {
        self.trim(Pages::MAX, Context::INTERRUPT); // who drops it may be anywhere
        if self.ready() > Pages::ZERO {
            self.trim(Pages::MAX, Context::INTERRUPT); // refused once, perhaps just then; there is no later try
        }
    }
}

impl<P: Platform, M: Places<P> + ?Sized> fmt::Debug for Pool<P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limit", &self.limit)
            .field("ready", &self.ready())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, M: Places<P> + ?Sized> defmt::Format for Pool<P, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.limit {
            Pages::MAX => defmt::write!(f, "Pool({} ready)", self.ready()),
            limit => defmt::write!(f, "Pool({} of {} ready)", self.ready(), limit),
        }
    }
}
