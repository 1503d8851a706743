//! A value that one may hold, or many may read, and for which nobody waits. Behind every buffer.
#![allow(unsafe_code)]

use crate::{Busy, Class, Locked, RawLock};
use core::cell::UnsafeCell;
use core::fmt;
use core::ops::{Deref, DerefMut};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Usage {
    Idle,
    Held,
    /// By at least one reader.
    Read(u16),
}

struct State {
    usage: Usage,
    /// Somebody was told `Busy` since the present holder came.
    wanted: bool,
    idle: Idle,
}

/// What an evictor sees of a value that nobody uses.
pub(crate) struct Idle {
    /// What it was when somebody last let go of it.
    pub(crate) class: Class,
    /// Used since the last evictor passed.
    pub(crate) touched: bool,
    /// The number of the reclaim that it refused last.
    pub(crate) refused: u8,
}

/// What an evictor sees of the value without holding it.
pub(crate) trait Sorted {
    /// What it is now. Called by the holder, when it lets go.
    fn sort(&mut self) -> Class;
}

/// # Invariants
/// `usage` says which guards exist: none, one [`Held`], or that many [`Reader`]s. (A guard that was leaked
/// counts as existing; its borrow keeps `&mut self` away for as long as it could be used.)
pub(crate) struct Shared<L, T> {
    state: Locked<L, State>,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is reached through guards only, so by one `Held` (which moves it between threads: `Send`) or
// by any number of readers (`Sync`).
unsafe impl<L: RawLock + Sync, T: Send + Sync> Sync for Shared<L, T> {}

impl<L: RawLock, T> Shared<L, T> {
    pub(crate) const fn new(value: T) -> Self {
        let idle = Idle { class: Class::empty(), touched: false, refused: 0 };
        let state = State { usage: Usage::Idle, wanted: false, idle };
        Shared { state: Locked::new(state), value: UnsafeCell::new(value) }
    }

    /// A guard that was leaked is forgiven: none can be alive. It did not say what it left.
    pub(crate) const fn forgive(&mut self) {
        let state = self.state.get_mut();
        if !matches!(state.usage, Usage::Idle) {
            (state.usage, state.idle.class) = (Usage::Idle, Class::all());
        }
    }

    /// The value without asking: no guard can be alive.
    pub(crate) const fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }
}

impl<L: RawLock, T: Sorted> Shared<L, T> {
    /// Exclusive. A `Busy` tells the present holder that somebody wants it.
    pub(crate) fn hold(&self) -> Result<Held<'_, L, T>, Busy> {
        self.state.with(|s| {
            if s.usage != Usage::Idle {
                s.wanted = true;
                return Err(Busy);
            }
            (s.usage, s.wanted, s.idle.touched) = (Usage::Held, false, true);
            Ok(Held { cell: self })
        })
    }

    /// Exclusive, and no use: neither does it turn anybody away for long, nor does an evictor pass over it.
    pub(crate) fn hold_quietly(&self) -> Result<Held<'_, L, T>, Busy> {
        self.hold_if(|_| true).ok_or(Busy)
    }

    /// Exclusive, for an evictor, if nobody uses it and `may` says so.
    pub(crate) fn hold_if(&self, may: impl FnOnce(&mut Idle) -> bool) -> Option<Held<'_, L, T>> {
        self.state.with(|s| {
            if s.usage != Usage::Idle || !may(&mut s.idle) {
                return None;
            }
            (s.usage, s.wanted) = (Usage::Held, false);
            Some(Held { cell: self })
        })
    }

    /// Shared. The first reader runs `prepare` on the value, which it holds meanwhile, outside the lock; whoever
    /// joins it finds the value prepared.
    pub(crate) fn read<E: From<Busy>>(
        &self,
        prepare: impl FnOnce(&mut T) -> Result<(), E>,
    ) -> Result<Reader<'_, L, T>, E> {
        if let Some(reader) = self.join() {
            return Ok(reader);
        }
        let mut held = self.hold()?;
        prepare(&mut held)?;
        let class = held.sort();
        // One closure: a lock that panics after it leaves either the hold or the reader, never both.
        Ok(self.state.with(|s| {
            core::mem::forget(held); // INVARIANT: the hold becomes the first read
            (s.usage, s.idle.class) = (Usage::Read(1), class);
            Reader { cell: self }
        }))
    }

    /// What it was when somebody last let go of it.
    pub(crate) fn class(&self) -> Class {
        self.state.with(|s| s.idle.class)
    }

    /// Shared, where nothing has to be prepared.
    pub(crate) fn share(&self) -> Result<Reader<'_, L, T>, Busy> {
        self.state.with(|s| {
            s.usage = match s.usage {
                Usage::Idle => Usage::Read(1),
                Usage::Read(n) if n < u16::MAX => Usage::Read(n + 1),
                _ => return Err(Busy),
            };
            Ok(Reader { cell: self })
        })
    }

    /// One more reader, if there are some.
    fn join(&self) -> Option<Reader<'_, L, T>> {
        self.state.with(|s| match s.usage {
            Usage::Read(n) if n < u16::MAX => {
                (s.usage, s.idle.touched) = (Usage::Read(n + 1), true);
                Some(Reader { cell: self })
            }
            _ => None,
        })
    }

    /// A look at the value, which leaves no trace: nobody is turned away for it later, and it is no use.
    pub(crate) fn inspect<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, Busy> {
        let (held, reader) = self.state.with(|s| match s.usage {
            Usage::Idle => {
                s.usage = Usage::Held;
                Ok((Some(Held { cell: self }), None))
            }
            Usage::Read(n) if n < u16::MAX => {
                s.usage = Usage::Read(n + 1);
                Ok((None, Some(Reader { cell: self })))
            }
            _ => Err(Busy),
        })?;
        match (&held, &reader) {
            (Some(held), _) => Ok(f(held)),
            (None, Some(reader)) => Ok(f(reader)),
            (None, None) => Err(Busy), // not reached
        }
    }
}

impl<L, T> fmt::Debug for Shared<L, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Exclusive use, until it is dropped.
pub(crate) struct Held<'c, L: RawLock, T: Sorted> {
    cell: &'c Shared<L, T>,
}

impl<L: RawLock, T: Sorted> Held<'_, L, T> {
    /// Notes something for evictors.
    pub(crate) fn note(&self, f: impl FnOnce(&mut Idle)) {
        self.cell.state.with(|s| f(&mut s.idle));
    }

    /// Whether somebody was turned away meanwhile.
    pub(crate) fn wanted(&self) -> bool {
        self.cell.state.with(|s| s.wanted)
    }
}

impl<L: RawLock, T: Sorted> Deref for Held<'_, L, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `Shared` this is the only guard.
        unsafe { &*self.cell.value.get() }
    }
}

impl<L: RawLock, T: Sorted> DerefMut for Held<'_, L, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: by the invariant of `Shared` this is the only guard, and it is borrowed exclusively.
        unsafe { &mut *self.cell.value.get() }
    }
}

impl<L: RawLock, T: Sorted> Drop for Held<'_, L, T> {
    fn drop(&mut self) {
        let class = self.sort();
        self.cell.state.with(|s| (s.usage, s.idle.class) = (Usage::Idle, class));
    }
}

/// Shared use, until it is dropped.
pub(crate) struct Reader<'c, L: RawLock, T> {
    cell: &'c Shared<L, T>,
}

impl<L: RawLock, T> Deref for Reader<'_, L, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: by the invariant of `Shared` there are readers only.
        unsafe { &*self.cell.value.get() }
    }
}

impl<L: RawLock, T> Drop for Reader<'_, L, T> {
    fn drop(&mut self) {
        self.cell.state.with(|s| {
            s.usage = match s.usage {
                Usage::Read(n) if n > 1 => Usage::Read(n - 1),
                _ => Usage::Idle,
            }
        });
    }
}
