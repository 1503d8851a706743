//! What each of these images has besides: it is linked, and never run.

use core::panic::PanicInfo;
use cortex_m as _; // its critical section
#[cfg(feature = "defmt")]
use defmt_serial as _; // its logger

/// As a small firmware has it: it says nothing.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
