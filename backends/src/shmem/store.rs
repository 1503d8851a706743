//! The arena as the store for its own blocks.

use super::chunk::Mapping;
use super::ledger::{Limit, Resident};
use super::step::{Step, Todo};
use super::sys::Populate;
use super::{Arena, ArenaBlock, Swap, TakeBack, Unmap};
use core::ops::Range;
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Pfn, Refused, StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
    sync::RawMutex,
};

impl<const PAGE: usize, L: RawMutex> Arena<PAGE, L> {
    /// The stored block that a handle names.
    pub(super) fn find(&self, handle: &Handle, id: StoreId) -> Result<(Pfn, Order), StoreError> {
        let (pfn, order) = self.name(handle, id)?;
        let stored = self.ledger.lock(|l| l.is_stored(pfn, order));
        stored.then_some((pfn, order)).ok_or(StoreError::NotStored)
    }

    /// The block that a handle names, whether it is stored or not.
    pub(super) fn name(&self, handle: &Handle, id: StoreId) -> Result<(Pfn, Order), StoreError> {
        if handle.store() != id {
            return Err(StoreError::WrongStore);
        }
        if !self.is_here() {
            return Err(StoreError::Unavailable);
        }
        let pfn = self.ledger.lock(|l| l.pfn(handle.value()));
        pfn.map(|pfn| (pfn, handle.order())).ok_or(StoreError::NotStored)
    }

    /// Stores a block, under a handle of that store.
    pub(super) fn mark_stored(
        &self,
        block: ArenaBlock<PAGE>,
        id: StoreId,
    ) -> Result<Handle, Refused<ArenaBlock<PAGE>, StoreError>> {
        if !self.is_here() {
            return Err(Refused { item: block, why: StoreError::Unavailable });
        }
        let (pfn, order) = (block.pfn(), block.order());
        let index = pfn.0.wrapping_sub(self.mapping.base().addr().get() / PAGE);
        match Handle::new(id, order, index) {
            Some(handle) if block.is_here() && self.ledger.lock(|l| l.store(pfn, order)) => Ok(handle),
            _ => Err(Refused { item: block, why: StoreError::WrongStore }),
        }
    }

    /// Halves what is stored under a handle.
    pub(super) fn halve(
        &self,
        handle: Handle,
        id: StoreId,
    ) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let half = self.find(&handle, id).and_then(|(pfn, order)| self.ledger.lock(|l| l.split(pfn, order)));
        let handles = half.and_then(|half| {
            let upper = handle.value() + half.pages().get();
            let both = Handle::new(id, half, handle.value()).zip(Handle::new(id, half, upper));
            both.ok_or(StoreError::Io) // smaller orders have the same values, so not reached
        });
        handles.map_err(|why| Refused { item: handle, why })
    }

    /// Unmaps stored chunks and punches dead ones, if `cx` permits; counts. What fails is tried again by the next one.
    pub(super) fn flush(&self, cx: Context) -> Settled {
        let mut settled = Settled::default();
        if !self.is_here() {
            settled.error = Some(StoreError::Unavailable);
            return settled;
        }
        let todo = match (self.unmap, &self.host.swap) {
            _ if !cx.contains(Context::MAY_BLOCK) => Todo::Nothing,
            (Unmap::WithSwap, Swap::None) => Todo::Punch,
            _ => Todo::UnmapAndPunch,
        };
        // One lock section for each step: it ends one, begins the next, or counts if there is none.
        let mut result = Ok(());
        let mut step = self.ledger.lock(|l| l.first_step(todo));
        let sums = loop {
            let done = match &step {
                Step::Unmap(run) => self.unmap_everywhere(run),
                Step::Punch(run) => self.punch(run).map_err(|_| StoreError::Io),
                Step::None(sums) => break *sums,
            };
            let (again, next) = self.ledger.lock(|l| l.end_step(&step, done.map_err(|_| ())));
            for chunk in again {
                let again = self.bring_again(chunk);
                let mapping = if again.is_ok() { Mapping::Mapped } else { Mapping::Unknown };
                self.ledger.lock(|l| l.end_again(chunk, mapping));
                result = result.and(again);
            }
            (result, step) = (result.and(done), next);
        };
        settled.error = result.err();
        settled.pending = Pages::new(sums.pending);
        settled.reclaimable = Pages::new(sums.reclaimable);
        settled.held = Pages::new(sums.stale);
        settled
    }

    /// A page of the chunk was given out while it was unmapped: populates it again. Its memory is resident, so this takes none.
    pub(super) fn bring_again(&self, chunk: usize) -> Result<(), StoreError> {
        let range = self.bytes_of(&(chunk..chunk + 1));
        let _until_it_is_there = self.claim(&range, Populate::Back).ok_or(StoreError::NoHeadroom)?;
        self.mapping.populate(range, Populate::Back).map_err(|_| StoreError::Io)
    }

    /// Makes a block that was taken back accessible, as the arena was told to.
    fn bring_back(&self, pages: &Resident, cx: Context) -> Result<(), StoreError> {
        match self.taking_back {
            TakeBack::Populate => self.populate_chunks(pages.pfn, pages.order, cx),
            TakeBack::OnTouch => {
                self.ledger.lock(|l| l.chunks_of(pages.pfn, pages.order).for_each(|chunk| l.touched(chunk)));
                Ok(())
            }
        }
    }

    fn unmap_everywhere(&self, chunks: &Range<usize>) -> Result<(), StoreError> {
        let range = self.bytes_of(chunks);
        let first = match self.pin {
            Some(_) => self.mapping.unmap_locked(range.clone()),
            None => self.mapping.unmap(range.clone()),
        };
        let others = || self.aliases.iter().try_for_each(|mapping| mapping.unmap(range.clone()));
        first.and_then(|()| others()).map_err(|_| StoreError::Io)
    }
}

impl<const PAGE: usize, L: RawMutex> BackingStore<ArenaBlock<PAGE>> for Arena<PAGE, L> {
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    /// No copying: it would only move pages inside of the arena.
    fn capabilities(&self) -> Capabilities {
        Capabilities::TRANSFER | Capabilities::TAKE_BACK | Capabilities::SPLIT
    }

    /// Everything that is not stored yet.
    fn space(&self) -> Space {
        let usage = self.usage();
        Space { pages: usage.total - usage.retired - usage.stored(), transfers: usize::MAX }
    }

    /// Never full. [`StoreError::WrongStore`]: a block of another arena.
    fn transfer(
        &self,
        block: ArenaBlock<PAGE>,
        _: Option<Charge>,
    ) -> Result<Handle, Refused<ArenaBlock<PAGE>, StoreError>> {
        self.mark_stored(block, self.id)
    }

    /// Populates the whole chunk if it was unmapped; that needs the right to block. With [`TakeBack::OnTouch`] it makes no system call.
    fn take_back(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<ArenaBlock<PAGE>, Refused<Handle, StoreError>> {
        let taken = self
            .find(&handle, self.id)
            .and_then(|(pfn, order)| self.ledger.lock(|l| l.take_back(pfn, order, Limit::Held)));
        let why = match taken {
            Ok(pages) => match self.bring_back(&pages, cx) {
                Ok(()) => return Ok(self.block(pages)),
                Err(why) => {
                    self.ledger.lock(|l| l.mark_stored(pages));
                    why
                }
            },
            Err(why) => why,
        };
        Err(Refused { item: handle, why })
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.halve(handle, self.id)
    }

    /// Does not populate. A later access may fault pages in, so the chunk becomes `Unknown`: its stored pages are pending until the
    /// next settle.
    fn discard(&self, handle: Handle) -> Result<Option<ArenaBlock<PAGE>>, Refused<Handle, StoreError>> {
        let pages =
            self.find(&handle, self.id).and_then(|(pfn, order)| self.ledger.lock(|l| l.take_out(pfn, order)));
        pages.map(|pages| Some(self.block(pages))).map_err(|why| Refused { item: handle, why })
    }

    /// Nothing is written out, so the budget is ignored, and no block is returned.
    fn settle(&self, _: Pages, cx: Context, _: &mut dyn FnMut(ArenaBlock<PAGE>)) -> Settled {
        self.flush(cx)
    }
}
