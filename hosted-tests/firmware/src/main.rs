//! Forebay on a bare x86-64 machine: no operating system, no `std`, no `alloc`, real interrupts.
//!
//! The image takes the `core` that is installed for the host anyway, so no cross toolchain is needed.
//! `run`, beside this crate's manifest, builds it, boots it in QEMU and turns the outcome into a status.
#![no_std]
#![no_main]

#[cfg(not(any(
    all(target_arch = "x86_64", target_os = "linux"),
    all(target_arch = "aarch64", target_os = "none")
)))]
compile_error!("there is no machine file for this target");

mod app;
#[cfg(target_arch = "aarch64")]
#[path = "steps/caching.rs"]
mod caching;
mod machine;
mod selftest;
#[cfg(target_arch = "aarch64")]
#[path = "steps/two_cores.rs"]
mod two_cores;

use core::fmt::Write;
use core::panic::PanicInfo;
use machine::{Console, Exit};

/// Where the boot code arrives: `.bss` cleared, the stack set, interrupts off.
extern "C" fn rust_main() -> ! {
    machine::init();
    let passed = match machine::memory() {
        Some(memory) => selftest::run(&mut Console, memory),
        None => false,
    };
    #[cfg(target_arch = "aarch64")]
    let passed = passed && caching::run(&mut Console) && two_cores::run(&mut Console);
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
