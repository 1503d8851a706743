//! Bad surroundings end in an error and lose nothing: no swap, low limits, filtered system calls, full groups, forks, a
//! hidden `/proc`.
//!
//! Each case is a process of its own with one thread, since limits, filters and groups last. Being killed is a failure.
//! What a child saw is shown with `--nocapture`; what can't be tried here says so and passes.

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

mod common;

#[path = "shmem_surroundings/alone.rs"]
mod alone;
#[path = "shmem_surroundings/at_birth.rs"]
mod at_birth;
#[path = "shmem_surroundings/filter.rs"]
mod filter;
#[path = "shmem_surroundings/forked.rs"]
mod forked;
#[path = "shmem_surroundings/full.rs"]
mod full;
#[path = "shmem_surroundings/goods.rs"]
mod goods;
#[path = "shmem_surroundings/group.rs"]
mod group;
#[path = "shmem_surroundings/hidden.rs"]
mod hidden;
#[path = "shmem_surroundings/in_group.rs"]
mod in_group;
#[path = "shmem_surroundings/later.rs"]
mod later;
#[path = "shmem_surroundings/limits.rs"]
mod limits;
#[path = "shmem_surroundings/raw.rs"]
mod raw;
#[path = "shmem_surroundings/report.rs"]
mod report;
#[path = "shmem_surroundings/setting.rs"]
mod setting;

fn cases() -> Vec<alone::Case> {
    [
        report::CASES,
        limits::CASES,
        at_birth::CASES,
        later::CASES,
        full::CASES,
        in_group::CASES,
        forked::CASES,
        hidden::CASES,
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Some(name) = alone::asked_for() {
        alone::run(&name, &cases());
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let show = arguments.nocapture;
    let trial = |case: alone::Case| Trial::test(case.name, move || alone::try_it(&case, show));
    libtest_mimic::run(&arguments, cases().into_iter().map(trial).collect()).exit_code()
}
