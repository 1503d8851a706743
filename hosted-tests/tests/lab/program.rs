//! The program itself: what it prints, and its status.

use super::{KEYS, tree};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the real program.
fn lab<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Rule: `--json` is one object with every figure, and alone on standard output.
#[test]
fn json() {
    let dir = tree();
    let path = dir.path().to_str().unwrap();
    for evict in ["transfer", "copy", "split"] {
        let o = lab(["roundtrip", path, "--store", "ram", "--evict", evict, "--budget", "64k", "--json"]);
        assert!(o.status.success() && o.stderr.is_empty(), "{}", stderr(&o));
        let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
        for key in KEYS {
            assert!(v[key].is_number(), "{key}: {v}");
        }
        assert_eq!(v["good"], true);
        assert_eq!((&v["files"], &v["budget_pages"], &v["evict"]), (&60.into(), &16.into(), &evict.into()));
        assert_eq!(o.stdout.iter().filter(|b| **b == b'\n').count(), 1);
    }
}

/// Rule: without arguments it runs on the repository, prints a table, and evicts all the time.
#[test]
fn the_repository() {
    let git = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR"), "ls-files"]).output();
    let tracked = git.is_ok_and(|o| o.status.success() && !o.stdout.is_empty());
    let o = lab::<&str>([]);
    if !tracked {
        assert!(stderr(&o).contains("lab roundtrip DIR"), "{}", stderr(&o));
        return;
    }
    let text = String::from_utf8(o.stdout).unwrap();
    assert!(o.status.success() && text.contains("every byte came back"), "{text}");
    let o = lab(["--json", "--evict", "split"]);
    let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert!(v["evicted_pages"].as_u64() > v["data_pages"].as_u64(), "{v}");
}

/// Rule: without git, or outside a repository, the message says what to do.
#[test]
fn no_git() {
    let o = Command::new(env!("CARGO_BIN_EXE_lab")).env("PATH", "/nonexistent").output().unwrap();
    assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0));
    assert!(stderr(&o).contains("git") && stderr(&o).contains("lab roundtrip DIR"), "{}", stderr(&o));
    let fake = tempfile::tempdir().unwrap();
    let git = fake.path().join("git");
    let script = "#!/bin/sh\necho 'warning: well' >&2; echo 'fatal: dubious\x1b ownership' >&2; echo more >&2; exit 128\n";
    // Another process writes it, so that no child of another test holds it open for writing.
    let write = "printf '%s' \"$1\" > \"$0\" && chmod 700 \"$0\"";
    assert!(Command::new("sh").args(["-c", write]).arg(&git).arg(script).status().unwrap().success());
    let o = Command::new(env!("CARGO_BIN_EXE_lab")).env("PATH", fake.path()).output().unwrap();
    assert_eq!(o.status.code(), Some(2));
    let said = stderr(&o);
    assert!(said.contains("run this in a git checkout") && said.contains("(fatal: dubious"), "{said}");
    assert!(!said.contains("more") && !said.contains('\x1b'), "{said}");
}

/// Rule: what a hook or a shell says of another repository is not listened to.
#[test]
fn another_repository() {
    let [own, other] = [None, Some("/nonexistent")].map(|at| {
        let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"].into_iter().filter(|_| at.is_some()) {
            lab.env(name, at.unwrap_or_default());
        }
        lab.arg("--json").output().unwrap().status.code()
    });
    assert_eq!(own, other);
}

/// Rule: a size that is none is refused in the program's own words.
#[test]
fn sizes() {
    let dir = tree();
    let path = dir.path().to_str().unwrap();
    for (size, says) in [
        ("", "write a"),
        ("many", "write a"),
        ("12parsecs", "write a"),
        ("1.5M", "write a"),
        ("99999999999999999999", "write a"),
        ("-1", "write a"),
        ("16MB", "write 16MiB"),
        ("100", "--budget 4096 or more"),
    ] {
        let o = lab(["roundtrip", path, "--json", "--budget", size]);
        assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{size}");
        assert!(stderr(&o).contains(says), "{}", stderr(&o));
    }
    for (size, rounded) in [("5000", true), ("8Ki", false)] {
        let o = lab(["roundtrip", path, "--budget", size]);
        let text = String::from_utf8(o.stdout).unwrap();
        assert_eq!((o.status.code(), text.contains("(5000")), (Some(0), rounded), "{text}");
    }
}

/// Rule: a directory that is named at once gets advice; one that is none, an answer.
#[test]
fn directories() {
    for args in [&["/some/where"][..], &["--json", "/some/where"]] {
        let o = lab(args);
        assert_eq!(o.status.code(), Some(2));
        assert!(stderr(&o).contains("lab roundtrip /some/where"), "{}", stderr(&o));
    }
    let o = lab(["roundtrip", "/some/where", "--json"]);
    assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0));
    assert!(stderr(&o).contains("does not exist"), "{}", stderr(&o));
}

/// Rule: where files are not as long as the system says, nothing is compared, and that is not good.
#[cfg(target_os = "linux")]
#[test]
fn virtual_files() {
    let o = lab(["roundtrip", "/proc/self/fdinfo"]);
    assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{}", stderr(&o));
    assert!(stderr(&o).contains("could be loaded: nothing was compared"), "{}", stderr(&o));
}

/// Rule: a report that nobody reads is not a byte that did not come back.
#[test]
fn nobody_reads() {
    let dir = tree();
    for (dir, status) in [(dir.path(), 3), (Path::new("/some/where"), 2)] {
        let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"));
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let lab = lab.arg("roundtrip").arg(dir).stderr(writer.try_clone().unwrap()).stdout(writer);
        assert_eq!(lab.status().unwrap().code(), Some(status));
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let o = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("roundtrip")
        .arg(dir.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    assert_eq!((o.status.code(), stderr(&o).as_str()), (Some(3), ""));
}

/// Rule: a limit on addresses is told apart from a want of memory.
#[cfg(target_os = "linux")]
#[test]
fn few_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("large")).unwrap();
    file.set_len(100 << 20).unwrap(); // a hole: nothing reads it
    let limited = "ulimit -v 100000 && exec \"$0\" roundtrip \"$1\"";
    let lab = env!("CARGO_BIN_EXE_lab");
    let o = Command::new("sh").args(["-c", limited, lab]).arg(dir.path()).output().unwrap();
    assert_eq!(o.status.code(), Some(2), "{}", stderr(&o));
    assert!(stderr(&o).contains("of address space"), "{}", stderr(&o));
}
