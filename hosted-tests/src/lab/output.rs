//! Where restored files go: a new directory, never one that is there. A file has its name only once it is whole.

use super::text::shown;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
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
                shown(dir)
            ),
            OutputError::Inside(dir, root) => write!(
                f,
                "{} lies in {}, so the lab could load what it writes: name a directory elsewhere",
                shown(dir),
                shown(root)
            ),
            OutputError::Io(path, e) if e.kind() == ErrorKind::NotFound => {
                write!(f, "{} can't be made ({e}): make the directory that it is in first", shown(path))
            }
            OutputError::Io(path, e) => {
                write!(f, "{} can't be written ({e}): name a directory with room and rights", shown(path))
            }
        }
    }
}

impl std::error::Error for OutputError {}

/// A directory of our own making.
#[derive(Debug)]
pub struct Output {
    root: PathBuf,
    /// Where a file is written until it is whole. The tree has no such name.
    partial: PathBuf,
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
        let mut name = String::from(".partial");
        while fs::symlink_metadata(tree.join(&name)).is_ok() {
            name.push('_');
        }
        let output = Output { root: root.to_owned(), partial: root.join(name) };
        for dir in directories {
            let dir = output.root.join(dir);
            fs::create_dir(&dir).map_err(failed(&dir))?;
        }
        Ok(output)
    }

    /// Takes the directories away again, as nothing was put into them.
    pub fn abandon(self, directories: &[PathBuf]) {
        for dir in directories.iter().rev() {
            let _ = fs::remove_dir(self.root.join(dir)); // what another program put there stays
        }
        let _ = fs::remove_dir(self.root);
    }

    /// A new, empty file, to be kept under this name when it is whole.
    ///
    /// # Errors
    /// [`OutputError`]; nothing was overwritten.
    pub fn file(&self, path: &Path) -> Result<Partial<'_>, OutputError> {
        match File::create_new(&self.partial) {
            Ok(file) => Ok(Partial { file, at: &self.partial, to: self.root.join(path) }),
            Err(e) => Err(OutputError::Io(self.partial.clone(), e)),
        }
    }
}

/// A file that is not whole. If it is dropped, it goes.
#[derive(Debug)]
pub struct Partial<'o> {
    file: File,
    at: &'o Path,
    to: PathBuf,
}

impl Partial<'_> {
    /// Appends.
    ///
    /// # Errors
    /// [`OutputError`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(bytes).map_err(|e| OutputError::Io(self.to.clone(), e))
    }

    /// It is whole: gives it its name.
    ///
    /// # Errors
    /// [`OutputError`]; nothing was overwritten.
    pub fn keep(self) -> Result<(), OutputError> {
        match fs::symlink_metadata(&self.to) {
            Ok(_) => Err(OutputError::Exists(self.to.clone())),
            Err(_) => fs::rename(self.at, &self.to).map_err(|e| OutputError::Io(self.to.clone(), e)),
        }
    }
}

impl Drop for Partial<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.at); // once it has its name, there is nothing here
    }
}
