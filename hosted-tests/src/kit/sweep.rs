//! Sweeps: the same run again and again, disturbed at its first call, at its second, and so on, until it ends before that.
//!
//! "Whatever call fails", "wherever it is stopped", "whatever happens between": such a rule is a sweep over all calls or
//! stops. [`sweep`] has the loop, a new oracle for each run, and the counts. A test has the machine, the disturbance, and what
//! must hold.

use super::*;
use forebay_backends::Faults;
use std::fmt::Debug;

/// No call fails.
pub const NEVER: Faults = Faults { kth: None, per_mille: 0, seed: 0 };

/// The call with this number fails, counted from 0, and no other.
pub const fn kth(k: u32) -> Faults {
    Faults { kth: Some(k), ..NEVER }
}

/// More runs than any sweep has: it would not end.
const TOO_MANY: u32 = 10_000;

/// What a sweep did.
#[must_use = "a sweep that reaches too little tests too little: say how many runs there have to be"]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Swept {
    /// Runs that were disturbed. The last run, which was not, is not counted.
    pub runs: u32,
    /// Calls that failed, or stops, in all of these. At least one for each.
    pub disturbances: u32,
}

impl Swept {
    /// Fails if fewer runs were disturbed.
    #[track_caller]
    pub fn at_least(self, runs: u32) {
        assert!(
            self.runs >= runs,
            "only {} runs were disturbed, and not {runs}: this reaches too little",
            self.runs
        );
    }
}

/// Names the run in which a test panics.
struct Now<'w, W: Debug>(&'w W, u32);

impl<W: Debug> Drop for Now<'_, W> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("that was number {} of {:?}", self.1, self.0);
        }
    }
}

/// Calls `run` with k = 0, 1, 2, …, until it was not disturbed any more.
///
/// `run` makes a machine that is watched by the oracle that it receives, and that nothing happened to; lets call number k, or
/// stop number k, go wrong; checks what must hold then; and lets go of everything. It returns how many calls or stops went
/// wrong: none if there are no more than k. So the last run is one in which nothing goes wrong.
///
/// After each run the oracle is asked: every frame is in the source, and nothing is stored, mapped or charged. A run whose
/// machine has no oracle, or leaks by design, uses another oracle or none.
///
/// `what` is printed with k if anything panics. Memory that a machine needs may be shared by all runs: a run leaves it as it
/// was.
#[track_caller]
pub fn sweep(what: impl Debug, mut run: impl FnMut(&World, u32) -> u32) -> Swept {
    let mut swept = Swept::default();
    for k in 0..TOO_MANY {
        let _now = Now(&what, k);
        let world = World::new(Contents::Compared);
        let disturbances = run(&world, k);
        world.validate();
        world.assert_empty();
        if disturbances == 0 {
            return swept;
        }
        swept.runs += 1;
        swept.disturbances += disturbances;
    }
    panic!("{what:?} does not end");
}

/// Sweeps over the calls of a platform and then over those of a store, of which each fails once.
///
/// `run` is as for [`sweep`], receives the faults of both, and returns how many calls of each failed. Of the one that is not
/// swept none fails.
#[track_caller]
pub fn sweep_calls(
    what: impl Debug,
    mut run: impl FnMut(&World, u32, [Faults; 2]) -> [u32; 2],
) -> [Swept; 2] {
    [0, 1].map(|swept| {
        sweep((&what, ["platform", "store"][swept]), |world, k| {
            let mut faults = [NEVER; 2];
            faults[swept] = kth(k);
            let failed = run(world, k, faults);
            assert_eq!(failed[1 - swept], 0, "what is not swept does not fail");
            assert!(failed[swept] <= 1, "one call has this number");
            failed[swept]
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    /// Rule: each number is tried once, from 0 on, until one disturbs nothing; that is not counted.
    #[test]
    fn each_number_once() {
        let mut seen = Vec::new();
        let swept = sweep("", |_, k| {
            seen.push(k);
            if k < 5 { k + 1 } else { 0 }
        });
        assert_eq!((seen, swept), (vec![0, 1, 2, 3, 4, 5], Swept { runs: 5, disturbances: 15 }));
        swept.at_least(5);
        assert!(catch_unwind(|| swept.at_least(6)).is_err());
    }

    /// Rule: what a run leaves behind is found, also in the last one; and a sweep without an end has one.
    #[test]
    fn the_oracle_is_asked() {
        let near = near(8);
        let leaves_in = |last: u32| {
            let run = |world: &World, k: u32| {
                let source = Watched::platform(&near, world);
                let block = source.allocate(AllocRequest::new(Order::PAGE), CX).unwrap();
                if k < last {
                    source.free(block);
                }
                u32::from(k < 2)
            };
            catch_unwind(AssertUnwindSafe(|| sweep("", run))).is_ok()
        };
        assert_eq!([0, 1, 2, 3].map(leaves_in), [false, false, false, true]);
        assert!(catch_unwind(|| sweep("", |_, _| 1)).is_err());
    }

    /// Rule: calls of the platform and of the store fail one by one, and never together.
    #[test]
    fn one_call_fails() {
        let mut seen = Vec::new();
        let swept = sweep_calls("", |_, _, faults| {
            seen.push(faults.map(|faults| faults.kth));
            let fails = |faults: Faults, calls| u32::from(faults.kth.is_some_and(|k| k < calls));
            [fails(faults[0], 3), fails(faults[1], 1)]
        });
        let platform = (0..4).map(|k| [Some(k), None]);
        assert!(seen.into_iter().eq(platform.chain((0..2).map(|k| [None, Some(k)]))));
        assert_eq!(swept.map(|swept| swept.runs), [3, 1]);
    }
}
