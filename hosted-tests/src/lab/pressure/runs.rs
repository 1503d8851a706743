//! The run: rights, the changes of the machine, and each case in a process of its own.

use super::case::Case;
use super::change::{Change, has_zram};
use super::counters::Huge;
use super::group::{Group, Version};
use super::interrupt::{Shared, watch};
use super::keeper::Keeper;
use super::options::{PressureOptions, Role, SwapKind};
use super::outcome::{Ending, Outcome};
use super::report::PressureReport;
use super::timeline;
use crate::lab::system;
use crate::lab::text::{count, shown};
use rustix::process::geteuid;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why nothing was measured, and what to do about it. Everything that was made is removed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PressureError(pub(super) String);

impl fmt::Display for PressureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for PressureError {}

/// Bytes of swap: all that any case may have there, and half as much again.
const SWAP: u64 = 384 << 20;
/// Bytes that a case, its copies and compressed memory take at most.
const NEEDED: u64 = 1 << 30;

pub(super) const SETTING: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// What the machine has for the run.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    pub(super) version: Version,
    parent: PathBuf,
    pub(super) swap: SwapKind,
    /// The setting for huge pages of shmem: what it was, and why it is not `advise` now, if so.
    pub(super) setting: (String, Option<String>),
}

/// Runs every case, in turn.
///
/// # Errors
/// [`PressureError`]: nothing was measured, and everything that was made is removed.
pub fn pressure(options: &PressureOptions) -> Result<PressureReport, PressureError> {
    check().map_err(PressureError)?;
    let timeline = options.timeline.as_deref().map(create).transpose()?;
    let (version, parent) = Group::place(Path::new("/")).map_err(PressureError)?;
    let (keeper, removed) = Keeper::start().map_err(PressureError)?;
    if removed > 0 {
        note(&format!("an earlier run was killed: {} of it undone", count(removed, "change")));
    }
    let keeper: Shared = Arc::new(Mutex::new(keeper));
    watch(&keeper).map_err(|why| PressureError(format!("signals can't be watched: {why}")))?;
    let result = measured(options, version, parent, &keeper);
    let left_behind = locked(&keeper).finish().err();
    let mut report = result.map_err(|why| {
        let end = left_behind.as_deref().unwrap_or("everything that was made is removed");
        PressureError(format!("{why}; {end}"))
    })?;
    report.left_behind = left_behind;
    note(&report.ending());
    if let Some(file) = timeline {
        write(file, &timeline::svg(&report.cases))?;
    }
    Ok(report)
}

pub(super) fn locked(keeper: &Shared) -> MutexGuard<'_, Keeper> {
    keeper.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is going on, for people: standard error.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "lab: {text}");
}

/// Nothing is changed where it can't go on.
fn check() -> Result<(), String> {
    if !geteuid().is_root() {
        return Err(
            "only root may make swap and control groups: run this with sudo; it removes both at its end"
                .into(),
        );
    }
    match system::available() {
        Some(bytes) if bytes < NEEDED => {
            Err(format!("{} MiB of memory are available: it takes {} MiB", bytes >> 20, NEEDED >> 20))
        }
        _ => Ok(()),
    }
}

fn create(path: &Path) -> Result<File, PressureError> {
    File::create_new(path)
        .map_err(|why| PressureError(format!("{}: {why}: name a file that does not exist", shown(path))))
}

fn write(mut file: File, text: &str) -> Result<(), PressureError> {
    file.write_all(text.as_bytes())
        .map_err(|why| PressureError(format!("the timeline can't be written: {why}")))
}

fn measured(
    options: &PressureOptions,
    version: Version,
    parent: PathBuf,
    keeper: &Shared,
) -> Result<PressureReport, String> {
    let (swap, device) = swap(options.swap, keeper)?;
    note(&format!("{device} is swap until the end"));
    let setting = setting(keeper);
    let conditions = Conditions { version, parent, swap, setting };
    let mut cases = vec![];
    for (number, case) in Case::ALL.into_iter().enumerate() {
        note(&format!("{} of {}: {case}", number + 1, Case::ALL.len()));
        let group = Group::numbered(conditions.version, &conditions.parent, number + 1);
        cases.push(one(case, &group, keeper)?);
    }
    Ok(PressureReport::new(cases, &conditions))
}

/// Swap of the kind that is asked for, or of the first that there is.
fn swap(kind: Option<SwapKind>, keeper: &Shared) -> Result<(SwapKind, String), String> {
    let make = |kind| locked(keeper).make(Change::Swap { kind, bytes: SWAP }).map(|device| (kind, device));
    match kind {
        Some(kind) => make(kind),
        None if has_zram() => make(SwapKind::Zram).or_else(|_| make(SwapKind::Loop)),
        None => make(SwapKind::Loop),
    }
}

/// Asks for huge pages. Where that is not permitted, small ones are measured.
fn setting(keeper: &Shared) -> (String, Option<String>) {
    let file = PathBuf::from(SETTING);
    let before = super::undo::word_of(&file).unwrap_or_else(|_| "unknown".into());
    let refused = locked(keeper).make(Change::Set { file, word: "advise".into() }).err();
    match &refused {
        None => note(&format!("{SETTING} was {before}, and is advise until the end")),
        Some(why) => note(&format!("{SETTING} stays as it is, {before}: {why}")),
    }
    (before, refused)
}

/// Runs a case in a process of its own, which the kernel may kill.
fn one(case: Case, group: &Group, keeper: &Shared) -> Result<Outcome, String> {
    locked(keeper).make(Change::Group(group.path.clone()))?;
    let role = Role::Case { case, group: group.clone() };
    let mut process = Command::new("/proc/self/exe");
    process.args(["pressure", "--role", &role.to_text()]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut process = process.spawn().map_err(|why| format!("no process for a case: {why}"))?;
    let mut outcome = Outcome::new(case);
    let huge = Huge::now();
    if let Some(told) = process.stdout.take() {
        let lines = BufReader::new(told).lines().map_while(Result::ok);
        lines.filter_map(|line| serde_json::from_str(&line).ok()).for_each(|told| outcome.hear(told));
    }
    let status = process.wait().map_err(|why| format!("a case is lost: {why}"))?;
    match (status.signal(), &outcome.ending) {
        (Some(_), _) => outcome.ending = Ending::Killed,
        (None, Ending::Complete) if !status.success() => {
            outcome.ending = Ending::Failed(format!("it ended with {status}"));
        }
        _ => {}
    }
    locked(keeper).undo()?;
    outcome.splits = Huge::since(huge).splits;
    Ok(outcome)
}
