//! How a change of the machine is taken back.

use super::group::NAME;
use super::swap::{remove_loop, remove_zram, swap_off};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// What is to be done. Once is enough, twice is no error, and what is not our own stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Undo {
    /// The file has that word as its setting again.
    Set { file: PathBuf, word: String },
    /// The control group is gone, with the processes in it.
    Group(PathBuf),
    /// Nothing is swapped to the device any more.
    Swap(PathBuf),
    /// The compressed memory is gone.
    Zram(u32),
    /// No loop device has this file any more, and the file is gone.
    Loop(PathBuf),
}

impl Undo {
    /// The error says what stays, and what to do.
    pub(super) fn apply(&self) -> Result<(), String> {
        match self {
            Undo::Set { file, word } => set(file, word),
            Undo::Group(path) => remove_group(path)
                .map_err(|why| format!("the control group {} stays ({why}): rmdir it", path.display())),
            Undo::Swap(device) => swap_off(device),
            Undo::Zram(number) => remove_zram(*number),
            Undo::Loop(file) => remove_loop(file),
        }
    }
}

/// The word that a file of settings says: the one in brackets, or all there is.
pub(super) fn word_of(file: &Path) -> Result<String, String> {
    let says = fs::read_to_string(file).map_err(|why| format!("{}: {why}", file.display()))?;
    Ok(says.split(['[', ']']).nth(1).unwrap_or(says.trim()).to_owned())
}

/// Writes nothing if the file says that word already: it may be refused.
pub(super) fn set(file: &Path, word: &str) -> Result<(), String> {
    if word_of(file)? == word {
        return Ok(());
    }
    fs::write(file, word).map_err(|why| format!("{} can't be set to {word}: {why}", file.display()))
}

/// A process is in its group for a moment after its end, and the kernel does not say when it has left.
fn remove_group(path: &Path) -> io::Result<()> {
    if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(NAME)) {
        return Err(io::Error::other("it has another name than ours"));
    }
    if !path.exists() {
        return Ok(()); // where nothing can be written, removing it would say something else
    }
    let mut tries = 0..500;
    loop {
        match fs::remove_dir(path) {
            Err(why) if why.kind() == ErrorKind::ResourceBusy && tries.next().is_some() => {
                kill_all_in(path)?;
                sleep(Duration::from_millis(10));
            }
            Err(why) if why.kind() != ErrorKind::NotFound => return Err(why),
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
