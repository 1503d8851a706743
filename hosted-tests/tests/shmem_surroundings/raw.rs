//! What a process can do to itself only by unsafe calls.
#![allow(unsafe_code)]

use rustix::io::Result;
use rustix::process::{Pid, WaitOptions, waitpid};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Forks. The child runs `f` with its own copy of `value`, and ends; the parent keeps `value`, and is told how the child
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

/// This process sees mounts of its own from now on.
pub(crate) fn own_mounts() -> Result<()> {
    // SAFETY: one thread, and descriptors stay shared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}
