//! Every lock goes through the suite for locks.

use forebay::sync::{CriticalSectionRawMutex, IrqGuard, Mutex, NoopRawMutex, RawMutex, SpinRawMutex};
use hosted_tests::conformance::lock::{single_thread, suite};
use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

/// A lock of the tests' own, over what the standard library has.
#[derive(Debug)]
struct Std(Mutex<()>);

// SAFETY: the mutex admits one at a time, and taking it synchronises with giving it back.
unsafe impl RawMutex for Std {
    const INIT: Self = Std(Mutex::new(()));
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        let _held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        f()
    }
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Counts how deep this thread is inside, as if interrupts were off.
#[derive(Debug)]
struct Counting;

struct Leave;
impl Drop for Leave {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
    }
}

impl IrqGuard for Counting {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        DEPTH.set(DEPTH.get() + 1);
        let _leave = Leave;
        f()
    }
}

#[test]
fn spin() {
    suite::<SpinRawMutex>();
}

#[test]
fn spin_in_a_section() {
    suite::<SpinRawMutex<Counting>>();
}

#[test]
fn critical_section() {
    suite::<CriticalSectionRawMutex>();
}

#[test]
fn a_mutex_of_the_standard_library() {
    suite::<Std>();
}

#[test]
fn no_lock_in_one_thread() {
    single_thread::<NoopRawMutex>();
}

/// Rule: a lock that its own context may enter again never gives two exclusive borrows, and says so.
#[test]
#[cfg(debug_assertions)]
fn entering_twice_panics() {
    use hosted_tests::conformance::lock::entering_twice_panics;
    entering_twice_panics::<NoopRawMutex>();
    entering_twice_panics::<CriticalSectionRawMutex>();
}

/// Rule: the section surrounds the lock and what runs in it, and is left with it, also by a panic.
#[test]
fn the_section_surrounds_the_spin_lock() {
    let lock = Mutex::<SpinRawMutex<Counting>, u32>::new(0);
    assert_eq!(lock.lock(|_| DEPTH.get()), 1);
    assert_eq!(DEPTH.get(), 0);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        lock.lock(|_| std::panic::resume_unwind(Box::new("inside")))
    }));
    assert!(panicked.is_err());
    assert_eq!(DEPTH.get(), 0);
    // Another lock inside: sections nest.
    let other = Mutex::<SpinRawMutex<Counting>, u32>::new(0);
    assert_eq!(lock.lock(|_| other.lock(|_| DEPTH.get())), 2);
}

/// Rule: `INIT` is what a static begins with.
#[test]
fn locks_in_statics() {
    static SPIN: Mutex<SpinRawMutex, [u8; 3]> = Mutex::new([1; 3]);
    static CRITICAL: Mutex<CriticalSectionRawMutex, u8> = Mutex::new(1);
    static STD: Mutex<Std, u8> = Mutex::new(1);
    let sum = SPIN.lock(|v| v.iter().sum::<u8>()) + CRITICAL.lock(|v| *v) + STD.lock(|v| *v);
    assert_eq!(sum, 5);
    assert!(format!("{SPIN:?}").starts_with("Mutex"));
}
