//! Memory for others: what a reclaim reaches for, in which order, and when it gives up.

use crate::candidates::{Backlog, Candidates, Evictable, Tour};
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
    /// same. It overshoots by less than one block, and by what a purge drops, which is all of a buffer. A store that says
    /// [`Backlog`](crate::StoreError::Backlog) is not asked for another transfer before it is settled; what refused for any other
    /// reason is not asked again.
    ///
    /// # Context
    /// With [`Evict::TRANSFER`], `Want::moved` and [`Context::INTERRUPT`] fit for an interrupt: copies nothing, allocates
    /// nothing; O(1) for each buffer that is looked at and has nothing to give (linear in its slots if only some zones or orders
    /// are meant), and one call of the store for each block. Without a roster up to three rounds, and a few looks, over all
    /// candidates, and twice that for a block; with one over those that it lists. No lock is held while anything moves. Busy,
    /// bad and empty buffers are passed over. (TTM's `ttm_bo_shrink` and its walks, of which one ended at the first error.)
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
            rungs: how,
            cx,
            number: self.begin_call(),
            goal: want.pages,
            on_its_way: Pages::ZERO,
            known: Pages::ZERO,
            risen: Pages::ZERO,
            fetched: Pages::ZERO,
            idle: Pages::ZERO,
            report: Report::default(),
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
    /// counts as [freed](Want::freed)) and tries again: as long as something leaves for it, or trimming the shelves gives
    /// something, at most once for each candidate and once more; or if what was wanted is there without taking it from anybody.
    /// In an interrupt what is handed over is mostly not free yet, so this seldom helps there. Nothing in this crate reclaims for
    /// an allocation unless it is told to, by this.
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
        for _ in 0..=over.buffers.len() {
            match attempt() {
                // What the shelves have is not what it needs, as memory it may be.
                Err(why)
                    if why.is_shortage()
                        && self.pool.trim_within(want.zones, want.pages, cx) > Pages::ZERO => {}
                Err(why) if why.is_shortage() => {
                    let report = self.reclaim(over, want, how, cx);
                    // What left may be enough though it is pending: for a limit on what is resident.
                    match (report.gained + report.evicted.moved(), report.outcome) {
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
    /// What is left of that: no transfers after a backlog that no settle lessens.
    rungs: Evict,
    cx: Context,
    number: u8,
    /// When so many pages are gained, it is done.
    goal: Pages,
    /// What the store had at first that was neither reclaimable nor free, and may be soon.
    on_its_way: Pages,
    /// What was reclaimable when it was settled last.
    known: Pages,
    /// What became reclaimable meanwhile. (What others took back again does not lessen it.)
    risen: Pages,
    /// What was on its way, and a purge found it.
    fetched: Pages,
    /// Written out since a page came home.
    idle: Pages,
    report: Report,
}

impl<P: Platform, S: BackingStore<P::Block>, M: Places<P> + ?Sized, E: Evictable> Call<'_, '_, P, S, M, E> {
    /// Until the goal left its buffers.
    fn move_out(&mut self) -> Outcome {
        self.cheap_passes(Order::PAGE);
        let mut tour = self.tour(Pass::Evict);
        self.evict(&mut tour, self.missing(), Order::PAGE, Backlog::Passed);
        self.settle(Pages::ZERO);
        self.ended()
    }

    /// Until the frames of the goal are free. No more leaves than is missing, and each candidate has its turn in two rounds,
    /// however often the store is settled in between. What the store has pending stands for as much, unless a settle that might
    /// have moved it on did not.
    fn free(&mut self) -> Outcome {
        self.cheap_passes(Order::PAGE);
        let mut tour = self.tour(Pass::Evict);
        let most = self.report.evicted.moved() + self.missing();
        let (mut backlog, mut goes_on) = (Backlog::Passed, true);
        while goes_on && self.missing() > Pages::ZERO {
            let settled = self.settle(self.missing()); // what is on its way first: it costs nobody their contents
            if backlog == Backlog::Ends && !settled {
                self.rungs.remove(Evict::TRANSFER);
            }
            let Settled { pending, error, .. } = self.report.settled;
            let stuck = !settled && pending > Pages::ZERO && self.cx.contains(Context::MAY_BLOCK);
            if stuck && error.is_some() {
                self.rungs.remove(Evict::TRANSFER); // no more of that
            }
            let short = self.missing() - if stuck { Pages::ZERO } else { pending };
            let moved = self.report.evicted.moved();
            backlog = self.evict(&mut tour, short.min(most - moved), Order::PAGE, Backlog::Ends);
            goes_on = settled || self.report.evicted.moved() > moved || backlog == Backlog::Ends;
        }
        self.ended()
    }

    /// Until the source has a block of that order to give, by such blocks alone. What else is on its way does not stand for
    /// one.
    fn free_large(&mut self, order: Order) {
        self.cheap_passes(order);
        let mut tour = self.tour(Pass::Evict);
        loop {
            let settled = self.settle(order.pages());
            if self.gives(order) {
                return;
            }
            let moved = self.report.evicted.moved();
            // What can't be settled now may well be such a block.
            let waits = if settled { moved } else { moved.max(self.report.settled.pending) };
            self.evict(&mut tour, order.pages() - waits, order, Backlog::Passed);
            let moves = self.report.evicted.moved();
            if moves == moved && !(settled && moves > Pages::ZERO) {
                return;
            }
        }
    }

    /// Until the source has a block of that order to give.
    fn free_a_block(&mut self, order: Order) -> Outcome {
        let (zones, pages) = (self.want.zones, order.pages());
        while !self.gives(order) {
            if order > P::MAX_ORDER {
                return Outcome::Nothing; // nobody ever has such blocks
            }
            if self.home.pool.trim_within(zones, pages, self.cx) == Pages::ZERO {
                return self.free_a_block_of(order);
            }
        }
        Outcome::Reached
    }

    /// The same, where the shelves have nothing for it.
    fn free_a_block_of(&mut self, order: Order) -> Outcome {
        let (zones, pages) = (self.want.zones, order.pages());
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
            // Reclaimable by the system, and not in the source; or somebody took it: a store, for its copies.
            (false, false, Outcome::Reached) => Outcome::Short,
            (false, false, ended) => ended,
        }
    }

    fn gives(&self, order: Order) -> bool {
        self.home.gives(order, self.want.zones, self.cx)
    }

    /// What costs little: purges, and what is clean and cold.
    fn cheap_passes(&mut self, least: Order) {
        if self.how.contains(Evict::PURGE) {
            let mut tour = self.tour(Pass::Purge);
            self.pass(Pass::Purge, &mut tour, self.missing(), least, Backlog::Passed);
        }
        if self.how != Evict::PURGE {
            let mut tour = self.tour(Pass::Clean);
            self.pass(Pass::Clean, &mut tour, self.missing(), least, Backlog::Passed);
        }
    }

    /// A tour from where the last one ended. Purges need no second chance, unless there is nothing else to do.
    fn tour(&self, pass: Pass) -> Tour {
        let rounds = if pass == Pass::Evict || self.how == Evict::PURGE { 2 } else { 1 };
        let left = self.over.buffers.len().saturating_mul(rounds);
        Tour { hand: self.home.hand(&self.over, pass), left }
    }

    /// Down the ladder, if there is one.
    fn evict(&mut self, tour: &mut Tour, budget: Pages, least: Order, backlog: Backlog) -> Backlog {
        match self.how {
            Evict::PURGE => Backlog::Passed,
            _ => self.pass(Pass::Evict, tour, budget, least, backlog),
        }
    }

    /// Goes on with a tour.
    fn pass(
        &mut self,
        pass: Pass,
        tour: &mut Tour,
        budget: Pages,
        least: Order,
        backlog: Backlog,
    ) -> Backlog {
        let how = if pass == Pass::Clean { Evict::empty() } else { self.rungs };
        let step = Step { budget, how, cx: self.cx, pass, least, zones: self.want.zones, call: self.number };
        let (sum, backlog) = self.over.walk(tour, step, backlog);
        self.home.set_hand(&self.over, pass, tour.hand);
        self.report.evicted += sum;
        if sum.uncovered > Pages::ZERO && self.want.measure == Measure::Freed {
            self.count_uncovered(sum.uncovered);
        }
        backlog
    }

    /// Finds out what the store has; nothing is flushed for that, nor written out.
    fn count_before(&mut self) {
        let (known, given) = self.home.count(|stats| (stats.reclaimable, stats.evicted.handed_over));
        let Settled { freed, reclaimable, pending, .. } = self.settle_in(Pages::ZERO, Context::INTERRUPT);
        // A store may flush even so. What it had before this forebay gave it anything is nobody's gain.
        let before = known.max(reclaimable - given).min(reclaimable);
        self.risen = reclaimable - before;
        self.on_its_way = pending + freed + self.risen;
    }

    /// Purges found so much in the store, and it went home: it was on its way, but for what was reclaimable before this call.
    fn count_uncovered(&mut self, uncovered: Pages) {
        let known = self.known;
        let now = self.settle_in(Pages::ZERO, Context::INTERRUPT);
        let before = (known - now.reclaimable) - self.risen;
        self.fetched += uncovered - before;
    }

    /// Whether it came any further. A store that only writes, and frees nothing of all that it has, does not; nor does one that
    /// fails.
    fn settle(&mut self, budget: Pages) -> bool {
        let now = self.settle_in(budget, self.cx);
        self.idle = if now.freed > Pages::ZERO { Pages::ZERO } else { self.idle + now.written };
        let most = now.pending.min(self.goal + Order::MAX.pages()); // by then one of them is done
        let writes = now.written > Pages::ZERO && self.idle <= most && now.error.is_none();
        now.freed > Pages::ZERO || writes
    }

    fn settle_in(&mut self, budget: Pages, cx: Context) -> Settled {
        let now = self.home.settle_store(budget, cx);
        let before = self.report.settled;
        self.report.settled = Settled {
            written: before.written + now.written,
            freed: before.freed + now.freed,
            error: before.error.or(now.error),
            ..now
        };
        self.risen += now.reclaimable - self.known;
        self.known = now.reclaimable;
        now
    }

    /// Pages that count.
    fn gained(&self) -> Pages {
        let Report { evicted, settled, .. } = self.report;
        match self.want.measure {
            Measure::Moved => evicted.moved(),
            // What was copied counts already, as its frames are free: its copies, if they are reclaimable, don't.
            Measure::Freed => {
                let left = settled.freed + settled.pending + self.fetched;
                let frames = self.on_its_way + evicted.handed_over - left;
                self.report.freed() + frames.min(self.risen)
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
