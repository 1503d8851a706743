//! A case and the process that it gets.

use crate::group::Group;
use crate::setting::{Changed, SHMEM_ENABLED, Setting};
use libtest_mimic::{Completion, Failed};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::env;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Command;

/// With the value 1, cases may change the machine. Without, they are ignored.
const SYSTEM_TESTS: &str = "FOREBAY_SYSTEM_TESTS";
/// Names the case that a child is for.
const CASE: &str = "FOREBAY_CASE";
/// The directory of the control group that a child joins.
const GROUP: &str = "FOREBAY_GROUP";
/// The number of an ordinary user without rights.
const NOBODY: u32 = 65534;

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) place: Where,
    /// What is done there. It panics if something is wrong.
    pub(crate) run: fn(),
}

/// Where a case takes place.
#[derive(Clone, Copy)]
pub(crate) enum Where {
    /// Wherever the tests run.
    Here,
    /// The same, if it is root who runs them.
    AsRoot,
    /// As a user without rights.
    AsUser,
    /// In a control group with this limit, in bytes. It changes the machine.
    InGroup(u64),
    /// With this word as the setting for huge pages, and no other test changes it meanwhile. It changes the machine, unless that
    /// is the setting anyway.
    HugePages(&'static str),
}

impl Case {
    pub(crate) const fn new(name: &'static str, place: Where, run: fn()) -> Case {
        Case { name, place, run }
    }
}

/// The case that this process is for, if it is a child.
pub(crate) fn asked_for() -> Option<String> {
    env::var(CASE).ok()
}

/// The error says why a case that changes the machine is not run: it was not asked for.
fn may_change(what: &str) -> Result<(), String> {
    if env::var(SYSTEM_TESTS).is_ok_and(|value| value == "1") {
        return Ok(());
    }
    Err(format!("changes the machine ({what}): {SYSTEM_TESTS}=1 asks for it"))
}

/// Keeps the setting for huge pages as a case needs it.
enum Kept {
    AsItIs { _setting: Setting },
    Changed { _changed: Changed },
}

fn huge_pages(word: &str) -> Result<Kept, String> {
    let setting = Setting::of(Path::new(SHMEM_ENABLED))?;
    if setting.word() == word {
        return Ok(Kept::AsItIs { _setting: setting });
    }
    may_change(SHMEM_ENABLED)?;
    setting.change(word).map(|changed| Kept::Changed { _changed: changed })
}

/// The child: runs its case. It does not go on without its parent.
pub(crate) fn run(name: &str, cases: &[Case]) {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("a process may ask for a signal");
    let case = cases.iter().find(|case| case.name == name).expect("a case of that name");
    if let Some(group) = env::var_os(GROUP) {
        Group::join(group.as_ref());
    }
    (case.run)();
}

/// The parent: has a child run the case, or says why not.
pub(crate) fn try_it(case: &Case, show: bool) -> Result<Completion, Failed> {
    // Another program may be in the place of the file by now, and an ordinary user may not reach it by its path.
    let mut child = Command::new("/proc/self/exe");
    child.env(CASE, case.name);
    let root = rustix::process::geteuid().is_root();
    // These last until the child has ended.
    let (mut _group, mut _kept) = (None, None);
    let ready = match case.place {
        Where::Here => Ok(()),
        Where::AsRoot if !root => Err("it is for root".to_owned()),
        Where::AsRoot => Ok(()),
        Where::AsUser if !root => {
            println!("{}: as the user who runs the tests, since only root may choose another", case.name);
            Ok(())
        }
        Where::AsUser => {
            child.uid(NOBODY).gid(NOBODY);
            Ok(())
        }
        Where::InGroup(bytes) => {
            let group = may_change("a control group").and_then(|()| Group::new(case.name, bytes));
            group.map(|group| {
                child.env(GROUP, group.path());
                _group = Some(group);
            })
        }
        Where::HugePages(word) => huge_pages(word).map(|kept| _kept = Some(kept)),
    };
    if let Err(why) = ready {
        return Ok(Completion::ignored_with(why));
    }
    let ended = child.output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    if show && !said.is_empty() {
        println!("{}:\n{said}", case.name);
    }
    match (ended.status.signal(), ended.status.code()) {
        (Some(signal), _) => Err(format!("killed by signal {signal}\n{said}").into()),
        (None, Some(0)) => Ok(Completion::Completed),
        (None, code) => Err(format!("exit code {code:?}\n{said}").into()),
    }
}
