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
        let mut call = Call {
            home: self,
            over,
            want,
            how,
            cx,
            goal: want.pages,
            report: Report::default(),
            had: Pages::ZERO,
            idle: Pages::ZERO,
            walks: Walks::Now,
        };
        call.report.outcome = match (want.order, want.measure) {
            (Some(order), _) => call.free_a_block(order),
            (None, Measure::Freed) => {
                call.count_before();
                call.free()
            }
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
    /// counts as [freed](Want::freed)) and tries again: as long as a reclaim gains something, at most once for each candidate, and
    /// once more if it finds what was wanted without taking it from anybody.
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
                    let report = self.reclaim(over, want, how, cx);
                    match (report.gained, report.outcome) {
                        (Pages::ZERO, Outcome::Reached) => break, // it was there, on the shelves say
                        (Pages::ZERO, _) => return Err(why),
                        _ => {}
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
    /// What was reclaimable before.
    had: Pages,
    /// Written out since a page came home.
    idle: Pages,
    walks: Walks,
}

/// Whether one more walk may find something: nobody is asked a second time who refused for good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Walks {
    /// The last one found all that it looked for.
    Now,
    /// The store had a backlog.
    OnceSettled,
    Over,
}

impl<P: Platform, S: BackingStore<P::Block>, M: Places<P> + ?Sized, E: Evictable> Call<'_, '_, P, S, M, E> {
    /// Until the goal left its buffers.
    fn move_out(&mut self) -> Outcome {
        self.cheap_passes(Order::PAGE);
        self.evict(self.missing(), Order::PAGE);
        self.settle(Pages::ZERO);
        self.ended()
    }

    /// Until the frames of the goal are free.
    fn free(&mut self) -> Outcome {
        self.walks = Walks::Now;
        self.cheap_passes(Order::PAGE);
        while self.missing() > Pages::ZERO {
            let settled = self.settle(self.missing()); // what is on its way first: it costs nobody their contents
            let short = self.missing() - self.report.settled.pending;
            if self.evict(short, Order::PAGE) == Pages::ZERO && !settled {
                break;
            }
        }
        self.ended()
    }

    /// Until the source has a block of that order to give, by such blocks alone. What else is on its way does not stand for
    /// one.
    fn free_large(&mut self, order: Order) {
        self.cheap_passes(order);
        loop {
            let settled = self.settle(order.pages());
            if self.gives(order) {
                return;
            }
            let left = self.report.evicted.moved();
            // What can't be settled now may well be such a block.
            let waits = if settled { left } else { left.max(self.report.settled.pending) };
            let moved = self.evict(order.pages() - waits, order);
            let on_its_way = settled && self.report.evicted.moved() > Pages::ZERO;
            if moved == Pages::ZERO && !on_its_way {
                return;
            }
        }
    }

    /// Until the source has a block of that order to give.
    fn free_a_block(&mut self, order: Order) -> Outcome {
        if order > P::MAX_ORDER {
            return Outcome::Nothing;
        }
        let (zones, pages) = (self.want.zones, order.pages());
        let trims = |call: &Self| call.home.pool.trim_within(zones, Pages::MAX, call.cx) > Pages::ZERO;
        if self.gives(order) || trims(self) && self.gives(order) {
            return Outcome::Reached;
        }
        self.count_before();
        self.free_large(order);
        let free = |call: &Self| call.home.platform().available(zones).unwrap_or(call.report.freed());
        if !self.gives(order) && free(self) < pages {
            self.goal = self.gained() + (pages - free(self));
            self.free();
        }
        match (self.gives(order), free(self) >= pages, self.ended()) {
            (true, ..) => Outcome::Reached,
            (false, true, _) => Outcome::Fragmented,
            (false, false, Outcome::Reached) => Outcome::Short, // free for the system, not in the source
            (false, false, ended) => ended,
        }
    }

    fn gives(&self, order: Order) -> bool {
        self.home.gives(order, self.want.zones, self.cx)
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

    /// One walk for blocks of at least that order, if another may help; returns what left.
    fn evict(&mut self, budget: Pages, least: Order) -> Pages {
        if self.how == Evict::PURGE || self.walks != Walks::Now {
            return Pages::ZERO;
        }
        let backlogs = self.report.evicted.backlogs;
        let moved = self.pass(Pass::Evict, budget, least);
        self.walks = match (moved >= budget, self.report.evicted.backlogs > backlogs) {
            (true, _) => Walks::Now,
            (false, true) => Walks::OnceSettled,
            (false, false) => Walks::Over,
        };
        moved
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

    /// What is reclaimable already does not count. Where nothing may be flushed, it is counted only.
    fn count_before(&mut self) {
        self.had = self.home.settle_store(Pages::ZERO, Context::INTERRUPT).reclaimable;
    }

    /// Whether it came any further. A store that only writes, and frees nothing of all that it has, does not.
    fn settle(&mut self, budget: Pages) -> bool {
        let now = self.home.settle_store(budget, self.cx);
        let before = self.report.settled;
        self.report.settled = Settled {
            written: before.written + now.written,
            freed: before.freed + now.freed,
            error: before.error.or(now.error),
            ..now
        };
        self.idle = if now.freed > Pages::ZERO { Pages::ZERO } else { self.idle + now.written };
        let writes = now.written > Pages::ZERO && self.idle <= now.pending;
        let further = now.freed > Pages::ZERO || writes;
        if further && self.walks == Walks::OnceSettled {
            self.walks = Walks::Now;
        }
        further
    }

    /// Pages that count.
    fn gained(&self) -> Pages {
        let Report { evicted, settled, .. } = self.report;
        match self.want.measure {
            Measure::Moved => evicted.moved(),
            Measure::Freed => self.report.freed() + (settled.reclaimable - self.had),
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
            (true, false) if self.gained() > Pages::ZERO => Outcome::Short,
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
