//! A setting is what it was before, whatever becomes of the process that changed it. The setting is a file of the
//! test's own, so the machine stays as it is.

use crate::alone::{Case, Where};
use crate::raw;
use crate::setting::{Changed, Setting};
use crate::undo::word_of;
use rustix::process::{Pid, Signal, getsid, kill_process, kill_process_group};
use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use tempfile::TempDir;

pub(crate) const CASES: &[Case] = &[
    Case::new("a_setting_is_back_after_a_normal_end", Where::Here, normal_end),
    Case::new("a_setting_is_back_after_a_panic", Where::Here, panic),
    Case::new("a_setting_is_back_after_an_interrupt", Where::Here, interrupt),
    Case::new("a_setting_is_back_after_a_kill", Where::Here, kill),
    Case::new("a_setting_is_back_without_its_guardian", Where::Here, no_guardian),
    Case::new("a_guardian_stands_alone", Where::Here, stands_alone),
];

/// The file that a holder changes.
const FILE: &str = "FOREBAY_HOLD";
/// How it ends.
const END: &str = "FOREBAY_HOLD_END";

/// The file that this process is to change, if it is a holder.
pub(crate) fn asked_for() -> Option<PathBuf> {
    env::var_os(FILE).map(PathBuf::from)
}

/// The holder: changes the setting, tells the number of its guardian, and ends when its input does.
pub(crate) fn hold(file: &Path) {
    raw::end_by(libc::SIGINT);
    let changed = Setting::of(file).and_then(|setting| setting.change("always")).expect("a change");
    println!("{}", changed.guardian());
    let wait = || io::stdin().read(&mut [0]).expect("a pipe");
    wait();
    let _stays: Changed = changed;
    assert!(env::var(END).is_ok_and(|end| end == "well"), "it was told to end well");
}

/// A setting and the process that holds it changed.
struct Held {
    _dir: TempDir,
    file: PathBuf,
    holder: Child,
    guardian: Pid,
}

impl Held {
    fn new(end: &str) -> Held {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let file = dir.path().join("setting");
        fs::write(&file, "always within_size advise [never] deny force\n").expect("a file");
        let mut holder = Command::new("/proc/self/exe");
        holder.env(FILE, &file).env(END, end).process_group(0).stderr(Stdio::null());
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let mut said = String::new();
        BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut said).expect("a line");
        let guardian = Pid::from_raw(said.trim().parse().expect("the number of a process")).expect("not 0");
        assert_eq!(word_of(&file).as_deref(), Ok("always"), "it is changed");
        Held { _dir: dir, file, holder, guardian }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.holder)
    }

    /// How the holder ended. The guardian has the file locked until it has ended too; then the old word is back.
    #[track_caller]
    fn comes_back(mut self) -> ExitStatus {
        drop(self.holder.stdin.take());
        let ended = self.holder.wait().expect("it ends");
        let setting = Setting::of(&self.file).expect("a lock");
        assert_eq!(setting.word(), "never", "the setting is what it was");
        ended
    }
}

/// Rule: the setting is back when the value that stands for the change goes.
fn normal_end() {
    assert!(Held::new("well").comes_back().success());
}

/// Rule: also when a panic takes it away.
fn panic() {
    assert_eq!(Held::new("panics").comes_back().code(), Some(101));
}

/// Rule: also when Ctrl-C ends all processes of the group.
fn interrupt() {
    let held = Held::new("well");
    kill_process_group(held.pid(), Signal::INT).expect("a group");
    assert_eq!(held.comes_back().signal(), Some(libc::SIGINT));
}

/// Rule: also when nothing of the process can run any more.
fn kill() {
    let held = Held::new("well");
    kill_process(held.pid(), Signal::KILL).expect("a process");
    assert_eq!(held.comes_back().signal(), Some(libc::SIGKILL));
}

/// Rule: who made the change undoes it where the guardian did not.
fn no_guardian() {
    let held = Held::new("well");
    kill_process(held.guardian, Signal::KILL).expect("a process");
    assert!(held.comes_back().success());
}

/// Rule: a guardian has a session of its own, no descriptor but three, and does not end when it is asked to.
fn stands_alone() {
    let held = Held::new("well");
    assert_eq!(getsid(Some(held.guardian)).expect("a process"), held.guardian);
    let open = fs::read_dir(format!("/proc/{}/fd", held.guardian.as_raw_pid())).expect("there is a /proc");
    let mut open: Vec<_> = open.map(|fd| fd.expect("a descriptor").file_name()).collect();
    open.sort();
    assert_eq!(open, ["0", "1", "2"]);
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        kill_process(held.guardian, signal).expect("a process");
    }
    kill_process(held.pid(), Signal::KILL).expect("a process");
    held.comes_back();
}
