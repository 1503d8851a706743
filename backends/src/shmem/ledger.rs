//! The owner of each page of an arena. Numbers only: no addresses, no system calls.

use super::block::Contents;
use super::chunk::{Chunk, Chunks, Mapping, State, Sums, boxed};
use super::folio::Folio;
use crate::frames::{Buddy, StoredSet, bitmap, runs};
use core::ops::Range;
use forebay::{AllocError, Order, Pages, Pfn, StoreError};
use std::boxed::Box;

type Words = Box<[usize]>;

/// Whether the limit on resident pages holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Limit {
    Held,
    /// The pages are resident only for a moment: while they are copied, or dropped.
    Ignored,
}

/// How a chunk must be populated before a block of it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    Memory,
    Mapping,
    Nothing,
}

/// Resident pages with an owner: proof that the ledger counts them, once.
///
/// It becomes a block, and a block becomes it again. Dropping it loses the pages.
#[derive(PartialEq, Eq, Debug)]
#[must_use = "dropping it loses these pages"]
pub(crate) struct Resident {
    pub(super) pfn: Pfn,
    pub(super) order: Order,
    pub(super) contents: Contents,
}

/// The owner of each page.
///
/// # Invariants
/// 1. Each page is in one place: free in `free`, resident (with a block), stored (marked in `stored` as part of one block),
///    retired, or removed from `free` while its chunk is punched. 2. The counts of the chunks agree, each page with its chunk.
///    3. A page in `stale` is free or retired, and has memory with old bytes.
#[derive(Debug)]
pub(crate) struct Ledger {
    frames: Range<usize>,
    free: Buddy<Words>,
    stored: StoredSet<Words>,
    /// Blocks that are stored, and resident while they are read.
    lent: StoredSet<Words>,
    chunks: Chunks,
    /// A bit for each page.
    stale: Words,
    /// A bit for each page: it was exported, so it never has a second owner.
    exported: Words,
    retired: Pages,
    limit: Pages,
    per_chunk: usize,
}

impl Ledger {
    /// Bytes that a ledger takes, about.
    pub(crate) const fn bytes(pages: usize, per_chunk: usize) -> usize {
        let words = Buddy::<Words>::words(pages, 1)
            + 2 * StoredSet::<Words>::words(pages)
            + pages / 4 / size_of::<usize>();
        words * size_of::<usize>() + pages / per_chunk * size_of::<Chunk>()
    }

    /// Every page is free. `frames` is whole chunks of `per_chunk` pages. `None` if there is no memory for it.
    pub(crate) fn new(
        frames: Range<usize>,
        per_chunk: usize,
        limit: Pages,
        contents: Contents,
    ) -> Option<Ledger> {
        let pages = frames.len();
        let (stale, mapping) = match contents {
            Contents::Fresh => (0, Mapping::Hole),
            Contents::Any => (per_chunk, Mapping::Unmapped),
        };
        let chunk = Chunk { resident: 0, stored: 0, stale: stale as u32, mapping, folio: None };
        let chunks = Chunks::new(chunk, pages / per_chunk)?;
        let bits = if contents == Contents::Any { usize::MAX } else { 0 };
        Some(Ledger {
            frames: frames.clone(),
            free: Buddy::whole(&frames, boxed(0, Buddy::<Words>::words(pages, 1))?),
            stored: StoredSet::new(frames.clone(), boxed(0, StoredSet::<Words>::words(pages))?),
            lent: StoredSet::new(frames, boxed(0, StoredSet::<Words>::words(pages))?),
            chunks,
            stale: boxed(bits, bitmap::plain_words(pages))?,
            exported: boxed(0, bitmap::plain_words(pages))?,
            retired: Pages::ZERO,
            limit,
            per_chunk,
        })
    }

    pub(crate) fn free(&self) -> Pages {
        self.free.free()
    }

    pub(crate) fn total(&self) -> Pages {
        Pages::new(self.frames.len())
    }

    pub(crate) fn retired(&self) -> Pages {
        self.retired
    }

    pub(crate) fn limit(&self) -> Pages {
        self.limit
    }

    pub(crate) fn set_limit(&mut self, limit: Pages) {
        self.limit = limit;
    }

    pub(crate) fn sums(&self) -> Sums {
        self.chunks.sums()
    }

    /// The first page of a block in the arena, if the arena has such a block.
    pub(crate) fn index(&self, pfn: Pfn, order: Order) -> Option<usize> {
        self.stored.has(pfn, order).then(|| pfn.0 - self.frames.start)
    }

    /// The frame with that number in the arena.
    pub(crate) fn pfn(&self, index: usize) -> Option<Pfn> {
        self.frames.start.checked_add(index).filter(|pfn| self.frames.contains(pfn)).map(Pfn)
    }

    /// The chunks of a block.
    pub(crate) fn chunks_of(&self, pfn: Pfn, order: Order) -> Range<usize> {
        let first = pfn.0 - self.frames.start;
        let shift = self.per_chunk.trailing_zeros(); // a power of two, and so no division
        first >> shift..((first + order.pages().get() - 1) >> shift) + 1
    }

    fn is_over(&self, more: Pages) -> bool {
        Pages::new(self.sums().resident) + more > self.limit
    }

    /// Whether [`reserve`](Ledger::reserve) finds a block within the limit.
    pub(crate) fn has(&mut self, order: Order) -> bool {
        !self.is_over(order.pages()) && self.free.has(order)
    }

    /// A free block becomes resident. Its chunks still have to be populated.
    pub(crate) fn reserve(&mut self, order: Order, limit: Limit) -> Result<Resident, AllocError> {
        if limit == Limit::Held && self.is_over(order.pages()) {
            return Err(AllocError::Limit);
        }
        let pfn = self.free.take_now(order).ok_or(AllocError::Exhausted)?;
        Ok(self.claim(pfn, order))
    }

    /// What was free is resident.
    fn claim(&mut self, pfn: Pfn, order: Order) -> Resident {
        let contents = if self.take_stale(pfn, order) == 0 { Contents::Fresh } else { Contents::Any };
        self.count(pfn, order, Chunk::claim);
        Resident { pfn, order, contents }
    }

    /// That very block becomes resident, if all of it is free. Its chunks still have to be populated.
    pub(crate) fn reserve_at(
        &mut self,
        pfn: Pfn,
        order: Order,
        limit: Limit,
    ) -> Result<Resident, AllocError> {
        let frames = pfn.0..pfn.0 + order.pages().get();
        if self.index(pfn, order).is_none() {
            return Err(AllocError::Never);
        }
        if limit == Limit::Held && self.is_over(order.pages()) {
            return Err(AllocError::Limit);
        }
        // Free buddies are one block, so these frames are all free only if they lie in one.
        if self.free.free_block(frames.start).is_none_or(|block| block.end < frames.end) {
            return Err(AllocError::Exhausted);
        }
        self.free.take_run(frames.start, frames.end);
        Ok(self.claim(pfn, order))
    }

    /// Resident pages become free; exported ones are retired.
    pub(crate) fn release(&mut self, pages: Resident) {
        let Resident { pfn, order, contents } = pages;
        self.count(pfn, order, |chunk, pages| chunk.resident -= pages);
        self.retire(pfn, order, contents);
    }

    /// Resident pages become stored. Returns their number in the arena.
    pub(crate) fn mark_stored(&mut self, pages: Resident) -> usize {
        self.store(pages.pfn, pages.order);
        pages.pfn.0 - self.frames.start
    }

    /// The same of pages of whatever memory. Returns whether they are of this arena; then they are resident no more.
    #[inline]
    pub(crate) fn store(&mut self, pfn: Pfn, order: Order) -> bool {
        let is_ours = self.stored.mark(pfn, order);
        if is_ours {
            self.count(pfn, order, |chunk, pages| {
                chunk.resident -= pages;
                chunk.stored += pages;
            });
        }
        is_ours
    }

    /// A stored block becomes resident. Its chunks still have to be populated.
    pub(crate) fn take_back(&mut self, pfn: Pfn, order: Order, limit: Limit) -> Result<Resident, StoreError> {
        if !self.is_stored(pfn, order) {
            return Err(StoreError::NotStored);
        }
        if limit == Limit::Held && self.is_over(order.pages()) {
            return Err(StoreError::Limit);
        }
        self.stored.unmark(pfn, order);
        self.count(pfn, order, |chunk, pages| {
            chunk.claim(pages);
            chunk.stored -= pages;
        });
        Ok(Resident { pfn, order, contents: Contents::Any })
    }

    /// A stored block becomes resident as it is, whatever the limit. Does not populate. A later access may fault pages in, so the
    /// chunk becomes `Unknown`.
    pub(crate) fn take_out(&mut self, pfn: Pfn, order: Order) -> Result<Resident, StoreError> {
        let pages = self.take_back(pfn, order, Limit::Ignored)?;
        for chunk in self.chunks_of(pfn, order) {
            self.touched(chunk);
        }
        Ok(pages)
    }

    /// Two neighbours of one order become one, if that is a block of this arena.
    pub(crate) fn join(&self, left: Resident, right: Resident) -> Result<Resident, (Resident, Resident)> {
        let next = left.pfn.0 + left.order.pages().get() == right.pfn.0;
        match Order::new(left.order.get() + 1).filter(|_| next && left.order == right.order) {
            Some(order) if self.stored.has(left.pfn, order) => {
                let fresh = left.contents == Contents::Fresh && right.contents == Contents::Fresh;
                let contents = if fresh { Contents::Fresh } else { Contents::Any };
                Ok(Resident { pfn: left.pfn, order, contents })
            }
            _ => Err((left, right)),
        }
    }

    /// A stored block becomes resident while it is read, and is not stored meanwhile.
    pub(crate) fn lend(&mut self, pfn: Pfn, order: Order) -> Result<Resident, StoreError> {
        if self.lent.is_marked(pfn, order) {
            return Err(StoreError::Busy);
        }
        let pages = self.take_back(pfn, order, Limit::Ignored)?;
        self.lent.mark(pfn, order);
        Ok(pages)
    }

    /// What was lent is stored again.
    pub(crate) fn give_back(&mut self, pages: Resident) {
        self.lent.unmark(pages.pfn, pages.order);
        self.mark_stored(pages);
    }

    pub(crate) fn is_stored(&self, pfn: Pfn, order: Order) -> bool {
        self.stored.is_marked(pfn, order)
    }

    /// A stored block becomes free. Returns whether there was one.
    pub(crate) fn discard(&mut self, pfn: Pfn, order: Order) -> bool {
        let stored = self.stored.unmark(pfn, order);
        if stored {
            self.count(pfn, order, |chunk, pages| chunk.stored -= pages);
            self.retire(pfn, order, Contents::Any);
        }
        stored
    }

    /// A stored block becomes two.
    pub(crate) fn split(&mut self, pfn: Pfn, order: Order) -> Result<Order, StoreError> {
        if !self.is_stored(pfn, order) {
            return Err(StoreError::NotStored);
        }
        let half = order.lower().ok_or(StoreError::TooLarge)?;
        self.stored.unmark(pfn, order);
        self.stored.mark(pfn, half);
        self.stored.mark(Pfn(pfn.0 + half.pages().get()), half);
        Ok(half)
    }

    /// These pages are exported from now on.
    pub(crate) fn export(&mut self, pfn: Pfn, order: Order) {
        let pages = self.pages(pfn, order);
        runs::set(&mut self.exported, pages);
    }

    /// These pages are not exported any more.
    pub(crate) fn unexport(&mut self, pfn: Pfn, order: Order) {
        let pages = self.pages(pfn, order);
        runs::clear(&mut self.exported, pages);
    }

    /// Whether a page of a block was ever exported.
    pub(crate) fn is_exported(&self, pfn: Pfn, order: Order) -> bool {
        self.index(pfn, order).is_some() && runs::any(&self.exported, self.pages(pfn, order))
    }

    /// What a chunk needs before it is used. It is reserved, so its state stays until then.
    pub(crate) fn need(&self, chunk: usize) -> Need {
        match self.chunks.get(chunk).map(|c| c.mapping) {
            Some(Mapping::Hole) => Need::Memory,
            Some(Mapping::Unmapped | Mapping::Unknown) => Need::Mapping,
            // A chunk that is being unmapped is populated again by the settle.
            _ => Need::Nothing,
        }
    }

    /// A chunk was populated, and consists of such folios.
    pub(crate) fn populated(&mut self, chunk: usize, folio: Option<Folio>) {
        self.chunks.change(chunk, |c| {
            c.mapping = Mapping::Mapped;
            c.folio = folio.or(c.folio);
        });
    }

    /// A part of a chunk may be touched, or populating it failed half way.
    pub(crate) fn touched(&mut self, chunk: usize) {
        self.chunks.change(chunk, |c| {
            if matches!(c.mapping, Mapping::Hole | Mapping::Unmapped) {
                c.mapping = Mapping::Unknown;
            }
        });
    }

    /// The next clean chunk, from `at` on: unmapped, with stored contents only.
    pub(crate) fn clean(&self, at: usize) -> Option<usize> {
        (at..self.chunks.count()).find(|n| self.chunks.get(*n).is_some_and(|c| c.state() == State::Clean))
    }

    /// The next chunks to unmap, from `at` on: they are being unmapped from now on.
    pub(crate) fn begin_unmap(&mut self, at: usize, most: usize) -> Option<Range<usize>> {
        let run = self.chunks.run(State::Queued, at, most)?;
        for n in run.clone() {
            self.chunks.change(n, |c| c.mapping = Mapping::Unmapping);
        }
        Some(run)
    }

    /// Chunks, 64 at most, were unmapped, or perhaps not (`Unknown`). Returns a bit for each of which pages were given out meanwhile: it
    /// has to be populated again, and is being unmapped until [`end_again`](Ledger::end_again).
    pub(crate) fn end_unmap(&mut self, run: &Range<usize>, mapping: Mapping) -> u64 {
        let mut again = 0;
        for (n, chunk) in run.clone().enumerate() {
            let Some((resident, was)) = self.chunks.get(chunk).map(|c| (c.resident, c.mapping)) else {
                continue;
            };
            if resident > 0 {
                again |= 1 << n;
            } else {
                let mapping = if was == Mapping::Raced { Mapping::Unknown } else { mapping };
                self.chunks.change(chunk, |c| c.mapping = mapping);
            }
        }
        again
    }

    /// A chunk that was being unmapped was populated again, or perhaps not (`Unknown`).
    pub(crate) fn end_again(&mut self, chunk: usize, mapping: Mapping) {
        self.chunks.change(chunk, |c| c.mapping = mapping);
    }

    /// The next dead chunks, from `at` on: their pages are not given out from now on.
    pub(crate) fn begin_punch(&mut self, at: usize, most: usize) -> Option<Range<usize>> {
        let run = self.chunks.run(State::Dead, at, most)?;
        for n in run.clone() {
            let pages = self.frames_of(n);
            let mut at = pages.start;
            loop {
                let run = self.free.take_run(at, pages.end);
                if run.is_empty() {
                    break;
                }
                at = run.end;
            }
            self.chunks.change(n, |c| c.mapping = Mapping::Punching);
        }
        Some(run)
    }

    /// A chunk lost its memory, or not. Its pages are free again, except for exported ones.
    pub(crate) fn end_punch(&mut self, chunk: usize, mapping: Mapping) {
        let pages = self.frames_of(chunk);
        let first = self.frames.start;
        if mapping == Mapping::Hole {
            runs::clear(&mut self.stale, pages.start - first..pages.end - first);
        }
        let mut at = pages.start;
        while at < pages.end {
            let exported = bitmap::get(&self.exported, at - first);
            let end = (at..pages.end)
                .find(|page| bitmap::get(&self.exported, page - first) != exported)
                .unwrap_or(pages.end);
            if !exported {
                self.free.put_run(at..end);
            }
            at = end;
        }
        self.chunks.change(chunk, |c| {
            c.mapping = mapping;
            if mapping == Mapping::Hole {
                (c.stale, c.folio) = (0, None);
            }
        });
    }

    /// Frees the pages of a block, or retires them, with the bytes that they have.
    fn retire(&mut self, pfn: Pfn, order: Order, contents: Contents) {
        if contents == Contents::Any {
            self.make_stale(pfn, order);
        }
        let first = self.frames.start;
        if !runs::any(&self.exported, self.pages(pfn, order)) {
            return self.free.put_now(pfn, order);
        }
        for page in self.pages(pfn, order) {
            if bitmap::get(&self.exported, page) {
                self.retired += Pages::new(1);
            } else {
                self.free.put_now(Pfn(first + page), Order::PAGE);
            }
        }
    }

    /// Marks the pages of a block as stale, except for those in a hole, which have no bytes: a block of several chunks may have
    /// been refused before all of them were populated.
    fn make_stale(&mut self, pfn: Pfn, order: Order) {
        for chunk in self.chunks_of(pfn, order) {
            if self.chunks.get(chunk).is_some_and(|c| c.mapping != Mapping::Hole) {
                let here = self.pages_in(chunk, pfn, order);
                self.chunks.change(chunk, |c| c.stale += here.len() as u32);
                runs::set(&mut self.stale, here);
            }
        }
    }

    /// Removes the marks of stale pages. Returns how many there were.
    fn take_stale(&mut self, pfn: Pfn, order: Order) -> u32 {
        let mut sum = 0;
        for chunk in self.chunks_of(pfn, order) {
            let here = self.pages_in(chunk, pfn, order);
            let stale = runs::clear(&mut self.stale, here);
            if stale > 0 {
                self.chunks.change(chunk, |c| c.stale -= stale);
            }
            sum += stale;
        }
        sum
    }

    /// Changes the counts of each chunk of a block; `f` receives how many pages of the block are in it.
    fn count(&mut self, pfn: Pfn, order: Order, f: impl Fn(&mut Chunk, u32)) {
        let pages = order.pages().get().min(self.per_chunk) as u32;
        for n in self.chunks_of(pfn, order) {
            self.chunks.change(n, |chunk| f(chunk, pages));
        }
    }

    /// The pages of a block, by number in the arena.
    fn pages(&self, pfn: Pfn, order: Order) -> Range<usize> {
        let first = pfn.0 - self.frames.start;
        first..first + order.pages().get()
    }

    /// Its pages in a chunk.
    fn pages_in(&self, chunk: usize, pfn: Pfn, order: Order) -> Range<usize> {
        let (pages, first) = (self.pages(pfn, order), chunk * self.per_chunk);
        pages.start.max(first)..pages.end.min(first + self.per_chunk)
    }

    /// The frames of a chunk.
    fn frames_of(&self, chunk: usize) -> Range<usize> {
        let first = self.frames.start + chunk * self.per_chunk;
        first..first + self.per_chunk
    }
}

#[cfg(test)]
mod tests;
