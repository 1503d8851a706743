//! `gate`: everything that main must pass, step by step. It stops at the first failure.

mod steps;

use crate::failure::{Failure, Result};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use std::time::Instant;
pub(crate) use steps::{STEPS, Step};

/// Runs the steps in their order: all, or only those that are named.
pub(crate) fn main(only: &[String]) -> Result {
    if only.is_empty() {
        // It is better to know it now than after ten minutes.
        tools::need(&Tool::ALL)?;
    }
    let wanted = |step: &&Step| only.is_empty() || only.iter().any(|name| name == step.name);
    let mut tally = Tally::default();
    let end = STEPS.iter().filter(wanted).try_for_each(|step| {
        println!("=== {}: {}", step.name, step.about);
        let begin = Instant::now();
        let end = (step.run)();
        let how = if end.is_ok() { "passed" } else { "failed" };
        println!("=== {}: {how} after {} s", step.name, begin.elapsed().as_secs());
        tally.pass_if(&end);
        named(step, end)
    });
    tally.end_with(end)
}

/// The failure, with the name of the step.
fn named(step: &Step, end: Result) -> Result {
    end.map_err(|failure| match failure {
        Failure::Missing(text) => Failure::Missing(text),
        Failure::Failed(text) => Failure::Failed(format!("{}: {text}", step.name)),
    })
}

/// The names of all steps, a line for each.
pub(crate) fn list() -> String {
    STEPS.iter().map(|step| format!("{:12} {}\n", step.name, step.about)).collect()
}
