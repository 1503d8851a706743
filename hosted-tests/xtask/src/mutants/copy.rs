//! The copy of the workspace in which all mutants are built at once.

use super::find::Source;
use crate::failure::{OrFailed, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes `to` what `from` is, with other text for some files. What is equal already is not written, so that cargo does not
/// build it again.
pub(super) fn copy(from: &Path, to: &Path, changed: &BTreeMap<PathBuf, String>) -> Result {
    let mut files = Vec::new();
    collect(from, Path::new(""), &mut files)?;
    let mut before = Vec::new();
    fs::create_dir_all(to).or_failed(to.display())?;
    collect(to, Path::new(""), &mut before)?;
    for file in before.iter().filter(|file| !files.contains(file)) {
        fs::remove_file(to.join(file)).or_failed(file.display())?;
    }
    for file in files {
        let text = match changed.get(&file) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(from.join(&file)).or_failed(file.display())?,
        };
        let copy = to.join(&file);
        if fs::read(&copy).is_ok_and(|before| before == text) {
            continue;
        }
        let folder = copy.parent().unwrap_or(to);
        fs::create_dir_all(folder).or_failed(folder.display())?;
        fs::write(&copy, text).or_failed(copy.display())?;
    }
    Ok(())
}

/// All files, without what was built and what git keeps.
fn collect(root: &Path, folder: &Path, files: &mut Vec<PathBuf>) -> Result {
    let here = root.join(folder);
    for entry in fs::read_dir(&here).or_failed(here.display())? {
        let entry = entry.or_failed(here.display())?;
        let name = entry.file_name();
        let path = folder.join(&name);
        let kind = entry.file_type().or_failed(path.display())?;
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with("target") && name != ".git" {
            collect(root, &path, files)?;
        } else if kind.is_file() && name != ".git" {
            files.push(path);
        }
    }
    Ok(())
}

/// The texts of the copy that differ: those with mutants, and core has the switch too.
pub(super) fn texts(root: &Path, sources: &[Source]) -> Result<BTreeMap<PathBuf, String>> {
    let mut first = 0;
    let mut texts = BTreeMap::new();
    for source in sources {
        texts.insert(PathBuf::from(&source.file), source.switched(first));
        first += source.mutants.len();
    }
    let lib = PathBuf::from("core/src/lib.rs");
    let text = match texts.remove(&lib) {
        Some(text) => text,
        None => fs::read_to_string(root.join(&lib)).or_failed(lib.display())?,
    };
    let switch = include_str!("switch.txt").replace("MUTANTS]", &format!("{first}]"));
    texts.insert(lib, text + &switch);
    Ok(texts)
}
