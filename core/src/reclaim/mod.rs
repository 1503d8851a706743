//! Many buffers: memory for others, which buffers are looked at, and which leave. Uses every folder.

mod candidates;
mod follow;
mod index;
mod run;
mod s3_fifo;
mod scan;
mod target;
mod transfer;

pub use candidates::{Candidates, Clock};
pub use follow::{ByPolicy, Follow};
pub use index::{EvictionIndex, IndexFull, Indexed, IndexedCandidates};
pub use s3_fifo::{Link, S3Fifo};
pub use target::ReclaimTarget;

use crate::forebay::Forebay;
use crate::frame::{AllocError, AllocRequest, Context, Evict, Order, Pages, Zones};
use crate::port::{BackingStore, FrameSource, Platform, StoreError, Supply};
use crate::reclaim::run::Run;
use crate::reclaim::target::Measure;
use crate::stats::{AccessError, Outcome, Report};

impl<P: Platform, S: BackingStore<P::Block>> Forebay<P, S> {
    /// Moves contents of idle buffers out, until the target is reached or nothing more can be done.
    ///
    /// In this order, as far as `how` permits: contents that their owner does not need are purged, used lately or not; then
    /// clean blocks leave, of buffers that were not used lately, of which a few are looked at; then whatever was not used
    /// lately, and after that what was. The store is settled at the end; it writes out only for
    /// [`ReclaimTarget::freed`] and [`ReclaimTarget::block`].
    ///
    /// *Lately used* is a second-chance clock (Corbató 1968): a guard that was taken since the hand last passed is worth one
    /// round. The hand stays at the buffer where the walk ended, so the next walk goes on with the same one, and few are left
    /// in parts. The reclaim overshoots by less than one block, and by what a purge drops, which is all of a buffer. A store
    /// that answers [`Backlog`](crate::StoreError::Backlog) gets no other transfer before it is settled; if nothing was evicted, and it
    /// has room for a transfer after that, all of it is tried once more. A buffer that refuses is skipped once.
    ///
    /// # Context
    /// With [`Evict::TRANSFER`], [`ReclaimTarget::moved`] and [`Context::INTERRUPT`] fit for an interrupt: copies nothing,
    /// allocates nothing; one load for each buffer with nothing to give, O(1) for each other that is looked at (linear in its
    /// slots if only some zones or orders are meant), and one call of the store for each block. Up to three rounds over all
    /// candidates; six for a block; twice as many if all of it is tried once more. No lock is held while
    /// anything moves. Busy, bad and empty buffers are skipped. (Of TTM's walks in `ttm_bo_shrink`, one ended at the first
    /// error.)
    pub fn reclaim<C: Candidates>(
        &self,
        candidates: C,
        target: impl Into<ReclaimTarget>,
        how: Evict,
        cx: Context,
    ) -> Report {
        Run::new(self, &candidates, target.into(), how, cx).run()
    }

    /// Reclaims what is missing until `ahead` pages are free, in free lists or in the source: a low-water mark, for an idle loop
    /// or a thread, so that others find memory without waiting. Does nothing if `ahead` pages are free already. Transferred
    /// blocks that are pending count too: they are settled before more leaves.
    ///
    /// `None` if the source does not know how much is free ([`FrameSource::supply`]). A mark above all that there is ends as
    /// [`Never`](Outcome::Never), and evicts nothing.
    ///
    /// # Context
    /// As [`reclaim`](Forebay::reclaim) for [`ReclaimTarget::freed`].
    pub fn keep_free<C: Candidates>(
        &self,
        candidates: C,
        ahead: Pages,
        how: Evict,
        cx: Context,
    ) -> Option<Report> {
        let Supply { free, ever, .. } = self.source().supply(&AllocRequest::new(Order::PAGE));
        let free = free? + self.pool().ready(Zones::ALL);
        if free >= ahead {
            return Some(Report::default());
        }
        if ever.is_some_and(|ever| ever < ahead) {
            return Some(Report { outcome: Outcome::Never, ..Report::default() });
        }
        Some(self.reclaim(candidates, ReclaimTarget::freed(ahead - free), how, cx))
    }

    /// Tries something that takes memory, such as a guard. Where memory is short, it frees some (the target counts as
    /// [freed](ReclaimTarget::freed); as moved, if a [`Limit`](crate::AllocError::Limit) is reached) and tries again. Retries while
    /// reclaim makes progress, at most `candidates + 1` times; with a [lobby](crate::FrameSource::LOBBY) it is emptied then, and one
    /// more attempt follows.
    ///
    /// In an interrupt transferred blocks are mostly not free yet, so this seldom helps there. Nothing in this crate reclaims for
    /// an allocation unless this is called.
    ///
    /// No guard may hold what the attempt itself needs. The buffer that it is about may be one of the candidates: a buffer of
    /// several blocks keeps what it got between two attempts, unless the reclaim of another thread takes it.
    ///
    /// # Errors
    /// The last one of `attempt`, when it is no shortage or no reclaim helps any more. A buffer that is larger than all memory
    /// that it may lie in is [`Never`](crate::AllocError::Never), and evicts nothing.
    ///
    /// # Context
    /// As [`reclaim`](Forebay::reclaim), each time.
    pub fn or_reclaim<T>(
        &self,
        candidates: impl Candidates,
        target: impl Into<ReclaimTarget>,
        how: Evict,
        cx: Context,
        mut attempt: impl FnMut() -> Result<T, AccessError>,
    ) -> Result<T, AccessError> {
        let target = target.into();
        // In a lobby, new contents need room in the store: what is clean elsewhere may leave for them instead.
        let full = AccessError::Store(StoreError::Full);
        let is_short = |why: AccessError| why.is_shortage() || !P::Source::LOBBY.is_empty() && why == full;
        for _ in 0..=candidates.candidate_count() {
            let why = match attempt() {
                Err(why) if is_short(why) => why,
                done => return done,
            };
            // A limit on what is in use is relieved by what leaves, whether the store can settle or not.
            let limited = why == AccessError::Alloc(AllocError::Limit);
            let measure = if limited { Measure::Moved } else { Measure::Freed };
            let target = ReclaimTarget { measure, ..target };
            // What the free lists have is of another kind than it needs; as memory it may help.
            if self.pool().trim(target.zones, target.pages, cx) > Pages::ZERO {
                continue;
            }
            let report = Run::new(self, &candidates, target, how, cx).run();
            // Pages that are pending may be enough: for a limit on what is resident.
            match (report.gained + report.evicted.moved(), report.outcome) {
                (Pages::ZERO, Outcome::Reached) => break, // it was there already
                (Pages::ZERO, _) if !P::Source::LOBBY.is_empty() => break,
                (Pages::ZERO, _) => return Err(why),
                _ => {}
            }
        }
        match attempt() {
            Err(why) if why.is_shortage() && !P::Source::LOBBY.is_empty() => {
                self.empty_lobby(&candidates, how, cx);
                attempt()
            }
            done => done,
        }
    }

    /// Evicts everything out of the lobby, and writes it out: then there is one free window, as large as the largest buffer. What
    /// lies there has room in the store, so only guards, hooks and other users of the store can keep it there.
    fn empty_lobby(&self, candidates: &dyn Candidates, how: Evict, cx: Context) {
        let request = AllocRequest::new(Order::PAGE).within(P::Source::LOBBY);
        let pages = self.source().supply(&request).ever.unwrap_or(Pages::MAX);
        let target = ReclaimTarget::moved(pages).within(P::Source::LOBBY);
        let mut chances = 2; // an interrupt may use a buffer whenever it is looked at
        for _ in 0..=candidates.candidate_count() {
            let report = Run::new(self, candidates, target, how, cx).run();
            loop {
                let settled = self.settle(Pages::MAX, cx);
                let goes_on = settled.written > Pages::ZERO && settled.error.is_none();
                if settled.freed == Pages::ZERO && !goes_on {
                    break;
                }
            }
            if report.evicted.moved() == Pages::ZERO {
                chances -= 1;
                if chances == 0 {
                    return;
                }
            }
        }
    }
}
