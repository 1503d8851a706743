//! The short ways out and back of a buffer of one block. Constants of the types choose them, so a program links them or the walks
//! over slots. They do what a walk over one slot does.

use crate::buffer::contents::{Changing, Contents, EmptySlots, Marks};
use crate::buffer::evict::{Moved, possible};
use crate::buffer::restore::Kept;
use crate::buffer::{Buffer, Copies, EvictRequest, ModeOf, Phase, Slot, Slots};
use crate::forebay::Home;
use crate::frame::{AllocError, AllocRequest, Context, Evict, Mode, Pages, Zones};
use crate::pool::{BlockOf, Fill};
use crate::port::{
    BackingStore, Capabilities, EvictHooks, FrameSource, OwnedBlock, Platform, PooledBlock, StoreError,
};
use crate::stats::{self, AccessError, Event, Evicted, RefusalReason, Restored};

/// The methods that a caller may ask for, known to the compiler: it leaves out the code of the others.
const ANY: u16 = Evict::ANY.bits();
const TRANSFER: u16 = Evict::TRANSFER.bits();

/// What became of the block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WayOut {
    /// It was not tried.
    None,
    Transferred,
    Copied,
    Clean,
    /// It was tried, and stays.
    Refused,
    Lost,
}

/// What an eviction of one block did.
#[derive(Clone, Copy)]
struct OneEvicted {
    way: WayOut,
    /// The store refused a transfer before it is settled.
    backlog: bool,
    /// Why it stays.
    why: Option<RefusalReason>,
}

impl OneEvicted {
    const fn by(way: WayOut) -> OneEvicted {
        OneEvicted { way, backlog: false, why: None }
    }

    const fn refused(way: WayOut, why: RefusalReason) -> OneEvicted {
        OneEvicted { way, backlog: false, why: Some(why) }
    }

    fn moved(self) -> bool {
        matches!(self.way, WayOut::Transferred | WayOut::Copied | WayOut::Clean)
    }

    /// Adds what was done with the pages of the block.
    #[inline(always)] // it is three additions, once the way is known
    fn add_to(self, sum: &mut Evicted, pages: Pages) {
        let count = match self.way {
            WayOut::None | WayOut::Lost => return,
            WayOut::Transferred => &mut sum.transferred,
            WayOut::Copied => &mut sum.copied,
            WayOut::Clean => &mut sum.clean,
            WayOut::Refused => &mut sum.refused,
        };
        *count += pages;
        sum.backlogs = sum.backlogs.saturating_add(usize::from(self.backlog));
    }
}

/// How contents came back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WayBack {
    /// They were there, or there are none.
    Nothing,
    TakenBack,
    Loaded,
    Populated,
}

impl WayBack {
    fn add_to(self, sum: &mut Restored, pages: Pages) {
        let count = match self {
            WayBack::Nothing => return,
            WayBack::TakenBack => &mut sum.taken_back,
            WayBack::Loaded => &mut sum.loaded,
            WayBack::Populated => &mut sum.populated,
        };
        *count += pages;
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Whether it has one block, which is always cached and never mapped for a device, charged, or in a lobby.
    pub(super) const ONE_BLOCK: bool =
        T::BARE_SLOT && <ModeOf<T> as Mode>::COUNT == 1 && Self::LOBBY.is_empty();

    /// As [`evict_held`](Buffer::evict_held).
    #[inline(never)] // so that it is short to skip a buffer
    pub(super) fn evict_one(&self, contents: &mut Contents<T>, request: &EvictRequest, sum: &mut Evicted) {
        if request.how.contains(Evict::PURGE) && contents.marks.may_be_purged() {
            return self.evict_held(contents, request, sum);
        }
        let moves = request.phase != Phase::Purge && contents.marks.contains(Marks::BLOCKS);
        if !moves
            || request.budget == Pages::ZERO
            || self.unit < request.least
            || !self.is_in(contents, request.zones)
        {
            return;
        }
        let is_clean = contents.slots.slots().first().is_some_and(|slot| slot.copy.is_some());
        if request.phase == Phase::Clean && !is_clean {
            return;
        }
        *sum = self.evicted(self.evict_block::<ANY>(contents, request.how, request.cx));
    }

    /// Evicts the block, if there is one, by any of these methods.
    #[inline]
    pub(super) fn evict_by(&self, contents: &mut Contents<T>, how: Evict, cx: Context) -> Evicted {
        self.evicted(self.evict_block::<ANY>(contents, how, cx))
    }

    /// Evicts the block only by transfer, in an interrupt. Also returns whether it was refused.
    #[inline(never)] // so that it is short to skip a buffer
    pub(super) fn transfer_one(&self, contents: &mut Contents<T>) -> (Moved, bool) {
        let evicted = self.evict_block::<TRANSFER>(contents, Evict::TRANSFER, Context::INTERRUPT);
        let pages = if evicted.moved() { self.unit.pages() } else { Pages::ZERO };
        (Moved { pages, backlog: evicted.backlog }, evicted.why.is_some())
    }

    /// The same as a sum. Each count is set by itself, which takes less than to copy a sum.
    fn evicted(&self, one: OneEvicted) -> Evicted {
        let pages = |way| if one.way == way { self.unit.pages() } else { Pages::ZERO };
        Evicted {
            transferred: pages(WayOut::Transferred),
            copied: pages(WayOut::Copied),
            clean: pages(WayOut::Clean),
            refused: pages(WayOut::Refused),
            backlogs: usize::from(one.backlog),
            why: one.why,
            ..Evicted::NONE
        }
    }

    fn is_in(&self, contents: &Contents<T>, zones: Zones) -> bool {
        let source = self.forebay().source();
        let is_in = |block: &H::Block| zones.contains(Zones::of(source.zone(block)));
        zones == Zones::ALL
            || contents
                .slots
                .slots()
                .first()
                .is_some_and(|slot| slot.block.as_ref().is_some_and(|b| is_in(b)))
    }

    /// The way out. It is counted before a port is called again, so that a panic of that loses no count.
    #[inline]
    fn evict_block<const MOST: u16>(
        &self,
        contents: &mut Contents<T>,
        how: Evict,
        cx: Context,
    ) -> OneEvicted {
        let was_mapped = !contents.marks.contains(Marks::UNMAPPED);
        let ready = contents.marks & Marks::READY;
        let evicted = match self.prepare(contents, Evict::from_bits_truncate(MOST) & how, cx) {
            Err(refused) => refused,
            Ok(methods) => {
                contents.marks.remove(Marks::READY);
                let changing = Changing::new(contents);
                let evicted = match changing.0.slots.slots_mut().first_mut() {
                    Some(slot) if slot.copy.is_some() => OneEvicted::by(WayOut::Clean),
                    Some(slot) => self.write_back_one::<MOST>(slot, methods, cx),
                    None => OneEvicted::by(WayOut::None), // not reached: it has a block
                };
                changing.done();
                evicted
            }
        };
        self.count_one(evicted, cx);
        match evicted.way {
            WayOut::None | WayOut::Refused => {
                let hook_ran = was_mapped && contents.marks.contains(Marks::UNMAPPED);
                if hook_ran && self.platform().hooks().after_restore(self.id(), cx).is_ok() {
                    contents.marks.remove(Marks::UNMAPPED);
                    contents.marks.insert(ready); // nothing happened
                }
                return evicted;
            }
            WayOut::Lost => contents.marks.insert(Marks::LOST),
            WayOut::Transferred => contents.marks.insert(Marks::STORED | Marks::TRANSFERRED),
            WayOut::Copied | WayOut::Clean => contents.marks.insert(Marks::STORED),
        }
        contents.marks.remove(Marks::BLOCKS | Marks::CLEAN);
        if let Some(PooledBlock { block, .. }) =
            contents.slots.slots_mut().first_mut().and_then(|slot| slot.block.take())
        {
            self.forebay().source().free(block); // the store has a copy
        }
        evicted
    }

    /// The methods that are possible, if there is a block and it may leave.
    ///
    /// # Errors
    /// It stays.
    #[inline]
    fn prepare(&self, contents: &mut Contents<T>, how: Evict, cx: Context) -> Result<Evict, OneEvicted> {
        let methods = how & possible(self.forebay().store(), cx);
        match contents.slots.slots().first() {
            Some(Slot { block: Some(_), copy }) => {
                if copy.is_none() && methods.is_empty() {
                    return Err(OneEvicted::refused(WayOut::None, self.why_no_method(how)));
                }
            }
            _ => {
                contents.marks.remove(Marks::BLOCKS | Marks::CLEAN);
                return Err(OneEvicted::by(WayOut::None));
            }
        }
        match self.before_evict(contents, cx) {
            Ok(()) => Ok(methods),
            Err(_) => Err(OneEvicted::refused(WayOut::None, RefusalReason::Hook)),
        }
    }

    /// Transfers the block of the slot, which has no copy; or copies it, and then it is still in its slot. So is one that is refused.
    #[inline]
    fn write_back_one<const MOST: u16>(
        &self,
        slot: &mut Slot<H::Platform>,
        methods: Evict,
        cx: Context,
    ) -> OneEvicted {
        let mut evicted = OneEvicted::refused(WayOut::Refused, RefusalReason::NotPermitted);
        if methods.contains(Evict::TRANSFER) {
            let Some(PooledBlock { block, .. }) = slot.block.take() else { return evicted };
            let (pfn, order) = (block.pfn(), block.order());
            match self.transferred(self.forebay().store().transfer(block, None), (pfn, order)) {
                Ok(handle) => {
                    slot.copy = Some(handle);
                    return OneEvicted::by(WayOut::Transferred);
                }
                Err((None, _)) => {
                    return OneEvicted::refused(WayOut::Lost, RefusalReason::Store(StoreError::Io));
                }
                Err((Some(back), why)) => {
                    slot.block = Some(PooledBlock::cached(back));
                    evicted.why = Some(RefusalReason::Store(why));
                    evicted.backlog = why == StoreError::Backlog;
                }
            }
        }
        let copies = Evict::COPY | Evict::SPLIT;
        if Evict::from_bits_truncate(MOST).intersects(copies) && methods.intersects(copies) {
            evicted.why = self.save_block(slot, methods, cx).err();
            if evicted.why.is_none() {
                evicted.way = WayOut::Copied;
            }
        }
        evicted
    }

    /// Copies the block of the slot to the store. It stays in the slot, beside its copy if there is one.
    ///
    /// # Errors
    /// Why there is none.
    #[inline(never)] // a transfer is short
    fn save_block(
        &self,
        slot: &mut Slot<H::Platform>,
        methods: Evict,
        cx: Context,
    ) -> Result<(), RefusalReason> {
        let forebay = self.forebay();
        let mut kept = Kept::<H> { forebay, cx, block: slot.block.take() };
        let Some(block) = &kept.block else { return Err(RefusalReason::NotPermitted) }; // not reached: it has one
        let saved = match forebay.store().save(block, self.unit, None, cx) {
            Ok(handle) if handle.order() == self.unit => {
                slot.copy = Some(handle);
                Ok(())
            }
            Ok(useless) => {
                let why = match (useless.order() < self.unit, methods.contains(Evict::SPLIT)) {
                    (true, true) => RefusalReason::Unsplittable,
                    (true, false) => RefusalReason::Store(StoreError::TooLarge),
                    (false, _) => RefusalReason::Store(StoreError::Io),
                };
                forebay.discard(useless);
                Err(why)
            }
            Err(why) => Err(RefusalReason::Store(why)),
        };
        slot.block = kept.block.take();
        saved
    }

    /// Counts what an eviction did.
    #[inline(always)] // in one place, where the way is known
    fn count_one(&self, one: OneEvicted, cx: Context) {
        let pages = self.unit.pages();
        let in_interrupt = if one.moved() && !cx.contains(Context::MAY_BLOCK) { pages } else { Pages::ZERO };
        self.forebay().count(|stats| {
            one.add_to(&mut stats.evicted, pages);
            stats.in_interrupts += in_interrupt;
            if let Some(why) = one.why {
                stats.refusals.add(why);
            }
        });
        stats::send(Event::Evicted(self.id(), self.evicted(one)));
        if one.way == WayOut::Lost {
            stats::send(Event::Lost(self.id()));
        }
    }

    /// The way back; `empty` says whether empty slots get zeros. Counts it.
    ///
    /// # Errors
    /// The contents are as before.
    #[inline(never)]
    pub(super) fn restore_one(
        &self,
        contents: &mut Contents<T>,
        empty: EmptySlots,
        cx: Context,
    ) -> Result<WayBack, AccessError> {
        if contents.marks.contains(Marks::LOST) {
            return Err(AccessError::Lost);
        }
        let restored = self.restore_block(contents, empty, cx);
        let pages = self.unit.pages();
        match restored {
            Ok(WayBack::Nothing | WayBack::Loaded) => {} // a load is counted before the store is asked for room
            Ok(by) => {
                let in_interrupt = if cx.contains(Context::MAY_BLOCK) { Pages::ZERO } else { pages };
                self.forebay().count(|stats| {
                    by.add_to(&mut stats.restored, pages);
                    stats.in_interrupts += in_interrupt;
                });
            }
            Err(AccessError::Alloc(why)) => {
                let request = AllocRequest::new(self.unit).within(self.zones);
                let why = self.forebay().pool().never_or(why, request, self.mode, pages);
                self.platform().hooks().allocation_failed(self.id(), why);
                return Err(why.into());
            }
            Err(AccessError::Lost) => {
                contents.marks.insert(Marks::LOST);
                stats::send(Event::Lost(self.id()));
            }
            Err(_) => {}
        }
        stats::send(Event::Restored(self.id(), self.restored(restored)));
        restored
    }

    /// The same as a sum.
    pub(super) fn restored(&self, restored: Result<WayBack, AccessError>) -> Restored {
        let (by, why) = match restored {
            Ok(by) => (by, None),
            Err(why) => (WayBack::Nothing, Some(why)),
        };
        let pages = |way| if by == way { self.unit.pages() } else { Pages::ZERO };
        Restored {
            taken_back: pages(WayBack::TakenBack),
            loaded: pages(WayBack::Loaded),
            populated: pages(WayBack::Populated),
            why,
        }
    }

    #[inline]
    fn restore_block(
        &self,
        contents: &mut Contents<T>,
        empty: EmptySlots,
        cx: Context,
    ) -> Result<WayBack, AccessError> {
        let (has_block, has_copy) = contents
            .slots
            .slots()
            .first()
            .map_or((true, false), |slot| (slot.block.is_some(), slot.copy.is_some()));
        match (has_block, has_copy) {
            (true, _) => Ok(WayBack::Nothing),
            (false, true) => {
                if contents.marks.contains(Marks::TRANSFERRED) {
                    match self.take_back_one(contents, cx) {
                        Ok(WayBack::Nothing) => {} // only a copy is left
                        Err(why) => return self.load_instead(contents, why, cx),
                        restored => return restored,
                    }
                }
                self.load_one(contents, cx)?;
                Ok(WayBack::Loaded)
            }
            (false, false) if empty == EmptySlots::Leave => Ok(WayBack::Nothing),
            (false, false) if !cx.contains(Context::MAY_BLOCK) => Err(AccessError::Context),
            (false, false) => {
                let block = self.fresh(Fill::Zeros, cx)?;
                if let Some(slot) = contents.slots.slots_mut().first_mut() {
                    slot.block = Some(block);
                }
                contents.marks.insert(Marks::BLOCKS);
                Ok(WayBack::Populated)
            }
        }
    }

    /// What can't be taken back for this reason may be loaded. Where there is no memory for the block itself, there is none for a
    /// copy.
    #[cold]
    fn load_instead(
        &self,
        contents: &mut Contents<T>,
        why: AccessError,
        cx: Context,
    ) -> Result<WayBack, AccessError> {
        match why {
            AccessError::Lost | AccessError::Alloc(_) => Err(why),
            why => self.load_one(contents, cx).map_or(Err(why), |()| Ok(WayBack::Loaded)),
        }
    }

    /// The same block, if the store still has it. `Nothing`: only a copy is left.
    #[inline]
    fn take_back_one(&self, contents: &mut Contents<T>, cx: Context) -> Result<WayBack, AccessError> {
        let forebay = self.forebay();
        let changing = Changing::new(contents);
        let Some(slot) = changing.0.slots.slots_mut().first_mut() else { return Ok(WayBack::Nothing) };
        let Some(handle) = slot.copy.take() else { return Ok(WayBack::Nothing) }; // not reached: it is stored
        let restored = match forebay.store().take_back(handle, cx) {
            Ok(block) if block.order() == self.unit => {
                slot.block = Some(PooledBlock::cached(block));
                Ok(WayBack::TakenBack)
            }
            Ok(other) => {
                forebay.source().free(other);
                Err(AccessError::Lost)
            }
            Err(refused) if refused.item.order() != self.unit => {
                forebay.discard(refused.item);
                Err(AccessError::Lost)
            }
            Err(refused) => {
                slot.copy = Some(refused.item);
                match refused.why {
                    StoreError::WrongKind | StoreError::Unsupported => Ok(WayBack::Nothing), // only a copy is left
                    StoreError::NotStored => Err(AccessError::Lost), // with an engine, perhaps
                    why => Err(why.into()),
                }
            }
        };
        changing.done();
        match restored {
            Ok(WayBack::TakenBack) => {
                contents.marks.remove(Marks::TRANSFERRED | Marks::STORED);
                contents.marks.insert(Marks::BLOCKS);
            }
            Ok(_) => contents.marks.remove(Marks::TRANSFERRED),
            Err(_) => {}
        }
        restored
    }

    /// A copy in a fresh block. The store's copy is kept while it has room.
    #[inline(never)] // to take back is short
    fn load_one(&self, contents: &mut Contents<T>, cx: Context) -> Result<(), AccessError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(AccessError::Context);
        }
        let (forebay, store) = (self.forebay(), self.forebay().store());
        let loads_all = store.capabilities().contains(Capabilities::LOADS_ALL);
        let fresh = self.fresh(if loads_all { Fill::Arbitrary } else { Fill::Zeros }, cx)?;
        let mut fresh = Kept::<H> { forebay, cx, block: Some(fresh) };
        let Some(slot) = contents.slots.slots_mut().first_mut() else { return Ok(()) };
        let Some((copy, block)) = slot.copy.as_ref().zip(fresh.block.as_mut()) else { return Ok(()) };
        store.load(copy, &mut block.block, Pages::ZERO, cx)?;
        let takes_room = store.room_of(copy) > Pages::ZERO;
        slot.block = fresh.block.take();
        contents.marks.remove(Marks::STORED);
        contents.marks.insert(Marks::BLOCKS | Marks::CLEAN);
        self.forebay().count(|stats| stats.restored.loaded += self.unit.pages());
        if takes_room && store.space().pages < self.unit.pages() {
            self.drop_copies(contents, Copies::All);
        }
        Ok(())
    }

    /// A block for the slot.
    #[inline(never)]
    fn fresh(&self, fill: Fill, cx: Context) -> Result<BlockOf<H::Platform>, AllocError> {
        let request = AllocRequest::new(self.unit).within(self.zones);
        self.forebay().pool().take_up_to(self.unit, request, self.mode, fill, cx)
    }
}
