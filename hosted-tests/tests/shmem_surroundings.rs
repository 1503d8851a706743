//! Bad surroundings end in an error and lose nothing: no swap, low limits, filtered system calls, full groups, forks, a
//! hidden `/proc`.
//!
//! Each case is a process of its own with one thread, since limits, filters and groups last. Being killed is a failure.
//! What a child saw, or could not try, is shown with `--nocapture`. A case that has no place here is ignored and says why.
//! So is one that changes the machine, unless `FOREBAY_SYSTEM_TESTS=1` asks for it; a guardian process undoes the change.

use libtest_mimic::{Arguments, Trial};
use std::process::ExitCode;

use hosted_tests::kit as common;

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
#[path = "shmem_surroundings/guardian.rs"]
mod guardian;
#[path = "shmem_surroundings/hidden.rs"]
mod hidden;
#[path = "shmem_surroundings/in_group.rs"]
mod in_group;
#[path = "shmem_surroundings/later.rs"]
mod later;
#[path = "shmem_surroundings/limits.rs"]
mod limits;
#[path = "shmem_surroundings/locked.rs"]
mod locked;
#[path = "shmem_surroundings/raw.rs"]
mod raw;
#[path = "shmem_surroundings/report.rs"]
mod report;
#[path = "shmem_surroundings/restart.rs"]
mod restart;
#[path = "shmem_surroundings/setting.rs"]
mod setting;
#[path = "shmem_surroundings/undo.rs"]
mod undo;
#[path = "shmem_surroundings/undone.rs"]
mod undone;

fn cases() -> Vec<alone::Case> {
    [
        report::CASES,
        limits::CASES,
        locked::CASES,
        at_birth::CASES,
        later::CASES,
        full::CASES,
        in_group::CASES,
        forked::CASES,
        restart::CASES,
        hidden::CASES,
        undone::CASES,
    ]
    .concat()
}

fn main() -> ExitCode {
    if let Some(undo) = guardian::asked_for() {
        return guardian::run(&undo);
    }
    if let Some(file) = undone::asked_for() {
        undone::hold(&file);
        return ExitCode::SUCCESS;
    }
    if let Some(name) = alone::asked_for() {
        alone::run(&name, &cases());
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    let show = arguments.nocapture;
    let trial = |case: alone::Case| Trial::ignorable_test(case.name, move || alone::try_it(&case, show));
    libtest_mimic::run(&arguments, cases().into_iter().map(trial).collect()).exit_code()
}
