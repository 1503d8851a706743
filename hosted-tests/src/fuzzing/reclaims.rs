//! Reclaims of every kind, over a slice, a roster and berths, and what must be true of what they report.

use super::ops::{Asked, Kind, Listing, Over};
use super::pages;
use super::plants::Plant;
use super::platform::Source;
use super::rig::{Buffers, Mine, Rig};
use super::seats::SEATS;
use forebay::{
    Candidates, Evict, Evictable, Order, Outcome, Pages, Platform, Report, Zones,
    buffer::{EvictRequest, Residency},
    stats::Evicted,
    sync::NoopRawMutex,
};
use std::cell::Cell;

/// A place that a walk comes by, with a buffer or without.
struct Spot<'g, 'h, 'm, 'w, S: Source> {
    of: Option<&'g Mine<'h, 'm, 'w, S>>,
    /// What became of it.
    did: Cell<Evicted>,
    plant: Plant,
    /// For [`Plant::GivesUpAtABusyOne`]: whether it gave up.
    over: &'g Cell<bool>,
}

impl<S: Source> Spot<'_, '_, '_, '_, S> {
    /// As the buffer, or worse.
    fn evict(&self, kept: &Mine<'_, '_, '_, S>, step: EvictRequest) -> Evicted {
        if self.plant == Plant::GivesUpAtABusyOne && (self.over.get() || kept.is_guarded()) {
            self.over.set(true);
            return Evicted::default();
        }
        if self.plant == Plant::DropsWhatIsNeeded && kept.shape.is_full() {
            kept.lose();
        }
        let mut did = kept.evict_if_idle(step);
        if self.plant == Plant::CountsAPageMore && did.transferred > Pages::ZERO {
            did.transferred += pages(1);
        }
        did
    }
}

impl<S: Source> Evictable for Spot<'_, '_, '_, '_, S> {
    fn evict_if_idle(&self, step: EvictRequest) -> Evicted {
        let did = self.of.map_or(Evicted::default(), |kept| self.evict(kept, step));
        let mut sum = self.did.get();
        sum += did;
        self.did.set(sum);
        did
    }
}

/// What was so before a reclaim.
struct Before {
    out: Pages,
    ready: Pages,
    free: Option<Pages>,
    injected: u32,
    /// In the arena.
    copies: Pages,
    /// If somebody looked.
    residency: Vec<Option<Residency>>,
}

impl<'h, 'w, S: Source, const PAGE: usize> Rig<'h, 'w, S, PAGE> {
    pub(super) fn reclaim(&self, asked: Asked, buffers: &Buffers<'h, '_, 'w, S>) {
        let over = Cell::new(false);
        let spot = |of| Spot { of, did: Cell::default(), plant: self.book.plant, over: &over };
        let spots: Vec<_> = match asked.over {
            Over::Slice | Over::Berths => buffers.iter().map(|kept| spot(Some(kept))).collect(),
            Over::EvictionIndex => {
                let at = |n| buffers.iter().find(|kept| self.book.seat(kept.id.0) == n);
                (0..SEATS).map(|n| spot(at(n))).collect()
            }
        };
        match asked.over {
            Over::Slice => self.reclaim_from(&asked, (&spots[..]).into(), &spots, buffers),
            Over::EvictionIndex => self.reclaim_from(&asked, self.book.roster.of(&spots), &spots, buffers),
            Over::Berths => {
                let berths: Vec<_> = spots.iter().map(|_| Berth::<NoopRawMutex, _>::new()).collect();
                for (berth, spot) in berths.iter().zip(&spots) {
                    assert!(berth.put(spot).is_ok(), "a new berth is not free");
                }
                let mine = &berths[usize::from(asked.extra) % berths.len()];
                let guest = mine.get().expect("nobody is at it");
                self.reclaim_from(&asked, (&berths[..]).into(), &spots, buffers);
                assert!(mine.take().is_err(), "what is in use was taken out");
                drop(guest);
                for (berth, spot) in berths.iter().zip(&spots) {
                    assert!(berth.put(spot).is_err(), "two are in one berth");
                    assert!(matches!(berth.take(), Ok(Some(_))), "a walk is over, and it is in use");
                    assert!(matches!(berth.take(), Ok(None)));
                }
            }
        }
    }

    fn reclaim_from<'c, E: Evictable>(
        &self,
        asked: &Asked,
        over: Candidates<'c, E>,
        spots: &[Spot<'_, 'h, '_, 'w, S>],
        buffers: &Buffers<'h, '_, 'w, S>,
    ) {
        if asked.kind == Kind::OrReclaim {
            return self.or_reclaim(asked, over, &buffers[usize::from(asked.extra) % buffers.len()]);
        }
        let before = self.before(spots);
        let Asked { how, cx, .. } = *asked;
        let report = match asked.kind {
            Kind::KeepFree => {
                let report = self.home.keep_free(over, asked.pages, how, cx);
                assert_eq!(report.is_some(), before.free.is_some(), "whether the source says what is free");
                let Some(report) = report else { return };
                if before.free >= Some(asked.pages) {
                    return assert_eq!(report, Report::default(), "so much is free already");
                }
                report
            }
            _ => self.home.reclaim(over, asked.want(), how, cx),
        };
        let wanted = asked.wanted(before.free.unwrap_or_default());
        let largest = buffers.iter().map(|k| k.shape.pages()).max().unwrap_or(0);
        self.check_counts(asked, &report, wanted, largest, &before);
        self.check_outcome(asked, &report, wanted, &before);
        self.check_each(asked, &report, spots, &before);
        let settled = self.injected() == before.injected && self.memfd.is_none() && !self.engine.is_at_work();
        if report.outcome == Outcome::Nothing && settled && asked.kind != Kind::Block {
            let again = self.home.reclaim(over, asked.want(), how, cx);
            let helped = again.gained > Pages::ZERO && self.injected() == before.injected;
            assert!(!helped, "there was nothing, and at once there is: {again:?} for {asked:?}");
        }
    }

    fn before(&self, spots: &[Spot<'_, 'h, '_, 'w, S>]) -> Before {
        let look = |spot: &Spot<'_, 'h, '_, 'w, S>| {
            let kept = spot.of.filter(|kept| self.observed && !kept.is_guarded())?;
            kept.residency().ok()
        };
        let ready = self.home.pool().ready();
        Before {
            out: self.world.frames_out(),
            ready,
            free: self.home.platform().free_pages(Zones::ALL).map(|free| free + ready),
            injected: self.injected(),
            copies: pages(self.in_memfd()[1]),
            residency: spots.iter().map(look).collect(),
        }
    }

    /// What it says that it did is what happened, and not much more than was wanted.
    fn check_counts(&self, asked: &Asked, is: &Report, wanted: Pages, largest: usize, before: &Before) {
        let trimmed = before.ready - self.home.pool().ready();
        assert_eq!(before.out - self.world.frames_out(), is.freed() + trimmed, "{is:?}");
        assert!(trimmed == Pages::ZERO || asked.kind == Kind::Block, "{trimmed} left the shelves");
        let most = if asked.kind == Kind::Block { wanted + wanted + pages(largest) } else { wanted };
        self.check_evicted(is.evicted, largest, most, asked.how, asked.cx);
        if asked.kind == Kind::Moved {
            assert_eq!(is.gained, is.evicted.moved());
        } else {
            let [transferred, _] = self.in_memfd();
            assert!(is.gained >= is.freed(), "{is:?}");
            let most = is.freed() + pages(transferred) + before.copies;
            assert!(is.gained <= most, "more than there is: {is:?} for {asked:?}");
        }
    }

    fn check_outcome(&self, asked: &Asked, is: &Report, wanted: Pages, before: &Before) {
        let injected = self.injected() > before.injected;
        let gives = asked.order().is_some_and(|order| self.gives(order, asked));
        let free = self.home.platform().free_pages(asked.zones).unwrap_or(is.freed());
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
        let hooked = self.home.platform().inner().inner();
        let Ok(block) = self.source.allocate(AllocRequest::new(order), asked.cx) else { return false };
        let fits = asked.zones.contains(hooked.zone(&block));
        self.source.free(block);
        fits
    }

    /// What left each buffer is what it says, and nobody was passed over.
    fn check_each(&self, asked: &Asked, is: &Report, spots: &[Spot<'_, 'h, '_, 'w, S>], before: &Before) {
        let ended = matches!(is.outcome, Outcome::Short | Outcome::Nothing);
        let anything = asked.kind != Kind::Block && asked.zones == Zones::ALL;
        // Who refused once is passed over, and only faults make somebody refuse who could go a moment later.
        let rungs = asked.how - Evict::PURGE;
        let spent = is.evicted.backlogs > 0 && rungs == Evict::TRANSFER;
        let all_asked = ended && anything && !self.faulted && !rungs.is_empty() && !spent;
        for (spot, was) in spots.iter().zip(&before.residency) {
            let (Some(kept), Some(was)) = (spot.of, *was) else { continue };
            let did = spot.did.get();
            assert!(did.purged == Pages::ZERO || kept.may_be_purged(asked.how), "{:?}: {did:?}", kept.id);
            if kept.may_be_purged(asked.how) {
                continue;
            }
            let now = kept.residency().expect("nobody has it");
            assert_eq!(was.resident, now.resident + did.moved(), "{:?}: {was:?} {did:?} {now:?}", kept.id);
            assert_eq!(was.stored + did.moved(), now.stored, "{:?}: {was:?} {did:?} {now:?}", kept.id);
            let reached = did.moved() > Pages::ZERO || did.why.is_some();
            let is_candidate = asked.over != Over::EvictionIndex || kept.shape.listing() != Listing::No;
            let passed_over = is_candidate && was.resident > Pages::ZERO && !reached;
            assert!(
                !(all_asked && passed_over),
                "{:?} was passed over: {was:?}, {is:?} for {asked:?}",
                kept.id
            );
        }
    }

    /// A guard, with a reclaim for each time that memory is short.
    fn or_reclaim<E: Evictable>(&self, asked: &Asked, over: Candidates<'_, E>, kept: &Mine<'h, '_, 'w, S>) {
        let (injected, write) = (self.injected(), asked.extra & 8 == 0);
        let attempt = || {
            kept.catch_up(); // a reclaim may have dropped it
            if write { kept.write(asked.cx) } else { kept.read(asked.cx) }
        };
        let result = self.home.or_reclaim(over, asked.want(), asked.how, asked.cx, attempt);
        drop(self.pinned(result, kept, write, asked.cx, injected));
    }
}
