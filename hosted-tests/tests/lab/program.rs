//! The program itself: what it prints, and its status.

use super::{KEYS, STORES, tree};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs the real program.
fn lab<I: AsRef<OsStr>>(args: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(args).output().unwrap()
}

/// As they are called on the command line.
fn stores() -> Vec<&'static str> {
    STORES.iter().map(|store| if store.is_shmem() { "shmem" } else { "ram" }).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Rule: `--json` is one object with every figure, and alone on standard output.
#[test]
fn json() {
    let dir = tree();
    let path = dir.path().to_str().unwrap();
    let kinds = ["transfer", "copy", "split"];
    for (store, evict) in stores().into_iter().flat_map(|store| kinds.map(|evict| (store, evict))) {
        let o = lab(["roundtrip", path, "--store", store, "--evict", evict, "--budget", "64k", "--json"]);
        assert!(o.status.success() && o.stderr.is_empty(), "{}", stderr(&o));
        let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
        for key in KEYS {
            assert!(v[key].is_number(), "{key}: {v}");
        }
        assert!(
            v["refusals"].as_object().is_some_and(|all| all.values().all(|times| times.is_number())),
            "{v}"
        );
        assert_eq!(v["good"], true);
        assert!(v.get("cgroup_peak_bytes").is_some_and(|peak| peak.is_null() || peak.is_number()), "{v}");
        assert_eq!((&v["files"], &v["budget_pages"]), (&60.into(), &16.into()));
        assert_eq!((&v["store"], &v["evict"]), (&store.into(), &evict.into()));
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
    for store in stores() {
        let o = lab(["--json", "--evict", "split", "--store", store]);
        let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
        assert!(v["evicted_pages"].as_u64() > v["data_pages"].as_u64(), "{v}");
    }
    let o = lab(["--json"]);
    let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(v["store"], if cfg!(target_os = "linux") { "shmem" } else { "ram" });
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

/// Rule: a report that is not read is not a byte that did not come back.
#[test]
fn output_is_not_read() {
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

/// Rule: a limit on addresses is told apart from a want of memory, and the answer says what to do.
#[cfg(target_os = "linux")]
#[test]
fn few_addresses() {
    let dir = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(dir.path().join("large")).unwrap();
    file.set_len(100 << 20).unwrap(); // a hole: nothing reads it
    for (store, evict) in [("ram", "transfer"), ("shmem", "transfer"), ("shmem", "copy")] {
        let o = limited("ulimit -v 100000", dir.path(), &["--store", store, "--evict", evict]);
        assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{}", stderr(&o));
        assert!(stderr(&o).contains("ulimit -v"), "{store}: {}", stderr(&o));
    }
}

/// Rule: so is a limit on open files.
#[cfg(target_os = "linux")]
#[test]
fn few_files() {
    let dir = tempfile::tempdir().unwrap();
    super::put(dir.path(), "one", &super::noise(5000, 1));
    for evict in ["transfer", "copy"] {
        let o = limited("ulimit -n 4", dir.path(), &["--store", "shmem", "--evict", evict]);
        assert_eq!((o.status.code(), o.stdout.len()), (Some(2), 0), "{}", stderr(&o));
        assert!(stderr(&o).contains("ulimit -n"), "{}", stderr(&o));
    }
}

/// Runs the real program on a directory behind a command of the shell.
#[cfg(target_os = "linux")]
fn limited(limit: &str, dir: &Path, args: &[&str]) -> Output {
    let script = format!("{limit} && exec \"$0\" roundtrip \"$@\"");
    let lab = env!("CARGO_BIN_EXE_lab");
    Command::new("sh").args(["-c", &script, lab]).arg(dir).args(args).output().unwrap()
}

/// Rule: what is transferred to shmem is reclaimable as soon as nothing near it is in a buffer, so most of it is; and
/// then it is mapped nowhere. (In a process of its own, as the system counts by process.)
#[cfg(target_os = "linux")]
#[test]
fn most_of_what_shmem_took_is_reclaimable() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..40 {
        super::put(dir.path(), format!("f{n:02}"), &super::noise(512 << 10, n + 1)); // 20 MiB: ten huge pages
    }
    let path = dir.path().to_str().unwrap();
    for evict in ["transfer", "copy", "split"] {
        let o = lab(["roundtrip", path, "--store", "shmem", "--evict", evict, "--budget", "256k", "--json"]);
        let v: serde_json::Value = serde_json::from_slice(&o.stdout).unwrap();
        let figure = |key: &str| v[key].as_u64().unwrap();
        assert!(figure("pending_pages") <= 512 && figure("reclaimable_pages") >= 4 * 1024, "{v}");
        assert!(figure("process_shmem_rss_bytes") <= 4 << 20, "what is unmapped is not present: {v}");
        assert!(figure("shmem_bytes") >= 20 << 20, "it is in the file: {v}");
    }
}

/// Rule: the table says what happened with this store, and nothing that did not.
#[cfg(target_os = "linux")]
#[test]
fn tables_by_store() {
    let dir = tree();
    let path = dir.path().to_str().unwrap();
    let table = |store, evict| {
        let o = lab(["roundtrip", path, "--store", store, "--evict", evict, "--budget", "64k"]);
        String::from_utf8(o.stdout).unwrap()
    };
    let ram = table("ram", "transfer");
    assert!(ram.contains("written out") && !ram.contains("reclaimable"), "{ram}");
    for evict in ["transfer", "copy", "split"] {
        let shmem = table("shmem", evict);
        assert!(shmem.contains("reclaimable") && shmem.contains("owned by the store"), "{shmem}");
        assert!(!shmem.contains("written out") && !shmem.contains("region"), "{shmem}");
    }
}
