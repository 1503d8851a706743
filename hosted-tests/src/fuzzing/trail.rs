//! What led to a failure, and what is dropped when there is one.

use std::fmt::Debug;
use std::ops::{Deref, DerefMut};

/// Dropped as usual, but forgotten while unwinding: what is half broken must not panic again.
pub(super) struct Quiet<T>(Option<T>);

impl<T> Quiet<T> {
    pub(super) fn new(value: T) -> Self {
        Quiet(Some(value))
    }
}

impl<T> Deref for Quiet<T> {
    type Target = T;
    fn deref(&self) -> &T {
        self.0.as_ref().expect("there until it is dropped")
    }
}

impl<T> DerefMut for Quiet<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("there until it is dropped")
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

/// Says on standard error which operations led to a panic.
pub(super) struct Trail<'a, M: Debug, O: Debug> {
    machine: &'a M,
    pub(super) ops: &'a [O],
    pub(super) at: usize,
}

impl<'a, M: Debug, O: Debug> Trail<'a, M, O> {
    pub(super) fn new(machine: &'a M, ops: &'a [O]) -> Self {
        Trail { machine, ops, at: 0 }
    }
}

impl<M: Debug, O: Debug> Drop for Trail<'_, M, O> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{:?}", self.machine);
            for (n, op) in self.ops.iter().enumerate().take(self.at + 1) {
                eprintln!("{n:3}: {op:?}");
            }
            if self.at >= self.ops.len() {
                eprintln!("(at the end)");
            }
        }
    }
}
