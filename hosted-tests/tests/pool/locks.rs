//! Every raw mutex goes through the suite for raw mutexes: those of the core, those of other crates behind its adapters, and
//! two of the tests' own.

use forebay::sync::{
    CriticalSectionRawMutex, EmbassyRawMutex, IrqGuard, Mutex, NoopRawMutex, RawMutex, ScopedRawMutex,
    SpinRawMutex,
};
use forebay_backends::shmem::OsLock;
use hosted_tests::conformance::lock::{entering_twice_panics, single_thread, suite};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Mutex as StdMutex, PoisonError};

use embassy_sync::blocking_mutex::raw as embassy;
use mutex::raw_impls as scoped;

/// A raw mutex of the tests' own, over what the standard library has.
#[derive(Debug)]
struct Std(StdMutex<()>);

// SAFETY: the mutex admits one at a time, and locking synchronises with the last unlock.
unsafe impl RawMutex for Std {
    const INIT: Self = Std(StdMutex::new(()));
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

/// A mutex of `mutex-traits` that is free again after a panic, and spins: what the trait calls a blocking one.
#[derive(Debug)]
struct Flag(AtomicBool);

impl mutex::ConstInit for Flag {
    const INIT: Self = Flag(AtomicBool::new(false));
}

// SAFETY: the flag admits one at a time, and taking it synchronises with giving it back.
unsafe impl mutex::RawMutex for Flag {
    type GuardMarker = ();
    fn lock(&self) {
        while !self.try_lock() {
            std::thread::yield_now();
        }
    }
    fn try_lock(&self) -> bool {
        use std::sync::atomic::Ordering::Acquire;
        self.0.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }
    unsafe fn unlock(&self) {
        use std::sync::atomic::Ordering::Release;
        self.0.store(false, Release);
    }
    fn is_locked(&self) -> bool {
        self.0.load(Relaxed)
    }
}

type EmbassyCs = EmbassyRawMutex<embassy::CriticalSectionRawMutex>;
type EmbassyNoop = EmbassyRawMutex<embassy::NoopRawMutex>;
type ScopedFlag = ScopedRawMutex<Flag>;
type ScopedCs = ScopedRawMutex<scoped::cs::CriticalSectionRawMutex>;
type ScopedLocal = ScopedRawMutex<scoped::local::LocalRawMutex>;

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
fn a_critical_section_of_embassy() {
    suite::<EmbassyCs>();
}

#[test]
fn a_mutex_of_mutex_traits() {
    suite::<ScopedFlag>();
}

#[test]
fn no_mutex_in_one_thread() {
    single_thread::<NoopRawMutex>();
    single_thread::<EmbassyNoop>();
}

/// A guard that knows its core. The cores of these tests are threads.
#[derive(Debug)]
struct OnCore;

static CORES: AtomicU8 = AtomicU8::new(0);
thread_local! {
    static CORE: u8 = CORES.fetch_add(1, Relaxed);
}

impl IrqGuard for OnCore {
    const CORE: Option<fn() -> u8> = Some(|| CORE.with(|core| *core));
    fn with<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

#[test]
fn spin_with_an_owner() {
    suite::<SpinRawMutex<OnCore>>();
}

#[test]
fn a_mutex_of_the_system() {
    suite::<OsLock>();
}

/// Rule: a mutex that its own context enters again never gives two exclusive borrows, and says so instead of a hang, with debug
/// assertions or without: whether the raw mutex lets it in, or knows who holds it.
#[test]
fn entering_twice_ends_with_a_message() {
    entering_twice_panics::<SpinRawMutex<OnCore>>();
    entering_twice_panics::<OsLock>();
    entering_twice_panics::<NoopRawMutex>();
    entering_twice_panics::<CriticalSectionRawMutex>();
    entering_twice_panics::<EmbassyNoop>();
    entering_twice_panics::<EmbassyCs>();
}

/// Rule: an adapter adds no bytes.
#[test]
fn an_adapter_has_the_size_of_what_is_inside() {
    let sizes = [size_of::<CriticalSectionRawMutex>(), size_of::<EmbassyCs>(), size_of::<EmbassyNoop>()];
    assert_eq!(sizes, [0; 3]);
    assert_eq!([size_of::<ScopedFlag>(), size_of::<ScopedCs>(), size_of::<ScopedLocal>()], [1; 3]);
}

/// Rule: the section surrounds the lock and what runs in it, and is left with it, also by a panic.
#[test]
fn the_section_surrounds_the_spin_lock() {
    let lock = Mutex::<SpinRawMutex<Counting>, u32>::new(0);
    assert_eq!(lock.lock(|_| DEPTH.get()), 1);
    assert_eq!(DEPTH.get(), 0);
    let panicked = catch_unwind(AssertUnwindSafe(|| lock.lock(|_| resume_unwind(Box::new("inside")))));
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
    static EMBASSY: Mutex<EmbassyCs, u8> = Mutex::new(1);
    static SCOPED: Mutex<ScopedCs, u8> = Mutex::new(1);
    let sum = SPIN.lock(|v| v.iter().sum::<u8>()) + CRITICAL.lock(|v| *v) + STD.lock(|v| *v);
    assert_eq!(sum + EMBASSY.lock(|v| *v) + SCOPED.lock(|v| *v), 7);
    assert!(format!("{SPIN:?}").starts_with("Mutex"));
}

/// Rule: a raw mutex of `mutex-traits` that panics when it is entered twice panics behind the adapter too, and its closure
/// does not run a second time.
#[test]
fn a_scoped_mutex_that_is_entered_twice() {
    fn twice<R: RawMutex>() {
        let lock = Mutex::<R, u32>::new(1);
        let ran = Cell::new(0);
        lock.lock(|outer| {
            let again = AssertUnwindSafe(|| lock.lock(|_| ran.set(ran.get() + 1)));
            assert!(catch_unwind(again).is_err(), "entering twice went unnoticed");
            *outer += 1;
        });
        assert_eq!((lock.lock(|v| *v), ran.get()), (2, 0), "usable, once the first is outside");
    }
    twice::<ScopedCs>();
    twice::<ScopedLocal>();
}

/// What a published mutex of `mutex-traits` does not keep, and forebay does not need, as it calls nothing that panics inside:
/// after a panic it stays locked. Everything else of the suite holds.
#[test]
fn a_scoped_mutex_that_stays_locked_after_a_panic() {
    fn stays_locked<R: RawMutex>() {
        let lock = Mutex::<R, u32>::new(7);
        assert_eq!(lock.lock(|v| std::mem::replace(v, 8)), 7);
        assert_eq!(lock.lock(|v| *v), 8);
        let panics = AssertUnwindSafe(|| lock.lock(|_| resume_unwind(Box::new("inside"))));
        assert!(catch_unwind(panics).is_err());
        assert!(
            catch_unwind(AssertUnwindSafe(|| lock.lock(|v| *v))).is_err(),
            "it is free again: use the suite"
        );
    }
    stays_locked::<ScopedCs>();
    stays_locked::<ScopedLocal>();
    // Threads that share the first one, with numbers that are equal while no closure runs.
    let lock = Mutex::<ScopedCs, [usize; 2]>::new([0; 2]);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for round in 0..2000 {
                    lock.lock(|twins| {
                        assert_eq!(twins[0], twins[1], "another closure runs");
                        twins[0] += 1;
                        if round % 64 == 0 {
                            std::thread::yield_now();
                        }
                        twins[1] = std::hint::black_box(twins[1]) + 1;
                    });
                }
            });
        }
    });
    assert_eq!(lock.lock(|twins| *twins), [8000; 2]);
}
