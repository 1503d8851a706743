//! The way out: a walk over the slots, and what becomes of each block.

use crate::cell::Held;
use crate::event::{self, Event};
use crate::ladder::{Gone, Stay, Walk};
use crate::mapping::{Mapped, unmap_at};
use crate::pooled::RUN;
use crate::slot::{slots_of, span_at};
use crate::state::{Inner, Marks, Round};
use crate::step::Pass;
use crate::{
    BackingStore, Buffer, Capabilities, Class, Context, Evict, Evicted, Mode, Order, OwnedBlock, Pages,
    Parts, Platform, Pooled, Slot, Slots, StayReason, Step, StoreError,
};

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'_, P, S, T> {
    /// Evicts block after block until `budget` is reached or somebody wants the buffer. If nothing left, all is
    /// as it was.
    pub(crate) fn evict_held(&self, held: &mut Held<'_, P::Lock, Inner<P, T>>, step: &Step) -> Evicted {
        let purges = step.how.contains(Evict::PURGE) && held.marks.may_be_purged();
        let moves = step.pass != Pass::Purge && held.marks.contains(Marks::BLOCKS);
        if step.budget == Pages::ZERO || !(purges || moves) {
            return Evicted::default();
        }
        let how = step.how - Evict::PURGE;
        let rungs = how & self.possible(step.cx);
        let barred = if rungs.is_empty() { self.why_none(step, how) } else { None };
        let mut walk = Walk::new(self.home, step, rungs, barred);
        if purges {
            self.purge_held(held, &mut walk);
        } else if rungs.is_empty() && !held.marks.contains(Marks::CLEAN) {
            barred.into_iter().for_each(|why| walk.refuse(Pages::ZERO, why));
        } else {
            self.evict_round(held, &mut walk);
        }
        let (sum, lost) = (walk.sum, walk.lost);
        drop(walk);
        event::send(Event::Evicted(self.id, sum));
        if lost {
            event::send(Event::Lost(self.id));
        }
        sum
    }

    /// Why none of the rungs is possible that a step permits. Nothing, if that is no refusal.
    fn why_none(&self, step: &Step, how: Evict) -> Option<StayReason> {
        let later = !(how & self.possible(Context::THREAD)).is_empty();
        match (step.pass, how.is_empty(), later) {
            (Pass::Clean, ..) => None,
            (_, true, _) => Some(StayReason::NoRung),
            (_, false, true) => Some(StayReason::Store(StoreError::Context)),
            (_, false, false) => Some(StayReason::Store(StoreError::Unsupported)),
        }
    }

    fn evict_round(&self, held: &mut Held<'_, P::Lock, Inner<P, T>>, walk: &mut Walk<'_, P, S>) {
        if !walk.is_about(held.slots.slots(), self.unit) {
            return;
        }
        let was_mapped = !held.marks.contains(Marks::UNMAPPED);
        if self.unmap(held, walk.cx).is_err() {
            return walk.refuse(Pages::ZERO, StayReason::Hook);
        }
        // Marks go before what they announce, so that a panic in a port leaves nothing unannounced.
        let (ready, lost) = (held.marks & Marks::READY, held.marks & Marks::LOST);
        held.marks.remove(Marks::READY);
        held.marks.insert(Marks::STORED);
        held.marks.insert(Marks::LOST); // as it would be, if a port panicked now
        let flushes = P::Mode::COUNT > 1 || !held.slots.addresses().is_empty();
        let all_seen = if flushes { self.evict_in_runs(held, walk) } else { self.evict_singly(held, walk) };
        if !walk.lost {
            held.marks.set(Marks::LOST, !lost.is_empty());
        }
        if all_seen && walk.sum.why.is_none() {
            held.marks.set(Marks::BLOCKS, !walk.stays.is_empty());
            held.marks.set(Marks::CLEAN, walk.stays.contains(Class::CLEAN));
        }
        if walk.sum.moved() > Pages::ZERO || walk.disturbed {
            return; // the next guard repairs, and then runs the hook
        }
        if was_mapped && self.home.platform().after_restore(self.id, walk.cx).is_ok() {
            held.marks.remove(Marks::UNMAPPED);
            held.marks.insert(ready); // nothing happened
        }
    }

    /// The rungs that this store and this context have at all.
    fn possible(&self, cx: Context) -> Evict {
        let can = self.home.store.capabilities();
        let mut rungs = Evict::empty();
        rungs.set(Evict::TRANSFER, can.contains(Capabilities::TRANSFER));
        let may_copy = cx.contains(Context::MAY_BLOCK)
            && (!can.contains(Capabilities::NEEDS_IO) || cx.contains(Context::MAY_IO));
        rungs.set(Evict::COPY | Evict::SPLIT, can.contains(Capabilities::COPY) && may_copy);
        rungs
    }

    /// Block by block, where there is nothing to flush; whether it came to the end.
    fn evict_singly(&self, held: &mut Held<'_, P::Lock, Inner<P, T>>, walk: &mut Walk<'_, P, S>) -> bool {
        let mut round = Round::default();
        while let Some((i, end)) = self.next_meant(held, &mut round, walk) {
            if self.evict_range(held, &mut round, walk, i, end) == Stop::Here {
                return false;
            }
        }
        true
    }

    /// Some blocks at a time, with one flush for those; whether it came to the end.
    fn evict_in_runs(&self, held: &mut Held<'_, P::Lock, Inner<P, T>>, walk: &mut Walk<'_, P, S>) -> bool {
        let mut round = Round::default();
        loop {
            let mut run = [None; RUN];
            let seen = self.stage(held, &mut round, walk, &mut run);
            let mut staged = run.iter().flatten();
            let stops = staged.any(|s| self.evict_range(held, &mut round, walk, s.slot, s.end) == Stop::Here);
            self.unstage(held, walk, &run);
            match (stops, seen) {
                (true, _) => return false,
                (false, Seen::All) => return true,
                (false, Seen::Some) => {}
            }
        }
    }

    /// The slots of the next block that is meant.
    fn next_meant(
        &self,
        inner: &mut Inner<P, T>,
        round: &mut Round,
        walk: &mut Walk<'_, P, S>,
    ) -> Option<(usize, usize)> {
        loop {
            let i = round.next::<P, T>(inner, self.unit)?;
            let slot = inner.slots.slots().get(i)?;
            let Some(block) = &slot.block else { continue };
            let class = if slot.copy.is_some() { Class::CLEAN } else { Class::RESIDENT };
            let tried = class == Class::CLEAN || !walk.rungs.is_empty();
            if tried && walk.is_for(block.block()) {
                return Some((i, i + slots_of(block.block().order(), self.unit)));
            }
            walk.leave(class, if tried { None } else { walk.barred });
        }
    }

    /// Makes the next few blocks plain, and unreachable for devices, with one flush: as many as the budget wants.
    fn stage(
        &self,
        inner: &mut Inner<P, T>,
        round: &mut Round,
        walk: &mut Walk<'_, P, S>,
        run: &mut Run<P>,
    ) -> Seen {
        let (mut found, mut pages, budget) = (0, Pages::ZERO, walk.budget - walk.sum.moved());
        let platform = self.home.platform();
        let seen = loop {
            if found == RUN || pages >= budget {
                break Seen::Some;
            }
            let Some((i, end)) = self.next_meant(inner, round, walk) else { break Seen::All };
            let mut parts = inner.slots.parts();
            let Some(slot) = parts.slots.get_mut(i) else { break Seen::All };
            let Some(block) = slot.block.take() else { continue };
            let (mode, order) = (block.mode(), block.block().order());
            let mapped = unmap_at(platform, parts.addresses, i..end, block.block());
            if mapped == Mapped::Yes {
                inner.marks.insert(Marks::UNFLUSHED);
            }
            match block.change_mode(platform, P::Mode::PLAIN, walk.cx) {
                Ok(plain) => {
                    slot.block = Some(plain);
                    if mode.index() != P::Mode::PLAIN.index() {
                        inner.marks.insert(Marks::UNFLUSHED);
                    }
                    if let Some(place) = run.get_mut(found) {
                        *place = Some(Staged { slot: i, end, mode, mapped });
                    }
                    found += 1;
                    pages += order.pages();
                }
                Err(refused) => {
                    walk.refuse(order.pages(), StayReason::Mode(refused.why));
                    slot.block = Some(refused.item);
                    if mapped == Mapped::Yes {
                        self.flush(&mut inner.marks, walk.cx);
                    }
                    self.map_again(&mut parts, i, mapped, walk);
                }
            }
        };
        self.flush(&mut inner.marks, walk.cx);
        seen
    }

    /// Evicts the block in these slots, which is plain, as far as it goes; if it is cut, the pieces too.
    fn evict_range(
        &self,
        held: &mut Held<'_, P::Lock, Inner<P, T>>,
        round: &mut Round,
        walk: &mut Walk<'_, P, S>,
        mut at: usize,
        end: usize,
    ) -> Stop {
        let mut last = at;
        while at < end {
            self.evict_at(held, at, walk);
            round.go_on(last, at);
            let spent = walk.rungs.is_empty() && !held.marks.contains(Marks::CLEAN);
            if spent || walk.sum.moved() >= walk.budget || held.wanted() {
                held.next = at;
                return Stop::Here;
            }
            last = at;
            at += span_at(held.slots.slots(), at, self.unit);
        }
        Stop::AtTheEnd
    }

    /// Gives what was staged and stayed its mode back, with one flush, and then its address.
    fn unstage(&self, inner: &mut Inner<P, T>, walk: &mut Walk<'_, P, S>, run: &Run<P>) {
        for staged in run.iter().flatten().filter(|staged| staged.mode.index() != P::Mode::PLAIN.index()) {
            let Some(slot) = inner.slots.slots_mut().get_mut(staged.slot) else { continue };
            match slot.block.take().map(|block| block.change_mode(self.home.platform(), staged.mode, walk.cx))
            {
                Some(Ok(block)) => {
                    slot.block = Some(block);
                    inner.marks.insert(Marks::UNFLUSHED);
                }
                Some(Err(refused)) => {
                    slot.block = Some(refused.item);
                    walk.disturbed = true;
                }
                None => {}
            }
        }
        self.flush(&mut inner.marks, walk.cx);
        let mut parts = inner.slots.parts();
        for staged in run.iter().flatten() {
            self.map_again(&mut parts, staged.slot, staged.mapped, walk);
        }
    }

    /// Gives a block that stays, and was mapped, an address again, if it is in its buffer's mode. If that is refused, the
    /// next guard tries again.
    fn map_again(&self, parts: &mut Parts<'_, P>, i: usize, mapped: Mapped, walk: &mut Walk<'_, P, S>) {
        let block = parts.slots.get(i).and_then(|slot| slot.block.as_ref());
        let stays = block.is_some_and(|block| block.mode().index() == self.mode.index());
        if mapped == Mapped::Yes && stays && self.map_at(parts, i, walk.cx).is_err() {
            walk.disturbed = true;
        }
    }

    /// Evicts the block at `i`, if there is one, which is plain: a clean one goes home, any other down the ladder.
    /// Refused, the slot has its block as before.
    fn evict_at(&self, inner: &mut Inner<P, T>, i: usize, walk: &mut Walk<'_, P, S>) {
        let parts = inner.slots.parts();
        let charge = parts.charges.get(i).copied().flatten();
        let Some(slot) = parts.slots.get_mut(i) else { return };
        let Some(pooled) = slot.block.take() else { return };
        let order = pooled.block().order();
        if slot.copy.is_none() && walk.rungs.is_empty() {
            walk.leave(Class::RESIDENT, walk.barred); // a neighbour's backlog: it is not even tried
            slot.block = Some(pooled);
            return;
        }
        let block = match pooled.into_plain(self.home.platform(), walk.cx) {
            Ok(block) => block,
            Err(refused) => {
                slot.block = Some(refused.item); // not reached: it was made plain
                return;
            }
        };
        if slot.copy.is_some() {
            self.home.pool.release(block);
            walk.sum.clean += order.pages();
            return;
        }
        if walk.rungs.contains(Evict::TRANSFER) {
            inner.marks.insert(Marks::HANDED);
        }
        match self.climb_down(block, charge, walk) {
            Ok(Gone::HandedOver(handle)) => {
                slot.copy = Some(handle);
                walk.sum.handed_over += order.pages();
            }
            Ok(Gone::Copied(handle, block)) => {
                let slots = inner.slots.slots_mut();
                match self.cut(slots, i, block, handle.order()) {
                    Ok((prefix, splits)) => {
                        walk.sum.splits += splits;
                        walk.sum.copied += handle.pages();
                        if let Some(slot) = slots.get_mut(i) {
                            slot.copy = Some(handle);
                        }
                        self.home.pool.release(prefix);
                    }
                    Err(whole) => {
                        self.home.discard(handle);
                        stays(slots, i, Stay(whole, StayReason::Unsplittable), order, walk);
                    }
                }
            }
            Ok(Gone::Lost) => {
                (walk.lost, walk.disturbed) = (true, true);
                walk.refuse(Pages::ZERO, StayReason::Store(StoreError::Io)); // it is not resident either
            }
            Err(stay) => stays(inner.slots.slots_mut(), i, stay, order, walk),
        }
    }
}

/// Back into its slot, plain as it is.
fn stays<P: Platform, S>(
    slots: &mut [Slot<P>],
    i: usize,
    Stay(block, why): Stay<P::Block>,
    order: Order,
    walk: &mut Walk<'_, P, S>,
) {
    walk.refuse(block.pages(), why);
    walk.disturbed |= block.order() != order;
    if let Some(slot) = slots.get_mut(i) {
        slot.block = Some(Pooled::plain(block));
    }
}

/// Blocks that were made plain to be evicted.
type Run<P> = [Option<Staged<<P as Platform>::Mode>>; RUN];

/// One of them.
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

/// How far a round has come.
enum Seen {
    Some,
    All,
}

/// How the eviction of a block ended.
#[derive(PartialEq, Eq)]
enum Stop {
    /// The eviction ends.
    Here,
    AtTheEnd,
}
