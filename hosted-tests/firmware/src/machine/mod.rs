//! What the image needs of a machine: one file for each, of which it has its own.
//!
//! Every machine gives the same names, and nothing else of it is used outside:
//!
//! | name | what it is |
//! | --- | --- |
//! | `Console` | text out: `impl fmt::Write` |
//! | `RawMutex` | what excludes everything else that runs here: other cores, and interrupts |
//! | `PAGE`, `FAST_BYTES`, `SLOW_BYTES` | bytes of a page, and of both memories at most, for static metadata |
//! | `init()` | the devices, once, before anything else |
//! | `memory()` | both memories, once |
//! | `start_timer(hz, tick)`, `stop_timer()` | an interrupt that comes again and again |
//! | `on_completion(handler)`, `raise_completion()` | the interrupt of a device that is done |
//! | `wait_until(done)` | sleeps from interrupt to interrupt until `done`, asked with interrupts off, says so |
//! | `disable_interrupts()`, `exit(Exit)` | the end |
//!
//! No handler interrupts another, nor is it interrupted by itself. The timer is not started in a critical section or a
//! handler, and nothing waits there: interrupts are on afterwards. The boot code calls `crate::rust_main` with `.bss` cleared, no source of
//! interrupts open, and nothing else running.
//!
//! On AArch64 there is more, for the steps `two_cores` and `caching` alone: the second core, and the attributes of memory.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "arm")]
mod arm;
#[cfg(target_os = "linux")]
mod c_library;
mod handler;
#[cfg(target_arch = "riscv32")]
mod riscv32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "arm")]
pub use arm::*;
#[cfg(target_arch = "riscv32")]
pub use riscv32::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// The memories of a machine.
pub struct Memory {
    /// The pool's: the first piece, and a second one where there are two.
    pub fast: [&'static mut [u8]; 2],
    /// The swap region's.
    pub slow: &'static mut [u8],
}

/// How the image ends, as QEMU's status. QEMU itself ends with 0 or 1.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Exit {
    Pass = 33,
    /// The program says so.
    Fail = 3,
    Panic = 5,
    /// The processor says so.
    Fault = 7,
}
