//! The changes of the machine that a run makes.

use super::journal::Journal;
use super::options::SwapKind;
use super::swap::{LABEL, loops_of, run};
use super::undo::{Undo, set, word_of};
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A change, as it is asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Change {
    /// A file of settings says that word.
    Set { file: PathBuf, word: String },
    /// There is such a control group.
    Group(PathBuf),
    /// There is swap of so many bytes, which the kernel uses before any other.
    Swap { kind: SwapKind, bytes: u64 },
}

const ZRAM: &str = "/sys/class/zram-control";

impl Change {
    /// Makes it. Notes before how it is undone; what failed halfway is undone with the rest. Gives what there is now: a word, a
    /// directory, or a device. The error says what to do.
    pub(super) fn make(&self, journal: &mut Journal) -> Result<String, String> {
        match self {
            Change::Set { file, word } => {
                let before = word_of(file)?;
                note(journal, Undo::Set { file: file.clone(), word: before })?;
                set(file, word)?;
                Ok(word.clone())
            }
            Change::Group(path) => {
                note(journal, Undo::Group(path.clone()))?;
                fs::create_dir(path).map_err(|why| {
                    format!(
                        "the control group {} can't be made ({why}): run where root may do that",
                        path.display()
                    )
                })?;
                Ok(path.display().to_string())
            }
            Change::Swap { kind, bytes } => {
                let device = match kind {
                    SwapKind::Zram => zram(*bytes, journal)?,
                    SwapKind::Loop => over_a_file(*bytes, journal)?,
                };
                run("mkswap", [Path::new("-L"), Path::new(LABEL), &device])?;
                note(journal, Undo::Swap(device.clone()))?;
                run("swapon", [Path::new("-p"), Path::new("32767"), &device]).map_err(|why| {
                    format!("{} can't be used as swap ({why}): run where root may do that", device.display())
                })?;
                Ok(device.display().to_string())
            }
        }
    }
}

fn note(journal: &mut Journal, undo: Undo) -> Result<(), String> {
    journal.note(undo).map_err(|why| format!("the journal can't be written: {why}"))
}

/// Whether the kernel has compressed memory that devices can be added of.
pub(super) fn has_zram() -> bool {
    Path::new(ZRAM).join("hot_add").exists()
}

/// A new device of compressed memory. Its number is known only when it is there, so it is noted right after.
fn zram(bytes: u64, journal: &mut Journal) -> Result<PathBuf, String> {
    let added = fs::read_to_string(Path::new(ZRAM).join("hot_add")).map_err(|why| {
        format!("no device of compressed memory ({why}): load the module zram, or pass --swap loop")
    })?;
    let number = added.trim().parse().map_err(|_| format!("hot_add says {added}"))?;
    note(journal, Undo::Zram(number))?;
    let disksize = PathBuf::from(format!("/sys/block/zram{number}/disksize"));
    fs::write(&disksize, bytes.to_string()).map_err(|why| format!("{}: {why}", disksize.display()))?;
    Ok(PathBuf::from(format!("/dev/zram{number}")))
}

/// A new file behind a loop device.
fn over_a_file(bytes: u64, journal: &mut Journal) -> Result<PathBuf, String> {
    let path = PathBuf::from(format!("/var/tmp/{LABEL}-{}", std::process::id()));
    note(journal, Undo::Loop(path.clone()))?;
    let file = File::create_new(&path).map_err(|why| format!("{}: {why}", path.display()))?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)
        .map_err(|why| format!("{} can't have {bytes} bytes: {why}", path.display()))?;
    run("losetup", [Path::new("-f"), &path])?;
    loops_of(&path).pop().ok_or_else(|| "no loop device: load the module loop".to_owned())
}
