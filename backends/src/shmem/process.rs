//! Which process this is: what was made before a fork must not be used by the child.
#![allow(unsafe_code)]

use core::num::NonZeroU8;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering::Relaxed};
use rustix::io::{Errno, Result};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// A page that the kernel zeroes in every child. It holds the number of this process, or 0 if it has none yet.
///
/// Invariant: null, or a mapping of at least one byte that is never unmapped.
static PAGE: AtomicPtr<AtomicU8> = AtomicPtr::new(null_mut());

/// The last number that was given out. A child has a copy, so it goes on from its parent's.
static LAST: AtomicU8 = AtomicU8::new(0);

/// Numbers begin again at 1 after this: they fit into the bits of a block that alignment leaves free.
const MOST: u8 = 127;

/// The number of a process, 1 to 127. A child has none of its ancestors' but the 127th's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Process(NonZeroU8);

impl Process {
    /// This process.
    ///
    /// # Errors
    /// Linux before 4.14, or no memory for the page.
    pub(crate) fn this() -> Result<Process> {
        let page = page()?;
        let mine = match page.load(Relaxed) {
            0 => {
                // Counted before it is used: a child that is forked in between must not get the same.
                let next = |last| last % MOST + 1;
                let last =
                    LAST.fetch_update(Relaxed, Relaxed, |last| Some(next(last))).unwrap_or_else(|last| last);
                match page.compare_exchange(0, next(last), Relaxed, Relaxed) {
                    Ok(_) => next(last),
                    Err(other) => other, // another thread was first
                }
            }
            known => known,
        };
        NonZeroU8::new(mine).map(Process).ok_or(Errno::INVAL)
    }

    /// Its number, for the tag of a block.
    pub(crate) fn bits(self) -> u8 {
        self.0.get()
    }

    /// Whether this is the process with these bits. A load, no system call.
    pub(crate) fn is_here(bits: u8) -> bool {
        let page = PAGE.load(Relaxed);
        // SAFETY: invariant of `PAGE`.
        !page.is_null() && unsafe { &*page }.load(Relaxed) == bits
    }
}

fn page() -> Result<&'static AtomicU8> {
    let mut page = PAGE.load(Relaxed);
    if page.is_null() {
        const BYTES: usize = 1; // the kernel rounds up
        // SAFETY: a new mapping anywhere, of zeros, which are an `AtomicU8`.
        page = unsafe {
            mmap_anonymous(null_mut(), BYTES, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)
        }?
        .cast();
        // SAFETY: our mapping; the advice changes nothing in this process.
        let wiped = unsafe { madvise(page.cast(), BYTES, Advice::LinuxWipeOnFork) };
        let first = wiped.and_then(|()| {
            PAGE.compare_exchange(null_mut(), page, Relaxed, Relaxed).map_err(|_| Errno::EXIST)
        });
        if let Err(why) = first {
            // SAFETY: our mapping, and no other thread has seen its address.
            unsafe { munmap(page.cast(), BYTES) }?;
            page = PAGE.load(Relaxed);
            if page.is_null() {
                return Err(why);
            }
        }
    }
    // SAFETY: invariant of `PAGE`.
    Ok(unsafe { &*page })
}
