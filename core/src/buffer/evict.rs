//! The way out: a walk over the slots, in batches of blocks that share one flush.

use crate::buffer::cell::Reference;
use crate::buffer::contents::{Changing, Contents, Cursor, Marks};
use crate::buffer::mapping::{Mapped, unmap_at};
use crate::buffer::slot::{slots_of, span_at};
use crate::buffer::{Buffer, Class, EvictRequest, HeldOf, ModeOf, Phase, SideTables, Slot, Slots};
use crate::forebay::{Forebay, Home};
use crate::frame::{Context, Evict, Mode, Order, Pages, Zones};
use crate::pool::BATCH;
use crate::port::{BackingStore, Capabilities, EvictHooks, FrameSource, OwnedBlock, Platform, StoreError};
use crate::stats::{self, Event, Evicted, RefusalReason};
use heapless::Vec;

mod sealed {
    pub trait Sealed {}
}

/// Something that gives up pages: a buffer of any shape, or a reference to one. Object safe: `&(dyn Evictable + Sync)` in a
/// static array names buffers of several types. Implemented by this crate only.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no buffer",
    label = "not something that can be evicted"
)]
pub trait Evictable: sealed::Sealed {
    /// Evicts as the request says, unless the buffer is in use, or was used since the last request (then the next one may): O(1)
    /// then. It ends at the first whole block past the budget, and as soon as another context wants the buffer. `sum` is zero
    /// before. Returns whether the buffer was held for it.
    #[doc(hidden)]
    fn evict_or_skip(&self, request: &EvictRequest, sum: &mut Evicted) -> bool;

    /// The same, whether the buffer was used or not: a policy selected it.
    #[doc(hidden)]
    fn evict_selected(&self, request: &EvictRequest, sum: &mut Evicted) -> bool;

    /// As [`evict_or_skip`](Evictable::evict_or_skip) about `pages` pages, not zero, only by transfer, for an interrupt. `None` if it
    /// was skipped. A method of its own: a program that evicts only by this links no other way out.
    #[doc(hidden)]
    fn transfer_or_skip(&self, pages: Pages) -> Option<Moved>;

    /// What the buffer may have to give. One load.
    #[doc(hidden)]
    fn class(&self) -> Class;
}

/// What one buffer did in a pass by transfer.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Moved {
    /// Pages that left, transferred or clean.
    pub(crate) pages: Pages,
    /// The store refused one before it is settled.
    pub(crate) backlog: bool,
}

impl Moved {
    /// That part of what an eviction by transfer did.
    pub(crate) fn of(sum: &Evicted) -> Moved {
        Moved { pages: sum.moved(), backlog: sum.backlogs > 0 }
    }
}

/// Implements [`Evictable`] for a pointer.
macro_rules! evictable_behind {
    ($(#[$attr:meta])* $pointer:ty) => {
        $(#[$attr])*
        impl<E: Evictable + ?Sized> sealed::Sealed for $pointer {}
        $(#[$attr])*
        impl<E: Evictable + ?Sized> Evictable for $pointer {
            fn evict_or_skip(&self, request: &EvictRequest, sum: &mut Evicted) -> bool {
                (**self).evict_or_skip(request, sum)
            }
            fn evict_selected(&self, request: &EvictRequest, sum: &mut Evicted) -> bool {
                (**self).evict_selected(request, sum)
            }
            fn transfer_or_skip(&self, pages: Pages) -> Option<Moved> {
                (**self).transfer_or_skip(pages)
            }
            fn class(&self) -> Class {
                (**self).class()
            }
        }
    };
}
evictable_behind!(&E);
evictable_behind!(#[cfg(feature = "alloc")] alloc::sync::Arc<E>);
evictable_behind!(#[cfg(feature = "alloc")] alloc::rc::Rc<E>);
evictable_behind!(#[cfg(feature = "alloc")] alloc::boxed::Box<E>);

impl<H: Home, T: Slots<Platform = H::Platform>> sealed::Sealed for Buffer<H, T> {}
impl<H: Home, T: Slots<Platform = H::Platform>> Evictable for Buffer<H, T> {
    fn evict_or_skip(&self, request: &EvictRequest, sum: &mut Evicted) -> bool {
        let Some(mut held) = self.hold_for(request) else { return false };
        if Self::ONE_BLOCK {
            self.evict_one(&mut held, request, sum);
        } else {
            self.evict_held(&mut held, request, sum);
        }
        // After a backlog the store may still take a transfer, once it is settled.
        let by_platform = matches!(sum.why, Some(RefusalReason::Hook | RefusalReason::Mode(_)));
        if sum.why.is_some() && sum.backlogs == 0 && (by_platform || !request.after_backlog) {
            self.cell.set_reference(Reference::Refused);
        }
        true
    }

    fn transfer_or_skip(&self, pages: Pages) -> Option<Moved> {
        let request = EvictRequest::new(pages, Evict::TRANSFER, Context::INTERRUPT);
        if !Self::ONE_BLOCK {
            let mut sum = Evicted::default();
            let held = self.evict_or_skip(&request, &mut sum);
            return held.then(|| Moved::of(&sum));
        }
        let mut held = self.hold_for(&request)?;
        let (moved, refused) = self.transfer_one(&mut held);
        if refused && !moved.backlog {
            self.cell.set_reference(Reference::Refused);
        }
        Some(moved)
    }

    fn evict_selected(&self, request: &EvictRequest, sum: &mut Evicted) -> bool {
        self.cell.set_reference(Reference::Idle);
        self.evict_or_skip(request, sum)
    }

    fn class(&self) -> Class {
        self.cell.class()
    }
}

/// What one eviction may do, and did. What it does is counted at once: a later panic of a port loses no count.
pub(super) struct Eviction<'f, H: Home> {
    pub(super) forebay: &'f Forebay<H::Platform, H::Store>,
    /// The methods that are left.
    pub(super) methods: Evict,
    /// Why a block is refused if no method is left. `None` if that is no refusal: only clean blocks are wanted.
    pub(super) why_none: Option<RefusalReason>,
    /// Pages that may still leave, about.
    budget: Pages,
    pub(super) cx: Context,
    least: Order,
    zones: Zones,
    pub(super) sum: &'f mut Evicted,
    /// The class of the blocks that were skipped or refused.
    left: Class,
    /// A refused block changed its mode, or is in parts now.
    pub(super) disturbed: bool,
    /// The store lost something.
    pub(super) lost: bool,
}

impl<H: Home> Eviction<'_, H> {
    /// Whether a block of this size and zone is meant.
    fn is_for(&self, block: &H::Block) -> bool {
        let anywhere = self.zones == Zones::ALL;
        block.order() >= self.least
            && (anywhere || self.zones.contains(Zones::of(self.forebay.source().zone(block))))
    }

    /// Whether any of these slots has a block that is meant. Looks at them only if some may not be meant.
    pub(super) fn is_about(&self, slots: &[Slot<H::Platform>], unit: Order) -> bool {
        let all = self.least <= unit && self.zones == Zones::ALL;
        all || slots.iter().any(|slot| slot.block.as_ref().is_some_and(|block| self.is_for(block)))
    }

    /// A block of that class that is not tried. It is a refusal if there is a reason.
    pub(super) fn skip(&mut self, class: Class, why: Option<RefusalReason>) {
        self.left |= class;
        if let Some(why) = why {
            self.refuse(Pages::ZERO, why);
        }
    }

    /// Counts `pages` as refused, zero for a block that is not tried, and the reason.
    pub(super) fn refuse(&mut self, pages: Pages, why: RefusalReason) {
        self.sum.refused += pages;
        self.sum.why = self.sum.why.or(Some(why));
        self.forebay.count(|stats| {
            stats.evicted.refused += pages;
            stats.refusals.add(why);
        });
    }

    /// The store gave something else than it was given: the contents of the block are gone.
    pub(super) fn lose(&mut self) {
        (self.lost, self.disturbed) = (true, true);
        self.refuse(Pages::ZERO, RefusalReason::Store(StoreError::Io));
    }

    /// After a backlog the store would not take the next one either.
    pub(super) fn note_backlog(&mut self, why: StoreError) {
        if why == StoreError::Backlog {
            self.why_none = Some(RefusalReason::Store(why));
            self.count(Pages::ZERO, |sum| sum.backlogs = sum.backlogs.saturating_add(1));
            self.methods.remove(Evict::TRANSFER);
        }
    }

    /// Counts what was done, for the caller and for the forebay: `pages` left, and `add` says how.
    pub(super) fn count(&mut self, pages: Pages, add: impl Fn(&mut Evicted)) {
        self.budget -= pages;
        add(self.sum);
        let in_interrupt = if self.cx.contains(Context::MAY_BLOCK) { Pages::ZERO } else { pages };
        self.forebay.count(|stats| {
            add(&mut stats.evicted);
            stats.in_interrupts += in_interrupt;
        });
    }

    /// Whether the rest of the slots need not be looked at.
    fn is_over(&self, marks: Marks) -> bool {
        let nothing_left = self.methods.is_empty() && !marks.contains(Marks::CLEAN);
        nothing_left || self.budget == Pages::ZERO
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Blocks that share one flush.
    const BATCH: usize = if T::ONE { 1 } else { BATCH };

    /// Holds the buffer for an eviction, unless it is in use or the request skips it.
    #[inline]
    fn hold_for(&self, request: &EvictRequest) -> Option<HeldOf<'_, H, T>> {
        if request.phase != Phase::Purge && self.platform().hooks().second_chance(self.id(), request.cx) {
            self.cell.set_reference(Reference::Used);
        }
        if request.skips(self.cell.class(), self.cell.reference()) {
            if request.phase != Phase::Clean {
                self.cell.set_reference(Reference::Idle);
            }
            return None;
        }
        self.cell.hold_quietly()
    }

    /// Evicts block after block until the budget is reached or another context wants the buffer. If nothing was evicted, nothing
    /// changed.
    #[inline(never)] // so that it is short to skip a buffer
    pub(super) fn evict_held(&self, contents: &mut Contents<T>, request: &EvictRequest, sum: &mut Evicted) {
        let purges = request.how.contains(Evict::PURGE) && contents.marks.may_be_purged();
        let moves = request.phase != Phase::Purge && contents.marks.contains(Marks::BLOCKS);
        if request.budget == Pages::ZERO || !(purges || moves) {
            return;
        }
        let EvictRequest { budget, cx, least, zones, .. } = *request;
        let methods = (request.how - Evict::PURGE) & possible(self.forebay().store(), cx);
        let mut eviction = Eviction::<H> {
            forebay: self.forebay(),
            methods,
            why_none: if methods.is_empty() { self.why_none(request) } else { None },
            budget,
            cx,
            least,
            zones,
            sum,
            left: Class::empty(),
            disturbed: false,
            lost: false,
        };
        if purges || Self::ONE_BLOCK {
            self.purge_held(contents, &mut eviction); // one block moves by the short way
        } else if !eviction.is_about(contents.slots.slots(), self.unit) {
            return; // nothing of it is meant
        } else if methods.is_empty() && !contents.marks.contains(Marks::CLEAN) {
            let why = eviction.why_none;
            eviction.skip(Class::RESIDENT, why);
        } else {
            self.evict_blocks(contents, &mut eviction);
        }
        stats::send(Event::Evicted(self.id(), *eviction.sum));
        if eviction.lost {
            stats::send(Event::Lost(self.id()));
        }
    }

    /// Why none of the methods of a request is possible. `None` if that is no refusal.
    fn why_none(&self, request: &EvictRequest) -> Option<RefusalReason> {
        (request.phase != Phase::Clean).then(|| self.why_no_method(request.how))
    }

    /// Why none of these methods is possible.
    #[cold]
    pub(super) fn why_no_method(&self, how: Evict) -> RefusalReason {
        let how = how - Evict::PURGE;
        if how.is_empty() {
            RefusalReason::NotPermitted
        } else if (how & possible(self.forebay().store(), Context::THREAD)).is_empty() {
            RefusalReason::Store(StoreError::Unsupported)
        } else {
            RefusalReason::Store(StoreError::Context)
        }
    }

    /// The walk: batch after batch is made ready to leave, and written back.
    fn evict_blocks(&self, contents: &mut Contents<T>, eviction: &mut Eviction<'_, H>) {
        let was_mapped = !contents.marks.contains(Marks::UNMAPPED);
        if self.before_evict(contents, eviction.cx).is_err() {
            return eviction.refuse(Pages::ZERO, RefusalReason::Hook);
        }
        let ready = contents.marks & Marks::READY;
        contents.marks.remove(Marks::READY);
        let changing = Changing::new(contents);
        let (mut cursor, mut ended) = (Cursor::default(), None);
        while ended.is_none() {
            let (batch, seen_all) = self.stage(changing.0, &mut cursor, eviction);
            if seen_all || batch.is_empty() {
                ended = Some(if seen_all { Ended::AllSeen } else { Ended::Early });
            }
            'batch: for staged in &batch {
                let (mut at, mut last) = (staged.slot, staged.slot);
                while at < staged.end {
                    self.write_back(changing.0, at, eviction);
                    cursor.skip(last, at);
                    if eviction.is_over(changing.0.marks) || self.cell.is_wanted() {
                        changing.0.next = at;
                        ended = Some(if T::ONE { Ended::AllSeen } else { Ended::Early });
                        break 'batch;
                    }
                    last = at;
                    at += span_at(changing.0.slots.slots(), at, self.unit);
                }
            }
            self.unstage(changing.0, &batch, eviction);
        }
        changing.done();
        if eviction.sum.transferred > Pages::ZERO {
            contents.marks.insert(Marks::STORED | Marks::TRANSFERRED);
        }
        if eviction.sum.copied + eviction.sum.clean > Pages::ZERO {
            contents.marks.insert(Marks::STORED);
        }
        if eviction.lost {
            contents.marks.insert(Marks::LOST);
        }
        if ended == Some(Ended::AllSeen) && eviction.sum.why.is_none() {
            contents.marks.set(Marks::BLOCKS, !eviction.left.is_empty());
            contents.marks.set(Marks::CLEAN, eviction.left.contains(Class::CLEAN));
        }
        if eviction.sum.moved() > Pages::ZERO || eviction.disturbed {
            return; // the next guard repairs it, and then runs the hook
        }
        if was_mapped && self.platform().hooks().after_restore(self.id(), eviction.cx).is_ok() {
            contents.marks.remove(Marks::UNMAPPED);
            contents.marks.insert(ready); // nothing happened
        }
    }

    /// The slots of the next block that is meant.
    fn next_meant(
        &self,
        contents: &mut Contents<T>,
        cursor: &mut Cursor,
        eviction: &mut Eviction<'_, H>,
    ) -> Option<(usize, usize)> {
        let stale = Self::is_stale(contents);
        loop {
            let i = cursor.next(contents, self.unit)?;
            let slot = contents.slots.slots().get(i)?;
            let Some(block) = &slot.block else { continue };
            let class = if slot.copy.is_some() && !stale { Class::CLEAN } else { Class::RESIDENT };
            let tried = class == Class::CLEAN || !eviction.methods.is_empty();
            if tried && eviction.is_for(block) {
                return Some((i, i + slots_of(block.order(), self.unit)));
            }
            let why = if tried { None } else { eviction.why_none };
            eviction.skip(class, why);
        }
    }

    /// Makes the next few blocks ready to leave, as many as the budget needs: in the mode `CACHED`, and unmapped for devices,
    /// with one flush. Also returns whether the walk has seen all blocks.
    fn stage(
        &self,
        contents: &mut Contents<T>,
        cursor: &mut Cursor,
        eviction: &mut Eviction<'_, H>,
    ) -> (Vec<Staged<ModeOf<T>>, BATCH>, bool) {
        let (mut batch, mut pages, platform) = (Vec::new(), Pages::ZERO, self.platform());
        let mut seen_all = T::ONE;
        while batch.len() < Self::BATCH && pages < eviction.budget {
            let Some((slot, end)) = self.next_meant(contents, cursor, eviction) else {
                seen_all = true;
                break;
            };
            let tables = contents.slots.side_tables();
            let Some(Slot { block, .. }) = tables.slots.get_mut(slot) else { continue };
            let Some((mode, order)) = block.as_ref().map(|block| (block.mode, block.order())) else {
                continue;
            };
            let mapped = unmap_at(platform, tables.addresses, slot..end, block);
            if mapped == Mapped::Yes {
                contents.pending.add();
            }
            match contents.pending.set_mode_in(block, platform, <ModeOf<T>>::CACHED, eviction.cx) {
                Ok(()) => {
                    pages += order.pages();
                    let _ = batch.push(Staged { slot, end, mode, mapped }); // there is room
                }
                Err(why) => {
                    eviction.refuse(order.pages(), RefusalReason::Mode(why));
                    if mapped == Mapped::Yes {
                        contents.pending.flush(platform, eviction.cx);
                        self.map_again(contents.slots.side_tables(), slot, mapped, eviction);
                    }
                }
            }
        }
        contents.pending.flush(platform, eviction.cx);
        (batch, seen_all)
    }

    /// Gives each staged block that stayed its mode again, with one flush, and then its address.
    fn unstage(
        &self,
        contents: &mut Contents<T>,
        batch: &[Staged<ModeOf<T>>],
        eviction: &mut Eviction<'_, H>,
    ) {
        let platform = self.platform();
        for staged in batch {
            let Some(slot) = contents.slots.slots_mut().get_mut(staged.slot) else { continue };
            if contents.pending.set_mode_in(&mut slot.block, platform, staged.mode, eviction.cx).is_err() {
                eviction.disturbed = true;
            }
        }
        contents.pending.flush(platform, eviction.cx);
        for staged in batch {
            self.map_again(contents.slots.side_tables(), staged.slot, staged.mapped, eviction);
        }
    }

    /// Maps a block that stayed, and was mapped, again, if it is in its buffer's mode. If that is refused, the next guard tries
    /// again.
    fn map_again(
        &self,
        mut tables: SideTables<'_, H::Platform>,
        slot: usize,
        mapped: Mapped,
        eviction: &mut Eviction<'_, H>,
    ) {
        let block = tables.slots.get(slot).and_then(|slot| slot.block.as_ref());
        let stays = block.is_some_and(|block| block.is_in(self.mode));
        if mapped == Mapped::Yes && stays && self.map_at(&mut tables, slot, eviction.cx).is_err() {
            eviction.disturbed = true;
        }
    }
}

/// The methods that this store and this context have at all.
pub(crate) fn possible<B: OwnedBlock>(store: &impl BackingStore<B>, cx: Context) -> Evict {
    let can = store.capabilities();
    let mut methods = Evict::empty();
    methods.set(Evict::TRANSFER, can.contains(Capabilities::TRANSFER));
    let may_copy = cx.contains(Context::MAY_BLOCK)
        && (!can.contains(Capabilities::NEEDS_IO) || cx.contains(Context::MAY_IO));
    methods.set(Evict::COPY | Evict::SPLIT, can.contains(Capabilities::COPY) && may_copy);
    methods
}

/// A block that is ready to leave.
#[derive(Clone, Copy)]
struct Staged<M> {
    slot: usize,
    /// The slot behind the last that it covered.
    end: usize,
    /// The mode that it had.
    mode: M,
    /// Whether it had an address for a device.
    mapped: Mapped,
}

/// How a walk ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// It saw every block.
    AllSeen,
    /// It reached its budget, no method is left, or another context wants the buffer.
    Early,
}
