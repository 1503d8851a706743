//! What each of these images has besides: it is linked, and never run.

use core::panic::PanicInfo;
use cortex_m as _; // its critical section

/// As a small firmware has it: it says nothing.
#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
