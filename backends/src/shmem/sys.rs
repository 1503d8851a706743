//! System calls on a memfd and its mappings, and those that ask what there is.
#![allow(unsafe_code)]

use core::ffi::{c_int, c_void};
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};
use rustix::fs::{FallocateFlags, MemfdFlags, OFlags, SealFlags};
use rustix::io::{Errno, Result, retry_on_intr};
use rustix::mm::{
    Advice, MapFlags, MlockFlags, MprotectFlags, ProtFlags, madvise, mlock_with, mmap, mmap_anonymous,
    mprotect, munlock, munmap,
};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::vec::Vec;

/// A new, empty, sealable memfd, closed on exec. Also returns whether it is sealed against execution.
pub(crate) fn create() -> Result<(OwnedFd, bool)> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let (memfd, noexec) = match rustix::fs::memfd_create("forebay", flags | MemfdFlags::NOEXEC_SEAL) {
        Ok(memfd) => (memfd, true),
        Err(Errno::INVAL) => (rustix::fs::memfd_create("forebay", flags)?, false), // before Linux 6.3
        Err(why) => return Err(why),
    };
    Ok((memfd, noexec))
}

/// Sets the size of a new memfd: all of it is a hole.
pub(crate) fn lengthen(memfd: BorrowedFd<'_>, bytes: u64) -> Result<()> {
    if longest_file().is_some_and(|most| bytes > most) {
        return Err(Errno::FBIG); // the kernel would say so with a signal
    }
    rustix::fs::ftruncate(memfd, bytes)
}

/// Fixes the size of a memfd, so no page can be removed under a mapping, and its seals: one against writing would forbid to free
/// its memory.
pub(crate) fn seal(memfd: BorrowedFd<'_>) -> Result<()> {
    const ALL: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW).union(SealFlags::SEAL);
    let seals = rustix::fs::fcntl_get_seals(memfd)?;
    if seals.contains(ALL) { Ok(()) } else { rustix::fs::fcntl_add_seals(memfd, ALL) }
}

/// Frees the memory of a range of a memfd, which reads as zeros afterwards.
pub(crate) fn punch(memfd: BorrowedFd<'_>, range: Range<u64>) -> Result<()> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    retry_on_intr(|| rustix::fs::fallocate(memfd, flags, range.start, range.end - range.start))
}

/// How pages are populated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Populate {
    /// They are holes: new memory, zeroed by the kernel.
    New,
    /// They have contents. Cheaper than `New` where folios are small; a shared mapping is writable after it too.
    Back,
}

/// Whether a mapping asks for huge pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Huge {
    Wanted,
    /// They are larger than a chunk. The memory of one would come with the first of its chunks, for whose head-room alone was asked,
    /// and most of it would never go back: punching a part of a huge page frees that part at best.
    Unwanted,
}

/// A shared, writable mapping of part of a memfd.
///
/// # Invariants
/// `base` is the first of `bytes` mapped bytes, as long as the value lives. Others may write them at any time, so they are reached
/// by volatile access only, and never through a reference.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
    whose: Whose,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whose {
    Ours,
    Theirs,
}

// SAFETY: it owns or borrows a mapping, which belongs to the process and not to a thread.
unsafe impl Send for Mapping {}
// SAFETY: `&self` gives nothing but system calls and an address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `bytes` of a memfd from `offset` on, at a multiple of `align`: a power of two, as is the page size.
    pub(crate) fn map(memfd: BorrowedFd<'_>, offset: u64, bytes: usize, align: usize) -> Result<Mapping> {
        let all = bytes.checked_add(align).ok_or(Errno::NOMEM)?;
        // SAFETY: a new mapping at any address; it can't be accessed, and reserves addresses only.
        let reserved = unsafe {
            mmap_anonymous(null_mut(), all, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)
        }?;
        let skip = reserved.addr().wrapping_neg() & (align - 1);
        let base = reserved.wrapping_byte_add(skip);
        // Without access at first: under `mlockall(MCL_FUTURE)` a mapping with access is populated at once, and locked.
        let (access, none) = (MprotectFlags::READ | MprotectFlags::WRITE, ProtFlags::empty());
        // SAFETY: `base..base + bytes` lies in what was just reserved, since `skip < align`; it is mapped anew, and only then
        // it can be accessed.
        let mapped = unsafe {
            mmap(base, bytes, none, MapFlags::SHARED | MapFlags::FIXED, memfd, offset).and_then(|at| {
                let _ = munlock(at, bytes); // if that is refused, it is populated after all
                mprotect(at, bytes, access)
            })
        };
        if let Err(why) = mapped {
            // SAFETY: what was reserved. If the mapping over it is refused, it is still reserved, and nothing else has its address.
            unsafe { munmap(reserved, all) }?;
            return Err(why);
        }
        let (head, tail) = (skip, align - skip);
        let rest = [(reserved, head), (base.wrapping_byte_add(bytes), tail)];
        for (at, len) in rest.into_iter().filter(|(_, len)| *len > 0) {
            // SAFETY: what was reserved before and behind the mapping; nothing else has its address.
            unsafe { munmap(at, len) }?;
        }
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { base, bytes, whose: Whose::Ours })
    }

    /// A mapping that another part of the program owns.
    ///
    /// # Safety
    /// The invariants of the type hold for it, as long as the value lives.
    pub(crate) unsafe fn of(mapping: NonNull<[u8]>) -> Mapping {
        Mapping { base: mapping.cast(), bytes: mapping.len(), whose: Whose::Theirs }
    }

    /// Keeps it out of children and of core dumps, and asks for huge pages, or for none.
    pub(crate) fn set_up(&self, huge: Huge) -> Result<()> {
        let all = 0..self.bytes;
        self.advise(all.clone(), Advice::LinuxDontFork)?;
        self.advise(all.clone(), Advice::LinuxDontDump)?;
        let advice = match huge {
            Huge::Wanted => Advice::LinuxHugepage,
            Huge::Unwanted => Advice::LinuxNoHugepage,
        };
        let _ = self.advise(all, advice); // a kernel without huge pages, or a filter: it works without
        Ok(())
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Removes a range from the page tables, also if the program locked it (`mlockall`); contents stay in the memfd.
    pub(crate) fn unmap(&self, range: Range<usize>) -> Result<()> {
        match self.advise(range.clone(), Advice::LinuxDontNeed) {
            Err(Errno::INVAL) => self.unmap_locked(range),
            result => result,
        }
    }

    /// The same where it is known to be locked: unlocks its pages too, and the mapping stays locked. Since Linux 5.18.
    pub(crate) fn unmap_locked(&self, range: Range<usize>) -> Result<()> {
        self.advise(range, Advice::LinuxDontneedLocked)
    }

    /// Locks a range: its pages stay in RAM from the moment they are populated, which this call does not do.
    pub(crate) fn lock(&self, range: Range<usize>) -> Result<()> {
        let at = self.check(range.clone()).ok_or(Errno::INVAL)?;
        // SAFETY: the range is in the mapping; locking changes no byte.
        unsafe { mlock_with(at, range.len(), MlockFlags::ONFAULT) }
    }

    /// Whether the kernel can be asked to populate a range.
    pub(crate) fn can_populate(&self) -> bool {
        self.advise(0..0, Advice::LinuxPopulateRead).is_ok()
    }

    /// Populates a range. Kernels before 5.14 can't be asked to, so there every page is read, and a failure is a signal.
    pub(crate) fn populate(&self, range: Range<usize>, how: Populate) -> Result<()> {
        let advice = match how {
            Populate::New => Advice::LinuxPopulateWrite,
            Populate::Back => Advice::LinuxPopulateRead,
        };
        loop {
            match self.advise(range.clone(), advice) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::INVAL) => return self.touch(range),
                result => return result,
            }
        }
    }

    fn touch(&self, range: Range<usize>) -> Result<()> {
        self.check(range.clone()).ok_or(Errno::INVAL)?;
        for at in range.step_by(rustix::param::page_size()) {
            // SAFETY: `check` found the range in the mapping; volatile, as others may write.
            unsafe { self.base.add(at).read_volatile() };
        }
        Ok(())
    }

    /// How many bytes of a range are in memory, so that populating it takes none for them. 0 if the kernel does not tell.
    pub(crate) fn in_memory(&self, range: Range<usize>) -> usize {
        let (len, mut sum) = (range.len(), 0);
        match self.each_run_in_memory(range, |run| {
            sum += run.len();
            Ok(())
        }) {
            Ok(()) => sum.min(len),
            Err(_) => 0,
        }
    }

    /// Writes out what of a range is in memory, and removes it from the page tables. The kernel may write out less, and does not say.
    pub(crate) fn page_out(&self, range: Range<usize>) -> Result<()> {
        // It only sees pages that the page tables have. What is swapped out already is left alone: populating would bring it back.
        self.each_run_in_memory(range.clone(), |run| self.populate(run, Populate::Back))?;
        let done = self.advise(range.clone(), Advice::LinuxPageOut);
        self.unmap(range)?;
        done
    }

    /// Calls `f` for each run of pages of a range that are in memory, mapped or not. A run does not reach over 512 pages.
    fn each_run_in_memory(
        &self,
        range: Range<usize>,
        mut f: impl FnMut(Range<usize>) -> Result<()>,
    ) -> Result<()> {
        const PIECE: usize = 512;
        let page = rustix::param::page_size();
        for at in range.clone().step_by(PIECE * page) {
            let bytes = (range.end - at).min(PIECE * page);
            let mut pages = [0_u8; PIECE];
            let from = self.check(at..at + bytes).ok_or(Errno::INVAL)?;
            // SAFETY: `check` found the range in the mapping, and `pages` has a byte for each page of it.
            if unsafe { libc::mincore(from.cast(), bytes, pages.as_mut_ptr()) } != 0 {
                return Err(Errno::NOMEM);
            }
            let mut first = at;
            for run in pages.get(..bytes.div_ceil(page)).unwrap_or_default().chunk_by(|a, b| (a ^ b) & 1 == 0)
            {
                let end = first + run.len() * page;
                if run.first().is_some_and(|page| page & 1 != 0) {
                    f(first..end)?;
                }
                first = end;
            }
        }
        Ok(())
    }

    fn advise(&self, range: Range<usize>, advice: Advice) -> Result<()> {
        let at = self.check(range.clone()).ok_or(Errno::INVAL)?;
        // SAFETY: the range is in the mapping. None of the advice used here changes what the pages contain, and
        // there are no references to them.
        unsafe { madvise(at, range.len(), advice) }
    }

    /// The address of a range that is in the mapping.
    pub(super) fn check(&self, range: Range<usize>) -> Option<*mut c_void> {
        (range.start <= range.end && range.end <= self.bytes)
            .then(|| self.base.as_ptr().wrapping_add(range.start).cast())
    }

    /// Forgets it without unmapping it.
    pub(crate) fn forget(&mut self) {
        self.whose = Whose::Theirs;
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.whose == Whose::Ours {
            // SAFETY: our mapping, and by its invariant there is no address in it any more. (The arena forgets its mappings while
            // blocks exist, and in a child, which does not have them.)
            let _ = unsafe { munmap(self.base.as_ptr().cast(), self.bytes) };
        }
    }
}

/// A memfd and its mappings that another part of the program made: a virtual machine monitor, for example, that has them bound to
/// memory nodes, and shares them.
#[derive(Debug)]
pub struct Mapped {
    pub(super) memfd: OwnedFd,
    pub(super) offset: u64,
    pub(super) mappings: Vec<Mapping>,
}

impl Mapped {
    /// `mappings` of one range of a memfd, which begins at `offset`, in bytes. Blocks have their addresses in the first of them.
    ///
    /// # Safety
    /// Each mapping is shared, readable and writable, of that memfd from `offset` on, and stays as it is for as long as
    /// the arena and any of its blocks exist. No reference to its bytes exists, nor will one. No other arena is over any
    /// of it, nor is there a block of an earlier one: the two would take each other's blocks for their own.
    pub unsafe fn new(memfd: OwnedFd, offset: u64, mappings: &[NonNull<[u8]>]) -> Mapped {
        // SAFETY: the caller's promise.
        let mappings = mappings.iter().map(|mapping| unsafe { Mapping::of(*mapping) }).collect();
        Mapped { memfd, offset, mappings }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Mapped {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Mapped({=usize} mappings, offset {=u64})", self.mappings.len(), self.offset);
    }
}

/// Whether a descriptor is shmem with pages that can be swapped, writable, and at least `bytes` long.
pub(crate) fn check(memfd: BorrowedFd<'_>, bytes: u64) -> Result<()> {
    const TMPFS: u64 = 0x0102_1994;
    if rustix::fs::fstatfs(memfd)?.f_type as u64 != TMPFS {
        return Err(Errno::MEDIUMTYPE);
    }
    let size = u64::try_from(rustix::fs::fstat(memfd)?.st_size).unwrap_or(0);
    if size < bytes {
        return Err(Errno::FBIG);
    }
    let flags = rustix::fs::fcntl_getfl(memfd)?;
    if !flags.intersects(OFlags::WRONLY | OFlags::RDWR) {
        return Err(Errno::BADF); // its memory could not be given back
    }
    let seals = rustix::fs::fcntl_get_seals(memfd)?;
    if seals.intersects(SealFlags::WRITE | SealFlags::FUTURE_WRITE) { Err(Errno::PERM) } else { Ok(()) }
}

/// Free RAM, and RAM in all, in bytes. `None` if the kernel may not be asked.
pub(crate) fn ram() -> Option<(u64, u64)> {
    let mut now = MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: zeros are a value of it; the kernel writes another, if the call succeeds.
    let now = unsafe {
        if libc::sysinfo(now.as_mut_ptr()) != 0 {
            return None;
        }
        now.assume_init()
    };
    let unit = u64::from(now.mem_unit);
    Some((scaled(now.freeram, unit), scaled(now.totalram, unit)))
}

/// The kernel's long has 32 bits on some machines.
fn scaled(count: impl TryInto<u64>, unit: u64) -> u64 {
    count.try_into().unwrap_or(0).saturating_mul(unit)
}

/// Bytes that the process may lock into memory. `None` if there is no limit, or the kernel may not be asked.
pub(crate) fn lockable() -> Option<u64> {
    // SAFETY: it is given a place for what it writes.
    limit(|to| unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, to) })
}

/// Bytes that a file may have. `None` as above.
fn longest_file() -> Option<u64> {
    // SAFETY: as above.
    limit(|to| unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, to) })
}

fn limit(get: impl FnOnce(*mut libc::rlimit) -> c_int) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    let known = get(&mut limit) == 0 && limit.rlim_cur != libc::RLIM_INFINITY;
    known.then(|| scaled(limit.rlim_cur, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    /// Rule: no limit, and a limit that is not known, are not a number of bytes.
    #[test]
    fn a_limit_is_known_or_not() {
        let is = |current, result| {
            limit(|to| {
                // SAFETY: it points to a limit of this call.
                unsafe { (*to).rlim_cur = current };
                result
            })
        };
        assert_eq!([is(5, 0), is(0, 0)], [Some(5), Some(0)]);
        assert_eq!([is(5, -1), is(libc::RLIM_INFINITY, 0), is(libc::RLIM_INFINITY, -1)], [None; 3]);
    }

    /// Rule: no call reaches beyond its mapping, also where the kernel is not asked.
    #[test]
    fn nothing_beyond_the_window() {
        let page = rustix::param::page_size();
        let (memfd, _) = create().expect("a memfd");
        lengthen(memfd.as_fd(), 4 * page as u64).expect("there is no limit");
        let mapping = Mapping::map(memfd.as_fd(), 0, 2 * page, page).expect("a mapping");
        assert!(mapping.base().addr().get() % page == 0);
        for range in [page..3 * page, 2 * page..usize::MAX, usize::MAX - page..usize::MAX] {
            assert_eq!(mapping.populate(range.clone(), Populate::Back), Err(Errno::INVAL));
            assert_eq!(mapping.touch(range.clone()), Err(Errno::INVAL));
            assert_eq!(mapping.unmap(range.clone()), Err(Errno::INVAL));
            assert_eq!(mapping.in_memory(range), 0);
        }
        assert_eq!(mapping.touch(0..2 * page), Ok(()));
        assert_eq!(mapping.in_memory(0..2 * page), 2 * page);
    }
}
