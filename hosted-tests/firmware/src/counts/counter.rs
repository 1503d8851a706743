//! Counting instructions: of a piece of the program, and of the longest piece with interrupts masked.
//!
//! `minstret` counts instructions that were executed. Under QEMU's `-icount` it does so exactly, whatever else the host does.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};
use critical_section::RawRestoreState;

/// Instructions so far.
#[inline(always)]
fn now() -> u32 {
    let count;
    // SAFETY: reads a counter. It may touch memory as far as the compiler knows, so that nothing moves across.
    unsafe { asm!("csrr {}, minstret", out(reg) count, options(nostack, preserves_flags)) }
    count
}

/// What something cost, in instructions.
#[derive(Clone, Copy)]
pub struct Cost {
    times: u32,
    sum: u64,
    pub least: u32,
    pub most: u32,
}

impl Cost {
    pub const fn new() -> Self {
        Cost { times: 0, sum: 0, least: u32::MAX, most: 0 }
    }

    /// Runs it, and counts what it costs.
    #[inline(always)]
    pub fn of<T>(&mut self, f: impl FnOnce() -> T) -> T {
        let before = now();
        let value = f();
        let instructions = now().wrapping_sub(before) - 1; // the first reading itself
        self.add(instructions, 1);
        value
    }

    /// So many instructions for so many pieces alike.
    pub fn add(&mut self, instructions: u32, pieces: u32) {
        let each = instructions / pieces;
        self.times += pieces;
        self.sum += u64::from(instructions);
        (self.least, self.most) = (self.least.min(each), self.most.max(each));
    }

    /// Runs something that does several pieces, and says how many.
    pub fn of_several(&mut self, f: impl FnOnce() -> usize) {
        let mut whole = Cost::new();
        let pieces = whole.of(f);
        self.add(whole.most, pieces as u32);
    }

    /// Less what a part of it costs alone.
    pub fn without(&self, part: &Cost) -> Cost {
        let less = |all: u32, part: u32| all.saturating_sub(part);
        let sum = self.sum.saturating_sub(u64::from(part.mean()) * u64::from(self.times));
        Cost { times: self.times, sum, least: less(self.least, part.least), most: less(self.most, part.most) }
    }

    pub fn mean(&self) -> u32 {
        (self.sum / u64::from(self.times.max(1))) as u32
    }

    pub fn times(&self) -> u32 {
        self.times
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {} | {}", self.mean(), self.least, self.most, self.times)
    }
}

static BEGAN: AtomicU32 = AtomicU32::new(0);
static LONGEST: AtomicU32 = AtomicU32::new(0);

/// A critical section as one core without threads has it: interrupts are masked. It notes how long.
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

/// Whether both counts are exact: of loops whose length is known.
pub fn is_exact() -> bool {
    let (alone, masked) = counted(0);
    [1, 1000, 1_000_000].into_iter().all(|turns| counted(turns) == (alone + 2 * turns, masked + 2 * turns))
}

/// What both counts say of a loop: of its own, and masked.
#[inline(never)]
fn counted(turns: u32) -> (u32, u32) {
    let mut cost = Cost::new();
    cost.of(|| spin(turns));
    let ((), masked) = longest_masked(|| critical_section::with(|_| spin(turns)));
    (cost.most, masked)
}

/// Two instructions for each turn, and always the same besides.
#[inline(never)]
fn spin(turns: u32) {
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
