//! Values behind a raw mutex.
#![allow(unsafe_code)]

use crate::sync::raw::{RawMutex, entered_twice};
use core::cell::{Cell, UnsafeCell};
use core::fmt;

/// A value behind a [`RawMutex`]. Sources and stores keep their state in one.
///
/// # Invariants
/// `entered` is true exactly while a closure runs on `value`, unless the raw mutex is exclusive by itself.
pub struct Mutex<R, T: ?Sized> {
    raw: R,
    entered: Cell<bool>,
    value: UnsafeCell<T>,
}

// SAFETY: `entered` and `value` are reached inside `RawMutex::lock` only (or by `&mut self`), which admits one context at a
// time. The value moves between threads, hence `T: Send`.
unsafe impl<R: RawMutex + Sync, T: Send + ?Sized> Sync for Mutex<R, T> {}

impl<R: RawMutex, T> Mutex<R, T> {
    /// An unlocked mutex around `value`.
    pub const fn new(value: T) -> Self {
        Mutex { raw: R::INIT, entered: Cell::new(false), value: UnsafeCell::new(value) }
    }
}

impl<R: RawMutex, T: ?Sized> Mutex<R, T> {
    /// Runs `f` on the value, alone.
    ///
    /// Keep `f` short, and call no port from it. **`f` must not lock the same mutex again**, and no interrupt may that the raw
    /// mutex does not mask. That never gives two exclusive borrows.
    ///
    /// # Panics
    /// If the same context locks it again, and panics unwind (as on a host) or debug assertions are on. Other programs, such as
    /// firmware in release, often have no panic machinery, and this crate does not link it: there it tells the logger, if the
    /// feature `defmt` or `log` is on, and then stops in a loop. A raw mutex that waits for itself can't notice it: a
    /// `SpinRawMutex` without [`IrqGuard::CORE`](crate::sync::IrqGuard::CORE) hangs.
    pub fn lock<U>(&self, f: impl FnOnce(&mut T) -> U) -> U {
        self.raw.lock(|| {
            if R::IS_EXCLUSIVE {
                // SAFETY: `RawMutex::lock` keeps every other context out. It promises with `IS_EXCLUSIVE` that this context is
                // not inside already. So there is no other reference to the value.
                return f(unsafe { &mut *self.value.get() });
            }
            if self.entered.replace(true) {
                entered_twice()
            }
            let _leave = Leave(&self.entered);
            // SAFETY: 1. `RawMutex::lock` keeps every other context out; 2. `entered` was false, so this context is not
            // inside already. So there is no other reference to the value.
            f(unsafe { &mut *self.value.get() })
        })
    }
}

impl<R, T: ?Sized> fmt::Debug for Mutex<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<R, T: ?Sized> defmt::Format for Mutex<R, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Mutex");
    }
}

/// Keeps the invariant of [`Mutex`] when a closure panics.
struct Leave<'l>(&'l Cell<bool>);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// A small `Copy` value behind a raw mutex, without a flag against entering twice: for closures that call nothing.
pub(crate) struct MutexCell<R, T: Copy> {
    raw: R,
    value: Cell<T>,
}

// SAFETY: `value` is reached inside `RawMutex::lock` only (or by `&mut self`), which admits one context at a time. The value
// is `Copy`, and no reference to it is given out.
unsafe impl<R: RawMutex + Sync, T: Copy + Send> Sync for MutexCell<R, T> {}

impl<R: RawMutex, T: Copy> MutexCell<R, T> {
    pub(crate) const fn new(value: T) -> Self {
        MutexCell { raw: R::INIT, value: Cell::new(value) }
    }

    /// Changes a copy of the value and stores it. `f` must call nothing that could lock this cell again: that change would be
    /// lost.
    pub(crate) fn update<U>(&self, f: impl FnOnce(&mut T) -> U) -> U {
        self.raw.lock(|| {
            let mut value = self.value.get();
            let result = f(&mut value);
            self.value.set(value);
            result
        })
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}
