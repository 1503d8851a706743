//! A lock of the operating system.
#![allow(unsafe_code)]

use forebay::sync::RawMutex;
use std::hint::spin_loop;
use std::ptr;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::thread;
use std::time::Duration;

/// The usual raw mutex of a hosted program: one word, one atomic exchange for each section.
///
/// It is for sections that are short and make no system call, as those of an arena are. A thread that finds it locked tries again for
/// a moment, then gives up its turn, and at last sleeps for some microseconds at a time: so it also goes on where the holder was
/// preempted by a thread of higher priority. It must not be shared with a signal handler. A thread that enters it twice panics, and
/// says so.
#[derive(Debug)]
pub struct OsLock {
    /// The thread that holds it. Zero: none.
    owner: AtomicUsize,
}

std::thread_local! {
    /// Its address is the number of a thread.
    static HERE: u8 = const { 0 };
}

// SAFETY: 1. only one thread at a time replaces zero by its number, which is not zero; it acquires what the last owner released. 2.
// `IS_EXCLUSIVE`: a second call by the same thread finds its own number, and panics.
unsafe impl RawMutex for OsLock {
    const INIT: Self = OsLock { owner: AtomicUsize::new(0) };
    const IS_EXCLUSIVE: bool = true;
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let me = HERE.with(|here| ptr::from_ref(here).addr());
        if self.owner.compare_exchange(0, me, Acquire, Relaxed).is_err() {
            self.wait(me);
        }
        let _owner = Unlock(&self.owner);
        f()
    }
}

impl OsLock {
    /// Takes it as soon as it is free.
    #[cold]
    fn wait(&self, me: usize) {
        for tries in 0_u32.. {
            let owner = self.owner.load(Relaxed);
            assert!(owner != me, "a closure of `Mutex::lock` locked the same mutex again");
            if owner == 0 && self.owner.compare_exchange(0, me, Acquire, Relaxed).is_ok() {
                return;
            }
            match tries {
                ..100 => spin_loop(),
                100..120 => thread::yield_now(),
                _ => thread::sleep(Duration::from_micros(50)),
            }
        }
    }
}

/// Unlocks it, also by a panic.
struct Unlock<'l>(&'l AtomicUsize);

impl Drop for Unlock<'_> {
    fn drop(&mut self) {
        self.0.store(0, Release);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for OsLock {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "OsLock");
    }
}
