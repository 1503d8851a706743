//! What each of these images has besides: it is linked, and never run.

use core::arch::asm;
use core::panic::PanicInfo;

struct Interrupts;
critical_section::set_impl!(Interrupts);

// SAFETY: one core, and no other context than interrupts: with those masked nothing else runs.
unsafe impl critical_section::Impl for Interrupts {
    unsafe fn acquire() -> bool {
        let masked: u32;
        // SAFETY: reads whether interrupts are masked, and masks them.
        unsafe { asm!("mrs {}, PRIMASK", "cpsid i", out(reg) masked, options(nostack)) }
        masked == 0
    }
    unsafe fn release(were_on: bool) {
        if were_on {
            // SAFETY: as they were before.
            unsafe { asm!("cpsie i", options(nostack)) }
        }
    }
}

/// As a small firmware has it: it says nothing.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
