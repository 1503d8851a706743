//! A lock of the operating system.
#![allow(unsafe_code)]

use forebay::sync::RawMutex;
use std::sync::{Mutex, PoisonError};

/// The mutex of the standard library: a thread that finds it locked sleeps. The usual raw mutex of a hosted program.
///
/// It must not be shared with a signal handler.
#[derive(Debug)]
pub struct OsLock(Mutex<()>);

// SAFETY: the mutex admits one at a time, and locking synchronises with the last unlock.
unsafe impl RawMutex for OsLock {
    const INIT: Self = OsLock(Mutex::new(()));
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let _held = self.0.lock().unwrap_or_else(PoisonError::into_inner); // it guards no data of its own
        f()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for OsLock {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "OsLock");
    }
}
