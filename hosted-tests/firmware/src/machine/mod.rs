//! What the image needs of a machine: one file for each, of which it has its own.
//!
//! Every machine gives the same names, and nothing else of it is used outside:
//!
//! | name | what it is |
//! | --- | --- |
//! | `Console` | text out: `impl fmt::Write` |
//! | `Lock` | what excludes everything else that runs here: other cores, and interrupts |
//! | `PAGE`, `FAST_BYTES`, `SLOW_BYTES` | bytes of a page, and of both memories at most, for static metadata |
//! | `memory()` | both memories, once |
//! | `start_timer(hz, tick)`, `stop_timer()` | an interrupt that comes again and again |
//! | `on_completion(handler)`, `raise_completion()` | the interrupt of a device that is done |
//! | `wait()` | sleeps until an interrupt |
//! | `disable_interrupts()`, `exit(Exit)` | the end |
//!
//! The boot code calls `crate::rust_main` with interrupts off, `.bss` cleared, and nothing else running.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_os = "linux")]
mod c_library;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// The memories of a machine.
pub struct Memory {
    /// The pool's: the first piece, and a second one where there are two.
    pub fast: [&'static mut [u8]; 2],
    /// The swap region's.
    pub slow: &'static mut [u8],
}
