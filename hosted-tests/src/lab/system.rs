//! What the system says of memory: the computer's, this process's, and that of its control group.
//!
//! Linux is asked; elsewhere nothing is known.

use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that can be allocated without swapping, if that is known.
pub fn available() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Bytes of swap that are free, if that is known.
pub fn free_swap() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "SwapFree:")
}

/// Memory by the system's count, in bytes; `None` where it does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Usage {
    /// What the process has mapped and present, the program's own code included.
    pub process_rss_bytes: Option<u64>,
    /// The most that this ever was, since the process began.
    pub process_peak_rss_bytes: Option<u64>,
    /// Of the first, what is shmem.
    pub process_shmem_rss_bytes: Option<u64>,
    /// The most that was ever charged to the control group of this process, by all that are in it, file cache
    /// included.
    pub cgroup_peak_bytes: Option<u64>,
}

impl Usage {
    /// As of now.
    pub fn now() -> Usage {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Usage {
            process_rss_bytes: kib(&status, "VmRSS:"),
            process_peak_rss_bytes: kib(&status, "VmHWM:"),
            process_shmem_rss_bytes: kib(&status, "RssShmem:"),
            cgroup_peak_bytes: cgroup_peak(),
        }
    }
}

/// The bytes in a line such as `VmRSS:  12 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

fn cgroup_peak() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let file = peak_file(&groups, &mounts)?;
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The file that says it. Where both versions are mounted, the one with the memory controller counts.
fn peak_file(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group_of = |which: fn(&str, &str) -> bool| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers) = (fields.next()?, fields.next()?);
            let path = fields.next()?;
            which(number, controllers).then_some(path)
        })
    };
    let (group, kind, option, file) = match group_of(|_, names| names.split(',').any(|name| name == "memory"))
    {
        Some(group) => (group, "cgroup", "memory", "memory.max_usage_in_bytes"),
        None => (group_of(|number, _| number == "0")?, "cgroup2", "", "memory.peak"),
    };
    mounts.lines().find_map(|line| {
        let (place, what) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3); // behind two numbers and a device
        let (root, point) = (place.next()?, place.next()?);
        let mut what = what.split(' ');
        if what.next()? != kind || !(option.is_empty() || what.nth(1)?.split(',').any(|o| o == option)) {
            return None;
        }
        let below = Path::new(group).strip_prefix(root).ok()?; // in a container only a part is mounted
        Some(Path::new(point).join(below).join(file))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a figure is the number behind its own name, in bytes.
    #[test]
    fn figures() {
        let status = "VmHWM:\t    1744 kB\nVmRSS:\t    12 kB\nRssShmem:\t       0 kB\n";
        assert_eq!([kib(status, "VmRSS:"), kib(status, "RssShmem:")], [Some(12288), Some(0)]);
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    /// Rule: the group of this process is found in either version, also in a container.
    #[test]
    fn control_groups() {
        let both = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n";
        let mounts = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:1 - cgroup cgroup rw,cpu,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let file =
            |groups, mounts| peak_file(groups, mounts).and_then(|path| path.to_str().map(String::from));
        assert_eq!(
            file(both, mounts).as_deref(),
            Some("/sys/fs/cgroup/memory/a/b/memory.max_usage_in_bytes")
        );
        assert_eq!(file("0::/x\n", mounts).as_deref(), Some("/sys/fs/cgroup/unified/x/memory.peak"));
        let part = "35 31 0:32 /a /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert_eq!(file(both, part).as_deref(), Some("/sys/fs/cgroup/memory/b/memory.max_usage_in_bytes"));
        assert_eq!([file(both, ""), file("", mounts), file("4:memory:/z\n", part)], [None, None, None]);
    }
}
