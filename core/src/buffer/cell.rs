//! A value with one holder or many readers, and for which no context waits. The inside of every buffer.
#![allow(unsafe_code)]

use crate::buffer::Class;
use crate::frame::Busy;
use crate::sync::{MutexCell, RawMutex};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

/// In the number of users: a context was refused.
const WANTED: i32 = 1;
/// In the number of users: one reader.
const READER: i32 = 2;
/// The number of users of a value that is held exclusively. Positive ones count readers.
const HELD: i32 = i32::MIN;

/// What the last look of an evictor at a buffer found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reference {
    /// Not used since the last look.
    Idle = 0,
    /// Used since the last look: it has a second chance.
    Used = 1,
    /// It refused an eviction: it is skipped once, unless all of it is stored and may be purged.
    Refused = 2,
}

/// A value that tells evictors its class.
pub trait Classify {
    /// The class now. The holder calls it when it leaves.
    fn classify(&mut self) -> Class;
}

/// The owner of a cell, which is told that the value is free.
pub trait Owner {
    /// The value is free, or shared, and a context was refused meanwhile.
    fn released(&self);
}

/// # Invariants
/// `users` says which guards exist: none, one [`Held`], or that many [`Reader`]s. It also says whether a context was refused since the
/// value was free. (A guard that was leaked counts as existing;
/// its borrow keeps `&mut self` away for as long as it could be used.)
///
/// The atomics are only loaded and stored, so machines without compare-and-swap have them too. They are hints, except for
/// [`Class::READY`], which is read under the lock: the holder stores it before it leaves.
///
/// `wanted` is true exactly while `users` says that a context was refused. It is loaded without the lock.
pub(crate) struct SharedCell<R, T, O> {
    users: MutexCell<R, i32>,
    class: AtomicU8,
    reference: AtomicU8,
    wanted: AtomicBool,
    value: UnsafeCell<T>,
    pub(crate) owner: O,
}

// SAFETY: `value` is reached through guards only, so by one `Held` (which moves it between threads: `Send`) or by any number
// of readers (`Sync`). The owner is shared.
unsafe impl<R: RawMutex + Sync, T: Send + Sync, O: Sync> Sync for SharedCell<R, T, O> {}

/// What [`SharedCell::enter`] found.
pub(crate) enum Entered<'c, R: RawMutex, T: Classify, O: Owner> {
    /// The value is ready, and shared now.
    Reader(Reader<'c, R, T, O>),
    /// The value needs work, and is held exclusively now.
    Held(Held<'c, R, T, O>),
}

impl<R: RawMutex, T, O> SharedCell<R, T, O> {
    pub(crate) const fn new(value: T, owner: O) -> Self {
        SharedCell {
            users: MutexCell::new(0),
            class: AtomicU8::new(0),
            reference: AtomicU8::new(0),
            wanted: AtomicBool::new(false),
            value: UnsafeCell::new(value),
            owner,
        }
    }

    /// Forgets a leaked guard, which can't be alive. The caller holds the value next, so that its class is published again: a leaked
    /// holder did not do that.
    pub(crate) fn forgive(&mut self) {
        *self.users.get_mut() = 0;
        self.wanted = AtomicBool::new(false);
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

    /// Whether another context was refused since the value was free last. One load.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// In a closure of `users`: `left` is the number of users from now on. Returns whether another context was refused, and forgets
    /// it.
    fn leave(&self, users: &mut i32, left: i32) -> bool {
        let wanted = *users & WANTED != 0;
        *users = left;
        if wanted {
            self.wanted.store(false, Relaxed);
        }
        wanted
    }
}

impl<R: RawMutex, T: Classify, O: Owner> SharedCell<R, T, O> {
    /// Exclusive use. A refusal tells the present holder that it is wanted.
    pub(crate) fn hold(&self) -> Result<Held<'_, R, T, O>, Busy> {
        self.hold_as(Wish::Told).ok_or(Busy)
    }

    /// The same, and it counts as a use.
    pub(crate) fn hold_to_use(&self) -> Result<Held<'_, R, T, O>, Busy> {
        let held = self.hold()?;
        self.set_reference(Reference::Used);
        Ok(held)
    }

    /// Exclusive use without setting the reference, and without disturbing the present holder.
    pub(crate) fn hold_quietly(&self) -> Option<Held<'_, R, T, O>> {
        self.hold_as(Wish::Quiet)
    }

    fn hold_as(&self, wish: Wish) -> Option<Held<'_, R, T, O>> {
        self.users.update(|users| {
            if *users != 0 {
                self.refuse(users, wish);
                return None;
            }
            *users = HELD;
            Some(Held { cell: self })
        })
    }

    /// Shared use if the value is ready, else exclusive use to make it ready.
    pub(crate) fn enter(&self) -> Result<Entered<'_, R, T, O>, Busy> {
        let entered = self.enter_as(Wish::Told)?;
        self.set_reference(Reference::Used);
        Ok(entered)
    }

    /// A look at the value that leaves no trace: it sets no reference, and makes no later call fail.
    pub(crate) fn inspect<U>(&self, f: impl FnOnce(&T) -> U) -> Result<U, Busy> {
        Ok(match &self.enter_as(Wish::Quiet)? {
            Entered::Reader(reader) => f(reader),
            Entered::Held(held) => f(held),
        })
    }

    fn enter_as(&self, wish: Wish) -> Result<Entered<'_, R, T, O>, Busy> {
        self.users.update(|users| match *users {
            0 if !self.class().contains(Class::READY) => {
                *users = HELD;
                Ok(Entered::Held(Held { cell: self }))
            }
            // Negative: held, or more readers than can be counted.
            n if n.wrapping_add(READER) > 0 => {
                *users = n.wrapping_add(READER);
                Ok(Entered::Reader(Reader { cell: self }))
            }
            _ => {
                self.refuse(users, wish);
                Err(Busy)
            }
        })
    }

    /// In a closure of `users`: a refusal.
    fn refuse(&self, users: &mut i32, wish: Wish) {
        if wish == Wish::Told {
            *users |= WANTED;
            self.wanted.store(true, Relaxed);
        }
    }
}

/// Whether a refusal asks the present holder to end early, and its end is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    Told,
    Quiet,
}

impl<R, T, O> fmt::Debug for SharedCell<R, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedCell").finish_non_exhaustive()
    }
}

/// Exclusive use, until it is dropped.
#[derive(Debug)]
pub struct Held<'c, R: RawMutex, T: Classify, O: Owner> {
    cell: &'c SharedCell<R, T, O>,
}

impl<'c, R: RawMutex, T: Classify, O: Owner> Held<'c, R, T, O> {
    /// Publishes the class, for everything that looks at it without holding the value.
    fn publish(&mut self) {
        let class = self.classify();
        self.cell.class.store(class.bits(), Relaxed);
    }

    /// The only reader, instead of the holder.
    pub(crate) fn downgrade(mut self) -> Reader<'c, R, T, O> {
        self.publish();
        let cell = self.cell;
        // One closure: a raw mutex that panics after it leaves either the holder or the reader, never both.
        let (reader, wanted) = cell.users.update(|users| {
            core::mem::forget(self); // INVARIANT: the holder becomes the first reader
            (Reader { cell }, cell.leave(users, READER))
        });
        if wanted {
            cell.owner.released(); // others may read now
        }
        reader
    }
}

impl<R: RawMutex, T: Classify, O: Owner> Deref for Held<'_, R, T, O> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `SharedCell` this is the only guard.
        unsafe { &*self.cell.value.get() }
    }
}

impl<R: RawMutex, T: Classify, O: Owner> DerefMut for Held<'_, R, T, O> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant of `SharedCell` this is the only guard, and it is borrowed exclusively.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<R: RawMutex, T: Classify, O: Owner> Drop for Held<'_, R, T, O> {
    fn drop(&mut self) {
        self.publish();
        if self.cell.users.update(|users| self.cell.leave(users, 0)) {
            self.cell.owner.released();
        }
    }
}

/// Shared use, until it is dropped.
#[derive(Debug)]
pub struct Reader<'c, R: RawMutex, T, O: Owner> {
    cell: &'c SharedCell<R, T, O>,
}

impl<R: RawMutex, T, O: Owner> Deref for Reader<'_, R, T, O> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `SharedCell` there are readers only.
        unsafe { &*self.cell.value.get() }
    }
}

impl<R: RawMutex, T, O: Owner> Drop for Reader<'_, R, T, O> {
    fn drop(&mut self) {
        let wanted = self.cell.users.update(|users| {
            *users = users.wrapping_sub(READER); // it is one of these
            *users == WANTED && self.cell.leave(users, 0)
        });
        if wanted {
            self.cell.owner.released();
        }
    }
}
