//! What a process can do to itself only by unsafe calls.
#![allow(unsafe_code)]

use forebay_backends::shmem::Mapped;
use rustix::fs::MemfdFlags;
use rustix::io::Result;
use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};

/// Forks. The child runs `f` with its own copy of `value`, and ends; the parent keeps `value`, and learns how the child
/// ended: 0 unless it panicked or was killed.
///
/// The caller is the only thread of the process.
pub(crate) fn in_fork<T>(value: T, f: impl FnOnce(T)) -> (T, i32) {
    // SAFETY: this process has one thread, so the child finds every lock as that one left it; a child that ends by
    // `_exit` runs nothing of its parent's.
    match unsafe { libc::fork() } {
        0 => {
            let code = i32::from(catch_unwind(AssertUnwindSafe(|| f(value))).is_err());
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) }
        }
        child => {
            let ended = waitpid(Pid::from_raw(child), WaitOptions::empty()).expect("there is a child");
            let (_, status) = ended.expect("it has ended");
            (value, status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0)))
        }
    }
}

/// A new memfd of that size. All of it is a hole.
pub(crate) fn memfd(bytes: u64) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = rustix::fs::memfd_create("restart", flags).expect("a descriptor");
    rustix::fs::ftruncate(&memfd, bytes).expect("a size");
    memfd
}

/// A mapping of a memfd from its start on, aligned to 4 MiB, which is never unmapped.
///
/// The caller has no other arena over it, nor blocks of one.
pub(crate) fn window(memfd: &OwnedFd, bytes: usize) -> Mapped {
    const ALIGN: usize = 4 << 20;
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: addresses anywhere, and then a mapping over a part of just these.
    let at = unsafe {
        let all = mmap_anonymous(null_mut(), bytes + ALIGN, ProtFlags::empty(), MapFlags::PRIVATE)
            .expect("addresses");
        let at = all.byte_add(all.addr().next_multiple_of(ALIGN) - all.addr());
        mmap(at, bytes, access, MapFlags::SHARED | MapFlags::FIXED, memfd, 0).expect("a mapping")
    };
    let at = NonNull::slice_from_raw_parts(NonNull::new(at.cast()).expect("not at 0"), bytes);
    // SAFETY: shared and writable, of that memfd; it stays, there is no reference to it, and the caller promises the rest.
    unsafe { Mapped::new(memfd.try_clone().expect("a descriptor"), 0, &[at]) }
}

/// This process sees mounts of its own from now on.
pub(crate) fn own_mounts() -> Result<()> {
    // SAFETY: one thread, and descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}

/// Has this process ignore these signals from now on.
pub(crate) fn ignore(signals: &[libc::c_int]) {
    for signal in signals {
        // SAFETY: no code is named that could run at a bad moment.
        unsafe { libc::signal(*signal, libc::SIG_IGN) };
    }
}

/// Has this signal end this process, also if its parent ignores it, as a shell does for what runs in the background.
pub(crate) fn end_by(signal: libc::c_int) {
    // SAFETY: no code is named that could run at a bad moment.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

/// Closes what this process was left by others: every descriptor but 0, 1 and 2.
///
/// It is the first thing that the process does. Linux before 5.9 can't, and leaves them open.
pub(crate) fn close_all_but_three() {
    // SAFETY: nothing was opened yet, so no value owns what is closed.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}
