//! `gate`: everything that main must pass, step by step. It stops at the first failure.

mod steps;

use crate::failure::{Failure, Result};
use crate::tally::Tally;
use crate::tools::{self, Tool};
use std::time::Instant;
pub(crate) use steps::{STEPS, Step};

/// Runs `steps` in the order in which they stand.
pub(crate) fn main(steps: &[&Step]) -> Result {
    if steps.len() == STEPS.len() {
        // It is better to know it now than after ten minutes.
        tools::need(&Tool::ALL)?;
    }
    let mut tally = Tally::default();
    let end = steps.iter().try_for_each(|step| {
        println!("=== {}: {}", step.name, step.about);
        let begin = Instant::now();
        let end = (step.run)();
        let seconds = begin.elapsed().as_secs();
        match &end {
            Ok(()) => println!("=== {}: passed after {seconds} s", step.name),
            Err(_) => println!("=== {}: failed after {seconds} s", step.name),
        }
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
