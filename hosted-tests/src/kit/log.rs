//! A log of calls.

use forebay_backends::{Event, Sink};
use std::sync::Mutex;

/// What was called, in order.
#[derive(Debug, Default)]
pub struct Log(Mutex<Vec<Event>>);

impl Sink for &Log {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(*event);
    }
}

impl Log {
    /// All since the last time.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// How many were like that since the last time.
    pub fn count(&self, f: impl Fn(&Event) -> bool) -> usize {
        self.take().iter().filter(|e| f(e)).count()
    }
}
