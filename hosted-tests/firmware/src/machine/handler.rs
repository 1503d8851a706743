//! What an interrupt calls.

use core::cell::Cell;
use critical_section::Mutex;

/// A function that an interrupt calls, or none yet.
pub struct Handler(Mutex<Place>);

type Place = Cell<Option<fn()>>;

impl Handler {
    /// Nothing is called.
    pub const fn none() -> Self {
        Handler(Mutex::new(Cell::new(None)))
    }

    /// From now on, `handler` is called.
    pub fn set(&self, handler: fn()) {
        critical_section::with(|cs| self.0.borrow(cs).set(Some(handler)));
    }

    /// For the interrupt; outside of any critical section.
    pub fn call(&self) {
        if let Some(handler) = critical_section::with(|cs| self.0.borrow(cs).get()) {
            handler();
        }
    }
}
