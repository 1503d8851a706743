//! The way back: the same block where the store still has it, else a copy into a fresh one.

use crate::event::{self, Event};
use crate::slot::{slots_of, span_at};
use crate::state::{Empty, Inner, Marks, Round};
use crate::{
    BackingStore, Buffer, Capabilities, Context, Forebay, Mode, Order, OutOfFrames, OwnedBlock, Pages, Parts,
    PinError, Platform, Pooled, Restored, Slot, Slots, StoreError, TakeError,
};

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Everything resident, in the buffer's mode, with the platform's hook done. O(1) if it is so already.
    pub(crate) fn make_ready(&self, inner: &mut Inner<P, T>, cx: Context) -> Result<(), PinError> {
        if inner.marks.contains(Marks::READY) {
            return Ok(());
        }
        if let Some(why) = self.bring_held(inner, Empty::Zero, Pages::MAX, cx).why {
            return Err(why);
        }
        self.apply_mode(inner, cx)?;
        self.map_all(inner, cx)?;
        if inner.marks.contains(Marks::UNMAPPED) {
            self.home.platform().after_restore(self.id, cx)?;
            inner.marks.remove(Marks::UNMAPPED);
        }
        inner.marks.insert(Marks::READY);
        inner.next = 0;
        Ok(())
    }

    pub(crate) fn bring(&self, empty: Empty, budget: Pages, cx: Context) -> Restored {
        match self.cell.hold() {
            Ok(mut held) => {
                let mut sum = self.bring_held(&mut held, empty, budget, cx);
                let ended = sum.why.is_none() && sum.total() < budget && !held.marks.contains(Marks::READY);
                if ended && cx.contains(Context::MAY_BLOCK) {
                    let ready =
                        self.apply_mode(&mut held, cx).and_then(|()| Ok(self.map_all(&mut held, cx)?));
                    let _ = ready.map_err(|why| sum.fail(why));
                }
                sum
            }
            Err(busy) => Restored { why: Some(busy.into()), ..Restored::default() },
        }
    }

    /// Restores, and then populates if so wished, about `budget` pages.
    fn bring_held(&self, inner: &mut Inner<P, T>, empty: Empty, budget: Pages, cx: Context) -> Restored {
        let mut brought = Brought { home: self.home, sum: Restored::default() };
        let sum = &mut brought.sum;
        if inner.marks.contains(Marks::LOST) {
            sum.fail(PinError::Lost);
            return *sum;
        }
        let blocks = inner.marks & Marks::BLOCKS;
        if !inner.marks.contains(Marks::READY) {
            inner.marks.insert(Marks::BLOCKS); // before there are any
        }
        if inner.marks.contains(Marks::HANDED) {
            self.take_back_round(inner, budget, cx, sum);
        }
        // Where the blocks themselves may have no memory, there is none for copies either: nothing is cut for that.
        let no_memory = matches!(sum.why, Some(PinError::Take(_)));
        if inner.marks.contains(Marks::STORED) && !no_memory {
            self.load_round(inner, budget, cx, sum);
        }
        let whole = inner.marks & (Marks::READY | Marks::STORED);
        if empty == Empty::Zero && whole.is_empty() && sum.why.is_none() {
            self.populate_round(inner, budget, cx, sum);
        }
        let sum = *sum;
        drop(brought);
        if sum.total() == Pages::ZERO {
            inner.marks.set(Marks::BLOCKS, !blocks.is_empty()); // none came
        }
        event::send(Event::Restored(self.id, sum));
        if inner.marks.contains(Marks::LOST) {
            event::send(Event::Lost(self.id)); // by this call, as it was not before
        }
        sum
    }

    /// The same blocks again, as far as the store has them. This comes first: it needs no memory, and it may give
    /// the store room. What fails stays stored, and the walk goes on.
    fn take_back_round(&self, inner: &mut Inner<P, T>, budget: Pages, cx: Context, sum: &mut Restored) {
        let mut failed = false;
        let mut round = Round::default();
        while sum.total() < budget && !inner.marks.contains(Marks::LOST) {
            let Some(i) = round.next::<P, T>(inner, self.unit) else {
                if !failed {
                    inner.marks.remove(Marks::HANDED);
                }
                return;
            };
            inner.marks.insert(Marks::LOST); // as it would be, if the store panicked now
            let step = self.take_back_at(inner, i, cx, sum);
            inner.marks.set(Marks::LOST, step == Err(PinError::Lost));
            if let Err(why) = step {
                failed = true;
                sum.fail(why);
            }
        }
    }

    fn take_back_at(
        &self,
        inner: &mut Inner<P, T>,
        i: usize,
        cx: Context,
        sum: &mut Restored,
    ) -> Result<(), PinError> {
        let Some(slot) = inner.slots.slots_mut().get_mut(i).filter(|s| s.is_stored()) else { return Ok(()) };
        let Some(handle) = slot.copy.take() else { return Ok(()) };
        let order = handle.order();
        match self.home.store.take_back(handle, cx) {
            Ok(block) if block.order() == order => {
                sum.taken_back += block.pages();
                slot.block = Some(Pooled::plain(block));
                Ok(())
            }
            Ok(other) => {
                self.home.pool.release(other);
                Err(PinError::Lost)
            }
            Err(refused) => {
                slot.copy = Some(refused.item);
                match refused.why {
                    StoreError::OtherWay | StoreError::Unsupported => Ok(()), // only a copy is left
                    why => Err(why.into()),
                }
            }
        }
    }

    /// Copies of what is left. What fails stays stored, and the walk goes on unless there is no memory.
    fn load_round(&self, inner: &mut Inner<P, T>, budget: Pages, cx: Context, sum: &mut Restored) {
        let mut failed = false;
        let mut round = Round::default();
        while sum.total() < budget && !inner.marks.contains(Marks::LOST) {
            let Some(i) = round.next::<P, T>(inner, self.unit) else {
                if !failed {
                    inner.marks.remove(Marks::STORED);
                }
                return;
            };
            if !inner.slots.slots().get(i).is_some_and(Slot::is_stored) {
                continue;
            }
            if !cx.contains(Context::MAY_BLOCK) {
                return sum.fail(PinError::Context);
            }
            let left = budget - sum.total();
            match self.load_at(inner, i, left, cx, sum) {
                Ok(()) => {}
                Err(why @ PinError::Take(_)) => return sum.fail(why),
                Err(why) => {
                    failed = true;
                    sum.fail(why);
                }
            }
        }
    }

    /// Loads what is stored from slot `i` on into one fresh block, as large as may lie there and as the budget
    /// permits; if that fails, just what is stored in slot `i`. The copies are kept while the store has room. On an
    /// error the slots are as before.
    fn load_at(
        &self,
        inner: &mut Inner<P, T>,
        i: usize,
        budget: Pages,
        cx: Context,
        sum: &mut Restored,
    ) -> Result<(), PinError> {
        let Some(stored) = inner.slots.slots().get(i).and_then(Slot::order) else { return Ok(()) };
        let run = match inner.marks.contains(Marks::HANDED) {
            true => stored, // what is not taken back yet lies between
            false => self.copied_run(inner.slots.parts(), i),
        };
        let can_split = self.home.store.capabilities().contains(Capabilities::SPLIT);
        let least = if can_split { self.unit.min(stored) } else { stored };
        let mut most = run.min(Order::holding(budget).unwrap_or(Order::MAX)).max(stored);
        loop {
            let taken = self.home.pool.take_up_to_unwiped(most, least, self.zones, self.mode, cx);
            let mut fresh = taken.map_err(PinError::Take)?;
            let end = i + slots_of(fresh.block().order(), self.unit);
            match self.load_slots(inner, i, end, &mut fresh, cx) {
                Ok(()) => {
                    sum.loaded += fresh.block().pages();
                    self.keep_loaded(inner, i, end, fresh);
                    return Ok(());
                }
                Err(why) => {
                    let several = fresh.block().order() > stored;
                    self.home.give_or_strand(fresh, cx);
                    if !several {
                        return Err(why);
                    }
                    most = stored; // perhaps it was a neighbour that failed
                }
            }
        }
    }

    /// A block with what was in slots `i..end`, whose copies are kept while the store has room.
    fn keep_loaded(&self, inner: &mut Inner<P, T>, i: usize, end: usize, block: Pooled<P>) {
        let (store, slots) = (&self.home.store, inner.slots.slots_mut());
        let copies = slots.iter().take(end).skip(i).filter_map(|slot| slot.copy.as_ref());
        let room: Pages = copies.map(|copy| store.room_of(copy)).sum();
        if room > Pages::ZERO && store.space().pages < block.block().pages() {
            inner.marks.insert(Marks::LOST); // as the rest would be, if the store panicked now
            for slot in slots.iter_mut().take(end).skip(i) {
                if let Some(copy) = slot.copy.take() {
                    self.home.discard(copy);
                }
            }
        } else {
            inner.marks.insert(Marks::CLEAN);
        }
        if let Some(slot) = slots.get_mut(i) {
            slot.block = Some(block);
        }
        inner.marks.remove(Marks::LOST);
    }

    /// Fills a block from the copies in slots `i..end`, the first of which is halved until it is no larger.
    fn load_slots(
        &self,
        inner: &mut Inner<P, T>,
        i: usize,
        end: usize,
        fresh: &mut Pooled<P>,
        cx: Context,
    ) -> Result<(), PinError> {
        let (slots, mut split) = (inner.slots.slots_mut(), Ok(()));
        inner.marks.insert(Marks::LOST); // as what is split would be, if the store panicked now
        while split.is_ok() && i + span_at(slots, i, self.unit) > end {
            split = self.split_copy(slots, i);
        }
        inner.marks.remove(Marks::LOST);
        split?;
        let mut at = i;
        while at < end {
            let Some(copy) = slots.get(at).and_then(|s| s.copy.as_ref()) else {
                return Err(PinError::Store(StoreError::NotStored)); // not reached: the run is stored from end to end
            };
            let offset = Pages::new((at - i) << self.unit.get());
            self.home.store.load(copy, fresh.block_mut(), offset, cx)?;
            at += slots_of(copy.order(), self.unit);
        }
        Ok(())
    }

    /// The largest order that may begin at slot `i` and of which there are copies from end to end, for which one and the same
    /// pays: for a block the store is told of one only.
    fn copied_run(&self, Parts { slots, charges, .. }: Parts<'_, P>, i: usize) -> Order {
        let aligned = if i == 0 { u32::from(Order::MAX.get()) } else { i.trailing_zeros() };
        let most = aligned.min(u32::from(P::MAX_ORDER.get().saturating_sub(self.unit.get())));
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

    /// The largest order within `slots` slots.
    fn order_of(&self, slots: usize) -> Order {
        let exponent = u8::try_from(slots.checked_ilog2().unwrap_or(0)).unwrap_or(0);
        Order::new(self.unit.get().saturating_add(exponent)).unwrap_or(Order::MAX)
    }

    /// Halves the copy in slot `i`.
    fn split_copy(&self, slots: &mut [Slot<P>], i: usize) -> Result<(), PinError> {
        let Some(slot) = slots.get_mut(i) else { return Ok(()) };
        let Some(handle) = slot.copy.take() else { return Ok(()) };
        match self.home.store.split(handle) {
            Ok((lower, upper)) => {
                let behind = i + slots_of(upper.order(), self.unit);
                slot.copy = Some(lower);
                match slots.get_mut(behind) {
                    Some(slot) => slot.copy = Some(upper),
                    None => drop(self.home.discard(upper)), // not reached: the handle covered that slot
                }
                Ok(())
            }
            Err(refused) => {
                slot.copy = Some(refused.item);
                Err(match refused.why {
                    // This one can't be split, so it is a block of its own order that is missing.
                    StoreError::Unsupported | StoreError::TooLarge => {
                        PinError::Take(OutOfFrames::Exhausted.into())
                    }
                    why => why.into(),
                })
            }
        }
    }

    /// Zeroed blocks for what is empty, the largest that fit and are to be had. Nothing is only stored any more.
    fn populate_round(&self, inner: &mut Inner<P, T>, budget: Pages, cx: Context, sum: &mut Restored) {
        let mut round = Round::default();
        while sum.total() < budget {
            let Some(i) = round.next::<P, T>(inner, self.unit) else { return };
            let slots = inner.slots.slots_mut();
            if slots.get(i).is_none_or(|s| s.order().is_some()) {
                continue;
            }
            if !cx.contains(Context::MAY_BLOCK) {
                return sum.fail(PinError::Context);
            }
            let aligned = if i == 0 { usize::MAX } else { 1 << i.trailing_zeros() };
            let room = slots.iter().skip(i).take(aligned).take_while(|s| s.order().is_none()).count();
            let left = Order::holding(budget - sum.total()).unwrap_or(Order::MAX);
            let most = self.order_of(room).min(P::MAX_ORDER).min(left).max(self.unit);
            match self.home.pool.take_up_to_wiped(most, self.unit, self.zones, self.mode, cx) {
                Ok(block) => {
                    let order = block.block().order();
                    let end = i + slots_of(order, self.unit);
                    if let Some(slot) = inner.slots.slots_mut().get_mut(i) {
                        slot.block = Some(block);
                    }
                    inner.marks.insert(Marks::LOST); // as who pays would be, if the platform panicked now
                    let charged = self.charge(inner, i..end, order.pages(), cx);
                    inner.marks.remove(Marks::LOST);
                    if let Err(why) = charged {
                        let slot = inner.slots.slots_mut().get_mut(i);
                        let block = slot.and_then(|slot| slot.block.take());
                        block.into_iter().for_each(|block| self.home.give_or_strand(block, cx));
                        return sum.fail(why.into());
                    }
                    sum.populated += order.pages();
                }
                Err(why) => return sum.fail(PinError::Take(why)),
            }
        }
    }

    /// What came back or is fresh is plain: all of it gets the buffer's mode, with one flush. What is refused stays as it
    /// is, and the next guard tries again.
    fn apply_mode(&self, inner: &mut Inner<P, T>, cx: Context) -> Result<(), PinError> {
        let mut result = Ok(());
        inner.marks.insert(Marks::LOST); // as a block would be, if the platform panicked now; nothing is lost before
        let mut round = Round::default();
        while let (Ok(()), Some(i)) = (result, round.next::<P, T>(inner, self.unit)) {
            let Some(slot) = inner.slots.slots_mut().get_mut(i) else { break };
            let Some(block) = slot.block.take() else { continue };
            if block.mode().index() == self.mode.index() {
                slot.block = Some(block);
                continue;
            }
            match block.change_mode(self.home.platform(), self.mode, cx) {
                Ok(block) => {
                    slot.block = Some(block);
                    inner.marks.insert(Marks::UNFLUSHED);
                }
                Err(refused) => {
                    slot.block = Some(refused.item);
                    result = Err(PinError::Take(TakeError::ModeRefused));
                }
            }
        }
        inner.marks.remove(Marks::LOST);
        self.flush(&mut inner.marks, cx);
        result
    }
}

/// What a call brought so far. It is counted at its end, which may be a port's panic.
struct Brought<'f, P: Platform, S> {
    home: &'f Forebay<P, S>,
    sum: Restored,
}

impl<P: Platform, S> Drop for Brought<'_, P, S> {
    fn drop(&mut self) {
        self.home.count(|stats| stats.restored.add_moved(&self.sum));
    }
}
