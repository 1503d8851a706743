//! `tsan`: runs the tests that are about threads under ThreadSanitizer, with the standard library instrumented too.
//!
//! It must be seen that the sanitizer notices. Some tests are ignored otherwise: they run with a lock that excludes but
//! does not order (every access of it is `Relaxed`), once for each place that takes a lock of its own. They may pass on the
//! machine at hand. Here each one must be reported, or the whole run fails.
//!
//! Debian's compiler compiles the standard library from Debian's source. The sanitizer's runtime and the linker are
//! rustup's.

use crate::failure::{Failure, OrFailed, Result, failed};
use crate::place;
use crate::process::{End, cargo_with, output, program, run, said, within};
use crate::tally::Tally;
use crate::tools::{self, DEBIAN_RUSTC, HOST, Tool};
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// For each run of tests, with building.
const LIMIT: Duration = Duration::from_secs(1800);

/// Those that must be reported: the test `registration::loose::NAME` of `reclaim`.
const LOOSE: [&str; 4] = ["buffers", "indices", "regions", "sources"];

/// Those that must not, as arguments of `cargo test`.
const CLEAN: [&str; 5] = [
    "-p hosted-tests --test reclaim -- --nocapture registration::",
    "-p hosted-tests --test sweeps threads::",
    "-p hosted-tests --test scenarios -- --nocapture family_j",
    "-p hosted-tests --test shmem threads",
    "-p hosted-tests --test pool conformance_lock::",
];

const REPORT: &str = "WARNING: ThreadSanitizer";

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum What {
    /// First that it notices, then all tests.
    All,
    /// That it notices, and nothing else.
    SelfTest,
    /// What `cargo test` is given instead.
    These(Vec<String>),
}

pub(crate) fn main(what: &What) -> Result {
    let sanitizer = Sanitizer::prepare()?;
    let mut tally = Tally::default();
    let end = sanitizer.run(what, &mut tally);
    tally.end_with(end)
}

/// All that is needed to build with it.
struct Sanitizer {
    folder: PathBuf,
    /// Calls `cc` so that the runtime is linked.
    linker: PathBuf,
    runtime: PathBuf,
}

/// What a run of tests printed.
struct Log {
    text: String,
    end: End,
}

impl Log {
    fn reports(&self) -> usize {
        self.text.lines().filter(|line| line.starts_with(REPORT)).count()
    }
}

impl Sanitizer {
    fn prepare() -> Result<Sanitizer> {
        tools::need(&[Tool::Rustup, Tool::Cc, Tool::Cxx, Tool::DebianRustc, Tool::DebianSource])?;
        let rustlib = tools::rustlib()?;
        let lld = rustlib.join("bin/gcc-ld");
        if !lld.join("ld.lld").is_file() {
            return missing(&format!("{}/ld.lld: it comes with rustup's stable toolchain", lld.display()));
        }
        let Some(runtime) = runtime(&rustlib.join("lib")) else {
            return missing("librustc-*_rt.tsan.a: it comes with rustup's stable toolchain");
        };
        if !tools::on_path("llvm-symbolizer") {
            // Reports would be without names.
            tools::need(&[Tool::Binutils])?;
        }
        for rustc in [DEBIAN_RUSTC, "rustc"] {
            let said = output(program(rustc).arg("-vV"))?;
            let llvm = said.lines().find(|line| line.starts_with("LLVM version")).unwrap_or_default();
            println!("tsan: {}, {llvm}", said.lines().next().unwrap_or_default());
        }
        let folder = place::target().join("tsan");
        fs::create_dir_all(&folder).or_failed(folder.display())?;
        let linker = linker(&folder, &lld)?;
        Ok(Sanitizer { folder, linker, runtime })
    }

    fn run(&self, what: &What, tally: &mut Tally) -> Result {
        if matches!(what, What::All | What::SelfTest) {
            for lock in LOOSE {
                self.reported(&format!("registration::loose::{lock}"))?;
                tally.pass();
            }
        }
        let runs: Vec<Vec<String>> = match what {
            What::All => CLEAN.iter().map(|run| run.split(' ').map(str::to_owned).collect()).collect(),
            What::SelfTest => Vec::new(),
            What::These(words) => vec![words.clone()],
        };
        for words in runs {
            self.clean(&words)?;
            tally.pass();
        }
        Ok(())
    }

    /// These tests pass, and nothing is reported.
    fn clean(&self, words: &[String]) -> Result {
        println!("=== {}", words.join(" "));
        let log = self.tests(words, "")?;
        if log.end != End::Status(0) || log.reports() > 0 {
            print!("{}", log.text);
            return failed(format!("{:?}, {} reports", log.end, log.reports()));
        }
        log.text.lines().filter_map(shown).for_each(|line| println!("{line}"));
        Ok(())
    }

    /// This test, which is wrong on purpose, is reported.
    fn reported(&self, test: &str) -> Result {
        println!("=== {test}: must be reported");
        let words = "-p hosted-tests --test reclaim -- --ignored --exact --nocapture";
        let words: Vec<String> = words.split(' ').chain([test]).map(str::to_owned).collect();
        let log = self.tests(&words, "halt_on_error=1 symbolize=0")?;
        if !log.text.lines().any(|line| line.starts_with("running 1 test")) {
            print!("{}", log.text);
            return failed(format!("{test} did not run"));
        }
        if !log.text.lines().any(|line| line.starts_with("WARNING: ThreadSanitizer: data race")) {
            print!("{}", log.text);
            return failed(format!("{test}: a race that is there on purpose was not reported"));
        }
        println!("{} reports", log.reports());
        Ok(())
    }

    fn tests(&self, words: &[String], options: &str) -> Result<Log> {
        let mut cargo = cargo_with("-Zbuild-std test -q --target");
        cargo.arg(HOST).args(words);
        self.environment(&mut cargo, options);
        let said = said(&mut within(LIMIT, &cargo))?;
        Ok(Log { text: said.all(), end: said.end })
    }

    fn environment(&self, cargo: &mut Command, options: &str) {
        let runtime = format!("-Clink-arg={}", self.runtime.display());
        let flags = [
            "-Zsanitizer=thread",
            "-Zexternal-clangrt",
            "-Clink-arg=-Wl,--whole-archive",
            &runtime,
            "-Clink-arg=-Wl,--no-whole-archive",
            "-Clink-arg=-Wl,--export-dynamic",
            "-Clink-arg=-lstdc++",
            "-Clink-arg=-lm",
        ];
        cargo.env("CARGO_TARGET_DIR", &self.folder);
        cargo.env(format!("CARGO_TARGET_{}_LINKER", HOST.replace('-', "_").to_uppercase()), &self.linker);
        cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
        // To optimise would cost more than it saves.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
        // A report ends the process with status 66 at its end, whatever the tests say.
        let more = env::var("TSAN_OPTIONS").unwrap_or_default();
        let all = format!("halt_on_error=0 exitcode=66 history_size=4 {more} {options}");
        cargo.env("TSAN_OPTIONS", all.trim());
    }
}

/// What a test tells of itself: its result, or `N threads: …`, which may stand behind other things.
fn shown(line: &str) -> Option<&str> {
    let threads = line.find(" threads: ").map(|end| {
        let number = line[..end].trim_end_matches(|c: char| c.is_ascii_digit()).len();
        &line[number..]
    });
    threads.or(line.starts_with("test result").then_some(line))
}

fn missing<T>(text: &str) -> Result<T> {
    Err(Failure::Missing(format!("missing: {text}")))
}

fn runtime(folder: &Path) -> Option<PathBuf> {
    let files = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found = files.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("librustc-") && name.ends_with("_rt.tsan.a")
    });
    found.next()
}

/// A program that is `cc` with rustup's linker: GNU ld does not find what the runtime intercepts. Its path is part of what
/// cargo compares, so it stays the same.
fn linker(folder: &Path, lld: &Path) -> Result<PathBuf> {
    let path = folder.join("cc");
    let text = format!("#!/bin/sh\nexec cc \"-B{}\" -fuse-ld=lld \"$@\" -lc -lpthread\n", lld.display());
    if fs::read_to_string(&path).is_ok_and(|before| before == text) {
        return Ok(path);
    }
    fs::write(&path, text).or_failed(path.display())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).or_failed(path.display())?;
    run(Command::new("test").arg("-x").arg(&path))?;
    Ok(path)
}
