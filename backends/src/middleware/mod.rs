//! What stands around a platform or a store: faults on purpose, and a trace of every call.

mod faulty;
mod traced;

pub use faulty::{Faults, Faulty};
pub use traced::{Event, Sink, Traced};
