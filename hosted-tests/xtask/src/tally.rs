//! Counts of what passed and what failed.

use crate::failure::{Result, failed};
use std::fmt;

/// Prints as the last line of most commands: `3 passed, 0 failed`.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Tally {
    pub(crate) fn pass(&mut self) {
        self.passed += 1;
    }

    /// Counts it if it passed.
    pub(crate) fn pass_if(&mut self, end: &Result) {
        self.passed += usize::from(end.is_ok());
    }

    pub(crate) fn fail(&mut self) {
        self.failed += 1;
    }

    /// Counts one thing, and prints which way it went.
    pub(crate) fn check(&mut self, verdict: Verdict, what: &str) {
        match verdict {
            Verdict::Kept => {
                self.pass();
                println!("passed: {what}");
            }
            Verdict::Broken => {
                self.fail();
                println!("failed: {what}");
            }
        }
    }

    /// Prints the counts. One failure is a failure of the command.
    pub(crate) fn end(self) -> Result {
        println!("{self}");
        match self.failed {
            0 => Ok(()),
            _ => failed(format!("{} failed", self.failed)),
        }
    }

    /// As [`Tally::end`], if something else went wrong: it counts as one more failure.
    pub(crate) fn end_with(mut self, end: Result) -> Result {
        if end.is_err() {
            self.fail();
            println!("{self}");
            return end;
        }
        self.end()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Whether a limit is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    Broken,
}

impl Verdict {
    /// The limit is kept while the value is not larger.
    pub(crate) fn at_most(limit: u64, value: u64) -> Verdict {
        if value <= limit { Verdict::Kept } else { Verdict::Broken }
    }

    pub(crate) fn equal(a: u64, b: u64) -> Verdict {
        if a == b { Verdict::Kept } else { Verdict::Broken }
    }
}
