//! A run under several settings for huge pages of shmem, which are as before at its end, however it ends.

use super::change::Change;
use super::interrupt::{Shared, watch};
use super::keeper::Keeper;
use super::runs::{SETTING, locked, note};
use rustix::process::geteuid;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// Runs it once under each of these words. Where this process may not change the setting, it runs once, as the machine is, and says so
/// on standard error.
///
/// # Errors
/// Those of the run, and what stays of a change that could not be undone.
pub fn under_each_setting<T>(
    words: &[&str],
    mut run: impl FnMut() -> io::Result<Vec<T>>,
) -> io::Result<Vec<T>> {
    let keeper = match started() {
        Ok(keeper) => keeper,
        Err(why) => {
            note(&format!("{SETTING} stays as it is: {why}"));
            return run();
        }
    };
    let mut all = vec![];
    let mut each = || {
        for word in words {
            let change = Change::Set { file: PathBuf::from(SETTING), word: (*word).to_owned() };
            locked(&keeper).make(change).map_err(io::Error::other)?;
            note(&format!("{SETTING} is {word} for now"));
            all.extend(run()?);
            locked(&keeper).undo().map_err(io::Error::other)?;
        }
        Ok(())
    };
    let result = each();
    let finished = locked(&keeper).finish().map_err(io::Error::other);
    result.and(finished).map(|()| all)
}

fn started() -> Result<Shared, String> {
    if !geteuid().is_root() {
        return Err("only root may set it".into());
    }
    let (keeper, _) = Keeper::start()?;
    let keeper: Shared = Arc::new(Mutex::new(keeper));
    watch(&keeper).map_err(|why| format!("signals can't be watched: {why}"))?;
    Ok(keeper)
}
