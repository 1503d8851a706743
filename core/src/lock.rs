//! The integrator's lock, and the value behind it.
#![allow(unsafe_code)]

use core::cell::{Cell, UnsafeCell};
use core::fmt;
use core::marker::PhantomData;

/// Mutual exclusion, shaped as a closure so that a critical section fits.
///
/// forebay holds one only to move a word or two: never while it calls a platform, a store or a copy engine,
/// never while it copies or zeroes, and never two at once, so there is no lock order to know.
///
/// | lock | for |
/// | --- | --- |
/// | [`NoLock`] | one thread and no interrupt; sharing it does not compile |
/// | [`CriticalSection`] | one core with interrupts, or whatever the `critical-section` implementation excludes |
/// | [`Spin`] | several cores; with a [`Section`] also against interrupts |
///
/// # Safety
/// The implementation upholds the guarantee below.
///
/// # Guarantees
/// While `f` runs, no other thread, core or interrupt is inside `with` of the same lock, and everything that
/// earlier calls wrote is visible to `f`. Nothing is promised about the same context entering twice.
pub unsafe trait RawLock {
    /// An unlocked lock.
    const INIT: Self;
    /// Runs `f` alone.
    fn with<R>(&self, f: impl FnOnce() -> R) -> R;
}

/// No lock: for a single thread. It is not `Sync`, so nothing built on it can be shared.
#[derive(Debug)]
pub struct NoLock(PhantomData<Cell<()>>);

#[cfg(feature = "defmt")]
impl defmt::Format for NoLock {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "NoLock");
    }
}

// SAFETY: the type is not `Sync`, so only one thread can reach a value of it, and an interrupt handler can't
// reach it either, as a `static` of it does not compile.
unsafe impl RawLock for NoLock {
    const INIT: Self = NoLock(PhantomData);
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// What surrounds a [`Spin`] lock, usually: interrupts off.
///
/// Safe to implement: the spin lock stays sound whatever this does. It only keeps the lock from hanging.
pub trait Section {
    /// Runs `f` inside.
    fn with<R>(f: impl FnOnce() -> R) -> R;
}

/// Nothing surrounds it.
impl Section for () {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}

/// The `spin` crate's mutex inside a [`Section`].
///
/// **A plain `Spin` shared with an interrupt handler hangs for ever**: on one core the handler spins for a
/// lock that the code it interrupted can't give back. Give it a section that masks that interrupt, or use
/// [`CriticalSection`].
#[cfg(feature = "spin")]
pub struct Spin<S = ()>(spin::mutex::SpinMutex<()>, PhantomData<fn() -> S>);

#[cfg(feature = "spin")]
impl<S> fmt::Debug for Spin<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spin").field("locked", &self.0.is_locked()).finish()
    }
}

#[cfg(all(feature = "spin", feature = "defmt"))]
impl<S> defmt::Format for Spin<S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Spin(locked: {=bool})", self.0.is_locked());
    }
}

#[cfg(feature = "spin")]
// SAFETY: the mutex admits one at a time, and taking it synchronises with giving it back.
unsafe impl<S: Section> RawLock for Spin<S> {
    const INIT: Self = Spin(spin::mutex::SpinMutex::new(()), PhantomData);
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        S::with(|| {
            let _held = self.0.lock();
            f()
        })
    }
}

/// The `critical-section` crate, so whatever the firmware registered with it. It nests, so it may be entered
/// from code that is inside another one.
#[cfg(feature = "critical-section")]
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CriticalSection;

#[cfg(feature = "critical-section")]
// SAFETY: a critical section excludes every other context by the contract of `critical_section::Impl`.
unsafe impl RawLock for CriticalSection {
    const INIT: Self = CriticalSection;
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        critical_section::with(|_| f())
    }
}

/// A value behind a [`RawLock`]. Sources and stores keep their state in one.
///
/// # Invariants
/// `entered` is true exactly while a closure runs on `value`.
pub struct Locked<L, T: ?Sized> {
    raw: L,
    entered: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: `entered` and `value` are reached inside `RawLock::with` only (or by `&mut self`), which admits one
// context at a time; the value moves between threads, hence `T: Send`.
unsafe impl<L: RawLock + Sync, T: Send + ?Sized> Sync for Locked<L, T> {}

impl<L: RawLock, T> Locked<L, T> {
    /// A value that nobody uses yet.
    pub const fn new(value: T) -> Self {
        Locked { raw: L::INIT, entered: Cell::new(false), value: UnsafeCell::new(value) }
    }
}

impl<L: RawLock, T: ?Sized> Locked<L, T> {
    /// Runs `f` on the value, alone.
    ///
    /// Keep `f` short, and call nothing of others from it. **It must not enter the same lock again**: that
    /// never returns, as with every lock that does not nest. (It is noticed under any lock, so it is a hang and
    /// never two exclusive borrows; with debug assertions it panics.)
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.raw.with(|| {
            if self.entered.replace(true) {
                entered_twice()
            }
            let _leave = Leave(&self.entered);
            // SAFETY: 1. `RawLock::with` keeps every other context out; 2. `entered` was false, so this one
            // is not inside already. Hence nobody else has a reference to the value.
            f(unsafe { &mut *self.value.get() })
        })
    }

    /// The value, without locking: `&mut self` proves that nobody is inside.
    pub const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<L, T: ?Sized> fmt::Debug for Locked<L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<L, T: ?Sized> defmt::Format for Locked<L, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Locked");
    }
}

/// Keeps the invariant of [`Locked`] when a closure panics.
struct Leave<'l>(&'l Cell<bool>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

#[cold]
#[inline(never)]
fn entered_twice() -> ! {
    debug_assert!(false, "a closure of `Locked::with` entered the same lock again");
    loop {
        core::hint::spin_loop();
    }
}
