//! What something costs, in instructions.
//!
//! `minstret` counts those that were executed. Under QEMU's `-icount` it does so exactly, whatever else the host does.

use crate::spin::spin;
use core::arch::asm;
use core::fmt;

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

/// Whether a cost is exact: of loops whose length is known.
pub fn is_exact() -> bool {
    let none = of_a_loop(0);
    [1, 1000, 1_000_000].into_iter().all(|turns| of_a_loop(turns) == none + 2 * turns)
}

#[inline(never)]
fn of_a_loop(turns: u32) -> u32 {
    let mut cost = Cost::new();
    cost.of(|| spin(turns));
    cost.most
}
