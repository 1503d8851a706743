//! The way back: the same block where the store still has it, else a copy into a fresh one.

use crate::buffer::contents::{Changing, Contents, Cursor, EmptySlots, Marks};
use crate::buffer::one_block::WayBack;
use crate::buffer::slot::{slots_of, span_at};
use crate::buffer::{Buffer, ModeOf, SideTables, Slot, Slots};
use crate::forebay::{Forebay, Home};
use crate::frame::{AllocError, AllocRequest, Context, Order, Pages};
use crate::pool::{BlockOf, Fill};
use crate::port::{
    BackingStore, Capabilities, EvictHooks, FrameSource, Handle, OwnedBlock, Platform, PooledBlock,
    StoreError,
};
use crate::stats::{self, AccessError, Event, Restored};

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// Makes everything resident, in the buffer's mode, mapped, with the platform's hook run. O(1) if it is so already.
    pub(super) fn make_ready(&self, contents: &mut Contents<T>, cx: Context) -> Result<(), AccessError> {
        if contents.marks.contains(Marks::READY) {
            return Ok(());
        }
        if Self::ONE_BLOCK {
            self.restore_one(contents, EmptySlots::Populate, cx)?;
        } else {
            if let Some(why) = self.restore_held(contents, EmptySlots::Populate, Pages::MAX, cx).why {
                return Err(why);
            }
            self.apply_mode(contents, cx)?;
            self.map_all(contents, cx)?;
        }
        if contents.marks.contains(Marks::UNMAPPED) {
            self.platform().hooks().after_restore(self.id(), cx)?;
            contents.marks.remove(Marks::UNMAPPED);
        }
        contents.marks.insert(Marks::READY);
        contents.next = 0;
        Ok(())
    }

    /// Restores, and then populates if asked for, about `budget` pages.
    pub(super) fn restore_in_steps(&self, empty: EmptySlots, budget: Pages, cx: Context) -> Restored {
        let mut held = match self.cell.hold_to_use() {
            Ok(held) => held,
            Err(busy) => return Restored { why: Some(busy.into()), ..Restored::default() },
        };
        if Self::ONE_BLOCK {
            let nothing = budget == Pages::ZERO && !held.marks.contains(Marks::LOST);
            let empty = if nothing { None } else { Some(empty) };
            return self.restored(
                empty.map_or(Ok(WayBack::Nothing), |empty| self.restore_one(&mut held, empty, cx)),
            );
        }
        let mut sum = self.restore_held(&mut held, empty, budget, cx);
        let ended = sum.why.is_none() && sum.total() < budget && !held.marks.contains(Marks::READY);
        if ended && cx.contains(Context::MAY_BLOCK) {
            if let Err(why) = self.apply_mode(&mut held, cx).and_then(|()| self.map_all(&mut held, cx)) {
                sum.fail(why);
            }
        }
        sum
    }

    /// The three ways back, one after the other: take back, load, populate.
    fn restore_held(
        &self,
        contents: &mut Contents<T>,
        empty: EmptySlots,
        budget: Pages,
        cx: Context,
    ) -> Restored {
        let mut restoring = Restoring { forebay: self.forebay(), budget, cx, sum: Restored::default() };
        if contents.marks.contains(Marks::LOST) {
            restoring.sum.fail(AccessError::Lost);
            return restoring.sum;
        }
        let blocks = contents.marks & Marks::BLOCKS;
        Self::forget_rooms(contents);
        if !contents.marks.contains(Marks::READY) {
            contents.marks.insert(Marks::BLOCKS); // before there are any: a port may panic
        }
        if contents.marks.contains(Marks::TRANSFERRED) {
            self.take_back_all(contents, &mut restoring);
        }
        // Where there is no memory for the blocks themselves, there is none for copies: no copy is split for it.
        let no_memory = matches!(restoring.sum.why, Some(AccessError::Alloc(_)));
        if contents.marks.contains(Marks::STORED) && !no_memory {
            // Where all of it is loaded, it is no error that it can't be taken back.
            let not_taken_back = restoring.sum.why.take();
            self.load_all(contents, &mut restoring);
            if restoring.sum.why.is_some() || contents.marks.contains(Marks::STORED) {
                restoring.sum.why = not_taken_back.or(restoring.sum.why);
            }
        }
        let whole = contents.marks & (Marks::READY | Marks::STORED);
        if empty == EmptySlots::Populate && whole.is_empty() && restoring.sum.why.is_none() {
            self.populate_all(contents, &mut restoring);
        }
        if let Some(AccessError::Alloc(why)) = &mut restoring.sum.why {
            let pages = Pages::new(contents.slots.slots().len() << self.unit.get());
            let request = AllocRequest::new(self.unit).within(self.zones);
            *why = self.forebay().pool().never_or(*why, request, self.mode, pages);
            self.platform().hooks().allocation_failed(self.id(), *why);
        }
        let sum = restoring.sum;
        drop(restoring);
        if sum.total() == Pages::ZERO {
            contents.marks.set(Marks::BLOCKS, !blocks.is_empty()); // none came
        }
        stats::send(Event::Restored(self.id(), sum));
        if contents.marks.contains(Marks::LOST) {
            stats::send(Event::Lost(self.id())); // by this call, as it was not before
        }
        sum
    }

    /// Takes back the same blocks, as far as the store has them. It comes first: it needs no memory, and it may give the store
    /// room. What fails stays stored, and the walk goes on.
    fn take_back_all(&self, contents: &mut Contents<T>, restoring: &mut Restoring<'_, H>) {
        let (mut failed, mut cursor) = (false, Cursor::default());
        while restoring.goes_on() && !contents.marks.contains(Marks::LOST) {
            let Some(i) = cursor.next(contents, self.unit) else {
                if !failed {
                    contents.marks.remove(Marks::TRANSFERRED);
                }
                return;
            };
            if let Err(why) = self.take_back(contents, i, restoring) {
                failed = true;
                restoring.sum.fail(why);
            }
        }
    }

    fn take_back(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        restoring: &mut Restoring<'_, H>,
    ) -> Result<(), AccessError> {
        let changing = Changing::new(contents);
        let slot = changing.0.slots.slots_mut().get_mut(i).filter(|slot| slot.is_stored());
        let Some((slot, handle)) = slot.and_then(|slot| slot.copy.take().map(|handle| (slot, handle))) else {
            changing.done();
            return Ok(());
        };
        let order = handle.order();
        let result = match self.take_back_block(handle, restoring.cx) {
            Ok((block, room)) if block.order() == order => {
                restoring.sum.taken_back += order.pages();
                let in_lobby = room.as_ref().is_some_and(|room| room.order() == order);
                (slot.block, slot.copy) = (Some(PooledBlock::cached(block)), room);
                if in_lobby && slot.block.as_ref().is_some_and(|block| self.is_in_lobby(block)) {
                    Self::keep_room(changing.0);
                } else if let Some(room) = slot.copy.take() {
                    restoring.forebay.discard(room);
                }
                Ok(())
            }
            Ok((other, room)) => {
                slot.copy = room;
                restoring.forebay.source().free(other);
                Err(AccessError::Lost)
            }
            Err(refused) if refused.item.order() != order => {
                restoring.forebay.discard(refused.item); // of something else: it would hide the slots behind
                Err(AccessError::Lost)
            }
            Err(refused) => {
                slot.copy = Some(refused.item);
                match refused.why {
                    StoreError::WrongKind | StoreError::Unsupported => Ok(()), // only a copy is left
                    StoreError::NotStored => Err(AccessError::Lost),           // with an engine, perhaps
                    why => Err(why.into()),
                }
            }
        };
        changing.done();
        if result == Err(AccessError::Lost) {
            contents.marks.insert(Marks::LOST);
        }
        result
    }

    /// Loads copies of what is left. What fails stays stored, and the walk goes on unless there is no memory.
    fn load_all(&self, contents: &mut Contents<T>, restoring: &mut Restoring<'_, H>) {
        let (mut failed, mut cursor) = (false, Cursor::default());
        while restoring.goes_on() && !contents.marks.contains(Marks::LOST) {
            let Some(i) = cursor.next(contents, self.unit) else {
                if !failed {
                    contents.marks.remove(Marks::STORED);
                }
                return;
            };
            if !contents.slots.slots().get(i).is_some_and(Slot::is_stored) {
                continue;
            }
            if !restoring.cx.contains(Context::MAY_BLOCK) {
                return restoring.sum.fail(AccessError::Context);
            }
            match self.load(contents, i, restoring) {
                Ok(()) => {}
                Err(why @ AccessError::Alloc(_)) => return restoring.sum.fail(why),
                Err(why) => {
                    failed = true;
                    restoring.sum.fail(why);
                }
            }
        }
    }

    /// Loads what is stored from slot `i` on into one fresh block, as large as may lie there and as the budget permits; if that
    /// fails, only what is stored in slot `i`. On an error the slots are as before.
    fn load(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        restoring: &mut Restoring<'_, H>,
    ) -> Result<(), AccessError> {
        let (forebay, cx) = (restoring.forebay, restoring.cx);
        let Some(stored) = contents.slots.slots().get(i).and_then(Slot::order) else { return Ok(()) };
        let run = if T::ONE || !Self::LOBBY.is_empty() || contents.marks.contains(Marks::TRANSFERRED) {
            stored // what is not taken back yet may lie behind it; and room in the lobby is as large as the block
        } else {
            self.copied_run(contents.slots.side_tables(), i)
        };
        let can = forebay.store().capabilities();
        let can_split = can.contains(Capabilities::SPLIT);
        let fill = if can.contains(Capabilities::LOADS_ALL) { Fill::Arbitrary } else { Fill::Zeros };
        let least = if can_split { self.unit.min(stored) } else { stored };
        let left = restoring.budget - restoring.sum.total();
        let mut most = run.min(Order::for_pages(left).unwrap_or(Order::MAX)).max(stored);
        loop {
            let request = AllocRequest::new(least).within(self.zones);
            let fresh = forebay.pool().take_up_to(most, request, self.mode, fill, cx)?;
            let order = fresh.order();
            let end = i + slots_of(order, self.unit);
            let mut fresh = Kept::<H> { forebay, cx, block: Some(fresh) };
            match self.load_slots(contents, i, end, &mut fresh, restoring) {
                Ok(()) => {
                    restoring.sum.loaded += order.pages();
                    self.keep_loaded(contents, i, end, fresh.block.take());
                    return Ok(());
                }
                Err(why) => {
                    let several = order > stored;
                    drop(fresh);
                    if !several {
                        return Err(why);
                    }
                    most = stored; // perhaps a neighbour failed
                }
            }
        }
    }

    /// Fills a block from the copies in slots `i..end`, the first of which is halved until it is no larger.
    fn load_slots(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        end: usize,
        fresh: &mut Kept<'_, H>,
        restoring: &Restoring<'_, H>,
    ) -> Result<(), AccessError> {
        let Some(fresh) = &mut fresh.block else { return Ok(()) }; // not reached: it was taken a moment ago
        while i + span_at(contents.slots.slots(), i, self.unit) > end {
            self.split_copy(contents, i, restoring)?;
        }
        let slots = contents.slots.slots();
        let mut at = i;
        while at < end {
            let Some(copy) = slots.get(at).and_then(|slot| slot.copy.as_ref()) else {
                return Err(AccessError::Store(StoreError::NotStored)); // not reached: the run is stored from end to end
            };
            let offset = Pages::new((at - i) << self.unit.get());
            restoring.forebay.store().load(copy, &mut fresh.block, offset, restoring.cx)?;
            at += slots_of(copy.order(), self.unit);
        }
        Ok(())
    }

    /// Puts a loaded block into slot `i`. The copies in slots `i..end` are kept while the store has room.
    fn keep_loaded(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        end: usize,
        block: Option<BlockOf<H::Platform>>,
    ) {
        let store = self.forebay().store();
        let pages = block.as_ref().map_or(Pages::ZERO, |block| block.order().pages());
        let in_lobby = block.as_ref().is_some_and(|block| self.is_in_lobby(block));
        let stale = Self::is_stale(contents);
        if let Some(slot) = contents.slots.slots_mut().get_mut(i) {
            slot.block = block;
        }
        contents.marks.set(Marks::CLEAN, !stale);
        let copies = contents.slots.slots().iter().take(end).skip(i).filter_map(|slot| slot.copy.as_ref());
        let room: Pages = copies.map(|copy| store.room_of(copy)).sum();
        let is_short = room > Pages::ZERO && store.space().pages < pages;
        if !in_lobby && (is_short || stale) {
            let changing = Changing::new(contents);
            for slot in changing.0.slots.slots_mut().iter_mut().take(end).skip(i) {
                if let Some(copy) = slot.copy.take() {
                    self.forebay().discard(copy);
                }
            }
            changing.done();
        }
    }

    /// The largest order that may begin at slot `i` and whose slots have copies from end to end with the same payer: the store
    /// receives one payer for a block.
    fn copied_run(&self, SideTables { slots, charges, .. }: SideTables<'_, H::Platform>, i: usize) -> Order {
        let aligned = if i == 0 { u32::from(Order::MAX.get()) } else { i.trailing_zeros() };
        let most = aligned.min(u32::from(Self::MAX_ORDER.get().saturating_sub(self.unit.get())));
        let limit = 1_usize << most;
        let mut run = 0;
        while run < limit {
            match slots.get(i + run) {
                Some(slot) if slot.is_stored() && charges.get(i + run) == charges.get(i) => {
                    run += span_at(slots, i + run, self.unit);
                }
                _ => break,
            }
        }
        self.order_of(run.min(limit))
    }

    /// The largest order that this buffer asks for, unless its unit is larger.
    pub(super) const MAX_ORDER: Order = <<H::Platform as Platform>::Source as FrameSource>::MAX_ORDER;

    /// The largest order within `slots` slots.
    fn order_of(&self, slots: usize) -> Order {
        let exponent = u8::try_from(slots.checked_ilog2().unwrap_or(0)).unwrap_or(0);
        Order::new(self.unit.get().saturating_add(exponent)).unwrap_or(Order::MAX)
    }

    /// Halves the copy in slot `i`.
    fn split_copy(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        restoring: &Restoring<'_, H>,
    ) -> Result<(), AccessError> {
        let changing = Changing::new(contents);
        let slots = changing.0.slots.slots_mut();
        let slot = slots.get_mut(i).and_then(|slot| slot.copy.take().map(|handle| (slot, handle)));
        let (store, mut halves) = (restoring.forebay.store(), None);
        let split = slot.map(|(slot, handle)| {
            halves = handle.order().lower();
            (slot, store.split(handle))
        });
        let is_half = |handle: &Handle| halves == Some(handle.order());
        let result = match split {
            None => Ok(()),
            Some((_, Ok((lower, upper)))) if !is_half(&lower) || !is_half(&upper) => {
                restoring.forebay.discard(lower);
                restoring.forebay.discard(upper);
                Err(AccessError::Lost)
            }
            Some((slot, Ok((lower, upper)))) => {
                slot.copy = Some(lower);
                match slots.get_mut(i + slots_of(upper.order(), self.unit)) {
                    Some(slot) => slot.copy = Some(upper),
                    None => drop(restoring.forebay.discard(upper)), // not reached: the handle covered that slot
                }
                Ok(())
            }
            Some((slot, Err(refused))) => {
                slot.copy = Some(refused.item);
                match refused.why {
                    // It can't be split, so a block of its own order is missing.
                    StoreError::Unsupported | StoreError::TooLarge => Err(AllocError::Exhausted.into()),
                    why => Err(why.into()),
                }
            }
        };
        changing.done();
        if result == Err(AccessError::Lost) {
            contents.marks.insert(Marks::LOST);
        }
        result
    }

    /// Gives empty slots zeroed blocks, the largest that fit and are free. Nothing is only stored at this point.
    fn populate_all(&self, contents: &mut Contents<T>, restoring: &mut Restoring<'_, H>) {
        let mut cursor = Cursor::default();
        while restoring.goes_on() {
            let Some(i) = cursor.next(contents, self.unit) else { return };
            let slots = contents.slots.slots();
            if slots.get(i).is_none_or(|slot| slot.order().is_some()) {
                continue;
            }
            if let Err(why) = self.check_lobby(contents) {
                return restoring.sum.fail(why);
            }
            if !restoring.cx.contains(Context::MAY_BLOCK) {
                return restoring.sum.fail(AccessError::Context);
            }
            let most = if T::ONE { self.unit } else { self.empty_run(slots, i, restoring) };
            if let Err(why) = self.populate_at(contents, i, most, restoring) {
                return restoring.sum.fail(why);
            }
        }
    }

    /// The largest order that may begin at the empty slot `i`.
    fn empty_run(&self, slots: &[Slot<H::Platform>], i: usize, restoring: &Restoring<'_, H>) -> Order {
        let aligned = if i == 0 { usize::MAX } else { 1 << i.trailing_zeros() };
        let room = slots.iter().skip(i).take(aligned).take_while(|slot| slot.order().is_none()).count();
        let left = Order::for_pages(restoring.budget - restoring.sum.total()).unwrap_or(Order::MAX);
        self.order_of(room).min(Self::MAX_ORDER).min(left).max(self.unit)
    }

    fn populate_at(
        &self,
        contents: &mut Contents<T>,
        i: usize,
        most: Order,
        restoring: &mut Restoring<'_, H>,
    ) -> Result<(), AccessError> {
        let (forebay, cx) = (restoring.forebay, restoring.cx);
        let request = AllocRequest::new(self.unit).within(self.zones);
        let mut most = most;
        let (block, room) = loop {
            let block = forebay.pool().take_up_to(most, request, self.mode, Fill::Zeros, cx)?;
            if Self::LOBBY.is_empty() {
                break (block, None);
            }
            let lower = block.order().lower();
            let mut kept = Kept::<H> { forebay, cx, block: Some(block) };
            let room = kept.block.as_ref().map_or(Ok(None), |block| self.reserve_for(block));
            match (room, kept.block.take()) {
                (Ok(room), Some(block)) => break (block, room),
                (Ok(_), None) => {} // not reached: it was put there
                (Err(why), block) => {
                    block.into_iter().for_each(|block| forebay.put_or_leak(block, cx));
                    most = lower.filter(|lower| *lower >= self.unit).ok_or(why)?;
                }
            }
        };
        let order = block.order();
        let end = i + slots_of(order, self.unit);
        let changing = Changing::new(contents); // after a panic, no guard shows what has no payer
        if room.is_some() {
            Self::keep_room(changing.0);
        }
        if let Some(slot) = changing.0.slots.slots_mut().get_mut(i) {
            (slot.block, slot.copy) = (Some(block), room);
        }
        let charged = self.charge(changing.0, i..end, order.pages(), cx);
        changing.done();
        if let Err(why) = charged {
            if let Some(slot) = contents.slots.slots_mut().get_mut(i) {
                slot.block.take().into_iter().for_each(|block| forebay.put_or_leak(block, cx));
                if let Some(room) = slot.copy.take() {
                    forebay.discard(room);
                }
            }
            return Err(why);
        }
        restoring.sum.populated += order.pages();
        Ok(())
    }

    /// Changes everything that came back or is fresh to the buffer's mode. If a block refuses, the next guard tries again.
    fn apply_mode(&self, contents: &mut Contents<T>, cx: Context) -> Result<(), AccessError> {
        match self.set_modes(contents, self.mode, cx) {
            Pages::ZERO => Ok(()),
            _ => Err(AllocError::ModeRefused.into()),
        }
    }

    /// Changes every block that permits it to that mode, with one flush. Returns the pages of those that refused.
    pub(super) fn set_modes(&self, contents: &mut Contents<T>, to: ModeOf<T>, cx: Context) -> Pages {
        let mut refused = Pages::ZERO;
        let changing = Changing::new(contents);
        let Contents { slots, pending, .. } = &mut *changing.0;
        for Slot { block, .. } in slots.slots_mut() {
            if pending.set_mode_in(block, self.platform(), to, cx).is_err() {
                refused += block.as_ref().map_or(Pages::ZERO, |block| block.order().pages());
            }
        }
        changing.done();
        contents.pending.flush(self.platform(), cx);
        refused
    }
}

/// One restore: what it may do, and did. What it did is counted when it is dropped, also by a panic of a port.
struct Restoring<'f, H: Home> {
    forebay: &'f Forebay<H::Platform, H::Store>,
    budget: Pages,
    cx: Context,
    sum: Restored,
}

impl<H: Home> Restoring<'_, H> {
    fn goes_on(&self) -> bool {
        self.sum.total() < self.budget
    }
}

impl<H: Home> Drop for Restoring<'_, H> {
    fn drop(&mut self) {
        let pages = self.sum.total();
        if pages > Pages::ZERO {
            let in_interrupt = if self.cx.contains(Context::MAY_BLOCK) { Pages::ZERO } else { pages };
            self.forebay.count(|stats| {
                stats.restored.add_counts(&self.sum);
                stats.in_interrupts += in_interrupt;
            });
        }
    }
}

/// A block that a store copies to or from. If that fails, or the store panics, it goes back to the pool.
pub(super) struct Kept<'f, H: Home> {
    pub(super) forebay: &'f Forebay<H::Platform, H::Store>,
    pub(super) cx: Context,
    pub(super) block: Option<BlockOf<H::Platform>>,
}

impl<H: Home> Drop for Kept<'_, H> {
    fn drop(&mut self) {
        self.block.take().into_iter().for_each(|block| self.forebay.put_or_leak(block, self.cx));
    }
}
