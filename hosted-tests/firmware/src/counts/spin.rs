//! A loop of known length, to see that what is counted is exact.

use core::arch::asm;

/// Two instructions for each turn, and always the same besides.
#[inline(never)]
pub fn spin(turns: u32) {
    // SAFETY: it counts down a register.
    unsafe {
        asm!(
            "j 3f",
            "2: addi {left}, {left}, -1",
            "3: bnez {left}, 2b",
            left = inout(reg) turns => _,
            options(nomem, nostack)
        )
    }
}
