//! Operations on buffers, the engine and faults. Those on blocks and handles are in `direct`.

use super::buffers::{Guard, Kept};
use super::ops::{Asked, Op, budget, context, methods, purgeable};
use super::pages;
use super::platform::{SMALL, Source};
use super::rig::{HeldGuard, Plain, Rig};
use crate::kit::EvictIfIdle;
use forebay::{AccessError, Context, Evict, Pages, StoreError, buffer::EvictRequest, stats::Evicted};
use forebay_backends::Faults;
use std::task::Poll;

/// Guards held at a time.
const GUARDS: usize = 4;

impl<'h, 'w, S: Source, const PAGE: usize> Rig<'h, 'w, S, PAGE> {
    pub(super) fn step<'g>(&mut self, op: &Op, buffers: &'g [Kept<'_>], guards: &mut Vec<HeldGuard<'g>>) {
        let at = |n: u8| usize::from(n) % buffers.len();
        let of = |n: u8| &buffers[at(n)];
        match *op {
            Op::Read { buffer, cx } => drop(self.read(of(buffer), context(cx))),
            Op::Write { buffer, at, len, byte, cx } => {
                if let Some(mut guard) = self.write(of(buffer), context(cx)) {
                    let (at, len) = Self::part(at, len);
                    of(buffer).put(&mut guard, at, len, byte);
                    of(buffer).compare(&guard);
                }
            }
            Op::HoldRead { buffer, cx } if guards.len() < GUARDS => {
                if let Some(guard) = self.read(of(buffer), context(cx)) {
                    guards.push(HeldGuard { of: at(buffer), guard });
                    self.count_guard(of(buffer), 1, false);
                }
            }
            Op::HoldWrite { buffer, cx } if guards.len() < GUARDS => {
                if let Some(guard) = self.write(of(buffer), context(cx)) {
                    guards.push(HeldGuard { of: at(buffer), guard });
                    self.count_guard(of(buffer), 1, true);
                }
            }
            Op::WriteHeld { guard, at, len, byte } => {
                let count = guards.len().max(1);
                if let Some(held) = guards.get_mut(usize::from(guard) % count) {
                    let (at, len) = Self::part(at, len);
                    buffers[held.of].put(&mut held.guard, at, len, byte);
                }
            }
            Op::LetGo { guard } if !guards.is_empty() => {
                self.let_go(usize::from(guard) % guards.len(), buffers, guards);
            }
            Op::Evict { buffer, budget: b, how, cx } => self.evict(of(buffer), b, how, cx),
            Op::EvictIfIdle { buffer, budget: b, how, cx } => {
                let (kept, how, cx) = (of(buffer), methods(how), context(cx));
                let before = self.world.frames_out();
                let evicted = kept.as_dyn().evict_if_idle(&EvictRequest::new(budget(b), how, cx));
                assert!(!kept.is_guarded() || evicted == Evicted::default());
                self.check_evicted(evicted, kept.shape.pages(), budget(b), how, cx);
                assert_eq!(before - self.world.frames_out(), evicted.moved() - evicted.transferred);
            }
            Op::Restore { buffer, budget: b, cx } => self.restore(of(buffer), budget(b), context(cx)),
            Op::Purge { buffer } => {
                if let Some(purgeable) = purgeable(buffer) {
                    assert_eq!(of(buffer).set_purgeable(purgeable).is_err(), of(buffer).is_guarded());
                    return;
                }
                let injected = self.injected();
                let done = of(buffer).purge();
                let injected = self.injected() > injected;
                assert!(done.is_err() == of(buffer).is_guarded() || injected);
                if done.is_ok() {
                    self.emptied(of(buffer), injected);
                }
            }
            Op::Reclaim { want, how, cx } => self.reclaim(Asked::of(want, how, cx), buffers),
            Op::Settle { budget: b, cx } => self.settle(budget(b), context(cx)),
            Op::WriteOut { region, bytes, delay, short } => {
                self.engine.delay = delay % 4;
                self.engine.short = if short < 192 { u8::MAX } else { short };
                self.write_out(usize::from(region), usize::from(bytes) % 1100 * (PAGE / SMALL));
            }
            Op::Faults { store, kth, per_mille, seed } => {
                self.faulted = true;
                let per_mille = if kth.is_some() { 0 } else { per_mille % 700 };
                let faults = Faults { kth: kth.map(|k| u32::from(k % 16)), per_mille, seed: seed.into() };
                match store {
                    true => self.home.store().faulty().set(faults),
                    false => self.faulty().set(faults),
                }
            }
            Op::NoFaults => {
                self.home.store().faulty().set(Faults::default());
                self.faulty().set(Faults::default());
            }
            _ => self.step_direct(op),
        }
    }

    /// Which bytes to write: the same pages whatever their size.
    fn part(at: u16, len: u16) -> (usize, usize) {
        (usize::from(at) % 4200 * (PAGE / SMALL), usize::from(len) % 2100 * (PAGE / SMALL))
    }

    /// A guard, compared with the model; or nothing, for a good reason.
    fn read<'g>(&self, kept: &'g Kept<'_>, cx: Context) -> Option<Guard<'g>> {
        let injected = self.injected();
        let result = kept.read(cx);
        assert!(!kept.writer.get() || result.is_err(), "{:?} is read while it is written", kept.id);
        self.pinned(result, kept, false, cx, injected)
    }

    /// As `read`, to write.
    fn write<'g>(&self, kept: &'g Kept<'_>, cx: Context) -> Option<Guard<'g>> {
        let injected = self.injected();
        let result = kept.write(cx);
        assert!(!kept.is_guarded() || result.is_err(), "{:?} is written while it is guarded", kept.id);
        self.pinned(result, kept, true, cx, injected)
    }

    pub(super) fn pinned<'g>(
        &self,
        result: Result<Guard<'g>, AccessError>,
        kept: &Kept<'_>,
        exclusive: bool,
        cx: Context,
        injected: u32,
    ) -> Option<Guard<'g>> {
        match result {
            Ok(guard) => {
                assert!(!self.hooks.is_unmapped(kept.id), "{:?} has a guard and is unmapped", kept.id);
                let in_mode = self.hooks.in_mode(kept.shape.mode());
                assert!(in_mode >= kept.shape.pages(), "{:?} has a guard in another mode", kept.id);
                kept.compare(&guard);
                Some(guard)
            }
            Err(error) => {
                self.expect_pin(error, kept, exclusive, cx, injected);
                None
            }
        }
    }

    fn count_guard(&self, kept: &Kept<'_>, change: isize, write: bool) {
        match write {
            true => kept.writer.set(change > 0),
            false => kept.readers.set(kept.readers.get().saturating_add_signed(change)),
        }
        self.hooks.set_guards(kept.id, kept.readers.get() + usize::from(kept.writer.get()));
    }

    /// Compares once more, and drops a guard.
    pub(super) fn let_go<'g>(&self, which: usize, buffers: &'g [Kept<'_>], guards: &mut Vec<HeldGuard<'g>>) {
        let HeldGuard { of, guard } = guards.swap_remove(which);
        buffers[of].compare(&guard);
        let write = guard.is_write();
        drop(guard);
        self.count_guard(&buffers[of], -1, write);
    }

    /// A block that its mode keeps from leaving stays.
    fn emptied(&self, kept: &Kept<'_>, injected: bool) {
        let is = kept.residency().expect("no guard is alive");
        let empty = is.stored + is.clean == Pages::ZERO && (injected || is.resident == Pages::ZERO);
        assert!(empty, "{:?} is not empty after a purge: {is:?}", kept.id);
    }

    fn evict(&self, kept: &Kept<'_>, b: u8, how: u8, cx: u8) {
        let (budget, how, cx) = (budget(b), methods(how), context(cx));
        let (was, out, injected) = (kept.residency(), self.world.frames_out(), self.injected());
        let was_mapped = !self.hooks.is_unmapped(kept.id);
        let result = kept.evict(budget, how, cx);
        assert_eq!(result.is_err(), kept.is_guarded());
        let (Ok(evicted), Ok(was), Ok(is)) = (result, was, kept.residency()) else { return };
        assert!(evicted.purged == Pages::ZERO || kept.may_be_purged(how));
        if kept.may_be_purged(how) {
            assert_eq!(out - self.world.frames_out(), evicted.moved() - evicted.transferred);
            return self.check_evicted(evicted, kept.shape.pages(), budget, how, cx);
        }
        assert_eq!(was.resident - is.resident, evicted.moved(), "{was:?} {evicted:?} {is:?}");
        assert_eq!(is.stored - was.stored, evicted.moved(), "{was:?} {evicted:?} {is:?}");
        let nothing_to_do = was.resident == Pages::ZERO || budget == Pages::ZERO || how == Evict::PURGE;
        assert!(
            nothing_to_do || evicted.moved() > Pages::ZERO || evicted.why.is_some(),
            "{was:?} stayed without a reason"
        );
        assert_eq!(out - self.world.frames_out(), evicted.moved() - evicted.transferred);
        self.check_evicted(evicted, kept.shape.pages(), budget, how, cx);
        if self.injected() == injected && is.stored == Pages::ZERO && was_mapped {
            assert!(!self.hooks.is_unmapped(kept.id), "{:?} is resident, but was left unmapped", kept.id);
        }
    }

    pub(super) fn evict_mut(&self, kept: &mut Kept<'_>, b: u8, how: u8, cx: u8) {
        let (budget, how, cx) = (budget(b), methods(how), context(cx));
        let out = self.world.frames_out();
        let evicted = kept.evict_mut(budget, how, cx);
        assert_eq!(out - self.world.frames_out(), evicted.moved() - evicted.transferred);
        self.check_evicted(evicted, kept.shape.pages(), budget, how, cx);
    }

    /// No method was used that was not permitted, and it stopped in time.
    pub(super) fn check_evicted(&self, e: Evicted, most: usize, budget: Pages, how: Evict, cx: Context) {
        assert!(e.transferred == Pages::ZERO || how.contains(Evict::TRANSFER), "{e:?} by {how:?}");
        let may_copy = how.intersects(Evict::COPY | Evict::SPLIT) && cx.contains(Context::MAY_BLOCK);
        assert!(e.copied == Pages::ZERO || may_copy, "{e:?} by {how:?} in {cx:?}");
        assert!(e.purged == Pages::ZERO || how.contains(Evict::PURGE), "{e:?} by {how:?}");
        assert!(e.splits == 0 || how.contains(Evict::SPLIT), "{e:?} by {how:?}");
        assert!(e.refused == Pages::ZERO || e.why.is_some(), "{e:?}");
        assert!(e.moved() < budget + pages(most) || e.moved() == Pages::ZERO, "{e:?} for {budget:?}");
    }

    fn restore(&self, kept: &Kept<'_>, budget: Pages, cx: Context) {
        let (was, injected) = (kept.residency(), self.injected());
        let restored = kept.restore(budget, cx);
        assert_eq!(restored.populated, Pages::ZERO);
        if let (Ok(was), Ok(is)) = (was, kept.residency()) {
            assert!(!kept.is_guarded() || restored.total() == Pages::ZERO);
            assert_eq!(is.resident - was.resident, restored.total(), "{was:?} {restored:?} {is:?}");
            assert_eq!(was.stored - is.stored, restored.total(), "{was:?} {restored:?} {is:?}");
            assert!(is.stored == Pages::ZERO || restored.total() >= budget || restored.why.is_some());
        }
        if let Some(error) = restored.why {
            self.expect_pin(error, kept, true, cx, injected);
        }
    }

    fn settle(&self, budget: Pages, cx: Context) {
        let (out, injected) = (self.world.frames_out(), self.injected());
        let settled = self.home.settle(budget, cx);
        assert_eq!(out - self.world.frames_out(), settled.freed);
        let [transferred, copies] = self.in_memfd();
        let stored = settled.pending + settled.reclaimable;
        assert_eq!(stored.get(), self.home.store().transferred() + copies);
        let memfd = self.memfd.as_ref().filter(|memfd| memfd.is_settled);
        if let Some(memfd) = memfd {
            if settled.freed > Pages::ZERO {
                memfd.flush(cx); // frames were returned after its turn
            }
            memfd.check_settled(cx, self.world, self.hooks, self.home.store());
        } else {
            assert_eq!((settled.reclaimable, settled.held), (Pages::ZERO, Pages::ZERO));
        }
        let why = (self.injected() > injected).then_some(StoreError::Io);
        assert_eq!(settled.error, why);
        if why.is_none() && budget == Pages::MAX && cx == Context::THREAD && !self.engine.is_at_work() {
            let most = if memfd.is_some() { pages(transferred + copies) } else { Pages::ZERO };
            assert!(stored <= most, "nothing kept it from writing out everything");
        }
    }

    /// One call of a write-out with the engine.
    pub(super) fn write_out(&mut self, which: usize, bytes: usize) {
        let (home, regions) = (self.home, self.regions);
        if regions.is_empty() {
            return;
        }
        let mut back = |block: Plain<S>| {
            home.store().wrote_out(&block);
            home.free_settled(block);
        };
        let done = regions[which % regions.len()].write_out(&mut self.engine, bytes, &mut back);
        let at_work = self.engine.is_at_work();
        assert!(done.is_pending() || !at_work, "it is pending while the engine has a job");
        if let Poll::Ready(Err(foreign)) = done {
            // The one engine serves both.
            let left = regions.iter().try_fold(foreign, |job, r| r.finish(job, &mut back).err());
            assert!(left.is_none(), "no region knows a job that one of them started");
        }
        home.store().set_at_work(at_work);
    }

    /// Until nothing is left to write out.
    pub(super) fn drain(&mut self) {
        (self.engine.delay, self.engine.short) = (0, u8::MAX);
        for which in (0..self.regions.len()).chain(0..self.regions.len()) {
            for _ in 0..200 {
                self.write_out(which, 2 * PAGE);
                if !self.engine.is_at_work() && self.regions[which].pending() == Pages::ZERO {
                    break;
                }
            }
        }
        let [transferred, _] = self.in_memfd();
        assert_eq!(self.home.store().transferred(), transferred, "a write-out that never ends");
    }
}
