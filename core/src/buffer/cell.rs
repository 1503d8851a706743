//! A value with one holder or many readers, and for which no context waits. The inside of every buffer.
#![allow(unsafe_code)]

use crate::buffer::Class;
use crate::frame::Busy;
use crate::sync::{MutexCell, RawMutex};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// The number of users of a value that is held exclusively. Smaller numbers count readers.
const HELD: u16 = u16::MAX;

/// What the last look of an evictor at a buffer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reference {
    /// Not used since the last look.
    Idle = 0,
    /// Used since the last look: it has a second chance.
    Used = 1,
    /// It refused an eviction: it is skipped once.
    Refused = 2,
}

/// A value that tells evictors its class.
pub trait Classify {
    /// The class now. The holder calls it when it leaves.
    fn classify(&mut self) -> Class;
}

/// # Invariants
/// `users` says which guards exist: none, one [`Held`], or that many [`Reader`]s. (A guard that was leaked counts as existing;
/// its borrow keeps `&mut self` away for as long as it could be used.)
///
/// The atomics are only loaded and stored, so machines without compare-and-swap have them too. They are hints, except for
/// [`Class::READY`], which is read under the lock: the holder stores it before it leaves.
pub(crate) struct SharedCell<R, T> {
    users: MutexCell<R, u16>,
    class: AtomicU8,
    reference: AtomicU8,
    wanted: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is reached through guards only, so by one `Held` (which moves it between threads: `Send`) or by any number
// of readers (`Sync`).
unsafe impl<R: RawMutex + Sync, T: Send + Sync> Sync for SharedCell<R, T> {}

/// What [`SharedCell::enter`] found.
pub(crate) enum Entered<'c, R: RawMutex, T: Classify> {
    /// The value is ready, and shared now.
    Reader(Reader<'c, R, T>),
    /// The value needs work, and is held exclusively now.
    Held(Held<'c, R, T>),
}

impl<R: RawMutex, T> SharedCell<R, T> {
    pub(crate) const fn new(value: T) -> Self {
        SharedCell {
            users: MutexCell::new(0),
            class: AtomicU8::new(0),
            reference: AtomicU8::new(0),
            wanted: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Forgets a leaked guard, which can't be alive. It did not say what it left, so the class is everything but ready.
    pub(crate) fn forgive(&mut self) {
        if *self.users.get_mut() != 0 {
            *self.users.get_mut() = 0;
            self.class = AtomicU8::new(Class::all().difference(Class::READY).bits());
        }
    }

    /// The value, without locking: no guard can be alive.
    pub(crate) const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The class when the last holder left. One load.
    pub(crate) fn class(&self) -> Class {
        Class::from_bits_truncate(self.class.load(Relaxed))
    }

    pub(crate) fn reference(&self) -> Reference {
        match self.reference.load(Relaxed) {
            0 => Reference::Idle,
            1 => Reference::Used,
            _ => Reference::Refused,
        }
    }

    /// A use that happens at the same time may be lost: the buffer leaves one round early, nothing worse.
    pub(crate) fn set_reference(&self, reference: Reference) {
        self.reference.store(reference as u8, Relaxed);
    }

    /// Whether another context was refused since the present holder entered. One load.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }
}

impl<R: RawMutex, T: Classify> SharedCell<R, T> {
    /// Exclusive use. A refusal tells the present holder that it is wanted.
    pub(crate) fn hold(&self) -> Result<Held<'_, R, T>, Busy> {
        match self.hold_quietly() {
            Some(held) => {
                self.set_reference(Reference::Used);
                Ok(held)
            }
            None => {
                self.wanted.store(true, Relaxed);
                Err(Busy)
            }
        }
    }

    /// Exclusive use without setting the reference, and without disturbing the present holder.
    pub(crate) fn hold_quietly(&self) -> Option<Held<'_, R, T>> {
        self.users.update(|users| {
            if *users != 0 {
                return None;
            }
            self.wanted.store(false, Relaxed);
            *users = HELD;
            Some(Held { cell: self })
        })
    }

    /// Shared use if the value is ready, else exclusive use to make it ready.
    pub(crate) fn enter(&self) -> Result<Entered<'_, R, T>, Busy> {
        let entered = self.enter_quietly();
        match &entered {
            Ok(_) => self.set_reference(Reference::Used),
            Err(Busy) => self.wanted.store(true, Relaxed),
        }
        entered
    }

    /// A look at the value that leaves no trace: it sets no reference, and makes no later call fail.
    pub(crate) fn inspect<U>(&self, f: impl FnOnce(&T) -> U) -> Result<U, Busy> {
        Ok(match &self.enter_quietly()? {
            Entered::Reader(reader) => f(reader),
            Entered::Held(held) => f(held),
        })
    }

    /// As [`enter`](SharedCell::enter), without a reference, and without asking a holder to end early.
    fn enter_quietly(&self) -> Result<Entered<'_, R, T>, Busy> {
        self.users.update(|users| match *users {
            0 if !self.class().contains(Class::READY) => {
                self.wanted.store(false, Relaxed);
                *users = HELD;
                Ok(Entered::Held(Held { cell: self }))
            }
            n if n < HELD - 1 => {
                *users = n + 1;
                Ok(Entered::Reader(Reader { cell: self }))
            }
            _ => Err(Busy),
        })
    }
}

impl<R, T> fmt::Debug for SharedCell<R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCell").finish_non_exhaustive()
    }
}

/// Exclusive use, until it is dropped.
#[derive(Debug)]
pub struct Held<'c, R: RawMutex, T: Classify> {
    cell: &'c SharedCell<R, T>,
}

impl<'c, R: RawMutex, T: Classify> Held<'c, R, T> {
    /// Publishes the class, for everything that looks at it without holding the value.
    fn publish(&mut self) {
        let class = self.classify();
        self.cell.class.store(class.bits(), Relaxed);
    }

    /// The only reader, instead of the holder.
    pub(crate) fn downgrade(mut self) -> Reader<'c, R, T> {
        self.publish();
        let cell = self.cell;
        // One closure: a raw mutex that panics after it leaves either the holder or the reader, never both.
        cell.users.update(|users| {
            core::mem::forget(self); // INVARIANT: the holder becomes the first reader
            *users = 1;
            Reader { cell }
        })
    }
}

impl<R: RawMutex, T: Classify> Deref for Held<'_, R, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `SharedCell` this is the only guard.
        unsafe { &*self.cell.value.get() }
    }
}

impl<R: RawMutex, T: Classify> DerefMut for Held<'_, R, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant of `SharedCell` this is the only guard, and it is borrowed exclusively.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<R: RawMutex, T: Classify> Drop for Held<'_, R, T> {
    fn drop(&mut self) {
        self.publish();
        self.cell.users.update(|users| *users = 0);
    }
}

/// Shared use, until it is dropped.
#[derive(Debug)]
pub struct Reader<'c, R: RawMutex, T> {
    cell: &'c SharedCell<R, T>,
}

impl<R: RawMutex, T> Deref for Reader<'_, R, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `SharedCell` there are readers only.
        unsafe { &*self.cell.value.get() }
    }
}

impl<R: RawMutex, T> Drop for Reader<'_, R, T> {
    fn drop(&mut self) {
        self.cell.users.update(|users| *users = users.saturating_sub(1));
    }
}
