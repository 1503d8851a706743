//! Pool and store together, and the walk that moves idle buffers from one to the other.

use crate::event::{self, Event};
use crate::{
    BackingStore, Context, Evict, Evicted, Locked, OwnedBlock, Pages, Place, Places, Platform, Pool, Pooled,
    Report, Settled, Stats,
};
use core::fmt;

/// Something that can give up pages: a buffer of any shape.
pub trait Evictable {
    /// Evicts about `budget` pages, unless this is in use, or was used since the last call (then the next call
    /// may). It stops at the first whole block past the budget, and as soon as somebody wants the buffer. What
    /// refused to go is passed over by the next call, as if it had been used.
    fn evict_if_idle(&self, budget: Pages, how: Evict, cx: Context) -> Evicted;
}

impl<E: Evictable + ?Sized> Evictable for &E {
    fn evict_if_idle(&self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        (**self).evict_if_idle(budget, how, cx)
    }
}

/// The pool that stands in front of a larger body: the store.
///
/// It owns both; either may be a reference. Buffers refer to it and so can't outlive it. `M` is the pool's
/// ([`Pool`]): sized where the value is made, unsized everywhere else.
pub struct Forebay<P: Platform, S, M: Places<P> + ?Sized = [Place<P>]> {
    pub(crate) store: S,
    walk: Locked<P::Lock, Walk>,
    pub(crate) pool: Pool<P, M>,
}

#[derive(Default)]
struct Walk {
    /// The clock's hand: an index into whatever slice is walked.
    hand: usize,
    stats: Stats,
}

impl<P: Platform, S: BackingStore<P::Block>, const N: usize> Forebay<P, S, [Place<P>; N]> {
    /// Joins a platform and a store. `N` and `depth` as for [`Pool::new`].
    pub const fn new(platform: P, store: S, depth: usize) -> Self {
        Self::of(Pool::new(platform, depth), store)
    }

    /// Joins a pool and a store: for a pool with a limit, say.
    pub const fn of(pool: Pool<P, [Place<P>; N]>, store: S) -> Self {
        let stats = Stats::NONE;
        Forebay { store, walk: Locked::new(Walk { hand: 0, stats }), pool }
    }
}

impl<P: Platform, S, M: Places<P> + ?Sized> Forebay<P, S, M> {
    /// The pool.
    pub const fn pool(&self) -> &Pool<P, M> {
        &self.pool
    }

    /// The platform behind the pool.
    pub const fn platform(&self) -> &P {
        self.pool.platform()
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// What passed through since the beginning. O(1).
    pub fn stats(&self) -> Stats {
        self.walk.with(|w| w.stats)
    }

    pub(crate) fn count(&self, f: impl FnOnce(&mut Stats)) {
        self.walk.with(|w| f(&mut w.stats));
    }

    /// Gives a block to the pool. One that its mode keeps from going anywhere is lost, and counted.
    pub(crate) fn give_or_strand(&self, block: Pooled<P>, cx: Context) {
        if let Err(refused) = self.pool.give(block, cx) {
            self.strand(refused.item.block().pages());
        }
    }

    /// Counts and tells that a block is lost, since its mode keeps it from going anywhere.
    pub(crate) fn strand(&self, pages: Pages) {
        self.count(|s| s.stranded += pages);
        event::send(Event::Stranded(pages));
    }
}

impl<P: Platform, S: BackingStore<P::Block>, M: Places<P> + ?Sized> Forebay<P, S, M> {
    /// Evicts from `buffers`, those not lately used first, until at least `want` pages left them; then settles
    /// the store once, without writing anything out ([`settle`](Forebay::settle) does that).
    ///
    /// A second-chance clock (Corbató 1968): a buffer used since the hand last came by is passed over once. The hand
    /// stays at the buffer where the walk ended, so that the next walk goes on with the same one and few are left in
    /// pieces. There is one hand: walk one slice, always the same (of references, if need be). The walk is bounded
    /// (two rounds), passes over what is in use, and does not end at a buffer that can't be evicted. It overshoots by
    /// less than one block. A store that says [`Backlog`](crate::StoreError::Backlog) is not asked for another
    /// transfer in this walk.
    ///
    /// # Context
    /// With [`Evict::TRANSFER`] and [`Context::INTERRUPT`] fit for an interrupt: copies nothing, allocates nothing;
    /// O(1) for a buffer that has nothing resident, and one call of the store for each block. No lock is held while
    /// anything moves.
    pub fn reclaim<E: Evictable>(&self, buffers: &[E], want: Pages, how: Evict, cx: Context) -> Report {
        let mut report = Report::default();
        let mut rungs = how;
        let mut hand = self.walk.with(|w| w.hand);
        for _ in 0..buffers.len().saturating_mul(2) {
            if report.evicted.moved() >= want {
                break;
            }
            hand = if hand < buffers.len() { hand } else { 0 };
            let Some(buffer) = buffers.get(hand) else { break };
            let mut step = buffer.evict_if_idle(want - report.evicted.moved(), rungs, cx);
            if rungs == Evict::PURGE && how != rungs && step.moved() == Pages::ZERO {
                // After a backlog: by itself that rung would only purge, but what is clean may leave too.
                step += buffer.evict_if_idle(want - report.evicted.moved(), Evict::empty(), cx);
            }
            report.evicted += step;
            if step.backlogs > 0 {
                rungs.remove(Evict::TRANSFER);
            }
            if report.evicted.moved() < want {
                hand += 1;
            }
        }
        self.walk.with(|w| w.hand = hand);
        report.settled = self.settle_store(Pages::ZERO, cx);
        event::send(Event::Reclaimed(report));
        report
    }

    /// [`BackingStore::settle`], with the frames that it frees sent home.
    ///
    /// # Context
    /// As `cx` says; linear in what is written out, at most about `budget` pages.
    pub fn settle(&self, budget: Pages, cx: Context) -> Settled {
        let settled = self.settle_store(budget, cx);
        event::send(Event::Settled(settled));
        settled
    }

    fn settle_store(&self, budget: Pages, cx: Context) -> Settled {
        let settled = self.store.settle(budget, cx, &mut |block| self.take_home(block));
        self.count(|s| {
            (s.pending, s.reclaimable, s.held) = (settled.pending, settled.reclaimable, settled.held)
        });
        settled
    }

    /// Sends home a block that the store is done with: for a write-out that goes past
    /// [`settle`](Forebay::settle), such as one with a copy engine.
    pub fn take_home(&self, block: P::Block) {
        let pages = block.pages();
        self.count(|s| s.settled += pages);
        self.pool.release(block);
    }

    /// Drops what is stored under a handle; a block that comes to light goes home. How many pages those were.
    pub(crate) fn discard(&self, handle: crate::Handle) -> Pages {
        // A handle that its own store does not know is one that a store made up: there is nothing behind it.
        let Ok(Some(block)) = self.store.discard(handle) else { return Pages::ZERO };
        let pages = block.pages();
        self.pool.release(block);
        pages
    }
}

/// What a call did so far. It is added to the statistics at its end, which may be a port's panic.
pub(crate) struct Counted<'f, P: Platform, S, C> {
    forebay: &'f Forebay<P, S>,
    pub(crate) so_far: C,
    add: fn(&mut Stats, &C),
}

impl<'f, P: Platform, S, C> Counted<'f, P, S, C> {
    pub(crate) fn new(forebay: &'f Forebay<P, S>, nothing: C, add: fn(&mut Stats, &C)) -> Self {
        Counted { forebay, so_far: nothing, add }
    }
}

impl<P: Platform, S, C> Drop for Counted<'_, P, S, C> {
    fn drop(&mut self) {
        self.forebay.count(|stats| (self.add)(stats, &self.so_far));
    }
}

impl<P: Platform, S, M: Places<P> + ?Sized> fmt::Debug for Forebay<P, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forebay")
            .field("pool", &&self.pool)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, S, M: Places<P> + ?Sized> defmt::Format for Forebay<P, S, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Forebay({}; {})", self.pool, self.stats());
    }
}
