//! `lab pressure` where it must not begin. The real run changes the machine, so it is a command and not a test; what it does about
//! leftovers is tested in `src/lab/pressure/journal.rs`.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

/// A user that every system has, and that may do nothing.
const STRANGER: u32 = 65_534;

fn pressure() -> Command {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
    lab.arg("pressure");
    lab
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// It did not begin: it printed no figures, and said this.
#[track_caller]
fn refused(o: &Output, says: &str) {
    let said = String::from_utf8_lossy(&o.stderr);
    assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{said}");
    assert!(said.contains(says), "{said}");
}

/// Rule: without the rights it says what to do, and changes nothing, not even the file for the timeline.
#[test]
fn without_rights() {
    let mut lab = pressure();
    if is_root() {
        lab.uid(STRANGER);
    }
    let dir = tempfile::tempdir().unwrap();
    let timeline = dir.path().join("timeline.svg");
    let o = match lab.arg("--json").arg("--timeline").arg(&timeline).output() {
        Err(why) if why.kind() == ErrorKind::PermissionDenied => {
            println!("left out: the program lies where another user can't run it");
            return;
        }
        o => o.unwrap(),
    };
    refused(&o, "run this with sudo");
    assert!(!timeline.exists());
}

/// Rule: a file that is there is not overwritten, and nothing begins.
#[test]
fn a_timeline_that_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let timeline = dir.path().join("timeline.svg");
    fs::write(&timeline, "mine").unwrap();
    let o = pressure().arg("--timeline").arg(&timeline).output().unwrap();
    refused(&o, if is_root() { "name a file that does not exist" } else { "run this with sudo" });
    assert_eq!(fs::read_to_string(timeline).unwrap(), "mine");
}

/// Rule: what can't be understood is refused by name; the parts of its own processes are not in the help.
#[test]
fn arguments() {
    for (args, says) in [
        (["--swap", "tape"], "possible values: zram, loop"),
        (["--role", "king"], "--role"),
        (["--role", "{\"Case\":{}}"], "missing field"),
    ] {
        refused(&pressure().args(args).output().unwrap(), says);
    }
    let o = pressure().arg("--help").output().unwrap();
    let text = String::from_utf8(o.stdout).unwrap();
    assert!(o.status.success() && text.contains("--timeline") && !text.contains("--role"), "{text}");
}

/// Rule: a case whose control group is gone says so and ends: it never runs outside of one.
#[test]
fn a_case_without_its_group() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forebay-pressure-0-0");
    let case = r#"{"way":"transfer","kept":"idle","swapping":"forbidden"}"#;
    let role = format!(r#"{{"Case":{{"case":{case},"group":{{"version":"One","path":{path:?}}}}}}}"#);
    let o = pressure().args(["--role", &role]).output().unwrap();
    let text = String::from_utf8(o.stdout).unwrap();
    assert_eq!(o.status.code(), Some(1), "{text}");
    assert!(text.starts_with("{\"Failed\":") && text.lines().count() == 1, "{text}");
    assert!(!Path::new(&path).exists());
}
