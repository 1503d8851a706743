//! Around an allocator that wants `&mut`: a lock, or nothing.

use std::cell::UnsafeCell;

/// Reaches what is behind it.
pub trait Around<T> {
    /// Around this one.
    fn new(inner: T) -> Self;
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R;
}

/// A spin lock: the one that forebay has too.
pub type Spin<T> = spin::mutex::SpinMutex<T>;

impl<T> Around<T> for Spin<T> {
    fn new(inner: T) -> Self {
        Spin::new(inner)
    }
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock())
    }
}

/// Nothing: for one thread.
pub struct Bare<T>(UnsafeCell<T>);

impl<T> Around<T> for Bare<T> {
    fn new(inner: T) -> Self {
        Bare(UnsafeCell::new(inner))
    }
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: it is not `Sync`, and no closure of this program comes back here: each is one call of an allocator.
        f(unsafe { &mut *self.0.get() })
    }
}
