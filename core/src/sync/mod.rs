//! Mutual exclusion: raw mutexes of the integrator, and values behind them. Uses no other folder.
//!
//! `unsafe` is allowed in both files: a raw mutex is an unsafe trait, and a mutex gives out `&mut` from `&`.

mod mutex;
mod raw;

pub use mutex::Mutex;
pub(crate) use mutex::MutexCell;
#[cfg(feature = "critical-section")]
pub use raw::CriticalSectionRawMutex;
#[cfg(feature = "embassy-sync")]
pub use raw::EmbassyRawMutex;
#[cfg(feature = "mutex-traits")]
pub use raw::ScopedRawMutex;
#[cfg(feature = "spin")]
pub use raw::SpinRawMutex;
pub use raw::{IrqGuard, NoopRawMutex, RawMutex};
