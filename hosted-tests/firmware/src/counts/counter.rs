//! The counter. `minstret` counts instructions that were executed; under QEMU's `-icount` it does so exactly, whatever else
//! the host does.

use core::arch::asm;

/// Instructions so far.
#[inline(always)]
pub fn now() -> u32 {
    let count;
    // SAFETY: reads a counter. It may touch memory as far as the compiler knows, so that nothing moves across.
    unsafe { asm!("csrr {}, minstret", out(reg) count, options(nostack, preserves_flags)) }
    count
}

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
