//! What Forebay's operations cost, in instructions: a table, and limits.
//!
//! For RISC-V, which has a counter of executed instructions. `cargo xtask counts` builds and runs it.
#![no_std]
#![no_main]

#[path = "../app.rs"]
#[expect(dead_code, reason = "only its tick is measured")]
mod app;
mod bare;
mod checks;
mod cost;
mod home;
mod means;
mod spin;
mod tick;
mod usual;

use bare::Console;
use checks::check;
use core::arch::asm;
use cost::Cost;
use critical_section::RawRestoreState;

const MOST_FOR_TRANSFER: u32 = 190;
const MOST_FOR_EVICT: u32 = 360;
const MOST_FOR_RESTORE: u32 = 340;
/// What any of these costs more in a region in pieces.
const MOST_FOR_PIECES: u32 = 40;
const MOST_FOR_TAKE_AND_PUT: u32 = 120;
const MOST_FOR_ALLOCATE_AND_FREE: u32 = 90;
const MOST_FOR_A_TICK: u32 = 1_300;
const MOST_FOR_A_TICK_WITH_NOTHING_TO_DO: u32 = 1_500;

/// Interrupts of the one core are masked.
struct Masked;
critical_section::set_impl!(Masked);

// SAFETY: one core, and no other context than interrupts: with those masked nothing else runs.
unsafe impl critical_section::Impl for Masked {
    #[inline(always)]
    unsafe fn acquire() -> RawRestoreState {
        let was: u32;
        // SAFETY: masks interrupts.
        unsafe {
            asm!("csrrci {was}, mstatus, 8", "andi {was}, {was}, 8", was = out(reg) was, options(nostack))
        }
        was != 0
    }

    #[inline(always)]
    unsafe fn release(was: RawRestoreState) {
        if was {
            // SAFETY: the state before `acquire`.
            unsafe { asm!("csrsi mstatus, 8", options(nostack)) }
        }
    }
}

extern "C" fn rust_main() -> ! {
    checks::end(counted(&mut Console))
}

/// Prints the table; whether every limit is kept.
fn counted(out: &mut Console) -> Option<bool> {
    let mut all = check(out, cost::is_exact(), format_args!("the cost of loops of known length is exact"));
    home::init()?;
    let found = means::run(out)?;

    for (what, one, other, limit) in [
        ("take and put", &found.take, &found.put, MOST_FOR_TAKE_AND_PUT),
        ("allocate and free", &found.allocate, &found.free, MOST_FOR_ALLOCATE_AND_FREE),
    ] {
        let both = one.mean() + other.mean();
        all &= check(out, both <= limit, format_args!("{what}: {both} of {limit} instructions"));
    }
    let ticks = tick::run(out)?;
    for (what, cost, limit) in [
        ("a tick that transfers a tile", &ticks.idle, MOST_FOR_A_TICK),
        ("a tick with nothing to do", &ticks.nothing, MOST_FOR_A_TICK_WITH_NOTHING_TO_DO),
    ] {
        let most = cost.most;
        all &= check(out, most <= limit, format_args!("{what}: {most} of {limit} instructions"));
    }
    let most = found.transfer.as_flattened().iter().map(|cost| cost.most).max()?;
    let text = format_args!("a transfer: {most} of {MOST_FOR_TRANSFER} instructions at most");
    all &= check(out, most <= MOST_FOR_TRANSFER, text);
    for (what, [fresh, in_pieces], limit) in [
        ("an evict step by transfer", &found.evict, MOST_FOR_EVICT),
        ("a restore step by taking back", &found.restore, MOST_FOR_RESTORE),
    ] {
        let most = |costs: &[Cost; 11]| costs.iter().map(|cost| cost.most).max();
        let (most, in_pieces) = (most(fresh)?, most(in_pieces)?);
        all &= check(out, most <= limit, format_args!("{what}: {most} of {limit} instructions at most"));
        let (more, limit) = (in_pieces.saturating_sub(most), MOST_FOR_PIECES);
        let text = format_args!("{what} in a region in pieces: {more} of {limit} instructions more");
        all &= check(out, more <= limit, text);
    }
    for (what, regions) in [("a transfer", &found.transfer), ("an evict step by transfer", &found.evict)] {
        for costs in regions {
            let (least, most) = (costs.iter().map(|c| c.least).min()?, costs.iter().map(|c| c.most).max()?);
            let moved = costs.iter().all(|cost: &Cost| cost.times() > 0);
            let text = format_args!("{what} costs about the same at every order: {least} to {most}");
            all &= check(out, moved && most - least <= least / 32, text);
        }
    }
    Some(all)
}
