//! Which files there are: every regular file under a directory, or the tracked files of the repository.

use super::text::{count, shown};
use serde::Serialize;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;
use walkdir::WalkDir;

/// Too many open files, of the system; every Unix has this number for it.
const ENFILE: i32 = 23;
/// Too many open files, of this process.
const EMFILE: i32 = 24;

/// Whose files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Every regular file under this directory. Symbolic links are not followed.
    Directory(PathBuf),
    /// The files that git tracks in the repository of the lab itself, or else in that of the current directory.
    Repository,
}

/// Why there is nothing to load.
#[derive(Debug)]
pub enum InputError {
    /// There is no such directory.
    Missing(PathBuf),
    /// It is something else.
    NotADirectory(PathBuf),
    /// It can't be read.
    Unreadable(PathBuf, io::Error),
    /// No regular file is in it.
    NoFiles(PathBuf, Box<Skipped>),
    /// git can't be run.
    NoGit(io::Error),
    /// git ran, and there is no repository; what it said.
    NoRepository(String),
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INSTEAD: &str = "or name a directory: lab roundtrip DIR";
        match self {
            InputError::Missing(dir) => {
                write!(f, "{} does not exist: name a directory that does", shown(dir))
            }
            InputError::NotADirectory(dir) => {
                write!(f, "{} is not a directory: name the directory that it is in", shown(dir))
            }
            InputError::Unreadable(dir, e) => {
                write!(f, "{} can't be read ({e}): name a directory that you may read", shown(dir))
            }
            InputError::NoFiles(dir, skipped) => {
                write!(f, "there is no regular file in {}", shown(dir))?;
                if skipped.total() > 0 {
                    write!(f, " (passed over: {skipped})")?;
                }
                f.write_str(": name a directory with some")
            }
            InputError::NoGit(e) => {
                write!(
                    f,
                    "the files of the repository are found with git, which can't be run ({e}): install it, {INSTEAD}"
                )
            }
            InputError::NoRepository(said) => write!(
                f,
                "the files of the repository are found with git, which did not list them ({said}): run this in a git \
                 checkout, {INSTEAD}"
            ),
        }
    }
}

impl std::error::Error for InputError {}

/// What was passed over, and why: counts of directory entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Skipped {
    /// FIFOs: reading one could wait for ever.
    pub fifos: usize,
    /// Sockets.
    pub sockets: usize,
    /// Block and character devices.
    pub devices: usize,
    /// Symbolic links to something that is there.
    pub links: usize,
    /// Symbolic links to nothing.
    pub dead_links: usize,
    /// Files and directories that the system does not let us read.
    pub unreadable: usize,
    /// Files that were gone before they were loaded.
    pub vanished: usize,
}

impl Skipped {
    /// All of them.
    pub fn total(&self) -> usize {
        self.reasons().into_iter().map(|(count, _)| count).sum()
    }

    fn reasons(&self) -> [(usize, &'static str); 7] {
        [
            (self.fifos, "FIFO"),
            (self.sockets, "socket"),
            (self.devices, "device"),
            (self.links, "symbolic link"),
            (self.dead_links, "dead link"),
            (self.unreadable, "unreadable one"),
            (self.vanished, "vanished one"),
        ]
    }

    /// Counts one that could not be opened or read; says so.
    pub(crate) fn note(&mut self, path: &Path, error: &io::Error) -> String {
        let path = shown(path);
        if error.kind() == ErrorKind::NotFound {
            self.vanished += 1;
            return format!("{path}: not loaded: it is gone");
        }
        self.unreadable += 1;
        let advice = match error.raw_os_error() {
            Some(EMFILE | ENFILE) => ": raise the limit on open files (ulimit -n)",
            _ => "",
        };
        format!("{path}: not loaded: {error}{advice}")
    }
}

/// The reasons that occurred: `2 FIFOs, 1 dead link`; `nothing`.
impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let some: Vec<String> = self
            .reasons()
            .into_iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, what)| count(number, what))
            .collect();
        if some.is_empty() { f.write_str("nothing") } else { f.write_str(&some.join(", ")) }
    }
}

/// A regular file, in the state that it had when the tree was walked.
#[derive(Clone, Debug)]
pub struct Found {
    /// Below the root of the tree.
    pub path: PathBuf,
    /// Its size and time then.
    pub stamp: Stamp,
}

/// By what a change is noticed without reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    /// From what the system says.
    pub fn of(metadata: &Metadata) -> Self {
        Stamp { size: metadata.len(), modified: metadata.modified().ok() }
    }

    /// Whether an open file has not changed since then.
    pub fn is_still(&self, file: &File) -> bool {
        file.metadata().is_ok_and(|metadata| Stamp::of(&metadata) == *self)
    }
}

/// The regular files of a tree, in the order of their names.
#[derive(Debug)]
pub struct Tree {
    /// All paths are below it.
    pub root: PathBuf,
    /// The files.
    pub files: Vec<Found>,
    /// Directories, parents first; those of a repository only as far as the files tell.
    pub directories: Vec<PathBuf>,
    /// What is not a regular file.
    pub skipped: Skipped,
    /// What could not be looked at, by name.
    pub notes: Vec<String>,
}

impl Tree {
    /// Finds the files. Opens none.
    ///
    /// # Errors
    /// [`InputError`].
    pub fn find(input: &Input) -> Result<Tree, InputError> {
        let tree = match input {
            Input::Directory(dir) => Tree::walk(dir)?,
            Input::Repository => Tree::tracked()?,
        };
        if tree.files.is_empty() {
            return Err(InputError::NoFiles(tree.root, Box::new(tree.skipped)));
        }
        Ok(tree)
    }

    fn new(root: &Path) -> Tree {
        Tree {
            root: root.to_owned(),
            files: vec![],
            directories: vec![],
            skipped: Skipped::default(),
            notes: vec![],
        }
    }

    fn walk(root: &Path) -> Result<Tree, InputError> {
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(InputError::NotADirectory(root.to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(InputError::Missing(root.to_owned())),
            Err(e) => return Err(InputError::Unreadable(root.to_owned(), e)),
        }
        let mut tree = Tree::new(root);
        for entry in WalkDir::new(root).min_depth(1).sort_by_file_name() {
            match entry {
                Ok(entry) => {
                    let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
                    tree.add(path, entry.file_type(), || entry.metadata().map_err(plain));
                }
                Err(e) => {
                    let (depth, path) = (e.depth(), e.path().unwrap_or(root).to_owned());
                    let e = plain(e);
                    if depth == 0 {
                        return Err(InputError::Unreadable(root.to_owned(), e));
                    }
                    tree.unread(path.strip_prefix(root).unwrap_or(&path), &e);
                }
            }
        }
        Ok(tree)
    }

    fn tracked() -> Result<Tree, InputError> {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let workspace = workspace.canonicalize().unwrap_or(workspace);
        let mut said: Vec<String> = vec![];
        for root in [workspace, PathBuf::from(".")] {
            if !root.is_dir() {
                continue;
            }
            let mut git = Command::new("git");
            for name in ELSEWHERE {
                git.env_remove(name);
            }
            let Output { status, stdout, stderr } =
                git.arg("-C").arg(&root).args(["ls-files", "-z"]).output().map_err(InputError::NoGit)?;
            if !status.success() {
                said.extend(complaint(&stderr));
                said.dedup();
                continue;
            }
            let mut tree = Tree::new(&root);
            for name in stdout.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
                let path = Path::new(OsStr::from_bytes(name));
                match fs::symlink_metadata(root.join(path)) {
                    Ok(metadata) if metadata.is_dir() => {} // a submodule: a repository of its own
                    Ok(metadata) => tree.add(path, metadata.file_type(), || Ok(metadata)),
                    Err(e) => tree.unread(path, &e),
                }
            }
            tree.directories = parents(&tree.files);
            return Ok(tree);
        }
        Err(InputError::NoRepository(said.join("; ")))
    }

    fn unread(&mut self, path: &Path, error: &io::Error) {
        let note = self.skipped.note(path, error);
        self.notes.push(note);
    }

    fn add(&mut self, path: &Path, kind: FileType, metadata: impl FnOnce() -> io::Result<Metadata>) {
        let skipped = &mut self.skipped;
        if kind.is_file() {
            match metadata() {
                Ok(m) => self.files.push(Found { path: path.to_owned(), stamp: Stamp::of(&m) }),
                Err(e) => self.unread(path, &e),
            }
        } else if kind.is_dir() {
            self.directories.push(path.to_owned());
        } else if kind.is_symlink() {
            match fs::metadata(self.root.join(path)) {
                Ok(_) => skipped.links += 1,
                Err(_) => skipped.dead_links += 1,
            }
        } else if kind.is_fifo() {
            skipped.fifos += 1;
        } else if kind.is_socket() {
            skipped.sockets += 1;
        } else {
            skipped.devices += 1;
        }
    }
}

/// What would make git look at another repository than the one at hand: a hook has these, for example.
const ELSEWHERE: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
];

/// What git died of, or else its first words.
fn complaint(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| line.starts_with("fatal:")).or(text.lines().next());
    line.map(shown)
}

/// The system's own error: without the path, which the note names already.
fn plain(error: walkdir::Error) -> io::Error {
    error.into_io_error().unwrap_or_else(|| io::Error::other("a loop"))
}

fn parents(files: &[Found]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = files
        .iter()
        .flat_map(|file| file.path.ancestors().skip(1))
        .filter(|dir| !dir.as_os_str().is_empty())
        .map(Path::to_owned)
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Opens without waiting, should a FIFO have taken the file's place.
#[cfg(all(
    target_os = "linux",
    any(
        target_arch = "x86_64",
        target_arch = "x86",
        target_arch = "aarch64",
        target_arch = "arm",
        target_arch = "riscv64"
    )
))]
const O_NONBLOCK: i32 = 0o4000;
#[cfg(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd"))]
const O_NONBLOCK: i32 = 4;

/// Opens a regular file; never waits.
///
/// # Errors
/// Those of the system; [`ErrorKind::InvalidInput`] if something else has taken its place.
pub fn open(path: &Path) -> io::Result<(File, Stamp)> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "no longer a regular file"));
    }
    Ok((file, Stamp::of(&metadata)))
}

/// Reads until `to` is full or the file ends; returns how much.
///
/// # Errors
/// Those of the system.
pub fn read_full(file: &mut impl io::Read, to: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(done)
}

/// Whether a file ends here, and has not changed.
pub fn is_at_end(file: &mut File, stamp: Stamp) -> bool {
    stamp.is_still(file) && read_full(file, &mut [0]).is_ok_and(|n| n == 0)
}
