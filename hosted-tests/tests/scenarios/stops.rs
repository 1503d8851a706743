//! The interrupt sweep: a walk over a buffer is stopped at each step, by its budget, and at each call of each port, by an
//! interrupt that wants the same buffer; then it goes on, or the buffer is dropped, or the walk turns round.

use crate::card::*;
use crate::rig::*;
use hosted_tests::kit::*;
use std::ops::AddAssign;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

/// What stops a walk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum By {
    /// Each step is of one page.
    Budget,
    /// An interrupt comes during a call of platform or store, and wants what it may not have.
    Interrupt,
}

/// What comes then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Resume,
    Destroy,
    /// What left comes back, and what came back leaves; then the walk begins once more.
    TurnRound,
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    by: By,
    /// Steps, or calls, before the one that is the last.
    left: u32,
    then: Then,
}

#[derive(Default)]
struct State {
    plan: Option<Plan>,
    stopped: bool,
    /// It moved something, and something is left.
    in_the_middle: bool,
}

/// Which walk of a rig is stopped.
#[derive(Default)]
pub(crate) struct Stops(Mutex<State>);

impl Stops {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many walks were stopped in a sweep, or have to be, for each thing that may come then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stopped {
    pub(crate) by_budget: u32,
    pub(crate) by_interrupts: u32,
}

/// A buffer, and what should be in it.
pub(crate) struct Known<'b, 'h, 'w, T: Slots<Platform = Plat<'w>>>(
    pub(crate) &'b Buf<'h, 'w, T>,
    pub(crate) &'b [u8],
);

impl<'w, T: Slots<Platform = Plat<'w>>> Known<'_, '_, 'w, T> {
    /// Once they can be reached, its contents are what they should be.
    pub(crate) fn compare(&self) -> Tried {
        let there = read(self.0)?;
        assert!(there == self.1, "other bytes than were written");
        Ok(())
    }
}

impl<'w, T: Slots<Platform = Plat<'w>> + Send + Sync> Known<'_, '_, 'w, T> {
    /// As [`Buffer::evict`], and stopped where a sweep wants it.
    pub(crate) fn evict(&self, rig: &Rig<'w>, budget: Pages, how: Evict) -> Tried<Evicted> {
        let evict = |budget| {
            let evicted = self.0.evict(budget, how, CX)?;
            Ok((evicted, evicted.moved()))
        };
        self.walk(rig, budget, evict, || self.compare())
    }

    /// As [`Buffer::restore`], and stopped where a sweep wants it.
    pub(crate) fn restore(&self, rig: &Rig<'w>, budget: Pages) -> Tried<Restored> {
        let restore = |budget| {
            let restored = self.0.restore(budget, CX);
            Ok((restored, restored.total()))
        };
        self.walk(rig, budget, restore, || self.away())
    }

    /// As [`Buffer::populate`], and stopped where a sweep wants it.
    pub(crate) fn populate(&self, rig: &Rig<'w>, budget: Pages) -> Tried<Restored> {
        let populate = |budget| {
            let restored = self.0.populate(budget, CX);
            Ok((restored, restored.total()))
        };
        self.walk(rig, budget, populate, || self.away())
    }

    fn away(&self) -> Tried {
        let there = self.0.residency()?;
        let evicted = self.0.evict(ALL, Evict::ANY, CX)?;
        let after = self.0.residency()?;
        assert_eq!((after.resident, after.stored), (evicted.refused, there.stored + evicted.moved()));
        Ok(())
    }

    fn walk<R: AddAssign + Default>(
        &self,
        rig: &Rig<'w>,
        budget: Pages,
        step: impl Fn(Pages) -> Tried<(R, Pages)>,
        turn_round: impl Fn() -> Tried,
    ) -> Tried<R> {
        let plan = rig.stops.lock().plan;
        let (mut sum, mut moved) = (R::default(), NONE);
        let Some(Plan { by, mut left, then }) = plan else { return Ok(step(budget)?.0) };
        let go_on_with = |left| rig.stops.lock().plan = Some(Plan { by, left, then });
        match by {
            By::Budget => loop {
                let (part, of_it) = step(pages(1))?;
                sum += part;
                moved += of_it;
                if of_it > NONE && left == 0 {
                    break;
                }
                left -= u32::from(of_it > NONE);
                if of_it == NONE || moved >= budget {
                    go_on_with(left);
                    return Ok(sum);
                }
            },
            By::Interrupt => {
                let (done, not_yet) = interrupted(rig, self.0, left, || step(budget));
                let (part, of_it) = done?;
                sum += part;
                moved += of_it;
                if let Some(left) = not_yet {
                    go_on_with(left);
                    return Ok(sum);
                }
            }
        }
        let there = self.0.residency()?;
        let in_the_middle = moved > NONE && there.resident > NONE && there.stored > NONE;
        *rig.stops.lock() = State { plan: None, stopped: true, in_the_middle };
        match then {
            Then::Destroy => return Err(Failure::Stopped),
            Then::TurnRound => {
                turn_round()?;
                (sum, moved) = (R::default(), NONE);
            }
            Then::Resume => {}
        }
        if moved < budget {
            sum += step(budget - moved)?.0;
        }
        Ok(sum)
    }
}

/// The thread that waits ends when this is dropped, however that comes.
struct Armed<'r, 'w>(&'r Rig<'w>);

impl Drop for Armed<'_, '_> {
    fn drop(&mut self) {
        self.0.ground.bell.disarm();
    }
}

/// Does `act`, with an interrupt after a number of calls. Returns how many calls were missing, if there was no interrupt.
///
/// The interrupt is another thread, for which the call waits: as one would look to the code that it interrupts.
pub(crate) fn interrupted<'w, T: Slots<Platform = Plat<'w>> + Send + Sync, R>(
    rig: &Rig<'w>,
    buffer: &Buf<'_, 'w, T>,
    left: u32,
    act: impl FnOnce() -> R,
) -> (R, Option<u32>) {
    let ((rings, rung), (answer, done)) = (channel(), channel());
    thread::scope(|scope| {
        scope.spawn(move || {
            if rung.recv().is_ok() {
                interrupt(rig, buffer);
                let _ = answer.send(());
            }
        });
        rig.ground.bell.arm(left, rings, done);
        let armed = Armed(rig);
        let did = act();
        let left = rig.ground.bell.disarm();
        drop(armed);
        (did, left)
    })
}

/// What an interrupt does while another context moves that buffer: it is told that it can't have it; everything else works.
fn interrupt<'w, T: Slots<Platform = Plat<'w>>>(rig: &Rig<'w>, buffer: &Buf<'_, 'w, T>) {
    let cx = Context::INTERRUPT;
    assert_eq!(buffer.read_in(cx).map(drop), Err(AccessError::Busy));
    assert_eq!(buffer.write_in(cx).map(drop), Err(AccessError::Busy));
    assert_eq!(buffer.restore(ALL, cx).why, Some(AccessError::Busy));
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, cx), Err(Busy));
    assert_eq!((buffer.purge(cx), buffer.discard_copies()), (Err(Busy), Err(Busy)));
    assert_eq!((buffer.residency(), buffer.set_purgeable(true)), (Err(Busy), Err(Busy)));
    assert_eq!(rig.home().reclaim([buffer], ALL, Evict::TRANSFER, cx).evicted.moved(), NONE);
    rig.home().settle(ALL, cx);
    if let Ok(block) = rig.pool().take(AllocRequest::new(Order::PAGE), Caching::Uncached, cx) {
        assert!(rig.pool().put(block, cx).is_ok());
    }
    rig.pool().trim(Zones::ALL, ALL, cx);
}

/// Runs the scenario again and again, while its walks are stopped at the k-th step, or call, for each k until none is stopped
/// any more; and each time with each thing that may come then.
///
/// A walk that goes on ends as one that was not stopped. One that turned round may count otherwise, but has the same bytes.
///
/// Returns how often an interrupt ended a walk in the middle, which is what an eviction does when it is wanted.
#[track_caller]
pub(crate) fn each_walk_stops(
    ground: &Ground,
    at_least: Stopped,
    scenario: impl Fn(&Rig<'_>) -> Tried,
) -> u32 {
    let mut in_the_middle = 0;
    let mut swept = |by, then| {
        let swept = sweep((by, then), |world, left| {
            let disturb = |rig: &Rig<'_>| rig.stops.lock().plan = Some(Plan { by, left, then });
            let end = |rig: &Rig<'_>, outcome| {
                let state = std::mem::take(&mut *rig.stops.lock());
                match (outcome, then) {
                    (outcome, Then::Destroy) if state.stopped => assert_eq!(outcome, Err(Failure::Stopped)),
                    (Err(Failure::Differs(_) | Failure::Access(_)), Then::TurnRound) if state.stopped => {}
                    (outcome, _) => assert_eq!(outcome, Ok(())),
                }
                in_the_middle += u32::from(by == By::Interrupt && state.in_the_middle);
                u32::from(state.stopped)
            };
            run_twice(ground, world, disturb, end, &scenario)
        });
        swept.runs
    };
    let mut least = |by| {
        let each = [Then::Resume, Then::Destroy, Then::TurnRound].map(|then| swept(by, then));
        each.into_iter().min().unwrap_or_default()
    };
    let stopped = Stopped { by_budget: least(By::Budget), by_interrupts: least(By::Interrupt) };
    println!("stopped, then each of three things: {stopped:?}");
    let Stopped { by_budget, by_interrupts } = at_least;
    assert!(stopped.by_budget >= by_budget && stopped.by_interrupts >= by_interrupts, "only {stopped:?}");
    in_the_middle
}

/// Both sweeps: each call fails, and each walk is stopped.
#[track_caller]
pub(crate) fn fail_and_stop(
    ground: &Ground,
    calls: Calls,
    stopped: Stopped,
    scenario: impl Fn(&Rig<'_>) -> Tried,
) -> Vec<Failure> {
    let failures = each_call_fails(ground, calls, &scenario);
    each_walk_stops(ground, stopped, scenario);
    failures
}
