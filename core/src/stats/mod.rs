//! Counts, reasons and events. Uses `frame` and `port`.

mod access;
mod display;
mod event;
mod refusals;
mod report;

pub use access::AccessError;
pub(crate) use event::{Event, send};
pub use refusals::{RefusalReason, Refusals};
pub use report::{Evicted, Outcome, Report, Restored, Stats};
