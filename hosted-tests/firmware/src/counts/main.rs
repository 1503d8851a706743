//! What Forebay's operations cost, in instructions, and how long they keep interrupts masked: a table, and limits.
//!
//! Counted on RISC-V, which has a counter of executed instructions that QEMU keeps exactly. `counts`, beside this crate's
//! manifest, builds and runs it.
#![no_std]
#![no_main]

mod bare;
mod counter;
mod home;
mod masked;
mod means;

use bare::{Console, Exit};
use core::fmt::Write;
use core::panic::PanicInfo;
use counter::Cost;

const MOST_FOR_TRANSFER: u32 = 400;
const MOST_FOR_TAKE_AND_GIVE: u32 = 120;
const MOST_MASKED: u32 = 60;

extern "C" fn rust_main() -> ! {
    let all_kept = counted(&mut Console)
        .unwrap_or_else(|| check(&mut Console, false, format_args!("it ran to its end")));
    bare::exit(if all_kept { Exit::Pass } else { Exit::Fail })
}

/// Prints the tables; whether every limit is kept. `None` if something did not do what was to be measured.
fn counted(out: &mut Console) -> Option<bool> {
    let mut all = check(out, counter::is_exact(), format_args!("loops of known length are counted exactly"));
    home::init()?;
    let found = means::run(out)?;
    writeln!(out).ok()?;
    let longest = masked::run()?;
    longest.print(out)?;
    writeln!(out).ok()?;

    let both = found.take_and_give.mean();
    all &= check(
        out,
        both <= MOST_FOR_TAKE_AND_GIVE,
        format_args!("take and give: {both} of {MOST_FOR_TAKE_AND_GIVE} instructions"),
    );
    for (what, costs) in [("a transfer", &found.transfer), ("an evict step by transfer", &found.evict)] {
        let all_orders = || costs.as_flattened().iter();
        let (least, most) = (all_orders().map(|c| c.least).min()?, all_orders().map(|c| c.most).max()?);
        let moved = all_orders().all(|cost: &Cost| cost.times() > 0);
        all &= check(
            out,
            moved && most <= MOST_FOR_TRANSFER,
            format_args!("{what}: {most} of {MOST_FOR_TRANSFER} instructions at most"),
        );
        all &= check(
            out,
            least == most,
            format_args!("{what} costs the same at every order: {least} to {most}"),
        );
    }
    for (what, most) in longest.rows() {
        let text = format_args!("interrupts masked by {what}: {most} of {MOST_MASKED} instructions at most");
        all &= check(out, most <= MOST_MASKED, text);
    }
    Some(all)
}

fn check(out: &mut Console, kept: bool, what: core::fmt::Arguments) -> bool {
    let _ = writeln!(out, "{}: {what}", if kept { "passed" } else { "failed" });
    kept
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let _ = writeln!(Console, "counts: {info}");
    bare::exit(Exit::Panic)
}
