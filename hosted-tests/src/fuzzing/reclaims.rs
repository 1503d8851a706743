//! Reclaims of every kind, over a slice, an index and a tuple, and what must be true of what they report.

use super::buffers::Kept;
use super::index;
use super::ops::{Asked, Indexing, Kind, Over};
use super::pages;
use super::plants::Plant;
use super::platform::Source;
use super::rig::Rig;
use forebay::{
    AllocRequest, BackingStore, Buffer, Candidates, Context, Evict, Evictable, FrameSource, Order, Outcome,
    Pages, Platform, Report, Zones, buffer::Residency, port::Capabilities,
};

/// What was so before a reclaim.
struct Before {
    out: Pages,
    ready: Pages,
    free: Option<Pages>,
    injected: u32,
    /// In the arena.
    copies: Pages,
    /// Reasons that were counted.
    refusals: u32,
    each: Vec<Option<Was>>,
}

/// What was so of a buffer without a guard, if it is looked at.
struct Was {
    is: Residency,
    unmapped: bool,
    /// How often its hook was called.
    asked: usize,
}

impl<'w, S: Source, const PAGE: usize> Rig<'_, 'w, S, PAGE> {
    pub(super) fn reclaim(&self, asked: Asked, buffers: &[Kept<'_>]) {
        let end = match self.index.plant {
            Plant::GivesUpAtABusyOne => buffers.iter().position(Kept::is_guarded).unwrap_or(buffers.len()),
            _ => buffers.len(),
        };
        let reached = &buffers[..end];
        match asked.over {
            Over::Slice => self.reclaim_from(&asked, &each(reached)[..], buffers),
            Over::Tuple => {
                let all = each(reached);
                let (first, second) = all.split_at(usize::from(asked.extra) % (all.len() + 1));
                self.reclaim_from(&asked, &(first, second), buffers);
            }
            Over::Index => {
                let blank = Buffer::new(&self.index.nowhere, Order::PAGE);
                let indexed = reached.iter().filter(|kept| kept.shape.indexing() != Indexing::No);
                let entries = indexed.map(|kept| (self.index.entry(kept.id.0), kept.as_dyn()));
                let all = index::in_order(entries, &blank);
                self.reclaim_from(&asked, &self.index.index.candidates(&all), buffers);
            }
        }
    }

    fn reclaim_from(&self, asked: &Asked, over: &(impl Candidates + ?Sized), buffers: &[Kept<'_>]) {
        if asked.kind == Kind::OrReclaim {
            return self.or_reclaim(asked, over, &buffers[usize::from(asked.extra) % buffers.len()]);
        }
        let before = self.before(buffers);
        if self.index.plant == Plant::DropsWhatIsNeeded {
            buffers.iter().filter(|kept| kept.shape.is_full()).for_each(Kept::lose);
        }
        let Some(mut report) = self.reclaim_once(asked, over) else {
            return assert_eq!(before.free, None, "the source says what is free");
        };
        if asked.kind == Kind::KeepFree && before.free >= Some(asked.pages) {
            return assert_eq!(report, Report::default(), "so much is free already");
        }
        if self.index.plant == Plant::CountsAPageMore && report.evicted.transferred > Pages::ZERO {
            report.evicted.transferred += pages(1);
        }
        let wanted = asked.wanted(before.free.unwrap_or_default());
        let largest = buffers.iter().map(|k| k.shape.pages()).max().unwrap_or(0);
        self.check_counts(asked, &report, wanted, largest, &before);
        self.check_outcome(asked, &report, wanted, &before);
        self.check_each(asked, &report, buffers, &before);
        if report.outcome == Outcome::Nothing && self.injected() == before.injected {
            self.nothing_again(asked, over);
        }
    }

    /// `None` if the source does not know what is free, and the reclaim is about that.
    fn reclaim_once(&self, asked: &Asked, over: &(impl Candidates + ?Sized)) -> Option<Report> {
        match asked.kind {
            Kind::KeepFree => self.home.keep_free(over, asked.pages, asked.how, asked.cx),
            _ => Some(self.home.reclaim(over, asked.target(), asked.how, asked.cx)),
        }
    }

    /// A reclaim said that nothing is left. The same call at once finds nothing either, and moves nothing.
    fn nothing_again(&self, asked: &Asked, over: &(impl Candidates + ?Sized)) {
        let (out, ready) = (self.world.frames_out(), self.home.pool().ready(Zones::ALL));
        let again = self.reclaim_once(asked, over).expect("it knew a moment ago");
        assert_eq!(
            again.evicted.moved(),
            Pages::ZERO,
            "there was nothing, and it moves: {again:?} for {asked:?}"
        );
        assert_eq!(again.gained, Pages::ZERO, "there was nothing, and it gains: {again:?} for {asked:?}");
        assert_eq!(again.outcome, Outcome::Nothing, "{again:?} for {asked:?}");
        assert_eq!(self.world.frames_out(), out, "frames were returned: {again:?} for {asked:?}");
        assert_eq!(self.home.pool().ready(Zones::ALL), ready, "{again:?} for {asked:?}");
    }

    fn before(&self, buffers: &[Kept<'_>]) -> Before {
        let look = |kept: &Kept<'_>| {
            let is = kept.residency().ok().filter(|_| self.observed && !kept.is_guarded())?;
            Some(Was { is, unmapped: self.hooks.is_unmapped(kept.id), asked: self.hooks.asked(kept.id) })
        };
        let ready = self.home.pool().ready(Zones::ALL);
        let source = self.home.platform().source();
        Before {
            out: self.world.frames_out(),
            ready,
            free: source.supply(&AllocRequest::new(Order::PAGE)).free.map(|free| free + ready),
            injected: self.injected(),
            copies: pages(self.in_memfd()[1]),
            refusals: self.refusals(),
            each: buffers.iter().map(look).collect(),
        }
    }

    fn refusals(&self) -> u32 {
        self.home.stats().refusals.iter().map(|(_, times)| times).sum()
    }

    /// What it says that it did is what happened, and not much more than was wanted.
    fn check_counts(&self, asked: &Asked, is: &Report, wanted: Pages, largest: usize, before: &Before) {
        let trimmed = before.ready - self.home.pool().ready(Zones::ALL);
        assert_eq!(before.out - self.world.frames_out(), freed(is) + trimmed, "{is:?}");
        assert!(trimmed == Pages::ZERO || asked.kind == Kind::Block, "{trimmed} left the free lists");
        let most = if asked.kind == Kind::Block { wanted + wanted + pages(largest) } else { wanted };
        self.check_evicted(is.evicted, largest, most, asked.how, asked.cx);
        if asked.kind == Kind::Moved {
            assert_eq!(is.gained, is.evicted.moved());
        } else {
            let [transferred, _] = self.in_memfd();
            assert!(is.gained >= freed(is), "{is:?}");
            let most = freed(is) + pages(transferred) + before.copies;
            assert!(is.gained <= most, "more than there is: {is:?} for {asked:?}");
        }
    }

    fn check_outcome(&self, asked: &Asked, is: &Report, wanted: Pages, before: &Before) {
        let injected = self.injected() > before.injected;
        let gives = asked.order().is_some_and(|order| self.gives(order, asked));
        let source = self.home.platform().source();
        let free =
            source.supply(&AllocRequest::new(Order::PAGE).within(asked.zones)).free.unwrap_or(freed(is));
        let holds = match (is.outcome, asked.order()) {
            (Outcome::Reached, None) => is.gained >= wanted,
            (Outcome::Reached, Some(_)) => gives,
            (_, Some(_)) if gives => injected,
            (Outcome::Fragmented, Some(_)) => free >= wanted,
            (Outcome::Fragmented, None) => false,
            (Outcome::Pending, None) => asked.kind != Kind::Moved && is.settled.pending >= wanted - is.gained,
            (Outcome::Pending, Some(_)) => is.settled.pending > Pages::ZERO,
            (Outcome::Short, _) => is.gained + is.evicted.moved() > Pages::ZERO,
            (_, _) => is.gained == Pages::ZERO && is.evicted.moved() == Pages::ZERO,
        };
        assert!(holds, "{is:?} for {asked:?}, of which {wanted} were wanted");
        let missed = asked.order().is_none() && is.outcome != Outcome::Reached;
        assert!(!missed || is.gained < wanted, "{is:?} for {asked:?}");
    }

    /// Whether the source has such a block, past all wrappers that may fail.
    fn gives(&self, order: Order, asked: &Asked) -> bool {
        let Ok(block) = self.source.allocate(AllocRequest::new(order), asked.cx) else { return false };
        let fits = asked.zones.contains(Zones::of(self.faulty().inner().zone(&block)));
        self.source.free(block);
        fits
    }

    /// What left the buffers is what it says, and no buffer was passed over.
    fn check_each(&self, asked: &Asked, is: &Report, buffers: &[Kept<'_>], before: &Before) {
        let ended = matches!(is.outcome, Outcome::Short | Outcome::Nothing);
        let anything = asked.kind != Kind::Block && asked.zones == Zones::ALL;
        // A buffer that refused once is passed over, and only faults make one refuse that could leave a moment later.
        let methods = asked.how - Evict::PURGE;
        let spent = is.evicted.backlogs > 0 && self.has_no_method(asked, is);
        let all_asked = ended && anything && !self.faulted && !methods.is_empty() && !spent;
        let (mut left, mut unneeded, mut untried) = (Pages::ZERO, Pages::ZERO, 0);
        for (kept, was) in buffers.iter().zip(&before.each) {
            let Some(Was { is: was, unmapped, asked: hooked }) = was else { continue };
            let now = kept.residency().expect("no guard is alive");
            let moved = was.resident - now.resident;
            assert!(now.resident <= was.resident, "{:?}: {was:?} {now:?}", kept.id);
            left += moved;
            if kept.may_be_purged(asked.how) {
                unneeded += (was.resident + was.stored) - (now.resident + now.stored);
                continue;
            }
            assert_eq!(was.stored + moved, now.stored, "{:?}: {was:?} {now:?}", kept.id);
            let is_candidate = asked.over != Over::Index || kept.shape.indexing() != Indexing::No;
            let stayed = is_candidate && was.resident > Pages::ZERO && moved == Pages::ZERO;
            if !all_asked || !stayed {
                continue;
            }
            assert!(is.evicted.why.is_some(), "{:?} stayed without a reason: {is:?} for {asked:?}", kept.id);
            if self.hooks.asked(kept.id) > *hooked {
                continue;
            }
            // No hook tells that it was asked: then it was unmapped before, or it was refused without being tried.
            let may_be_refused_at_once = *unmapped || self.has_no_method(asked, is);
            assert!(may_be_refused_at_once, "{:?} was passed over: {was:?}, {is:?} for {asked:?}", kept.id);
            untried += 1;
        }
        let refusals = self.refusals() - before.refusals;
        assert!(untried <= refusals, "{untried} buffers stayed, {refusals} refusals: {is:?} for {asked:?}");
        if self.observed {
            let purged = is.evicted.purged;
            assert!(purged <= unneeded, "{purged} purged, {unneeded} gone: {is:?} for {asked:?}");
            let moved = is.evicted.moved();
            assert!(left <= moved && moved - purged <= left, "{left} left: {is:?} for {asked:?}");
        }
    }

    /// Whether nothing is left that the store and the context permit, perhaps after a backlog.
    fn has_no_method(&self, asked: &Asked, is: &Report) -> bool {
        let can = self.home.store().capabilities();
        let needs = if can.contains(Capabilities::NEEDS_IO) { Context::THREAD } else { Context::MAY_BLOCK };
        let mut methods = Evict::empty();
        methods.set(Evict::TRANSFER, can.contains(Capabilities::TRANSFER) && is.evicted.backlogs == 0);
        methods.set(Evict::COPY | Evict::SPLIT, can.contains(Capabilities::COPY) && asked.cx.contains(needs));
        !methods.intersects(asked.how)
    }

    /// A guard, with a reclaim for each time that memory is short.
    fn or_reclaim(&self, asked: &Asked, over: &(impl Candidates + ?Sized), kept: &Kept<'_>) {
        let (injected, write) = (self.injected(), asked.extra & 8 == 0);
        let attempt = || {
            kept.catch_up(); // a reclaim may have dropped it
            if write { kept.write(asked.cx) } else { kept.read(asked.cx) }
        };
        let result = self.home.or_reclaim(over, asked.target(), asked.how, asked.cx, attempt);
        drop(self.pinned(result, kept, write, asked.cx, injected));
    }
}

/// Buffers as candidates.
fn each<'k>(buffers: &'k [Kept<'_>]) -> Vec<&'k dyn Evictable> {
    buffers.iter().map(|kept| kept.as_dyn() as &dyn Evictable).collect()
}

/// Pages whose frames are in the source again.
fn freed(report: &Report) -> Pages {
    report.evicted.moved() - report.evicted.transferred + report.settled.freed
}
