//! A control group with a limit on memory, for one child.

use crate::guardian::Guardian;
use crate::undo::Undo;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

/// Removed when this goes, or its process. Who is in it then is killed.
pub(crate) struct Group {
    path: PathBuf,
    _guardian: Guardian,
}

impl Group {
    /// Below the uppermost group, of whichever version counts memory. The error says why there is none.
    pub(crate) fn new(name: &str, bytes: u64) -> Result<Group, String> {
        let one = Path::new("/sys/fs/cgroup/memory");
        let two = Path::new("/sys/fs/cgroup");
        let counts = |controllers: String| controllers.split_whitespace().any(|c| c == "memory");
        let (parent, limit) = if one.join("memory.limit_in_bytes").exists() {
            (one, "memory.limit_in_bytes")
        } else if fs::read_to_string(two.join("cgroup.subtree_control")).is_ok_and(counts) {
            (two, "memory.max")
        } else {
            return Err("no control groups that count memory".to_owned());
        };
        let path = parent.join(format!("forebay-{name}-{}", process::id()));
        let guardian = Guardian::start(Undo::RemoveGroup(path.clone()), None)?;
        fs::create_dir(&path).map_err(|why| format!("no control group: {why}"))?;
        let group = Group { path, _guardian: guardian };
        group.write(limit, bytes)?;
        Ok(group)
    }

    fn write(&self, file: &str, bytes: u64) -> Result<(), String> {
        fs::write(self.path.join(file), bytes.to_string()).map_err(|why| format!("{file}: {why}"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// This process belongs to a group from now on.
    pub(crate) fn join(path: &Path) {
        fs::write(path.join("cgroup.procs"), "0").expect("root may join a group");
    }
}
