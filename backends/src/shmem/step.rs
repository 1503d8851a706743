//! The steps of a settle: which chunks are unmapped or punched next, outside of the lock.

use super::chunk::{Mapping, Sums};
use super::ledger::Ledger;
use core::ops::Range;

/// Chunks that are unmapped or punched by one call at most, so that no thread waits long for a lock of the kernel.
const RUN: usize = 64;

/// What a settle may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Todo {
    UnmapAndPunch,
    Punch,
    Nothing,
}

/// What a settle does next.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// These chunks are to be unmapped from every mapping.
    Unmap(Range<usize>),
    /// These chunks are to lose their memory.
    Punch(Range<usize>),
    /// Nothing is left; these are the counts.
    None(Sums),
}

/// Chunks of a run of which pages were given out while they were unmapped: each has to be populated again.
#[derive(Debug)]
pub(crate) struct Again {
    first: usize,
    bits: u64,
}

impl Iterator for Again {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let n = self.bits.trailing_zeros() as usize;
        self.bits &= self.bits.checked_sub(1)?;
        Some(self.first + n)
    }
}

impl Ledger {
    /// The first step of a settle.
    pub(crate) fn first_step(&mut self, todo: Todo) -> Step {
        match todo {
            Todo::UnmapAndPunch => self.unmap_or_punch(0),
            Todo::Punch => self.punch_from(0),
            Todo::Nothing => Step::None(self.sums()),
        }
    }

    /// Ends a step, which succeeded or failed, and gives the next one. What fails is left for the next settle.
    pub(crate) fn end_step(&mut self, step: &Step, done: Result<(), ()>) -> (Again, Step) {
        let or_unknown = |mapping| if done.is_ok() { mapping } else { Mapping::Unknown };
        match step {
            Step::Unmap(run) => {
                let bits = self.end_unmap(run, or_unknown(Mapping::Unmapped));
                (Again { first: run.start, bits }, self.unmap_or_punch(run.end))
            }
            Step::Punch(run) => {
                // If it failed, it may have been unmapped, or not.
                run.clone().for_each(|chunk| self.end_punch(chunk, or_unknown(Mapping::Hole)));
                (Again { first: 0, bits: 0 }, self.punch_from(run.end))
            }
            Step::None(sums) => (Again { first: 0, bits: 0 }, Step::None(*sums)),
        }
    }

    fn unmap_or_punch(&mut self, at: usize) -> Step {
        self.begin_unmap(at, RUN).map_or_else(|| self.punch_from(0), Step::Unmap)
    }

    fn punch_from(&mut self, at: usize) -> Step {
        self.begin_punch(at, RUN).map_or_else(|| Step::None(self.sums()), Step::Punch)
    }
}
