//! The machine: QEMU's `virt` with two Cortex-A53, in 64 bits, at EL1.
//!
//! | file | what it has |
//! | --- | --- |
//! | `boot` | start-up, the second core |
//! | `interrupts` | exceptions, the interrupt controller, the timers |
//! | `mmu` | the page tables, and the attributes of memory |
//! | `maintenance` | instructions for caches and translations, and a log of them |
//!
//! This file has the console, the locks, the memories and the end.

mod boot;
mod interrupts;
mod maintenance;
mod mmu;

use super::{Exit, Memory};
use core::fmt::{self, Write};
use core::hint::spin_loop;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use static_cell::ConstStaticCell;

pub use boot::{core_number, init, start_second};
pub use interrupts::{
    Masked, disable_interrupts, on_completion, raise_completion, start_timer, stop_timer, wait_until,
};
pub use maintenance::{LINE, Operation, clean, clean_and_invalidate, log_since, logged};
pub use mmu::{Attribute, complete_attributes, in_tables, set_attribute, translated};

/// Ends the machine.
pub fn exit(code: Exit) -> ! {
    semihosting::process::exit(code as i32)
}

/// The serial port, a PL011.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        const DATA: usize = 0x0900_0000;
        const FLAGS: usize = DATA + 0x18;
        const FULL: u32 = 1 << 5;
        for byte in s.bytes() {
            // SAFETY: registers of 32 bits, which the MMU maps as device memory (before it is on, all is); the device
            // neither touches memory nor interrupts. The wait is bounded: where nothing drains it, output is lost.
            unsafe {
                let full = || ptr::with_exposed_provenance::<u32>(FLAGS).read_volatile() & FULL != 0;
                let _ = (0..100_000).any(|_| !full());
                ptr::with_exposed_provenance_mut::<u32>(DATA).write_volatile(byte.into());
            }
        }
        Ok(())
    }
}

/// What excludes the other core, and this one's interrupts.
pub type RawMutex = forebay::sync::SpinRawMutex<Masked>;

/// The critical section of both cores: interrupts masked, and one number for all sections, as they nest.
struct BothCores;
critical_section::set_impl!(BothCores);

/// The core that is in a critical section, plus one; 0: none.
static HOLDER: AtomicUsize = AtomicUsize::new(0);
/// How many more sections it is in. Only the holder touches it.
static NESTED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: `HOLDER` admits one core, taking it synchronises with giving it back, and with its interrupts masked nothing else
// runs on that core. Only the outermost section gives it back, and turns interrupts on again if it found them so.
unsafe impl critical_section::Impl for BothCores {
    unsafe fn acquire() -> bool {
        let were_on = Masked::begin();
        let me = core_number() + 1;
        if HOLDER.load(Ordering::Relaxed) == me {
            NESTED.fetch_add(1, Ordering::Relaxed);
        } else {
            while HOLDER.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed).is_err() {
                spin_loop();
            }
        }
        were_on
    }

    unsafe fn release(were_on: bool) {
        if NESTED.load(Ordering::Relaxed) > 0 {
            NESTED.fetch_sub(1, Ordering::Relaxed);
        } else {
            HOLDER.store(0, Ordering::Release);
        }
        Masked::end(were_on);
    }
}

/// Bytes of a page: what the MMU maps.
pub const PAGE: usize = 4096;
/// Bytes of fast memory.
pub const FAST_BYTES: usize = 256 * 1024;
/// Bytes of slow memory.
pub const SLOW_BYTES: usize = 4 * 1024 * 1024;

#[repr(C, align(65536))]
struct Aligned<T>(T);

static FAST: ConstStaticCell<Aligned<[u8; FAST_BYTES]>> = ConstStaticCell::new(Aligned([0; FAST_BYTES]));
static SLOW: ConstStaticCell<Aligned<[u8; SLOW_BYTES]>> = ConstStaticCell::new(Aligned([0; SLOW_BYTES]));

/// The machine's memories, once.
pub fn memory() -> Option<Memory> {
    let (Aligned(fast), Aligned(slow)) = (FAST.try_take()?, SLOW.try_take()?);
    Some(Memory { fast: [fast, &mut []], slow })
}
