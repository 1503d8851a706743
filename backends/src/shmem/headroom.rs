//! How much more memory the process may take, as far as it can be known.
//!
//! Populating a page in a full control group ends the process with a signal and is no error, so every call that is about to populate
//! asks here first. Threads of this process count what each is about to take; other processes take memory at the same time too,
//! so this refuses when it sees no head-room, and never promises that there is some.
//!
//! The contracts are those of the kernel's documents: `cgroup-v1/memory.rst`, `cgroup-v2.rst`, `proc_pid_mountinfo(5)`,
//! `proc_meminfo(5)`, `sysinfo(2)`.

use super::sys;
use rustix::time::{ClockId, clock_gettime};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::vec::Vec;

/// The tightest memory limit of the control groups that the process is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum GroupLimit {
    /// The limit in bytes.
    Bytes(u64),
    /// There is none that can be seen.
    None,
    /// The groups could not be found.
    Unknown,
}

/// Where to look before anything is populated: the control groups of the process at the beginning, up to the uppermost that is
/// mounted, and the machine. What can't be opened or understood is unknown, and not checked.
///
/// Holds up to five descriptors for each group and two more, all closed on exec.
///
/// Not looked at: `memory.high`, since exceeding it slows a process down and does not end it; what another group's
/// `memory.min` protects; nodes and memory policies; `overcommit_memory`, whose refusal is an error of the populate.
#[derive(Debug)]
pub(crate) struct Headroom {
    /// The innermost first. `None` if they could not be found.
    groups: Option<Vec<Group>>,
    /// Zero: the groups do not swap when they are full, whatever is free.
    swappiness: Option<File>,
    meminfo: Option<File>,
    /// Whether the machine has plenty; asked first.
    plenty: fn(u64) -> bool,
    /// The time in milliseconds.
    now: fn() -> u64,
    claims: &'static Claims,
}

/// What threads of this process are about to take, in any arena. (What is claimed when the process is forked stays claimed in the
/// child. That is little, and matters only in a group that is nearly full.)
#[derive(Debug)]
struct Claims {
    /// Bytes of claims that exist.
    bytes: AtomicUsize,
    /// Bytes of a look that saw much more: they may be taken without another look.
    credit: AtomicUsize,
    /// The end of the credit, as `now` tells.
    until: AtomicU64,
}

impl Claims {
    const fn new() -> Claims {
        Claims { bytes: AtomicUsize::new(0), credit: AtomicUsize::new(0), until: AtomicU64::new(0) }
    }
}

static CLAIMS: Claims = Claims::new();

/// Bytes that a look is good for, if it saw twice as much: what other processes take meanwhile is covered by the other half.
const CREDIT: usize = 64 << 20;
/// Milliseconds after which another look is needed.
const CREDIT_LASTS: u64 = 10;

/// Bytes that a thread is about to take, or has just taken: others leave them room as long as this exists.
#[derive(Debug)]
#[must_use = "it is a claim only as long as it exists"]
pub(crate) struct Claim {
    all: &'static AtomicUsize,
    bytes: usize,
}

impl Claim {
    /// Nothing is taken.
    pub(crate) fn none() -> Claim {
        Claim { all: &CLAIMS.bytes, bytes: 0 }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Relaxed);
    }
}

impl Headroom {
    /// Finds the groups of this process, and opens what [`allows`](Headroom::allows) reads. Allocates.
    pub(crate) fn probe() -> Headroom {
        Headroom::find(Path::new("/"), plenty, milliseconds, &CLAIMS)
    }

    /// The same with the files below another root directory; the kernel itself is not asked.
    #[cfg(test)]
    pub(crate) fn under(root: &Path) -> Headroom {
        Headroom::find(root, |_| false, || 0, std::boxed::Box::leak(std::boxed::Box::new(Claims::new())))
    }

    fn find(root: &Path, plenty: fn(u64) -> bool, now: fn() -> u64, claims: &'static Claims) -> Headroom {
        let open = |path| File::open(root.join(path)).ok();
        let (groups, own) = find_groups(root).unzip();
        let swappiness = own.flatten().or_else(|| open("proc/sys/vm/swappiness"));
        Headroom { groups, swappiness, meminfo: open("proc/meminfo"), plenty, now, claims }
    }

    /// Whether `bytes` more may be taken, besides what others claim at the same time: of two that ask at once for the last bytes, at
    /// most one gets them. Hold the claim until they are taken.
    ///
    /// Where no group has a limit, and a look shows much more, the next claims within some milliseconds need none.
    ///
    /// # Context and complexity
    /// As [`allows`](Headroom::allows), or O(1).
    pub(crate) fn claim(&self, bytes: usize) -> Option<Claim> {
        let Claims { bytes: claimed, credit, until } = self.claims;
        let now = (self.now)();
        let others = claimed.fetch_add(bytes, Relaxed);
        let claim = Claim { all: claimed, bytes };
        let less = |left: usize| left.checked_sub(bytes);
        if now < until.load(Relaxed) && credit.fetch_update(Relaxed, Relaxed, less).is_ok() {
            return Some(claim);
        }
        let wanted = others.saturating_add(bytes);
        let is_limited = self.groups().iter().any(|group| group.memory.limit().is_some());
        if !is_limited && self.allows(wanted.saturating_add(2 * CREDIT) as u64) {
            credit.store(CREDIT, Relaxed);
            until.store(now + CREDIT_LASTS, Relaxed);
            return Some(claim);
        }
        self.allows(wanted as u64).then_some(claim)
    }

    /// Whether `bytes` more may be taken: every group and the machine have them, free or reclaimable without ending a process. Adds
    /// what the kernel needs besides, and leaves a MiB for everything else.
    ///
    /// # Context
    /// Reads files, so may wait for the kernel's own locks. Allocates nothing, never panics.
    ///
    /// # Complexity
    /// With room to spare: a `sysinfo`, and a read for each group without a limit, two (cgroup v1: four) for one with.
    /// Only a group or a machine that is nearly full has its statistics read.
    pub(crate) fn allows(&self, bytes: u64) -> bool {
        let bytes = bytes.saturating_add(bytes / OVERHEAD).saturating_add(RESERVE);
        self.machine_allows(bytes) && self.groups().iter().all(|group| group.allows(bytes, || self.swap()))
    }

    /// The tightest limit of the groups, as it is now.
    pub(crate) fn limit(&self) -> GroupLimit {
        match (&self.groups, self.groups().iter().filter_map(|group| group.memory.limit()).min()) {
            (None, _) => GroupLimit::Unknown,
            (_, None) => GroupLimit::None,
            (_, Some(bytes)) => GroupLimit::Bytes(bytes),
        }
    }

    fn groups(&self) -> &[Group] {
        self.groups.as_deref().unwrap_or_default()
    }

    fn machine_allows(&self, bytes: u64) -> bool {
        if (self.plenty)(bytes) {
            return true;
        }
        let Some(file) = &self.meminfo else { return true };
        let keys = ["MemAvailable:", "SwapFree:", "Inactive(anon):", "Active(anon):"];
        let [available, swap, inactive, active] = numbers(file, keys);
        let Some(available) = available else { return true };
        let swappable = sum([inactive, active]).min(swap.unwrap_or(0));
        available.saturating_add(swappable).saturating_mul(1024) >= bytes
    }

    /// Bytes of swap that the groups may use. What is unknown counts as none.
    fn swap(&self) -> u64 {
        if self.swappiness.as_ref().and_then(number) == Some(0) {
            return 0;
        }
        let Some(meminfo) = &self.meminfo else { return 0 };
        let [free] = numbers(meminfo, ["SwapFree:"]);
        // A page of the innermost group is charged to all of them, whichever of them is full.
        let room =
            self.groups().iter().filter(|g| g.version == Version::Two).filter_map(Group::swap_room).min();
        free.unwrap_or(0).saturating_mul(1024).min(room.unwrap_or(u64::MAX))
    }
}

/// One part of this many is for page tables and the index of the file. With pages of 4 KiB they are one of 240: 8 bytes a page, and
/// some 576 for each 64.
const OVERHEAD: u64 = 64;

/// Bytes that are left for everything else, first of all the program's own code: it is file cache, counts as reclaimable, and is
/// needed again at once. A group that is filled completely lives until the next page fault.
const RESERVE: u64 = 1 << 20;

/// A limit of this many bytes or more is none. Version 1 has no word for it, and shows the largest number of whole pages.
const UNLIMITED: u64 = if usize::BITS >= 64 { 1 << 62 } else { 1 << 42 };

/// The time since some moment, to a few milliseconds: no system call.
fn milliseconds() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    (now.tv_sec as u64).wrapping_mul(1000).wrapping_add(now.tv_nsec as u64 / 1_000_000)
}

/// Whether the kernel says, in one call, that there is more than enough.
fn plenty(bytes: u64) -> bool {
    sys::ram().is_some_and(|(free, total)| leaves_plenty(free, total, bytes))
}

/// Whether so much stays free afterwards that the kernel's reserves, which are free too, do not matter.
fn leaves_plenty(free: u64, total: u64, bytes: u64) -> bool {
    free.saturating_sub(bytes) > total / 8
}

fn sum(numbers: [Option<u64>; 2]) -> u64 {
    numbers.into_iter().flatten().fold(0, u64::saturating_add)
}

/// Which control groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Version {
    One,
    Two,
}

impl Version {
    /// Limit and usage of memory, and the two for swap. Version 1 counts memory and swap together in the latter.
    fn files(self) -> [&'static str; 4] {
        match self {
            Version::One => [
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "memory.memsw.limit_in_bytes",
                "memory.memsw.usage_in_bytes",
            ],
            Version::Two => ["memory.max", "memory.current", "memory.swap.max", "memory.swap.current"],
        }
    }

    /// The keys of `memory.stat` for file cache and for what can be swapped, of the group and all below it.
    fn keys(self) -> [&'static str; 4] {
        match self {
            Version::One => {
                ["total_inactive_file", "total_active_file", "total_inactive_anon", "total_active_anon"]
            }
            Version::Two => ["inactive_file", "active_file", "inactive_anon", "active_anon"],
        }
    }
}

/// A limit and what is used of it.
#[derive(Debug)]
struct Bound {
    limit: File,
    usage: File,
}

impl Bound {
    /// In bytes; `None` if there is none, or it is unknown.
    fn limit(&self) -> Option<u64> {
        number(&self.limit).filter(|limit| *limit < UNLIMITED)
    }

    /// Bytes up to the limit.
    fn room(&self) -> Option<u64> {
        Some(self.limit()?.saturating_sub(number(&self.usage)?))
    }
}

#[derive(Debug)]
struct Group {
    version: Version,
    memory: Bound,
    swap: Option<Bound>,
    stat: Option<File>,
}

impl Group {
    /// `None` if memory is not limited or counted there, as in the root group of version 2.
    fn open(directory: &Path, version: Version) -> Option<Group> {
        let open = |name: &str| File::open(directory.join(name)).ok();
        let [limit, usage, swap_limit, swap_usage] = version.files();
        let bound = |limit, usage| Some(Bound { limit: open(limit)?, usage: open(usage)? });
        let memory = bound(limit, usage)?;
        Some(Group { version, memory, swap: bound(swap_limit, swap_usage), stat: open("memory.stat") })
    }

    /// `swap` says how much swap the groups may use; it is called if needed.
    fn allows(&self, bytes: u64, swap: impl FnOnce() -> u64) -> bool {
        // A group of version 1 without a limit has none for memory and swap together either: that is never the lower.
        let Some(free) = self.memory.room() else { return true };
        let together = match self.version {
            Version::One => self.swap_room().unwrap_or(u64::MAX),
            Version::Two => u64::MAX,
        };
        if free.min(together) >= bytes {
            return true;
        }
        let Some(stat) = &self.stat else { return false };
        let [inactive_file, active_file, inactive, active] = numbers(stat, self.version.keys());
        let cache = sum([inactive_file, active_file]);
        // Swapping makes room under the one limit, but none under that for memory and swap together.
        let together = together.saturating_add(cache);
        let free = free.saturating_add(cache);
        free.min(together) >= bytes
            || (together >= bytes && free.saturating_add(sum([inactive, active]).min(swap())) >= bytes)
    }

    fn swap_room(&self) -> Option<u64> {
        self.swap.as_ref()?.room()
    }
}

/// The groups of the process, and how willing to swap its own one is, where that is a file of the group.
///
/// If the memory controller is in a hierarchy of version 1, it is in no other. A mount may show a part of the hierarchy
/// only, and several may show it: the one that shows most is taken.
fn find_groups(root: &Path) -> Option<(Vec<Group>, Option<File>)> {
    let membership = fs::read(root.join("proc/self/cgroup")).ok()?;
    let mounts = fs::read(root.join("proc/self/mountinfo")).ok()?;
    let (version, path) = own_group(&membership)?;
    let shown = |line| {
        let (shows, at) = mount(line, version)?;
        let relative = path.strip_prefix(shows).ok()?;
        let outside = relative.components().any(|c| c == Component::ParentDir);
        let point = root.join(at.strip_prefix("/").ok()?);
        if outside || !point.is_dir() {
            return None;
        }
        let groups = relative.ancestors().filter_map(|a| Group::open(&point.join(a), version)).collect();
        let swappiness = match version {
            Version::One => File::open(point.join(relative).join("memory.swappiness")).ok(),
            Version::Two => None, // there is one for all
        };
        Some((groups, swappiness))
    };
    mounts.split(|b| *b == b'\n').filter_map(shown).max_by_key(|(groups, _): &(Vec<_>, _)| groups.len())
}

/// From `/proc/self/cgroup`: the group that counts the memory of the process. Lines are `number:controllers:path`.
fn own_group(membership: &[u8]) -> Option<(Version, &Path)> {
    let find = |version| {
        membership.split(|b| *b == b'\n').find_map(|line| {
            let mut fields = line.splitn(3, |b| *b == b':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let counts = match version {
                Version::One => controllers.split(|b| *b == b',').any(|c| c == b"memory"),
                Version::Two => number == b"0" && controllers.is_empty(),
            };
            counts.then_some((version, Path::new(OsStr::from_bytes(path))))
        })
    };
    find(Version::One).or_else(|| find(Version::Two))
}

/// From a line of `/proc/self/mountinfo`: which group a mount shows, and where, if it is one of memory groups.
fn mount(line: &[u8], version: Version) -> Option<(PathBuf, PathBuf)> {
    let mut fields = line.split(|b| *b == b' ').skip(3);
    let (shows, at) = (fields.next()?, fields.next()?);
    let mut fields = fields.skip_while(|f| *f != b"-").skip(1);
    let (kind, _, options) = (fields.next()?, fields.next()?, fields.next()?);
    let fits = match version {
        Version::One => kind == b"cgroup" && options.split(|b| *b == b',').any(|o| o == b"memory"),
        Version::Two => kind == b"cgroup2",
    };
    fits.then(|| (unescaped(shows), unescaped(at)))
}

/// Mounts have `\040` for a space, and so on: three octal digits.
fn unescaped(text: &[u8]) -> PathBuf {
    let (mut path, mut rest) = (Vec::new(), text);
    loop {
        rest = match rest {
            [] => return OsString::from_vec(path).into(),
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', rest @ ..] => {
                path.push(((a - b'0') << 6) + ((b - b'0') << 3) + (c - b'0'));
                rest
            }
            [byte, rest @ ..] => {
                path.push(*byte);
                rest
            }
        };
    }
}

/// The number that a file is. `max`, and anything else, is none.
fn number(file: &File) -> Option<u64> {
    let mut text = [0; 32];
    let read = read_at(file, &mut text, 0)?;
    parse(text.get(..read)?.trim_ascii())
}

/// The numbers behind these keys in a file of lines `key number`, in order. Read in parts; ends with the last that is wanted.
fn numbers<const N: usize>(file: &File, keys: [&str; N]) -> [Option<u64>; N] {
    let mut found = [None; N];
    let mut buffer = [0; 4096]; // as much as the kernel makes at once; usually all
    let (mut begun, mut at) = (0, 0); // bytes of a line that goes on, and where to read on
    while found.contains(&None) {
        let read = buffer.get_mut(begun..).and_then(|room| read_at(file, room, at)).unwrap_or(0);
        let Some(text) = buffer.get(..begun + read) else { break };
        if read == 0 {
            break; // its end, or a line longer than the buffer
        }
        at += read as u64;
        let whole = text.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
        for line in text.get(..whole).unwrap_or_default().split(|b| *b == b'\n') {
            let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
            let (Some(key), Some(value)) = (words.next(), words.next()) else { continue };
            if let Some((_, found)) = keys.iter().zip(&mut found).find(|(wanted, _)| wanted.as_bytes() == key)
            {
                *found = parse(value);
            }
        }
        begun = text.len() - whole;
        let end = text.len();
        buffer.copy_within(whole..end, 0);
    }
    found
}

/// Decimal digits and nothing else.
fn parse(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}

fn read_at(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    loop {
        match file.read_at(buffer, at) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read.ok(),
        }
    }
}

#[cfg(test)]
mod tests;
