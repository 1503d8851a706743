//! The way out: a walk over the slots, and what becomes of each block.

use crate::cell::Held;
use crate::event::{self, Event};
use crate::forebay::Counted;
use crate::ladder::{Gone, Stay, Walk};
use crate::mapping::{Mapped, unmap_at};
use crate::pooled::RUN;
use crate::slot::slots_of;
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
        let denied = how & self.possible(Context::THREAD) != rungs;
        let barred = match (step.pass, how.is_empty(), denied) {
            (Pass::Clean, ..) => None,
            (_, true, _) => Some(StayReason::NoRung),
            (_, false, true) => Some(StayReason::Store(StoreError::Context)),
            (_, false, false) => Some(StayReason::Store(StoreError::Unsupported)),
        };
        let mut counted = Counted::new(self.home, Walk::new(step, rungs, barred), |stats, walk| {
            stats.evicted += Evicted { why: None, ..walk.sum };
            stats.refusals += walk.refusals;
        });
        let walk = &mut counted.so_far;
        if purges {
            self.purge_held(held, walk);
        } else if rungs.is_empty() && !held.marks.contains(Marks::CLEAN) {
            barred.into_iter().for_each(|why| walk.refuse(Pages::ZERO, why));
        } else {
            self.evict_round(held, walk);
        }
        let (sum, lost) = (walk.sum, walk.lost);
        drop(counted);
        event::send(Event::Evicted(self.id, sum));
        if lost {
            event::send(Event::Lost(self.id));
        }
        sum
    }

    fn evict_round(&self, held: &mut Held<'_, P::Lock, Inner<P, T>>, walk: &mut Walk) {
        if !walk.is_about(self.home.platform(), held.slots.slots(), self.unit) {
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
        let mut round = Round::default();
        let all_seen = loop {
            if walk.rungs.is_empty() && !held.marks.contains(Marks::CLEAN) {
                break false;
            }
            let mut run = [None; RUN];
            held.marks.insert(Marks::LOST); // as it would be, if a port panicked now
            let seen = self.stage(held, &mut round, walk, &mut run);
            let stop = self.evict_run(held, &mut round, walk, &run);
            self.unstage(held, walk, &run);
            if !walk.lost {
                held.marks.set(Marks::LOST, !lost.is_empty());
            }
            match (stop, seen) {
                (Stop::Here, _) => break false,
                (Stop::AtTheEnd, Seen::All) => break true,
                (Stop::AtTheEnd, Seen::Some) => {}
            }
        };
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

    /// Makes the next few blocks plain, and unreachable for devices, with one flush: as many as the budget wants. Where there
    /// is nothing to flush, just the next one.
    fn stage(&self, inner: &mut Inner<P, T>, round: &mut Round, walk: &mut Walk, run: &mut Run<P>) -> Seen {
        let flushes = P::Mode::COUNT > 1 || !inner.slots.addresses().is_empty();
        let most = if flushes { RUN } else { 1 };
        let (mut found, mut pages, budget) = (0, Pages::ZERO, walk.budget - walk.sum.moved());
        let platform = self.home.platform();
        let seen = loop {
            if found == most || pages >= budget {
                break Seen::Some;
            }
            let Some(i) = round.next::<P, T>(inner, self.unit) else { break Seen::All };
            let mut parts = inner.slots.parts();
            let Some(slot) = parts.slots.get_mut(i) else { break Seen::All };
            let Some(block) = slot.block.take() else { continue };
            let (mode, order) = (block.mode(), block.block().order());
            let class = if slot.copy.is_some() { Class::CLEAN } else { Class::RESIDENT };
            let tried = class == Class::CLEAN || !walk.rungs.is_empty();
            if !tried || !walk.is_for(platform, block.block()) {
                walk.leave(class, if tried { None } else { walk.barred });
                slot.block = Some(block);
                continue;
            }
            let end = i + slots_of(order, self.unit);
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

    /// Evicts what was staged, as far as it goes; of a block that is cut, the pieces too, which are plain.
    fn evict_run(
        &self,
        held: &mut Held<'_, P::Lock, Inner<P, T>>,
        round: &mut Round,
        walk: &mut Walk,
        run: &Run<P>,
    ) -> Stop {
        for staged in run.iter().flatten() {
            let (mut last, mut at) = (staged.slot, staged.slot);
            while at < staged.end {
                self.evict_at(held, at, walk);
                round.go_on(last, at);
                let spent = walk.rungs.is_empty() && !held.marks.contains(Marks::CLEAN);
                if spent || walk.sum.moved() >= walk.budget || held.wanted() {
                    held.next = at;
                    return Stop::Here;
                }
                last = at;
                at += held.slots.slots().get(at).map_or(1, |slot| slot.span(self.unit));
            }
        }
        Stop::AtTheEnd
    }

    /// Gives what was staged and stayed its mode back, with one flush, and then its address.
    fn unstage(&self, inner: &mut Inner<P, T>, walk: &mut Walk, run: &Run<P>) {
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
    fn map_again(&self, parts: &mut Parts<'_, P>, i: usize, mapped: Mapped, walk: &mut Walk) {
        let block = parts.slots.get(i).and_then(|slot| slot.block.as_ref());
        let stays = block.is_some_and(|block| block.mode().index() == self.mode.index());
        if mapped == Mapped::Yes && stays && self.map_at(parts, i, walk.cx).is_err() {
            walk.disturbed = true;
        }
    }

    /// Evicts the block at `i`, if there is one, which is plain: a clean one goes home, any other down the ladder.
    /// Refused, the slot has its block as before.
    fn evict_at(&self, inner: &mut Inner<P, T>, i: usize, walk: &mut Walk) {
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
fn stays<P: Platform>(
    slots: &mut [Slot<P>],
    i: usize,
    Stay(block, why): Stay<P::Block>,
    order: Order,
    walk: &mut Walk,
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

/// How a run ended.
enum Stop {
    /// The eviction ends.
    Here,
    AtTheEnd,
}
