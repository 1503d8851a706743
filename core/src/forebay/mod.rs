//! Pool and store together, their counters, and handles to both. Uses `frame`, `sync`, `port`, `stats` and `pool`.

mod display;
mod home;

pub use home::{AsForebay, Home};

use crate::frame::{Context, Pages};
use crate::pool::{BlockOf, Pool};
use crate::port::{BackingStore, FrameSource, Handle, OwnedBlock, Platform, Settled};
use crate::stats::{self, Event, Refusals, Stats};
use crate::sync::Mutex;
use core::sync::atomic::AtomicUsize;

/// The pool that stands in front of a larger body: the store.
///
/// It owns both; either may be a reference or (feature `alloc`) an `Arc`. Buffers hold a handle to it ([`Home`]).
/// `Display` prints its counters and free lists as tables.
pub struct Forebay<P: Platform, S> {
    store: S,
    pub(crate) hands: Hands,
    stats: Mutex<P::RawMutex, Stats>,
    pool: Pool<P>,
}

/// Where the phases of a reclaim go on: how many candidates they passed. The next one of a list is that number modulo its
/// length, so a short list does not take a long one, which has the same hand, back to its beginning.
///
/// Loaded and stored only: two reclaims at once are at worst unfair.
#[derive(Debug, Default)]
pub struct Hands {
    pub(crate) purge: AtomicUsize,
    pub(crate) clean: AtomicUsize,
    pub(crate) evict: AtomicUsize,
}

impl Hands {
    pub(crate) const fn new() -> Self {
        Hands { purge: AtomicUsize::new(0), clean: AtomicUsize::new(0), evict: AtomicUsize::new(0) }
    }
}

impl<P: Platform, S: BackingStore<P::Block>> Forebay<P, S> {
    /// Joins a platform and a store.
    pub const fn new(platform: P, store: S) -> Self {
        Forebay { store, hands: Hands::new(), stats: Mutex::new(Stats::ZEROS), pool: Pool::new(platform) }
    }

    /// [`BackingStore::settle`]; the blocks that it frees are returned to the source.
    ///
    /// # Context
    /// As `cx` says; linear in what is written out, at most about `budget` pages.
    pub fn settle(&self, budget: Pages, cx: Context) -> Settled {
        let settled = self.settle_store(budget, cx);
        stats::send(Event::Settled(settled));
        settled
    }

    pub(crate) fn settle_store(&self, budget: Pages, cx: Context) -> Settled {
        let mut settled = self.store.settle(budget, cx, &mut |block| self.free_settled(block));
        self.count(|s| {
            if settled.pending == Pages::MAX {
                let gone = s.restored.taken_back + s.evicted.purged_from_store + s.settled;
                settled.pending = s.evicted.transferred - gone - settled.reclaimable; // the store does not count them
            }
            (s.pending, s.reclaimable, s.held) = (settled.pending, settled.reclaimable, settled.held)
        });
        settled
    }

    /// Drops stored contents; a block that the store still had is returned to the source. Returns the pages of that block, which the
    /// caller counts as [purged](crate::Evicted::purged_from_store).
    pub(crate) fn discard(&self, handle: Handle) -> Pages {
        // A handle that its own store does not know is one that a store made up: nothing is stored under it.
        let Ok(Some(block)) = self.store.discard(handle) else { return Pages::ZERO };
        let pages = block.order().pages();
        self.source().free(block);
        pages
    }
}

impl<P: Platform, S> Forebay<P, S> {
    /// The pool.
    pub const fn pool(&self) -> &Pool<P> {
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

    pub(crate) fn source(&self) -> &P::Source {
        self.platform().source()
    }

    /// What passed through since the beginning. O(1), in several short lock sections: other contexts may count between two.
    pub fn stats(&self) -> Stats {
        let mut copy = Stats::NONE;
        self.count(|now| {
            copy.restored.add_counts(&now.restored);
            (copy.settled, copy.leaked) = (now.settled, now.leaked);
            copy.in_interrupts = now.in_interrupts;
            (copy.pending, copy.reclaimable, copy.held) = (now.pending, now.reclaimable, now.held);
        });
        self.count(|now| copy.evicted.copy_counts(&now.evicted));
        for reason in 0..Refusals::REASONS {
            self.count(|now| copy.refusals.copy_count(reason, &now.refusals));
        }
        copy
    }

    #[inline(always)] // what is counted is known where it is called
    pub(crate) fn count<R>(&self, f: impl FnOnce(&mut Stats) -> R) -> R {
        self.stats.lock(f)
    }

    /// Returns a block to the source that the store is done with: for a write-out that bypasses [`settle`](Forebay::settle),
    /// such as one with a copy engine. It counts as settled.
    ///
    /// # Context
    /// As [`FrameSource::free`].
    pub fn free_settled(&self, block: P::Block) {
        let pages = block.order().pages();
        self.count(|s| s.settled += pages);
        self.source().free(block);
    }

    /// Puts a block into its free list or returns it to the source. One that its mode keeps from both is leaked, and counted.
    pub(crate) fn put_or_leak(&self, block: BlockOf<P>, cx: Context) {
        let put = if block.is_cached() { self.pool.free(block, cx) } else { self.pool.put(block, cx) };
        if let Err(refused) = put {
            self.leak(refused.item.order().pages());
        }
    }

    /// Counts and reports blocks that are leaked, since their mode can't be changed.
    pub(crate) fn leak(&self, pages: Pages) {
        self.count(|s| s.leaked += pages);
        stats::send(Event::Leaked(pages));
    }
}
