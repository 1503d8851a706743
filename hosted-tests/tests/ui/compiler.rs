//! What the compiler says of all cases: one scratch package with a program for each, checked once.
//!
//! The package lies below the target directory. It has a target directory of its own, so that it waits for no other
//! cargo; the versions of the workspace's `Cargo.lock`; and no flags but its own, so that it is the same for everybody.

use crate::case::Case;
use crate::expected::Found;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What was reported, by the name of the case.
pub(crate) struct Report {
    cases: BTreeMap<String, Checked>,
    /// What cargo said to people.
    said: String,
}

#[derive(Default)]
struct Checked {
    errors: Vec<Found>,
    compiles: bool,
}

impl Report {
    /// The errors of that case. The error says why nothing is known.
    pub(crate) fn of(&self, case: &Case) -> Result<&[Found], String> {
        match self.cases.get(&case.name) {
            Some(checked) if checked.compiles || !checked.errors.is_empty() => Ok(&checked.errors),
            _ => Err(format!("cargo did not come to it\n{}", self.said)),
        }
    }
}

/// Has cargo check these cases.
pub(crate) fn check(cases: &[Case]) -> Result<Report, String> {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ui");
    prepare(&package, cases).map_err(|why| format!("{}: {why}", package.display()))?;
    let Output { stdout, stderr, .. } = cargo(&package).output().map_err(|why| format!("no cargo: {why}"))?;
    let said = String::from_utf8_lossy(&stderr).into_owned();
    let mut report = Report { cases: BTreeMap::new(), said };
    for line in String::from_utf8_lossy(&stdout).lines() {
        let message = serde_json::from_str(line).map_err(|why| format!("{why}: {line}"))?;
        report.note(message);
    }
    Ok(report)
}

fn prepare(package: &Path, cases: &[Case]) -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    fs::create_dir_all(package)?;
    fs::write(package.join("Cargo.toml"), manifest(&root, cases))?;
    fs::copy(root.join("Cargo.lock"), package.join("Cargo.lock")).map(drop)
}

/// The features are those of the tests.
fn manifest(root: &Path, cases: &[Case]) -> String {
    let (core, backends) = (root.join("core"), root.join("backends"));
    let mut text = format!(
        "[package]\nname = 'forebay-ui'\nedition = '2024'\npublish = false\n\n\
         [workspace]\n\n\
         [dependencies]\n\
         forebay = {{ path = '{}', features = ['alloc', 'spin', 'critical-section'] }}\n\
         forebay-backends = {{ path = '{}', features = ['critical-section', 'heap', 'shmem', 'spin'] }}\n",
        core.display(),
        backends.display()
    );
    for Case { name, path, .. } in cases {
        write!(text, "\n[[bin]]\nname = '{name}'\npath = '{}'\n", path.display()).expect("a string");
    }
    text
}

fn cargo(package: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["check", "--quiet", "--offline", "--bins", "--keep-going", "--message-format=json"]);
    cargo.arg("--manifest-path").arg(package.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(package.join("target"));
    // The directory decides which toolchain and which settings of cargo count.
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // Set and empty, it is stronger than any other way to name flags.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "").env_remove("RUSTFLAGS");
    cargo
}

impl Report {
    fn note(&mut self, message: Message) {
        match message {
            Message::Artifact { target } if target.is_case() => {
                self.cases.entry(target.name).or_default().compiles = true;
            }
            Message::Diagnostic { target, message } if message.is_error() => {
                if target.is_case() {
                    let found = message.found(&target.src_path);
                    self.cases.entry(target.name).or_default().errors.push(found);
                } else {
                    // The crates themselves do not compile: so no case was checked.
                    self.said += message.rendered.as_deref().unwrap_or_default();
                }
            }
            _ => {}
        }
    }
}

/// A line of cargo.
#[derive(Deserialize)]
#[serde(tag = "reason")]
enum Message {
    #[serde(rename = "compiler-message")]
    Diagnostic { target: Target, message: Diagnostic },
    #[serde(rename = "compiler-artifact")]
    Artifact { target: Target },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

impl Target {
    fn is_case(&self) -> bool {
        self.kind == ["bin"]
    }
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    message: String,
    code: Option<Code>,
    spans: Vec<Span>,
    children: Vec<Diagnostic>,
    rendered: Option<String>,
}

#[derive(Deserialize)]
struct Code {
    code: String,
}

#[derive(Deserialize)]
struct Span {
    file_name: PathBuf,
    line_start: usize,
    is_primary: bool,
    label: Option<String>,
    expansion: Option<Box<Expansion>>,
}

/// A macro made the code of a span; here it was called.
#[derive(Deserialize)]
struct Expansion {
    span: Span,
}

impl Diagnostic {
    fn is_error(&self) -> bool {
        // Last comes the number of errors.
        self.level.starts_with("error") && !self.message.starts_with("aborting due to ")
    }

    fn found(self, file: &Path) -> Found {
        let primary: Vec<&Span> = self.spans.iter().filter(|span| span.is_primary).collect();
        let labels = primary.iter().filter_map(|span| span.label.clone());
        let notes = self.children.iter().filter(|child| child.level == "note");
        Found {
            line: primary.iter().find_map(|span| span.line_in(file)),
            code: self.code.map_or_else(|| "error".to_owned(), |code| code.code),
            message: self.message,
            more: labels.chain(notes.map(|child| child.message.clone())).collect(),
            rendered: self.rendered.unwrap_or_default(),
        }
    }
}

impl Span {
    /// The line of that file, where the macros of others were called in it.
    fn line_in(&self, file: &Path) -> Option<usize> {
        if file.ends_with(&self.file_name) {
            return Some(self.line_start);
        }
        self.expansion.as_ref()?.span.line_in(file)
    }
}
