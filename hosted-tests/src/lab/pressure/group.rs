//! A control group that counts memory, of version 1 or 2: its limit, and what the kernel says of it.
//!
//! The files are those of the kernel's documents `cgroup-v1/memory.rst` and `cgroup-v2.rst`.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Which control groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Version {
    /// With one hierarchy for memory.
    One,
    /// With one hierarchy for all.
    Two,
}

/// A group, by its directory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Group {
    /// Whose files it has.
    pub version: Version,
    /// Its directory.
    pub path: PathBuf,
}

/// How the names of all groups of a run begin.
pub(super) const NAME: &str = "forebay-pressure-";

impl Group {
    /// Where groups of a run can be made: below the uppermost group that is mounted. The error says what to do.
    pub(super) fn place(root: &Path) -> Result<(Version, PathBuf), String> {
        let one = root.join("sys/fs/cgroup/memory");
        let two = root.join("sys/fs/cgroup");
        let counts = |controllers: &str| controllers.split_whitespace().any(|name| name == "memory");
        if one.join("memory.limit_in_bytes").exists() {
            return Ok((Version::One, one));
        }
        match fs::read_to_string(two.join("cgroup.subtree_control")) {
            Ok(text) if counts(&text) => Ok((Version::Two, two)),
            Ok(_) => Err("the control groups do not count memory: write +memory to \
                          /sys/fs/cgroup/cgroup.subtree_control"
                .into()),
            Err(_) => Err("there are no control groups: mount them at /sys/fs/cgroup".into()),
        }
    }

    /// Of this process and of what it starts, a number for each case.
    pub(super) fn numbered(version: Version, parent: &Path, number: usize) -> Group {
        Group { version, path: parent.join(format!("{NAME}{}-{number}", std::process::id())) }
    }

    /// This process belongs to it from now on.
    pub(super) fn join(&self) -> io::Result<()> {
        fs::write(self.path.join("cgroup.procs"), "0")
    }

    fn write(&self, file: &str, what: impl ToString) -> io::Result<()> {
        let path = self.path.join(file);
        fs::write(&path, what.to_string())
            .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    /// The number behind a word.
    fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?;
        line.trim().parse().ok()
    }

    /// Bytes that are charged to it.
    pub(super) fn usage(&self) -> io::Result<u64> {
        let file = match self.version {
            Version::One => "memory.usage_in_bytes",
            Version::Two => "memory.current",
        };
        self.number(file).ok_or_else(|| io::Error::other(format!("{file} of the group can't be read")))
    }

    /// Bytes of these that are the kernel's own, if it says so.
    pub(super) fn kernel(&self) -> Option<u64> {
        match self.version {
            Version::One => self.number("memory.kmem.usage_in_bytes"),
            Version::Two => self.keyed("memory.stat", "kernel"),
        }
    }

    /// How often a charge met a limit.
    pub(super) fn hits(&self) -> Option<u64> {
        match self.version {
            // Without swap it is the second that is met.
            Version::One => {
                let together = self.number("memory.memsw.failcnt").unwrap_or(0);
                Some(self.number("memory.failcnt")? + together)
            }
            Version::Two => self.keyed("memory.events", "max"),
        }
    }

    /// Sets the limit, in bytes, so that nothing can be swapped out.
    pub(super) fn limit_without_swap(&self, bytes: u64) -> io::Result<()> {
        match self.version {
            Version::One => {
                self.write("memory.limit_in_bytes", bytes)?;
                // A kernel that does not count swap: nothing is swapped before the group is full.
                self.write("memory.memsw.limit_in_bytes", bytes)
                    .or_else(|_| self.write("memory.swappiness", 0))
            }
            Version::Two => {
                self.write("memory.swap.max", 0)?;
                self.write("memory.max", bytes)
            }
        }
    }

    /// Swapping is permitted again; the limit is as it was.
    pub(super) fn permit_swap(&self) -> io::Result<()> {
        match self.version {
            Version::One => {
                self.write("memory.memsw.limit_in_bytes", -1).or_else(|_| self.write("memory.swappiness", 60))
            }
            Version::Two => self.write("memory.swap.max", "max"),
        }
    }

    /// Sets the limit, in bytes. The kernel swaps out what is above, if it can, before this returns.
    pub(super) fn limit(&self, bytes: u64) -> io::Result<()> {
        match self.version {
            Version::One => self.write("memory.limit_in_bytes", bytes),
            Version::Two => self.write("memory.max", bytes),
        }
    }

    /// There is no limit any more.
    pub(super) fn unlimit(&self) -> io::Result<()> {
        match self.version {
            Version::One => self.write("memory.limit_in_bytes", -1),
            Version::Two => self.write("memory.max", "max"),
        }
    }

    /// Begins to watch the peak.
    pub(super) fn watch(&self) -> io::Result<Peak> {
        let (file, reset) = match self.version {
            Version::One => ("memory.max_usage_in_bytes", "0"),
            Version::Two => ("memory.peak", "reset"),
        };
        let mut file = OpenOptions::new().read(true).write(true).open(self.path.join(file))?;
        file.write_all(reset.as_bytes())?; // of version 2 since Linux 6.12, and for this descriptor only
        Ok(Peak(file))
    }
}

/// The most that was charged to a group since this was made.
#[derive(Debug)]
pub(super) struct Peak(File);

impl Peak {
    /// In bytes.
    pub(super) fn bytes(&mut self) -> io::Result<u64> {
        let mut text = String::with_capacity(32);
        self.0.rewind()?;
        self.0.read_to_string(&mut text)?;
        text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(path: PathBuf, text: &str) {
        fs::create_dir_all(path.parent().expect("it has one")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    /// Rule: version 1 is taken where it counts memory; without any, the message says what to do.
    #[test]
    fn places() {
        let root = tempfile::tempdir().expect("a directory");
        let groups = root.path().join("sys/fs/cgroup");
        let no = || Group::place(root.path()).expect_err("there is none");
        assert!(no().contains("mount"), "{}", no());
        put(groups.join("cgroup.subtree_control"), "cpu pids\n");
        assert!(no().contains("+memory"), "{}", no());
        put(groups.join("cgroup.subtree_control"), "cpu memory pids\n");
        assert_eq!(Group::place(root.path()), Ok((Version::Two, groups.clone())));
        put(groups.join("memory/memory.limit_in_bytes"), "1");
        assert_eq!(Group::place(root.path()), Ok((Version::One, groups.join("memory"))));
    }

    /// Rule: a figure is that of its own file and key, in either version.
    #[test]
    fn figures() {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().to_owned();
        put(path.join("memory.current"), "12\n");
        put(path.join("memory.stat"), "kernel_stack 3\nkernel 5\n");
        put(path.join("memory.events"), "low 1\nmax 7\noom 2\n");
        put(path.join("memory.usage_in_bytes"), "13\n");
        put(path.join("memory.failcnt"), "4\n");
        put(path.join("memory.memsw.failcnt"), "30\n");
        put(path.join("memory.kmem.usage_in_bytes"), "6\n");
        let of = |version| {
            let group = Group { version, path: path.clone() };
            (group.usage().ok(), group.kernel(), group.hits())
        };
        assert_eq!(of(Version::Two), (Some(12), Some(5), Some(7)));
        assert_eq!(of(Version::One), (Some(13), Some(6), Some(34)));
    }
}
