//! Where restored files go: a new directory, never one that is there.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Why nothing can be written there.
#[derive(Debug)]
pub enum OutputError {
    /// Something of that name is there.
    Exists(PathBuf),
    /// It would lie in the tree that is loaded.
    Inside(PathBuf, PathBuf),
    /// It can't be made.
    Io(PathBuf, io::Error),
}

impl fmt::Display for OutputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutputError::Exists(dir) => write!(
                f,
                "{} is there already, and nothing is overwritten: name a directory that does not exist",
                dir.display()
            ),
            OutputError::Inside(dir, root) => write!(
                f,
                "{} lies in {}, so the lab could load what it writes: name a directory elsewhere",
                dir.display(),
                root.display()
            ),
            OutputError::Io(path, e) if e.kind() == ErrorKind::NotFound => {
                write!(f, "{} can't be made ({e}): make the directory that it is in first", path.display())
            }
            OutputError::Io(path, e) => {
                write!(f, "{} can't be written ({e}): name a directory with room and rights", path.display())
            }
        }
    }
}

impl std::error::Error for OutputError {}

/// A directory of our own making.
#[derive(Debug)]
pub struct Output {
    root: PathBuf,
}

impl Output {
    /// Makes the directory, and in it those of the tree.
    ///
    /// # Errors
    /// [`OutputError`]; nothing was overwritten.
    pub fn create(root: &Path, tree: &Path, directories: &[PathBuf]) -> Result<Output, OutputError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |e: io::Error| match e.kind() {
                ErrorKind::AlreadyExists => OutputError::Exists(path),
                _ => OutputError::Io(path, e),
            }
        };
        if fs::symlink_metadata(root).is_ok() {
            return Err(OutputError::Exists(root.to_owned()));
        }
        let parent = match root.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let real = parent.canonicalize().map_err(failed(root))?;
        let tree = tree.canonicalize().map_err(failed(tree))?;
        if real.starts_with(&tree) {
            return Err(OutputError::Inside(root.to_owned(), tree));
        }
        fs::create_dir(root).map_err(failed(root))?;
        let output = Output { root: root.to_owned() };
        for dir in directories {
            let dir = output.root.join(dir);
            fs::create_dir(&dir).map_err(failed(&dir))?;
        }
        Ok(output)
    }

    /// A new, empty file.
    ///
    /// # Errors
    /// [`OutputError`]; nothing was overwritten.
    pub fn file(&self, path: &Path) -> Result<File, OutputError> {
        let path = self.root.join(path);
        File::create_new(&path).map_err(|e| OutputError::Io(path, e))
    }

    /// Takes away a file of ours that is not whole.
    pub fn remove(&self, path: &Path) {
        let _ = fs::remove_file(self.root.join(path)); // it is ours; if it stays, it is reported as incomplete anyway
    }

    /// What went wrong while writing a file.
    pub fn failed(&self, path: &Path, error: io::Error) -> OutputError {
        OutputError::Io(self.root.join(path), error)
    }
}
