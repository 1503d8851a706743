//! The machine's setting for huge pages of shmem, while a test needs a certain one.

use rustix::fs::{FlockOperation, flock};
use std::env;
use std::fs::{self, File};

const FILE: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Nobody else who asks here changes it as long as this exists; then it is what it was.
pub(crate) struct Setting {
    before: String,
    _lock: File,
}

impl Setting {
    /// The error says why it can't be had.
    pub(crate) fn choose(word: &str) -> Result<Setting, String> {
        let lock = env::temp_dir().join("forebay-shmem_enabled.lock");
        let file = File::options().create(true).append(true).open(&lock);
        let file = file.map_err(|why| format!("{}: {why}", lock.display()))?;
        flock(&file, FlockOperation::LockExclusive).map_err(|why| format!("no file lock: {why}"))?;
        let says = fs::read_to_string(FILE).map_err(|why| format!("{FILE}: {why}"))?;
        let before = says.split(['[', ']']).nth(1).ok_or_else(|| format!("{FILE} says {says}"))?;
        let setting = Setting { before: before.to_owned(), _lock: file };
        if before != word {
            fs::write(FILE, word).map_err(|why| format!("{FILE} can't be set to {word}: {why}"))?;
        }
        Ok(setting)
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // Also if it was not changed: writing the same word again changes nothing, and may be refused.
        let _ = fs::write(FILE, &self.before);
    }
}
