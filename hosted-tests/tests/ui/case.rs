//! The cases: one file each.

use std::fs;
use std::path::{Path, PathBuf};

/// A program that misuses something, or nothing.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Case {
    fn read(path: PathBuf) -> Case {
        let name = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        Case { name, path, text }
    }

    /// Sorted by name.
    pub(crate) fn all() -> Vec<Case> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ui/cases");
        let files = fs::read_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        let paths = files.map(|file| file.expect("a file").path());
        let mut all: Vec<_> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "rs")).map(Case::read).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}
