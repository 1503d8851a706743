//! What stands around a platform or a store: faults on purpose, a gate, and a trace of every call.

mod faulty;
mod gate;
mod traced;

pub use faulty::{Faults, Faulty};
pub use gate::{Closed, Gate};
pub use traced::{Event, Sink, Traced};
