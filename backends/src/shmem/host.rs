//! What the machine offers a shmem arena, and what it lacks.
//!
//! The files are those of the kernel's `transhuge.rst`, `proc_swaps(5)` and `getrlimit(2)`.

use super::headroom::{GroupLimit, Headroom};
use super::sys;
use bitflags::bitflags;
use core::fmt;
use std::format;
use std::fs;
use std::path::Path;
use std::string::String;

/// What the machine offers an arena, as it was when the arena was made.
///
/// `Display` prints it for the user of the program: a line for each item, and for what is missing, what that costs and what an
/// administrator may set.
#[non_exhaustive]
#[derive(Clone, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct HostReport {
    /// Bytes of a page of the machine. Pages of the arena are as large, or larger.
    pub page_size: usize,
    /// Bytes of a huge page, if the kernel knows any.
    pub huge_page_size: Option<usize>,
    /// What `/sys/kernel/mm/transparent_hugepage/shmem_enabled` says.
    pub shmem_enabled: HugePageSetting,
    /// The same of `hugepages-…kB/shmem_enabled`, for the size of a huge page. Linux has it since 6.12; before,
    /// [`Unknown`](HugePageSetting::Unknown).
    pub shmem_enabled_for_size: HugePageSetting,
    /// Whether the arena really got huge pages.
    pub huge_pages: HugePages,
    /// Where memory may be swapped out to. Of the machine: a control group may be allowed less.
    pub swap: Swap,
    /// Bytes that the process may lock into memory (the soft `RLIMIT_MEMLOCK`); `None` if there is no limit, or it can't
    /// be read. A [pinned](super::Builder::pinned) arena needs as many as it ever uses.
    pub lockable: Option<u64>,
    /// The tightest memory limit of the control groups.
    pub group_limit: GroupLimit,
    /// What of the kernel the arena uses.
    pub features: Features,
}

/// What a setting for huge pages of shmem says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HugePageSetting {
    /// For all memory.
    Always,
    /// Where a huge page lies within the file, and for memory that asks for them.
    WithinSize,
    /// For memory that asks for them, as an arena does.
    Advise,
    /// As the setting for all sizes says.
    Inherit,
    /// For no memory.
    Never,
    /// For no memory, whatever the settings of single sizes or mounts say.
    Deny,
    /// For all memory, whatever mounts say.
    Force,
    /// There is no such setting, or it can't be read or says something else.
    Unknown,
}

impl HugePageSetting {
    /// The word in brackets.
    fn parse(text: &str) -> HugePageSetting {
        let chosen = text.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
        match chosen {
            Some("always") => HugePageSetting::Always,
            Some("within_size") => HugePageSetting::WithinSize,
            Some("advise") => HugePageSetting::Advise,
            Some("inherit") => HugePageSetting::Inherit,
            Some("never") => HugePageSetting::Never,
            Some("deny") => HugePageSetting::Deny,
            Some("force") => HugePageSetting::Force,
            _ => HugePageSetting::Unknown,
        }
    }
}

/// The word that the kernel has for it.
impl fmt::Display for HugePageSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HugePageSetting::Always => "always",
            HugePageSetting::WithinSize => "within_size",
            HugePageSetting::Advise => "advise",
            HugePageSetting::Inherit => "inherit",
            HugePageSetting::Never => "never",
            HugePageSetting::Deny => "deny",
            HugePageSetting::Force => "force",
            HugePageSetting::Unknown => "unknown",
        })
    }
}

/// Whether an arena's memory really is in huge pages. The settings say only whether it could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum HugePages {
    /// It was when the arena was made. Later memory may get small pages all the same.
    Granted,
    /// It was not.
    NotGranted,
    /// It was not looked at, or the kernel does not tell.
    Unknown,
}

/// Where the kernel may swap memory out to. Bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Swap {
    /// Nowhere.
    None,
    /// To block devices only: partitions, or compressed memory (zram).
    Device {
        /// Of all areas.
        total: u64,
        /// Of these, not in use.
        free: u64,
    },
    /// To a file, perhaps among others.
    File {
        /// Of all areas.
        total: u64,
        /// Of these, not in use.
        free: u64,
    },
    /// It can't be read.
    Unknown,
}

impl Swap {
    /// From `/proc/swaps`: a heading, then `name type KiB used priority`.
    fn parse(text: &str) -> Option<Swap> {
        let (mut total, mut free, mut files) = (0_u64, 0_u64, 0_usize);
        let mut lines = text.lines();
        lines.next().filter(|heading| heading.starts_with("Filename"))?;
        for line in lines {
            let mut words = line.split_whitespace().skip(1);
            let (kind, size, used) = (words.next()?, words.next()?, words.next()?);
            let (size, used) = (size.parse::<u64>().ok()?, used.parse::<u64>().ok()?);
            files += usize::from(kind == "file");
            total = total.saturating_add(size.saturating_mul(1024));
            free = free.saturating_add(size.saturating_sub(used).saturating_mul(1024));
        }
        Some(match (total, files) {
            (0, _) => Swap::None,
            (_, 0) => Swap::Device { total, free },
            _ => Swap::File { total, free },
        })
    }
}

bitflags! {
    /// What of the kernel an arena uses, if it is there.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Features: u8 {
        /// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`, since Linux 5.14: no memory is an error, not a signal.
        const POPULATE = 1;
        /// `PAGEMAP_SCAN`, since Linux 6.7: which memory is in huge pages.
        const FOLIO_SCAN = 2;
        /// `MFD_NOEXEC_SEAL`, since Linux 6.3: the arena's memory can't be run as a program.
        const NOEXEC_SEAL = 4;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Features {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Features({=u8:b})", self.bits());
    }
}

impl HostReport {
    /// Looks at the machine. Never fails: what can't be read is unknown. Allocates.
    ///
    /// The maker of the arena passes the features that it found, and what became of its first huge page.
    pub(crate) fn probe(headroom: &Headroom, features: Features, huge_pages: HugePages) -> HostReport {
        HostReport::under(Path::new("/"), headroom.limit(), features, huge_pages)
    }

    /// The same with the files below another root directory.
    fn under(root: &Path, group_limit: GroupLimit, features: Features, huge_pages: HugePages) -> HostReport {
        let read = |path: &str| fs::read_to_string(root.join(path)).ok();
        let setting =
            |path: &str| read(path).map_or(HugePageSetting::Unknown, |s| HugePageSetting::parse(&s));
        let huge_page_size =
            read(&format!("{SETTINGS}/hpage_pmd_size")).and_then(|size| size.trim().parse().ok());
        HostReport {
            page_size: rustix::param::page_size(),
            huge_page_size,
            shmem_enabled: setting(&format!("{SETTINGS}/shmem_enabled")),
            shmem_enabled_for_size: huge_page_size
                .map_or(HugePageSetting::Unknown, |size| setting(&for_size(size))),
            huge_pages,
            swap: read("proc/swaps").and_then(|text| Swap::parse(&text)).unwrap_or(Swap::Unknown),
            lockable: sys::lockable(),
            group_limit,
            features,
        }
    }

    /// The setting that holds for an arena's huge pages: that for their size, unless it leaves it to that for all
    /// sizes, or that one overrules it.
    pub fn huge_page_setting(&self) -> HugePageSetting {
        use HugePageSetting::{Deny, Force, Inherit, Never, Unknown};
        match (self.shmem_enabled, self.shmem_enabled_for_size) {
            (general, Inherit | Unknown) | (general @ Deny, _) => general,
            (Force, _) => Never, // only a size that inherits is forced
            (_, size) => size,
        }
    }

    /// The file that has to be set for huge pages, and the word for it.
    fn remedy(&self) -> (String, HugePageSetting) {
        use HugePageSetting::{Advise, Deny, Force, Inherit, Unknown};
        match (self.shmem_enabled, self.shmem_enabled_for_size, self.huge_page_size) {
            (Deny, _, _) | (_, Inherit | Unknown, _) | (_, _, None) => {
                (format!("/{SETTINGS}/shmem_enabled"), Advise)
            }
            (Force, _, Some(size)) => (format!("/{}", for_size(size)), Inherit),
            (_, _, Some(size)) => (format!("/{}", for_size(size)), Advise),
        }
    }

    fn write_huge_pages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use HugePageSetting::{Deny, Never, Unknown};
        let setting = self.huge_page_setting();
        let Some(size) = self.huge_page_size else {
            return writeln!(f, "huge pages: none that can be seen; {SMALL_PAGES}");
        };
        let size = Bytes(size as u64);
        match (self.huge_pages, setting) {
            (HugePages::Granted, _) => writeln!(f, "huge pages: granted, of {size}"),
            (HugePages::NotGranted | HugePages::Unknown, Never | Deny) => {
                let (file, word) = self.remedy();
                let known = match self.shmem_enabled_for_size {
                    HugePageSetting::Unknown | HugePageSetting::Inherit => {
                        format!("shmem_enabled is {}", self.shmem_enabled)
                    }
                    own => format!("shmem_enabled is {}, for {size} {own}", self.shmem_enabled),
                };
                writeln!(
                    f,
                    "huge pages: not granted ({known}); an administrator may set {file} to {word}: then a transfer of \
                     {size}, or taking it back, changes one entry of a page table and not one for each page"
                )
            }
            (HugePages::NotGranted, Unknown) => {
                writeln!(f, "huge pages: not granted, and the setting can't be read; {SMALL_PAGES}")
            }
            (HugePages::NotGranted, _) => writeln!(
                f,
                "huge pages: not granted, although the setting is {setting}: memory was fragmented, the control group \
                 nearly full, or they are disabled for the process; {SMALL_PAGES}"
            ),
            (HugePages::Unknown, _) => {
                writeln!(f, "huge pages: of {size}, the setting is {setting}; not known to be granted")
            }
        }
    }

    fn write_features(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items = [
            (
                Features::POPULATE,
                "populating (MADV_POPULATE_READ, MADV_POPULATE_WRITE)",
                "without it the lack of memory is a signal and not an error; Linux 5.14 has it",
            ),
            (
                Features::FOLIO_SCAN,
                "looking for huge pages (PAGEMAP_SCAN)",
                "without it it is unknown which were granted; Linux 6.7 has it",
            ),
            (
                Features::NOEXEC_SEAL,
                "sealing against execution (MFD_NOEXEC_SEAL)",
                "without it the memory may be run as a program through its descriptor; Linux 6.3 has it",
            ),
        ];
        for (feature, name, lack) in items {
            if self.features.contains(feature) {
                write!(f, "\n{name}: yes")?;
            } else {
                write!(f, "\n{name}: no; {lack}")?;
            }
        }
        Ok(())
    }
}

/// Where the settings are, from the root.
const SETTINGS: &str = "sys/kernel/mm/transparent_hugepage";

const SMALL_PAGES: &str = "transferring and taking back change an entry of a page table for each page";

fn for_size(bytes: usize) -> String {
    format!("{SETTINGS}/hugepages-{}kB/shmem_enabled", bytes / 1024)
}

/// A line for each item, none at the end.
impl fmt::Display for HostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "page size: {}", Bytes(self.page_size as u64))?;
        self.write_huge_pages(f)?;
        match self.swap {
            Swap::None => writeln!(
                f,
                "swap: none; stored pages stay in RAM, owned by the store, and an administrator may add a swap \
                 partition or zram: then the kernel can write it out"
            ),
            Swap::Device { total, free } => {
                writeln!(f, "swap: block devices, {} free of {}", Bytes(free), Bytes(total))
            }
            Swap::File { total, free } => writeln!(
                f,
                "swap: a file, {} free of {}; writing out to a file splits huge pages, and an administrator may use a \
                 swap partition or zram instead: then they stay whole",
                Bytes(free),
                Bytes(total)
            ),
            Swap::Unknown => {
                writeln!(f, "swap: unknown; without any, stored pages stay in RAM, owned by the store")
            }
        }?;
        match self.lockable {
            Some(bytes) => {
                writeln!(f, "lockable memory: {}; a pinned arena needs as much as it uses", Bytes(bytes))
            }
            None => {
                writeln!(f, "lockable memory: no limit that can be seen; an arena may be pinned")
            }
        }?;
        match self.group_limit {
            GroupLimit::Bytes(bytes) => write!(f, "memory limit of the control groups: {}", Bytes(bytes)),
            GroupLimit::None => write!(f, "memory limit of the control groups: none"),
            GroupLimit::Unknown => write!(
                f,
                "memory limit of the control groups: unknown; if there is one, going beyond it ends the process, and \
                 an administrator may mount the groups under /sys/fs/cgroup: then head-room is looked for first"
            ),
        }?;
        self.write_features(f)
    }
}

/// In the largest unit of which it is one at least, rounded down to a tenth.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(60, "EiB"), (50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let Some((shift, unit)) = units.into_iter().find(|(shift, _)| self.0 >> shift > 0) else {
            return write!(f, "{} bytes", self.0);
        };
        let whole = self.0 >> shift;
        match ((self.0 >> (shift - 10)) % 1024) * 10 / 1024 {
            0 => write!(f, "{whole} {unit}"),
            tenth => write!(f, "{whole}.{tenth} {unit}"),
        }
    }
}

#[cfg(test)]
mod tests;
