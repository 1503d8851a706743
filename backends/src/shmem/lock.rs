//! A lock of the operating system.
#![allow(unsafe_code)]

use forebay::sync::RawMutex;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The mutex of the standard library: a thread that finds it locked sleeps. The usual raw mutex of a hosted program.
///
/// It must not be shared with a signal handler. A thread that enters it twice panics, and says so.
#[derive(Debug)]
pub struct OsLock {
    lock: Mutex<()>,
    /// The thread that holds it. Zero: none.
    owner: AtomicUsize,
}

std::thread_local! {
    /// Its address is the number of a thread.
    static HERE: u8 = const { 0 };
}

// SAFETY: the mutex admits one at a time, and locking synchronises with the last unlock. The owner only ends a hang.
unsafe impl RawMutex for OsLock {
    const INIT: Self = OsLock { lock: Mutex::new(()), owner: AtomicUsize::new(0) };
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let me = HERE.with(|here| ptr::from_ref(here).addr());
        // Only this thread stores its number, and it clears it before it unlocks.
        assert!(self.owner.load(Relaxed) != me, "a closure of `Mutex::lock` locked the same mutex again");
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner); // it guards no data of its own
        self.owner.store(me, Relaxed);
        let _owner = ClearOwner(&self.owner);
        f()
    }
}

/// Clears the owner before the lock is unlocked, also by a panic.
struct ClearOwner<'l>(&'l AtomicUsize);

impl Drop for ClearOwner<'_> {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for OsLock {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "OsLock");
    }
}
