//! Pool and store together.

use crate::candidates::Candidates;
use crate::event::{self, Event};
use crate::step::{Hands, Pass};
use crate::{
    BackingStore, Context, Locked, Mode, OwnedBlock, Pages, Place, Places, Platform, Pool, Pooled, Refusals,
    Settled, Stats,
};
use core::fmt;

/// The pool that stands in front of a larger body: the store.
///
/// It owns both; either may be a reference. Buffers refer to it and so can't outlive it. `M` is the pool's
/// ([`Pool`]): sized where the value is made, unsized everywhere else.
pub struct Forebay<P: Platform, S, M: Places<P> + ?Sized = [Place<P>]> {
    pub(crate) store: S,
    walk: Locked<P::Lock, Walk>,
    pub(crate) pool: Pool<P, M>,
}

struct Walk {
    /// Of reclaims without a roster: indices into whatever slice is walked.
    hands: Hands,
    /// The number of the last reclaim; 0 is none.
    call: u8,
    stats: Stats,
}

impl<P: Platform, S: BackingStore<P::Block>, const N: usize> Forebay<P, S, [Place<P>; N]> {
    /// Joins a platform and a store. `N` and `depth` as for [`Pool::new`].
    pub const fn new(platform: P, store: S, depth: usize) -> Self {
        Self::of(Pool::new(platform, depth), store)
    }

    /// Joins a pool and a store: for a pool with a limit, say.
    pub const fn of(pool: Pool<P, [Place<P>; N]>, store: S) -> Self {
        let walk = Walk { hands: Hands::START, call: 0, stats: Stats::NONE };
        Forebay { store, walk: Locked::new(walk), pool }
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

    /// What passed through since the beginning. O(1). Each figure is as it was when it was looked at: others count meanwhile.
    pub fn stats(&self) -> Stats {
        let mut all = Stats::NONE;
        self.count(|now| {
            all.evicted.add_moved(&now.evicted);
            all.restored.add_moved(&now.restored);
        });
        self.count(|now| {
            all.evicted.add_obstacles(&now.evicted);
            (all.settled, all.stranded) = (now.settled, now.stranded);
            (all.pending, all.reclaimable, all.held) = (now.pending, now.reclaimable, now.held);
        });
        for reason in 0..Refusals::REASONS {
            self.count(|now| all.refusals.copy(reason, &now.refusals));
        }
        all
    }

    pub(crate) fn count<R>(&self, f: impl FnOnce(&mut Stats) -> R) -> R {
        self.walk.with(|w| f(&mut w.stats))
    }

    /// A number for a reclaim: another one than the last 254 had.
    pub(crate) fn begin_call(&self) -> u8 {
        self.walk.with(|w| {
            w.call = w.call.checked_add(1).unwrap_or(1);
            w.call
        })
    }

    /// Where a pass over these goes on.
    pub(crate) fn hand<E>(&self, over: &Candidates<'_, E>, pass: Pass) -> usize {
        match over.roster {
            Some(roster) => roster.hand(pass),
            None => self.walk.with(|w| *w.hands.of(pass)),
        }
    }

    pub(crate) fn set_hand<E>(&self, over: &Candidates<'_, E>, pass: Pass, at: usize) {
        match over.roster {
            Some(roster) => roster.set_hand(pass, at),
            None => self.walk.with(|w| *w.hands.of(pass) = at),
        }
    }

    /// Sends a plain block home, and gives any other to the pool. One that its mode keeps from going anywhere is lost, and
    /// counted.
    pub(crate) fn give_or_strand(&self, block: Pooled<P>, cx: Context) {
        let plain = block.mode().index() == P::Mode::PLAIN.index();
        let given = if plain { self.pool.send_home(block, cx) } else { self.pool.give(block, cx) };
        if let Err(refused) = given {
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
    /// [`BackingStore::settle`], with the frames that it frees sent home.
    ///
    /// # Context
    /// As `cx` says; linear in what is written out, at most about `budget` pages.
    pub fn settle(&self, budget: Pages, cx: Context) -> Settled {
        let settled = self.settle_store(budget, cx);
        event::send(Event::Settled(settled));
        settled
    }

    pub(crate) fn settle_store(&self, budget: Pages, cx: Context) -> Settled {
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
