//! The machine's setting for huge pages of shmem, while a test needs a certain one.

use crate::guardian::Guardian;
use crate::undo::{Undo, set, word_of};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The file of the setting.
pub(crate) const SHMEM_ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// No other test that asks here changes it as long as this exists.
pub(crate) struct Setting {
    file: PathBuf,
    word: String,
    lock: OwnedFd,
}

/// A setting that was changed. When this goes, or its process, it is what it was.
pub(crate) struct Changed(Guardian);

impl Setting {
    /// Waits for others. The error says why it can't be acquired.
    pub(crate) fn of(file: &Path) -> Result<Setting, String> {
        let no = |why: std::io::Error| format!("{}: {why}", file.display());
        let lock = File::open(file).map_err(no)?.into();
        flock(&lock, FlockOperation::LockExclusive).map_err(|why| no(why.into()))?;
        Ok(Setting { file: file.to_owned(), word: word_of(file)?, lock })
    }

    pub(crate) fn word(&self) -> &str {
        &self.word
    }

    /// The error says why it stays as it is.
    pub(crate) fn change(self, word: &str) -> Result<Changed, String> {
        let undo = Undo::Set { file: self.file.clone(), word: self.word };
        // The lock is the guardian's: others wait until the old word is back.
        let guardian = Guardian::start(undo, Some(self.lock))?;
        set(&self.file, word)?;
        Ok(Changed(guardian))
    }
}

impl Changed {
    /// The number of the process that will undo it.
    pub(crate) fn guardian(&self) -> u32 {
        self.0.pid()
    }
}
