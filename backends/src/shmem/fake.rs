//! For tests: a root directory with what a kernel would show in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory that goes with this value.
pub(super) struct Tree(PathBuf);

impl Tree {
    /// With these files in it: path from its root, and text.
    pub(super) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Tree {
        static TREES: AtomicUsize = AtomicUsize::new(0);
        let number = TREES.fetch_add(1, Ordering::Relaxed);
        let tree = Tree(std::env::temp_dir().join(std::format!("forebay-{}-{number}", process::id())));
        fs::create_dir(&tree.0).expect("no other test uses this name");
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    /// Makes a file, or replaces its text. Open descriptors see the new text.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    pub(super) fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a test that fails is worse than one that leaves something
    }
}
