//! How a change of the machine is taken back.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// What is to be done. Once is enough, twice is no error.
#[derive(Serialize, Deserialize)]
pub(crate) enum Undo {
    /// The file has that word as its setting again.
    Set { file: PathBuf, word: String },
    /// The control group is gone, with the processes in it.
    RemoveGroup(PathBuf),
}

impl Undo {
    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("paths of our own are text")
    }

    pub(crate) fn from_text(text: &str) -> Option<Undo> {
        serde_json::from_str(text).ok()
    }

    /// The error says what stays.
    pub(crate) fn apply(&self) -> Result<(), String> {
        match self {
            Undo::Set { file, word } => set(file, word),
            Undo::RemoveGroup(path) => {
                remove_group(path).map_err(|why| format!("{} stays: {why}", path.display()))
            }
        }
    }
}

/// The word that a file of settings says: the one in brackets, or all there is.
pub(crate) fn word_of(file: &Path) -> Result<String, String> {
    let says = fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(says.split(['[', ']']).nth(1).unwrap_or(says.trim()).to_owned())
}

/// Writes nothing if the file says that word already: it may be refused.
pub(crate) fn set(file: &Path, word: &str) -> Result<(), String> {
    if word_of(file)? == word {
        return Ok(());
    }
    fs::write(file, word).map_err(|why| format!("{} can't be set to {word}: {why}", file.display()))
}

/// A process is in its group for a moment after its end, and the kernel does not say when it has left.
fn remove_group(path: &Path) -> io::Result<()> {
    let mut tries = 0..500;
    loop {
        match fs::remove_dir(path) {
            Err(why) if why.kind() == io::ErrorKind::ResourceBusy && tries.next().is_some() => {
                kill_all_in(path)?;
                sleep(Duration::from_millis(10));
            }
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => return Ok(()),
        }
    }
}

fn kill_all_in(path: &Path) -> io::Result<()> {
    let members = fs::read_to_string(path.join("cgroup.procs"))?;
    for process in members.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
        let _ = kill_process(process, Signal::KILL); // it may have ended
    }
    Ok(())
}
