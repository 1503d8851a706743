//! How long interrupts are masked at most: a critical section that notes it.

use crate::spin::spin;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use critical_section::RawRestoreState;

static BEGAN: AtomicU32 = AtomicU32::new(0);
static LONGEST: AtomicU32 = AtomicU32::new(0);

/// Interrupts of the one core are masked.
struct Noted;
critical_section::set_impl!(Noted);

// SAFETY: one core, and no other context than interrupts: with those masked nothing else runs.
unsafe impl critical_section::Impl for Noted {
    #[inline(always)]
    unsafe fn acquire() -> RawRestoreState {
        let was: u32;
        // SAFETY: masks interrupts, and notes when; not before, and not where they were masked already.
        unsafe {
            asm!(
                "csrrci {was}, mstatus, 8",
                "andi {was}, {was}, 8",
                "beqz {was}, 2f",
                "csrr {now}, minstret",
                "sw {now}, 0({began})",
                "2:",
                was = out(reg) was,
                now = out(reg) _,
                began = in(reg) BEGAN.as_ptr(),
                options(nostack)
            )
        }
        was != 0
    }

    #[inline(always)]
    unsafe fn release(was: RawRestoreState) {
        if !was {
            return;
        }
        let ended: u32;
        // SAFETY: the state before `acquire`.
        unsafe { asm!("csrr {}, minstret", "csrsi mstatus, 8", out(reg) ended, options(nostack)) }
        // Between the two readings are all that a section has between masking and unmasking but the `andi`, and what is only
        // for noting: the first reading, and its store.
        let masked = ended.wrapping_sub(BEGAN.load(Ordering::Relaxed)) - 2 + 1;
        LONGEST.store(LONGEST.load(Ordering::Relaxed).max(masked), Ordering::Relaxed);
    }
}

/// The most instructions that interrupts were masked for meanwhile: from the masking to the unmasking one, both left out.
pub fn longest_masked<T>(f: impl FnOnce() -> T) -> (T, u32) {
    LONGEST.store(0, Ordering::Relaxed);
    let value = f();
    (value, LONGEST.load(Ordering::Relaxed))
}

/// Whether that is exact: of loops whose length is known.
pub fn is_exact() -> bool {
    let none = of_a_loop(0);
    [1, 1000, 1_000_000].into_iter().all(|turns| of_a_loop(turns) == none + 2 * turns)
}

#[inline(never)]
fn of_a_loop(turns: u32) -> u32 {
    longest_masked(|| critical_section::with(|_| spin(turns))).1
}
