//! One reclaim: its phases, and when it gives up.

use crate::buffer::{Class, EvictRequest, Phase, possible};
use crate::forebay::{Forebay, Hands};
use crate::frame::{AllocRequest, Context, Evict, Order, Pages, Zones};
use crate::port::{BackingStore, FrameSource, OwnedBlock, Platform, Settled, Supply};
use crate::reclaim::candidates::Candidates;
use crate::reclaim::scan::Scan;
use crate::reclaim::target::{Measure, ReclaimTarget};
use crate::stats::{self, Event, Evicted, Outcome, Report};
use core::sync::atomic::AtomicUsize;

/// How many candidates the clean phase looks at: those that were used lately stay, and cost time.
const CLEAN_LOOKS: usize = 32;

/// What a backlog of the store means to a scan with no other method than transfers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backlog {
    /// It goes on, with what is clean.
    Passed,
    /// It ends: the store is settled, and another scan follows.
    Ends,
}

/// One call of `reclaim`.
pub(super) struct Run<'f, P: Platform, S> {
    forebay: &'f Forebay<P, S>,
    over: &'f dyn Candidates,
    /// The list's own; the forebay's, if it has none.
    hands: &'f Hands,
    target: ReclaimTarget,
    how: Evict,
    /// The methods that are left: no transfers after a backlog that no settle lessens.
    methods: Evict,
    cx: Context,
    /// Pages to gain; then it is done.
    goal: Pages,
    /// Pages that the store had at first, neither reclaimable nor free.
    on_its_way: Pages,
    /// Pages that were reclaimable at the last settle.
    known: Pages,
    /// Pages that became reclaimable since. (What others take back does not lessen it.)
    risen: Pages,
    /// Pages that were on their way, and that a purge found.
    fetched: Pages,
    /// Pages written out since the last one was freed.
    idle: Pages,
    report: Report,
}

impl<'f, P: Platform, S: BackingStore<P::Block>> Run<'f, P, S> {
    pub(super) fn new(
        forebay: &'f Forebay<P, S>,
        over: &'f dyn Candidates,
        target: ReclaimTarget,
        how: Evict,
        cx: Context,
    ) -> Self {
        Run {
            forebay,
            over,
            hands: over.candidate_hands().unwrap_or(&forebay.hands),
            target,
            how,
            methods: how,
            cx,
            goal: target.pages,
            on_its_way: Pages::ZERO,
            known: Pages::ZERO,
            risen: Pages::ZERO,
            fetched: Pages::ZERO,
            idle: Pages::ZERO,
            report: Report::default(),
        }
    }

    /// One attempt, or two.
    pub(super) fn run(mut self) -> Report {
        let ReclaimTarget { order, measure, .. } = self.target;
        for _ in 0..2 {
            self.methods = self.how;
            self.report.outcome = match (order, measure) {
                (Some(order), _) => self.free_a_block(order),
                (None, Measure::Freed) => {
                    self.count_before();
                    self.free()
                }
                (None, Measure::Moved) => {
                    // Until the goal left its buffers.
                    self.cheap_phases(Order::PAGE);
                    let mut scan = self.begin(Phase::Evict);
                    self.scan(&mut scan, Phase::Evict, self.missing(), Order::PAGE, Backlog::Passed);
                    self.settle(Pages::ZERO);
                    self.ended()
                }
            };
            if self.report.outcome != Outcome::Nothing || !self.may_have_missed() {
                break;
            }
        }
        self.report.gained = self.gained();
        stats::send(Event::Reclaimed(self.report));
        self.report
    }

    /// Whether a second attempt may find something: a backlog ended the transfers of the first, before everything was asked.
    /// Since then the store made room, or it has room for other blocks; or something may be purged that was skipped.
    fn may_have_missed(&self) -> bool {
        let purgeable =
            || self.over.find_candidate(Class::PURGEABLE, 0..self.over.candidate_count()).is_some();
        self.report.evicted.backlogs > 0
            && (self.forebay.store().space().transfers > 0 || self.how.contains(Evict::PURGE) && purgeable())
    }

    /// Until the frames of the goal are free. No more leaves than is missing, and each candidate has its turn in two rounds,
    /// however often the store is settled in between. Pending pages of the store stand for as many, unless a settle that could
    /// have moved them on did not.
    fn free(&mut self) -> Outcome {
        self.cheap_phases(Order::PAGE);
        let mut scan = self.begin(Phase::Evict);
        let most = self.report.evicted.moved() + self.missing();
        let (mut backlog, mut goes_on) = (Backlog::Passed, true);
        while goes_on && self.missing() > Pages::ZERO {
            let settled = self.settle(self.missing()); // pending pages first: they cost no buffer its contents
            if backlog == Backlog::Ends && !settled {
                self.methods = self.without_transfers();
            }
            let Settled { pending, error, .. } = self.report.settled;
            let stuck = !settled && pending > Pages::ZERO && self.cx.contains(Context::MAY_BLOCK);
            if stuck && error.is_some() {
                self.methods = self.without_transfers(); // a store that fails gets no more
            }
            let short = self.missing() - if stuck { Pages::ZERO } else { pending };
            let moved = self.report.evicted.moved();
            backlog = self.scan(&mut scan, Phase::Evict, short.min(most - moved), Order::PAGE, Backlog::Ends);
            goes_on = settled || self.report.evicted.moved() > moved || backlog == Backlog::Ends;
        }
        self.ended()
    }

    /// Until the source has a block of that order to give.
    fn free_a_block(&mut self, order: Order) -> Outcome {
        let (zones, pool) = (self.target.zones, self.forebay.pool());
        let mut ready = pool.ready(zones); // what others add meanwhile is not waited for
        while !self.gives(order) {
            if order > P::Source::MAX_ORDER
                || self.supply(order).ever.is_some_and(|ever| ever < order.pages())
            {
                return Outcome::Never;
            }
            let trimmed = pool.trim(zones, ready.min(order.pages()), self.cx);
            if trimmed == Pages::ZERO {
                return self.evict_for_a_block(order);
            }
            ready -= trimmed;
        }
        Outcome::Reached
    }

    /// The same, where the free lists have nothing for it.
    fn evict_for_a_block(&mut self, order: Order) -> Outcome {
        let pages = order.pages();
        self.count_before();
        self.evict_large(order);
        let free = |run: &Self| run.supply(order).free.unwrap_or(run.report.freed());
        if !self.gives(order) && free(self) < pages {
            self.goal = self.gained() + (pages - free(self));
            self.free();
        }
        match (self.gives(order), free(self) >= pages, self.ended()) {
            (true, ..) => Outcome::Reached,
            (false, true, _) => Outcome::Fragmented,
            // Reclaimable by the system, and not in the source; or another party took it: a store, for its copies.
            (false, false, Outcome::Reached) => Outcome::Short,
            (false, false, ended) => ended,
        }
    }

    /// Evicts only blocks of that order or above, until the source has one to give. Other pending pages do not stand for one.
    fn evict_large(&mut self, order: Order) {
        self.cheap_phases(order);
        let mut scan = self.begin(Phase::Evict);
        loop {
            let settled = self.settle(order.pages());
            if self.gives(order) {
                return;
            }
            let moved = self.report.evicted.moved();
            // What can't be settled now may be such a block.
            let waits = if settled { moved } else { moved.max(self.report.settled.pending) };
            self.scan(&mut scan, Phase::Evict, order.pages() - waits, order, Backlog::Passed);
            let moves = self.report.evicted.moved();
            if moves == moved && !(settled && moves > Pages::ZERO) {
                return;
            }
        }
    }

    fn supply(&self, order: Order) -> Supply {
        self.forebay.source().supply(&AllocRequest::new(order).within(self.target.zones))
    }

    /// Whether the source gives such a block, without reclaiming for it. One that does not know is asked for it, and has it back
    /// at once.
    fn gives(&self, order: Order) -> bool {
        let source = self.forebay.source();
        let request =
            AllocRequest { may_reclaim: false, ..AllocRequest::new(order).within(self.target.zones) };
        if let Some(ready) = source.supply(&request).ready {
            return ready;
        }
        let Ok(block) = source.allocate(request, self.cx) else { return false };
        let fits = block.order() == order && self.target.zones.contains(Zones::of(source.zone(&block)));
        source.free(block);
        fits
    }

    /// What costs little: purges, and what is clean and cold.
    fn cheap_phases(&mut self, least: Order) {
        if self.how.contains(Evict::PURGE) {
            let mut scan = self.begin(Phase::Purge);
            self.scan(&mut scan, Phase::Purge, self.missing(), least, Backlog::Passed);
        }
        if self.how != Evict::PURGE && self.over.clean_first() {
            let mut scan = self.begin(Phase::Clean);
            self.scan(&mut scan, Phase::Clean, self.missing(), least, Backlog::Passed);
        }
    }

    /// A scan from where the last one ended. Purges need no second round, unless nothing else is permitted; then the last phase
    /// has none.
    fn begin(&self, phase: Phase) -> Scan {
        let rounds = match (phase, self.how) {
            (Phase::Evict, Evict::PURGE) => 0,
            (Phase::Evict, _) | (_, Evict::PURGE) => 2,
            _ => 1,
        };
        let count = self.over.candidate_count();
        let left = count.saturating_mul(rounds);
        Scan::begin(self.hand(phase), count, left)
    }

    fn hand(&self, phase: Phase) -> &'f AtomicUsize {
        let Hands { purge, clean, evict } = self.hands;
        match phase {
            Phase::Purge => purge,
            Phase::Clean => clean,
            Phase::Evict => evict,
        }
    }

    /// The methods that are left after a backlog. Those that this store or context does not have are dropped too: buffers that
    /// could only refuse are not asked.
    fn without_transfers(&self) -> Evict {
        let others = possible(self.forebay.store(), self.cx) - Evict::TRANSFER;
        self.methods & (others | Evict::PURGE)
    }

    /// Goes on with a scan until `budget` pages left, or it is over. Returns whether a backlog ended it; after another backlog
    /// it goes on without transfers. The hand stays at the last candidate, which may have more to give.
    fn scan(
        &mut self,
        scan: &mut Scan,
        phase: Phase,
        budget: Pages,
        least: Order,
        backlog: Backlog,
    ) -> Backlog {
        let how = if phase == Phase::Clean { Evict::empty() } else { self.methods };
        let after_backlog = self.methods != self.how;
        let (cx, zones) = (self.cx, self.target.zones);
        let mut request = EvictRequest { budget, how, cx, phase, least, zones, after_backlog };
        let mut looks = if phase == Phase::Clean { CLEAN_LOOKS } else { usize::MAX };
        let from_store = self.report.evicted.purged_from_store;
        let mut ended = Backlog::Passed;
        while looks > 0 && request.budget > Pages::ZERO {
            let Some(at) = scan.find(self.over, request.class()) else { break };
            looks -= 1;
            let mut evicted = Evicted::default();
            if self.over.evict_at(at, &request, &mut evicted) {
                request.budget -= evicted.moved();
                self.report.evicted += evicted;
                if evicted.backlogs > 0 {
                    (request.how, request.after_backlog) = (self.without_transfers(), true);
                    if backlog == Backlog::Ends && (request.how - Evict::PURGE).is_empty() {
                        ended = Backlog::Ends;
                        break;
                    }
                }
            }
            if request.budget > Pages::ZERO {
                scan.pass(1);
            }
        }
        scan.end(self.hand(phase));
        let from_store = self.report.evicted.purged_from_store - from_store;
        if from_store > Pages::ZERO && self.target.measure == Measure::Freed {
            self.count_fetched(from_store);
        }
        ended
    }

    /// Finds out what the store has; nothing is flushed or written out for that.
    fn count_before(&mut self) {
        let (known, given) = self.forebay.count(|stats| (stats.reclaimable, stats.evicted.transferred));
        let Settled { freed, reclaimable, pending, .. } = self.settle_in(Pages::ZERO, Context::INTERRUPT);
        // A store may flush nevertheless. What it had before this forebay gave it anything is no gain.
        let before = known.max(reclaimable - given).min(reclaimable);
        self.risen = reclaimable - before;
        self.on_its_way = pending + freed + self.risen;
    }

    /// Purges found so much in the store and returned it: it was on its way, except for what was reclaimable before this run.
    fn count_fetched(&mut self, from_store: Pages) {
        let known = self.known;
        let now = self.settle_in(Pages::ZERO, Context::INTERRUPT);
        let before = (known - now.reclaimable) - self.risen;
        self.fetched += from_store - before;
    }

    /// Whether the store made progress. One that only writes, and frees nothing of all that it has, does not; nor does one that
    /// fails.
    fn settle(&mut self, budget: Pages) -> bool {
        let now = self.settle_in(budget, self.cx);
        self.idle = if now.freed > Pages::ZERO { Pages::ZERO } else { self.idle + now.written };
        let most = now.pending.min(self.goal + Order::MAX.pages()); // by then one block is done
        let writes = now.written > Pages::ZERO && self.idle <= most && now.error.is_none();
        now.freed > Pages::ZERO || writes
    }

    fn settle_in(&mut self, budget: Pages, cx: Context) -> Settled {
        let now = self.forebay.settle_store(budget, cx);
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
        match self.target.measure {
            Measure::Moved => evicted.moved(),
            // A copied page counts already, as its frame is free: its copy does not count if it is reclaimable.
            Measure::Freed => {
                let left = settled.freed + settled.pending + self.fetched;
                let frames = self.on_its_way + evicted.transferred - left;
                self.report.freed() + frames.min(self.risen)
            }
        }
    }

    fn missing(&self) -> Pages {
        self.goal - self.gained()
    }

    /// How it ended, without regard to a block.
    fn ended(&self) -> Outcome {
        let missing = self.missing();
        let pending = self.target.measure == Measure::Freed && self.report.settled.pending >= missing;
        match (missing > Pages::ZERO, pending) {
            (false, _) => Outcome::Reached,
            (true, true) => Outcome::Pending,
            (true, false) if self.gained() + self.report.evicted.moved() > Pages::ZERO => Outcome::Short,
            (true, false) => Outcome::Nothing,
        }
    }
}
