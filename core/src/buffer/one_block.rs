//! The short ways out and back of a buffer of one block. Constants of the types choose them, so a program links them or the walks
//! over slots. They do the same: a walk over one slot.

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
pub(super) enum Way {
    /// It was not tried.
    None,
    /// It was not tried, since no method is permitted or possible.
    NoMethod,
    Transferred,
    Copied,
    Clean,
    /// It was tried, and stays.
    Refused,
    Lost,
}

/// What an eviction of one block did.
#[derive(Clone, Copy)]
pub(super) struct Left {
    way: Way,
    /// The store refused a transfer before it is settled.
    backlog: bool,
    /// Why it stays.
    why: Option<RefusalReason>,
}

impl Left {
    const fn by(way: Way) -> Left {
        Left { way, backlog: false, why: None }
    }

    const fn stays(way: Way, why: RefusalReason) -> Left {
        Left { way, backlog: false, why: Some(why) }
    }

    fn moved(self) -> bool {
        matches!(self.way, Way::Transferred | Way::Copied | Way::Clean)
    }

    /// Adds what was done with the pages of the block.
    #[inline(always)] // it is three additions, once the way is known
    fn add_to(self, sum: &mut Evicted, pages: Pages) {
        let count = match self.way {
            Way::None | Way::NoMethod | Way::Lost => return,
            Way::Transferred => &mut sum.transferred,
            Way::Copied => &mut sum.copied,
            Way::Clean => &mut sum.clean,
            Way::Refused => &mut sum.refused,
        };
        *count += pages;
        sum.backlogs = sum.backlogs.saturating_add(usize::from(self.backlog));
    }
}

/// How contents came back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// They were there, or there are none.
    Nothing,
    TakenBack,
    Loaded,
    Populated,
}

impl Came {
    fn add_to(self, sum: &mut Restored, pages: Pages) {
        let count = match self {
            Came::Nothing => return,
            Came::TakenBack => &mut sum.taken_back,
            Came::Loaded => &mut sum.loaded,
            Came::Populated => &mut sum.populated,
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
        *sum = self.evicted(self.move_out::<ANY>(contents, request.how, request.cx));
    }

    /// Evicts the block, whether it was used lately or not.
    #[inline(always)] // it has one caller
    pub(super) fn evict_alone(&self, contents: &mut Contents<T>, how: Evict, cx: Context) -> Left {
        self.move_out::<ANY>(contents, how, cx)
    }

    /// Evicts the block only by transfer, in an interrupt. Also returns whether it was refused.
    #[inline(never)] // so that it is short to skip a buffer
    pub(super) fn transfer_one(&self, contents: &mut Contents<T>) -> (Moved, bool) {
        let left = self.move_out::<TRANSFER>(contents, Evict::TRANSFER, Context::INTERRUPT);
        let pages = if left.moved() { self.unit.pages() } else { Pages::ZERO };
        (Moved { pages, backlog: left.backlog }, left.why.is_some())
    }

    /// The same as a sum. Each count is set by itself, which takes less than to copy a sum.
    pub(super) fn evicted(&self, left: Left) -> Evicted {
        let pages = |way| if left.way == way { self.unit.pages() } else { Pages::ZERO };
        Evicted {
            transferred: pages(Way::Transferred),
            copied: pages(Way::Copied),
            clean: pages(Way::Clean),
            refused: pages(Way::Refused),
            backlogs: usize::from(left.backlog),
            why: left.why,
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

    /// The way out. Counts it before a port is called again: a panic of that loses no count.
    #[inline]
    fn move_out<const MOST: u16>(&self, contents: &mut Contents<T>, how: Evict, cx: Context) -> Left {
        let how = Evict::from_bits_truncate(MOST) & how;
        let methods = how & possible(self.forebay().store(), cx);
        match contents.slots.slots().first() {
            Some(Slot { block: Some(_), copy }) => {
                if copy.is_none() && methods.is_empty() {
                    return self.counted(Left::stays(Way::NoMethod, self.why_no_method(how)), cx);
                }
            }
            _ => {
                contents.marks.remove(Marks::BLOCKS | Marks::CLEAN);
                return Left::by(Way::None);
            }
        }
        let was_mapped = !contents.marks.contains(Marks::UNMAPPED);
        if self.before_evict(contents, cx).is_err() {
            return self.counted(Left::stays(Way::None, RefusalReason::Hook), cx);
        }
        let ready = contents.marks & Marks::READY;
        contents.marks.remove(Marks::READY);
        let changing = Changing::new(contents);
        let left = match changing.0.slots.slots_mut().first_mut() {
            Some(slot) => self.move_block::<MOST>(slot, methods, cx),
            None => Left::by(Way::None), // not reached: it has a block
        };
        changing.done();
        match left.way {
            Way::None | Way::NoMethod | Way::Refused => {
                let left = self.counted(left, cx);
                if was_mapped && self.platform().hooks().after_restore(self.id(), cx).is_ok() {
                    contents.marks.remove(Marks::UNMAPPED);
                    contents.marks.insert(ready); // nothing happened
                }
                return left;
            }
            Way::Lost => contents.marks.insert(Marks::LOST),
            Way::Transferred => contents.marks.insert(Marks::STORED | Marks::TRANSFERRED),
            Way::Copied | Way::Clean => contents.marks.insert(Marks::STORED),
        }
        contents.marks.remove(Marks::BLOCKS | Marks::CLEAN);
        if left.way != Way::Copied {
            self.count_left(left, cx); // that one is counted
        }
        left
    }

    /// Counts what is not on the shortest way.
    #[inline(never)]
    fn counted(&self, left: Left, cx: Context) -> Left {
        self.count_left(left, cx);
        left
    }

    /// Gives the block of the slot away. One that is refused is in the slot again.
    #[inline]
    fn move_block<const MOST: u16>(&self, slot: &mut Slot<H::Platform>, methods: Evict, cx: Context) -> Left {
        let Some(PooledBlock { block, .. }) = slot.block.take() else { return Left::by(Way::None) };
        if slot.copy.is_some() {
            self.forebay().source().free(block);
            return Left::by(Way::Clean);
        }
        let (mut block, mut left) = (block, Left::stays(Way::Refused, RefusalReason::NotPermitted));
        if methods.contains(Evict::TRANSFER) {
            let (pfn, order) = (block.pfn(), block.order());
            match self.transferred(self.forebay().store().transfer(block, None), (pfn, order)) {
                Ok(handle) => {
                    slot.copy = Some(handle);
                    return Left::by(Way::Transferred);
                }
                Err((None, _)) => return Left::stays(Way::Lost, RefusalReason::Store(StoreError::Io)),
                Err((Some(back), why)) => {
                    block = back;
                    left.why = Some(RefusalReason::Store(why));
                    left.backlog = why == StoreError::Backlog;
                }
            }
        }
        slot.block = Some(PooledBlock::cached(block));
        let copies = Evict::COPY | Evict::SPLIT;
        if Evict::from_bits_truncate(MOST).intersects(copies) && methods.intersects(copies) {
            let copied = Left { way: Way::Copied, why: None, ..left };
            match self.save_block(slot, methods, copied, cx) {
                Ok(()) => return copied,
                Err(why) => left.why = Some(why),
            }
        }
        left
    }

    /// Copies the block of the slot to the store, counts that as `copied`, and returns the block to the source.
    ///
    /// # Errors
    /// It is in the slot again.
    #[inline(never)] // a transfer is short
    fn save_block(
        &self,
        slot: &mut Slot<H::Platform>,
        methods: Evict,
        copied: Left,
        cx: Context,
    ) -> Result<(), RefusalReason> {
        let forebay = self.forebay();
        let mut kept = Kept::<H> { forebay, cx, block: slot.block.take() };
        let Some(block) = &kept.block else { return Ok(()) }; // not reached: it was put there
        let why = match forebay.store().save(block, self.unit, None, cx) {
            Ok(handle) if handle.order() == self.unit => {
                slot.copy = Some(handle);
                self.counted(copied, cx);
                kept.block.take().into_iter().for_each(|block| forebay.source().free(block.block));
                return Ok(());
            }
            Ok(useless) => {
                let why = match (useless.order() < self.unit, methods.contains(Evict::SPLIT)) {
                    (true, true) => RefusalReason::Unsplittable,
                    (true, false) => RefusalReason::Store(StoreError::TooLarge),
                    (false, _) => RefusalReason::Store(StoreError::Io),
                };
                forebay.discard(useless);
                why
            }
            Err(why) => RefusalReason::Store(why),
        };
        slot.block = kept.block.take();
        Err(why)
    }

    /// Counts what an eviction did.
    #[inline(always)]
    fn count_left(&self, left: Left, cx: Context) {
        let pages = self.unit.pages();
        let in_interrupt = if left.moved() && !cx.contains(Context::MAY_BLOCK) { pages } else { Pages::ZERO };
        self.forebay().count(|stats| {
            left.add_to(&mut stats.evicted, pages);
            stats.in_interrupts += in_interrupt;
            if let Some(why) = left.why {
                stats.refusals.add(why);
            }
        });
        stats::send(Event::Evicted(self.id(), self.evicted(left)));
        if left.way == Way::Lost {
            stats::send(Event::Lost(self.id()));
        }
    }

    /// The way back; `empty` says whether empty slots get zeros. Counts it.
    ///
    /// # Errors
    /// The contents are as before.
    #[inline(never)]
    pub(super) fn bring_in(
        &self,
        contents: &mut Contents<T>,
        empty: EmptySlots,
        cx: Context,
    ) -> Result<Came, AccessError> {
        if contents.marks.contains(Marks::LOST) {
            return Err(AccessError::Lost);
        }
        let came = self.move_in(contents, empty, cx);
        let pages = self.unit.pages();
        match came {
            Ok(Came::Nothing | Came::Loaded) => {} // a load is counted before the store is asked for room
            Ok(came) => {
                let in_interrupt = if cx.contains(Context::MAY_BLOCK) { Pages::ZERO } else { pages };
                self.forebay().count(|stats| {
                    came.add_to(&mut stats.restored, pages);
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
        stats::send(Event::Restored(self.id(), self.restored(came)));
        came
    }

    /// The same as a sum.
    pub(super) fn restored(&self, came: Result<Came, AccessError>) -> Restored {
        let (came, why) = match came {
            Ok(came) => (came, None),
            Err(why) => (Came::Nothing, Some(why)),
        };
        let pages = |way| if came == way { self.unit.pages() } else { Pages::ZERO };
        Restored {
            taken_back: pages(Came::TakenBack),
            loaded: pages(Came::Loaded),
            populated: pages(Came::Populated),
            why,
        }
    }

    #[inline]
    fn move_in(
        &self,
        contents: &mut Contents<T>,
        empty: EmptySlots,
        cx: Context,
    ) -> Result<Came, AccessError> {
        let (has_block, has_copy) = contents
            .slots
            .slots()
            .first()
            .map_or((true, false), |slot| (slot.block.is_some(), slot.copy.is_some()));
        match (has_block, has_copy) {
            (true, _) => Ok(Came::Nothing),
            (false, true) => {
                if contents.marks.contains(Marks::TRANSFERRED) {
                    match self.take_back_one(contents, cx) {
                        Ok(Came::Nothing) => {} // only a copy is left
                        Err(why) if !matches!(why, AccessError::Lost | AccessError::Alloc(_)) => {
                            return self.load_instead(contents, why, cx);
                        }
                        came => return came,
                    }
                }
                self.load_one(contents, cx)?;
                Ok(Came::Loaded)
            }
            (false, false) if empty == EmptySlots::Leave => Ok(Came::Nothing),
            (false, false) if !cx.contains(Context::MAY_BLOCK) => Err(AccessError::Context),
            (false, false) => {
                let block = self.fresh(Fill::Zeros, cx)?;
                if let Some(slot) = contents.slots.slots_mut().first_mut() {
                    slot.block = Some(block);
                }
                contents.marks.insert(Marks::BLOCKS);
                Ok(Came::Populated)
            }
        }
    }

    /// What can't be taken back for this reason may be loaded.
    #[cold]
    fn load_instead(
        &self,
        contents: &mut Contents<T>,
        why: AccessError,
        cx: Context,
    ) -> Result<Came, AccessError> {
        self.load_one(contents, cx).map_or(Err(why), |()| Ok(Came::Loaded))
    }

    /// The same block, if the store still has it. `Nothing`: only a copy is left.
    #[inline]
    fn take_back_one(&self, contents: &mut Contents<T>, cx: Context) -> Result<Came, AccessError> {
        let forebay = self.forebay();
        let changing = Changing::new(contents);
        let Some(slot) = changing.0.slots.slots_mut().first_mut() else { return Ok(Came::Nothing) };
        let Some(handle) = slot.copy.take() else { return Ok(Came::Nothing) }; // not reached: it is stored
        let came = match forebay.store().take_back(handle, cx) {
            Ok(block) if block.order() == self.unit => {
                slot.block = Some(PooledBlock::cached(block));
                Ok(Came::TakenBack)
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
                    StoreError::WrongKind | StoreError::Unsupported => Ok(Came::Nothing), // only a copy is left
                    StoreError::NotStored => Err(AccessError::Lost), // with an engine, perhaps
                    why => Err(why.into()),
                }
            }
        };
        changing.done();
        match came {
            Ok(Came::TakenBack) => {
                contents.marks.remove(Marks::TRANSFERRED | Marks::STORED);
                contents.marks.insert(Marks::BLOCKS);
            }
            Ok(_) => contents.marks.remove(Marks::TRANSFERRED),
            Err(_) => {}
        }
        came
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
