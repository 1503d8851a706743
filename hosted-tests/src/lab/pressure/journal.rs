//! What a run changed, in a file: a run whose processes were all killed is cleaned up by the next one.
//!
//! A line for each change, written before the change is made. The file is locked as long as the keeper of a run lives, so there is
//! one run at a time, and what is in a file that can be locked is left over. What was there before the last start of the machine
//! is gone with it, so the first line names that start.

use super::undo::Undo;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Where it is.
pub(super) const PLACE: &str = "/run/forebay-pressure";

/// An open journal. The lock ends with it.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    path: PathBuf,
    boot: String,
    changes: Vec<Undo>,
}

/// Why there is no journal.
#[derive(Debug)]
pub(super) enum JournalError {
    /// Another run has it.
    InUse,
    /// It can't be written.
    Io(io::Error),
}

impl From<io::Error> for JournalError {
    fn from(why: io::Error) -> JournalError {
        JournalError::Io(why)
    }
}

impl Journal {
    /// Opens it, with what an earlier run left.
    pub(super) fn open(path: &Path) -> Result<Journal, JournalError> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Journal::open_since(path, boot.trim())
    }

    /// The same, where the machine was started last as `boot` says.
    fn open_since(path: &Path, boot: &str) -> Result<Journal, JournalError> {
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(0o600);
            let mut file = options.open(path)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| JournalError::InUse)?;
            if file.metadata()?.nlink() == 0 {
                continue; // the run before has just removed it
            }
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let mut lines = text.lines();
            let changes = match lines.next() {
                Some(start) if start == boot => lines.filter_map(|l| serde_json::from_str(l).ok()).collect(),
                _ => vec![],
            };
            return Ok(Journal { file, path: path.to_owned(), boot: boot.to_owned(), changes });
        }
    }

    /// How many changes there are to be undone.
    pub(super) fn changes(&self) -> usize {
        self.changes.len()
    }

    /// Notes how a change will be undone, before it is made.
    pub(super) fn note(&mut self, undo: Undo) -> io::Result<()> {
        self.changes.push(undo);
        self.write()
    }

    /// Undoes the last `count` changes, the last one first. What could not be undone stays noted; gives why.
    pub(super) fn undo_last(&mut self, count: usize) -> Vec<String> {
        let kept = self.changes.len().saturating_sub(count);
        let mut wrong = vec![];
        let mut stay = vec![];
        for undo in self.changes.split_off(kept).into_iter().rev() {
            if let Err(why) = undo.apply() {
                wrong.push(why);
                stay.push(undo);
            }
        }
        self.changes.extend(stay.into_iter().rev());
        if let Err(why) = self.write() {
            wrong.push(format!("{}: {why}", self.path.display()));
        }
        wrong
    }

    /// Undoes everything, and removes the journal if nothing is left to do.
    pub(super) fn finish(mut self) -> Vec<String> {
        let mut wrong = self.undo_last(self.changes.len());
        if self.changes.is_empty()
            && let Err(why) = fs::remove_file(&self.path)
        {
            wrong.push(format!("{} stays ({why}): remove it", self.path.display()));
        }
        wrong
    }

    fn write(&mut self) -> io::Result<()> {
        let mut text = self.boot.clone() + "\n";
        for change in &self.changes {
            text += &(serde_json::to_string(change)? + "\n");
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A setting that was changed, and a group that was made, by a run that is gone; and a group of another program.
    fn left_over(root: &Path, boot: &str) -> [PathBuf; 4] {
        let [journal, setting, ours, theirs] =
            ["journal", "setting", "forebay-pressure-1-1", "forebay-pressure-2-1"]
                .map(|name| root.join(name));
        fs::write(&setting, "always [advise] never\n").expect("a file");
        fs::create_dir(&ours).expect("a directory");
        fs::create_dir(&theirs).expect("a directory");
        let mut run = Journal::open_since(&journal, boot).expect("a journal");
        run.note(Undo::Set { file: setting.clone(), word: "never".into() }).expect("noted");
        run.note(Undo::Group(ours.clone())).expect("noted");
        drop(run); // killed
        [journal, setting, ours, theirs]
    }

    /// Rule: the next run takes back what a killed one left, and nothing else.
    #[test]
    fn what_is_left_over_is_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let [journal, setting, ours, theirs] = left_over(root.path(), "today");
        let next = Journal::open_since(&journal, "today").expect("a journal");
        assert_eq!(next.changes(), 2);
        assert_eq!(next.finish(), Vec::<String>::new());
        assert_eq!(fs::read_to_string(setting).expect("a file"), "never");
        assert_eq!([ours, theirs, journal].map(|path| path.exists()), [false, true, false]);
    }

    /// Rule: what was left before the machine was started again is not touched: its names may be those of others now.
    #[test]
    fn an_earlier_start() {
        let root = tempfile::tempdir().expect("a directory");
        let [journal, setting, ours, _] = left_over(root.path(), "yesterday");
        let next = Journal::open_since(&journal, "today").expect("a journal");
        assert_eq!((next.changes(), next.finish()), (0, vec![]));
        assert!(ours.exists());
        assert_eq!(fs::read_to_string(setting).expect("a file"), "always [advise] never\n");
    }

    /// Rule: there is one run at a time.
    #[test]
    fn one_at_a_time() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("journal");
        let first = Journal::open_since(&path, "today").expect("a journal");
        assert!(matches!(Journal::open_since(&path, "today"), Err(JournalError::InUse)));
        drop(first);
        Journal::open_since(&path, "today").expect("the first one is gone");
    }

    /// Rule: a group with another name is not ours, whatever the journal says; what can't be undone stays noted.
    #[test]
    fn not_ours() {
        let root = tempfile::tempdir().expect("a directory");
        let [path, group, setting] =
            ["journal", "system.slice", "setting"].map(|name| root.path().join(name));
        fs::create_dir(&group).expect("a directory");
        fs::write(&setting, "[advise] never\n").expect("a file");
        let mut run = Journal::open_since(&path, "today").expect("a journal");
        run.note(Undo::Group(group.clone())).expect("noted");
        run.note(Undo::Set { file: setting.clone(), word: "never".into() }).expect("noted");
        let wrong = run.finish();
        assert!(matches!(&wrong[..], [why] if why.contains("system.slice")), "{wrong:?}");
        assert!(group.exists());
        assert_eq!(fs::read_to_string(setting).expect("a file"), "never");
        assert_eq!(Journal::open_since(&path, "today").expect("a journal").changes(), 1);
    }
}
