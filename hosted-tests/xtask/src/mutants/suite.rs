//! The tests of the copy: building them, and running one program of them.

use super::find::Source;
use crate::failure::{OrFailed, Result, failed};
use crate::place;
use crate::process::{self, End, Said, program, said};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// The programs, and which of their tests: all, if none is named. The others read sources, call compilers, or test the lab.
const TESTS: [(&str, &[&str]); 13] = [
    ("region", &[]),
    ("reclaim", &[]),
    ("buffer", &[]),
    ("store", &[]),
    ("pool", &[]),
    ("meta", &["facade::", "formats::", "smoke::"]),
    ("shmem", &[]),
    ("scenarios", &[]),
    ("shmem_frames", &[]),
    ("no_alloc", &[]),
    ("sweeps", &[]),
    ("liveness", &[]),
    ("shmem_surroundings", &[]),
];

const FEATURES: &str = "forebay/alloc,forebay/spin,forebay-backends/heap,forebay-backends/shmem";

/// The memory that a program of tests may have, in KiB, without what is shared. A mutant without an end may want all of it.
const MEMORY: u64 = 16 << 20;

/// One program of tests.
pub(super) struct Tests {
    pub(super) name: String,
    program: PathBuf,
    /// It may run that long.
    pub(super) limit: Duration,
    /// A byte for each mutant: not 0 if the program comes to it.
    pub(super) reached: Vec<u8>,
}

/// How a program of tests ended.
pub(super) enum Verdict {
    Passed,
    /// A test failed, or the program crashed.
    Failed(String),
    Hung,
}

fn cargo(copy: &Path, words: &str) -> Command {
    let mut cargo = program("cargo");
    cargo.current_dir(copy).args(words.split_whitespace());
    cargo.env("CARGO_TARGET_DIR", place::target().join("mutants/target"));
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    // Switches make code that lints reject.
    cargo.env("RUSTFLAGS", "--cap-lints allow");
    cargo
}

/// The mutants that do not compile, by the lines that the compiler names. Empty if everything compiles.
pub(super) fn broken(copy: &Path, sources: &[Source]) -> Result<BTreeSet<String>> {
    let words = format!("check --tests -p forebay -p forebay-backends --features {FEATURES}");
    let Said { end, err, .. } = said(&mut cargo(copy, &words))?;
    let err = format!("\n{err}");
    if end == End::Status(0) {
        return Ok(BTreeSet::new());
    }
    let names: BTreeSet<String> =
        err.split("\nerror").skip(1).flat_map(|error| blamed(error, sources)).map(str::to_owned).collect();
    if names.is_empty() { failed(format!("the copy does not compile:\n{err}")) } else { Ok(names) }
}

/// The mutants that an error of the compiler is about. It names a file and a line; around it, it shows other lines. Where one
/// of these is a statement that a mutant leaves out, such as what gives a variable its value back, it is that one.
fn blamed<'s>(error: &str, sources: &'s [Source]) -> Vec<&'s str> {
    let place = error.lines().find_map(|line| line.trim_start().strip_prefix("--> ")).unwrap_or_default();
    let mut words = place.split(':');
    let (file, at) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let at: usize = at.parse().unwrap_or_default();
    let shown: Vec<usize> = error
        .lines()
        .filter_map(|line| line.split_once('|').and_then(|(number, _)| number.trim().parse().ok()))
        .collect();
    let here = || sources.iter().filter(|source| source.file == file).flat_map(|source| &source.mutants);
    let others = here().filter(|mutant| {
        mutant.lacks && !mutant.lines.contains(&at) && shown.iter().any(|line| mutant.lines.contains(line))
    });
    let others: Vec<&str> = others.map(|mutant| &*mutant.name).collect();
    if others.is_empty() {
        return here().filter(|mutant| mutant.lines.contains(&at)).map(|mutant| &*mutant.name).collect();
    }
    others
}

/// Builds all programs.
pub(super) fn build(copy: &Path) -> Result<Vec<Tests>> {
    let tests: String = TESTS.iter().map(|(test, _)| format!(" --test {test}")).collect();
    let all = [
        "-p forebay -p forebay-backends --lib --features ".to_owned() + FEATURES,
        format!("-p hosted-tests{tests}"),
    ];
    let mut programs = Vec::new();
    for words in all {
        let mut cargo = cargo(copy, &format!("test --no-run {words}"));
        let said = said(&mut cargo)?;
        if said.end != End::Status(0) {
            return failed(format!("{}:\n{}", process::typed(&cargo), said.err));
        }
        for line in said.err.lines().filter_map(|line| line.trim_start().strip_prefix("Executable ")) {
            let Some((_, path)) = line.trim_end_matches(')').rsplit_once('(') else { continue };
            let path = copy.join(path);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name).to_owned();
            programs.push(Tests {
                name,
                program: path,
                limit: Duration::from_secs(600),
                reached: Vec::new(),
            });
        }
    }
    Ok(programs)
}

impl Tests {
    pub(super) fn comes_to(&self, number: usize) -> bool {
        self.reached.get(number).is_some_and(|byte| *byte != 0)
    }

    /// Runs them with these variables, until the first failure.
    pub(super) fn run(&self, copy: &Path, name: &str, value: &str) -> Result<Verdict> {
        let folder = match &*self.name {
            "forebay" => "core",
            "forebay_backends" => "backends",
            _ => "hosted-tests",
        };
        let mut shell = program("sh");
        shell
            .args(["-c", &format!("ulimit -c 0; ulimit -d {MEMORY}; exec \"$0\" \"$@\"")])
            .arg(&self.program);
        shell.args(TESTS.iter().find(|(test, _)| *test == self.name).map_or(&[][..], |(_, only)| only));
        shell.current_dir(copy.join(folder)).env(name, value).env_remove("FOREBAY_SYSTEM_TESTS");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        shell.process_group(0);
        let mut child = shell.spawn().or_failed(&self.name)?;
        let verdict = self.watch(&mut child);
        end(&mut child)?;
        Ok(verdict)
    }

    /// Reads what it prints until it ends, fails or takes too long.
    fn watch(&self, child: &mut Child) -> Verdict {
        let Some(out) = child.stdout.take() else { return Verdict::Failed("no output".to_owned()) };
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).split(b'\n').map_while(std::result::Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let deadline = Instant::now() + self.limit;
        let mut passed = false;
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.ends_with("FAILED") => {
                    let test = line.trim_start_matches("test ").split(" ...").next().unwrap_or_default();
                    return Verdict::Failed(test.to_owned());
                }
                Ok(line) => passed |= line.starts_with("test result: ok"),
                Err(RecvTimeoutError::Timeout) => return Verdict::Hung,
                Err(RecvTimeoutError::Disconnected) if passed => return Verdict::Passed,
                Err(RecvTimeoutError::Disconnected) => return Verdict::Failed("it crashed".to_owned()),
            }
        }
    }
}

/// Ends it, with everything that it started.
fn end(child: &mut Child) -> Result {
    let group = format!("-{}", child.id());
    _ = said(program("kill").args(["-KILL", "--", &group]))?;
    child.wait().or_failed("wait")?;
    Ok(())
}
