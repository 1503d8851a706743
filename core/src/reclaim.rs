//! Memory for others: what a reclaim reaches for, in which order, and when it gives up.

use crate::candidates::{Candidates, Evictable};
use crate::event::{self, Event};
use crate::step::{Pass, Step};
use crate::want::Measure;
use crate::{
    Ask, BackingStore, Context, Effort, Evict, Forebay, Order, OutOfFrames, Outcome, OwnedBlock, Pages,
    PinError, Places, Platform, Report, Settled, TakeError, Want, Zones,
};

/// Whether a reclaim may help against an error: how [`Forebay::or_reclaim`] knows when to.
pub trait Shortage {
    /// Whether memory was short.
    fn is_shortage(&self) -> bool;
}

impl Shortage for OutOfFrames {
    fn is_shortage(&self) -> bool {
        matches!(self, OutOfFrames::Exhausted | OutOfFrames::Limit | OutOfFrames::NoHeadroom)
    }
}

impl Shortage for TakeError {
    fn is_shortage(&self) -> bool {
        matches!(self, TakeError::OutOfFrames(why) if why.is_shortage())
    }
}

impl Shortage for PinError {
    fn is_shortage(&self) -> bool {
        matches!(self, PinError::Take(why) if why.is_shortage())
    }
}

impl<P: Platform, S: BackingStore<P::Block>, M: Places<P> + ?Sized> Forebay<P, S, M> {
    /// Makes memory free for others: moves contents of idle buffers out, until `want` is reached or nothing more can be done.
    ///
    /// In this order, as far as `how` permits: what its owner does not need is purged, lately used or not; then what is clean
    /// leaves, if it was not used lately, of which a few are looked at; then whatever was not used lately, and after that what
    /// was. Pages that [move](Want::moved) are wanted or pages really [freed](Want::freed), or a
    /// [block](Want::block) of some order. The store is settled at the end; written out is only for `Want::freed`.
    ///
    /// *Lately used* is a second-chance clock (Corbató 1968): a guard that somebody took since the hand last came by is worth
    /// one round. The hand stays at the buffer where the walk ended, so that the next walk goes on with the same one and few
    /// are left in pieces. Without a [`Roster`](crate::Roster) the hands are the forebay's: walk one slice then, always the
    /// same. It overshoots by less than one block. A store that says [`Backlog`](crate::StoreError::Backlog) is not asked
    /// for another transfer before it is settled.
    ///
    /// # Context
    /// With [`Evict::TRANSFER`], `Want::moved` and [`Context::INTERRUPT`] fit for an interrupt: copies nothing, allocates
    /// nothing; O(1) for each buffer that is looked at and has nothing to give, and one call of the store for each block.
    /// Without a roster up to three rounds, and a few looks, over all candidates; with one over those that it lists. No lock is
    /// held while anything moves. Busy, bad and empty buffers are passed over. (TTM's `ttm_bo_shrink` and its walks, of which
    /// one ended at the first error.)
    pub fn reclaim<'h, E: Evictable + 'h>(
        &self,
        candidates: impl Into<Candidates<'h, E>>,
        want: impl Into<Want>,
        how: Evict,
        cx: Context,
    ) -> Report {
        let (over, want) = (candidates.into(), want.into());
        let mut call =
            Call { home: self, over, want, how, cx, goal: want.pages, report: Report::default(), had: None };
        call.report.outcome = match (want.order, want.measure) {
            (Some(order), _) => call.free_a_block(order),
            (None, Measure::Freed) => call.free(Order::PAGE),
            (None, Measure::Moved) => call.move_out(),
        };
        call.report.gained = call.gained();
        event::send(Event::Reclaimed(call.report));
        call.report
    }

    /// Reclaims what is missing until `ahead` pages are free, on shelves or in the source: for a low-water mark, kept from an
    /// idle loop or a thread, so that others find memory without waiting. Does nothing if so many are free. What is handed
    /// over and on its way counts too: it is settled before more leaves.
    ///
    /// `None` if the source does not say how much is free ([`Platform::available`]).
    ///
    /// # Context
    /// As [`reclaim`](Forebay::reclaim) for [`Want::freed`].
    pub fn keep_free<'h, E: Evictable + 'h>(
        &self,
        candidates: impl Into<Candidates<'h, E>>,
        ahead: Pages,
        how: Evict,
        cx: Context,
    ) -> Option<Report> {
        let free = self.platform().available(Zones::ALL)? + self.pool.ready();
        if free >= ahead {
            return Some(Report::default());
        }
        Some(self.reclaim(candidates, Want::freed(ahead - free), how, cx))
    }

    /// Tries something that takes memory, such as a guard, and where memory is [short](Shortage) frees some (`want`, which
    /// counts as [freed](Want::freed)) and tries again: as long as a reclaim gains something, and at most once for each candidate.
    /// Nothing in this crate reclaims for an allocation unless it is told to, by this.
    ///
    /// What the attempt itself needs must not be held by a guard meanwhile, and is best not among the candidates' coldest: a
    /// buffer of several blocks keeps what it got between two attempts, but may lose it to another thread's reclaim.
    ///
    /// # Errors
    /// The last one of `attempt`, when it is no shortage or no reclaim helps any more.
    ///
    /// # Context
    /// As [`reclaim`](Forebay::reclaim), each time.
    pub fn or_reclaim<'h, E: Evictable + 'h, T, F: Shortage>(
        &self,
        candidates: impl Into<Candidates<'h, E>>,
        want: impl Into<Want>,
        how: Evict,
        cx: Context,
        mut attempt: impl FnMut() -> Result<T, F>,
    ) -> Result<T, F> {
        let over = candidates.into();
        let want = Want { measure: Measure::Freed, ..want.into() };
        for _ in 0..over.buffers.len() {
            match attempt() {
                Err(why) if why.is_shortage() => {
                    if self.reclaim(over, want, how, cx).gained == Pages::ZERO {
                        return Err(why);
                    }
                }
                done => return done,
            }
        }
        attempt()
    }
}

/// One call of `reclaim`.
struct Call<'f, 'h, P: Platform, S, M: Places<P> + ?Sized, E> {
    home: &'f Forebay<P, S, M>,
    over: Candidates<'h, E>,
    want: Want,
    how: Evict,
    cx: Context,
    /// When so many pages are gained, it is done.
    goal: Pages,
    report: Report,
    /// What the store had at first.
    had: Option<Had>,
}

/// What a store had before anything was given to it.
#[derive(Clone, Copy)]
struct Had {
    /// What was reclaimable when somebody settled it last.
    reclaimable: Pages,
    /// What was not, and is by now, or is free, or may be soon.
    on_its_way: Pages,
}

impl<P: Platform, S: BackingStore<P::Block>, M: Places<P> + ?Sized, E: Evictable> Call<'_, '_, P, S, M, E> {
    /// Until the goal left its buffers.
    fn move_out(&mut self) -> Outcome {
        self.cheap_passes(Order::PAGE);
        if self.how != Evict::PURGE {
            self.pass(Pass::Evict, self.missing(), Order::PAGE);
        }
        self.settle(Pages::ZERO);
        self.ended()
    }

    /// Until the frames of the goal are free, by blocks of at least that order.
    fn free(&mut self, least: Order) -> Outcome {
        if self.had.is_none() {
            self.had = Some(self.begin());
        }
        self.cheap_passes(least);
        loop {
            let missing = self.missing();
            if missing == Pages::ZERO {
                return Outcome::Reached;
            }
            let before = self.report.settled;
            self.settle(missing); // what is on its way first: it costs nobody their contents
            let short = self.missing() - self.report.settled.pending;
            let moved = match self.how {
                Evict::PURGE => Pages::ZERO,
                _ => self.pass(Pass::Evict, short, least),
            };
            let settled =
                self.report.settled.written + self.report.settled.freed > before.written + before.freed;
            if moved == Pages::ZERO && !settled {
                return self.ended();
            }
        }
    }

    /// Settles what costs nothing, and finds out what the store had.
    fn begin(&mut self) -> Had {
        let known = self.home.stats().reclaimable;
        self.settle(Pages::ZERO);
        let Settled { freed, reclaimable: now, pending, .. } = self.report.settled;
        let reclaimable = known.min(now);
        Had { reclaimable, on_its_way: freed + (now - reclaimable) + pending }
    }

    /// Until the source has a block of that order to give.
    fn free_a_block(&mut self, order: Order) -> Outcome {
        let (zones, pages) = (self.want.zones, order.pages());
        let gives = |call: &Self| call.home.gives(order, zones, call.cx);
        if gives(self) || self.home.pool.trim_within(zones, Pages::MAX, self.cx) > Pages::ZERO && gives(self)
        {
            return Outcome::Reached;
        }
        self.free(order);
        if gives(self) {
            return Outcome::Reached;
        }
        let free = |call: &Self| call.home.platform().available(zones).unwrap_or(call.report.freed());
        if free(self) < pages {
            self.goal = self.gained() + (pages - free(self));
            self.free(Order::PAGE);
            if gives(self) {
                return Outcome::Reached;
            }
        }
        match self.ended() {
            _ if free(self) >= pages => Outcome::Fragmented,
            Outcome::Reached => Outcome::Short, // enough was gained, and somebody took it: a store, for its copies
            other => other,
        }
    }

    /// What costs little: purges, and what is clean and cold.
    fn cheap_passes(&mut self, least: Order) {
        if self.how.contains(Evict::PURGE) {
            self.pass(Pass::Purge, self.missing(), least);
        }
        if self.how != Evict::PURGE {
            self.pass(Pass::Clean, self.missing(), least);
        }
    }

    /// Walks once over the candidates; returns what left.
    fn pass(&mut self, pass: Pass, budget: Pages, least: Order) -> Pages {
        let how = if pass == Pass::Clean { Evict::empty() } else { self.how };
        let rounds = if pass == Pass::Evict || how == Evict::PURGE { 2 } else { 1 };
        let step = Step { budget, how, cx: self.cx, pass, least, zones: self.want.zones };
        let hand = self.home.hand(&self.over, pass);
        let (sum, hand) = self.over.walk(hand, step, rounds);
        self.home.set_hand(&self.over, pass, hand);
        self.report.evicted += sum;
        sum.moved()
    }

    fn settle(&mut self, budget: Pages) {
        let now = self.home.settle_store(budget, self.cx);
        let before = self.report.settled;
        self.report.settled = Settled {
            written: before.written + now.written,
            freed: before.freed + now.freed,
            error: before.error.or(now.error),
            ..now
        };
    }

    /// Pages that count.
    fn gained(&self) -> Pages {
        let Report { evicted, settled, .. } = self.report;
        match self.want.measure {
            Measure::Moved => evicted.moved(),
            // What was copied counts already, as its frames are free: its copies, if they are reclaimable, don't.
            Measure::Freed => {
                let had =
                    self.had.unwrap_or(Had { reclaimable: settled.reclaimable, on_its_way: Pages::ZERO });
                let frames = had.on_its_way + evicted.handed_over - settled.freed - settled.pending;
                self.report.freed() + frames.min(settled.reclaimable - had.reclaimable)
            }
        }
    }

    fn missing(&self) -> Pages {
        self.goal - self.gained()
    }

    /// How it ended, blocks of some order aside.
    fn ended(&self) -> Outcome {
        let missing = self.missing();
        let pending = self.want.measure == Measure::Freed && self.report.settled.pending >= missing;
        match (missing > Pages::ZERO, pending) {
            (false, _) => Outcome::Reached,
            (true, true) => Outcome::Pending,
            (true, false) if self.gained() + self.report.evicted.moved() > Pages::ZERO => Outcome::Short,
            (true, false) => Outcome::Nothing,
        }
    }
}

impl<P: Platform, S: BackingStore<P::Block>, M: Places<P> + ?Sized> Forebay<P, S, M> {
    /// Whether the source has such a block, without doing anything for it.
    fn gives(&self, order: Order, zones: Zones, cx: Context) -> bool {
        let ask = Ask { order, zones, effort: Effort::empty() };
        let Ok(block) = self.platform().allocate_for(ask, cx) else { return false };
        let fits = block.order() == order && zones.contains(self.platform().zone(&block));
        self.pool.release(block);
        fits
    }
}
