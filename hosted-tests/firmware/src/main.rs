//! Forebay on bare machines: no operating system, no `std`, no `alloc`, real interrupts.
//!
//! `cargo xtask firmware` builds it, boots it in QEMU and turns the outcome into a status.
#![no_std]
#![no_main]

#[cfg(all(feature = "defmt", not(board = "mps2")))]
compile_error!("only the machine of thumbv7em has a second serial port for the log");

mod app;
mod log;
mod machine;
mod steps;

use core::fmt::Write;
use core::panic::PanicInfo;
use machine::{Console, Exit};

/// Where the boot code arrives: `.bss` cleared, the stack set, no source of interrupts open.
extern "C" fn rust_main() -> ! {
    machine::init();
    let passed = match machine::memory() {
        Some(memory) => steps::run(&mut Console, memory),
        None => false,
    };
    let passed = if cfg!(feature = "fail") {
        let _ = writeln!(Console, "firmware: feature `fail`: the verdict {passed} is reported as a failure");
        false
    } else {
        passed
    };
    machine::exit(if passed { Exit::Pass } else { Exit::Fail })
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    machine::disable_interrupts();
    let _ = writeln!(Console, "firmware: {info}");
    machine::exit(Exit::Panic)
}
