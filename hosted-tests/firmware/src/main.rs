//! Forebay on a bare x86-64 machine: no operating system, no `std`, no `alloc`, real interrupts.
//!
//! The image takes the `core` that is installed for the host anyway, so no cross toolchain is needed.
//! `run`, beside this crate's manifest, builds it, boots it in QEMU and turns the outcome into a status.
#![no_std]
#![no_main]

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!(
    "this image borrows the prebuilt core of x86_64-unknown-linux-gnu; it cannot be built for others"
);

mod app;
mod c_library;
mod selftest;
mod x86_64;

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use x86_64::{Exit, Serial};

const SRAM_BYTES: usize = 96 * 1024;
const PSRAM_BYTES: usize = 1024 * 1024;
const META_WORDS: usize = app::metadata_words(SRAM_BYTES, PSRAM_BYTES);

/// Bytes cut from the two ends of the fast memory: a linker hands out ranges with no round edge.
const SRAM_RAGGED: (usize, usize) = (3, 6);

#[repr(C, align(4096))]
struct Page<T>(T);

static mut SRAM: Page<[u8; SRAM_BYTES]> = Page([0; SRAM_BYTES]);
static mut PSRAM: Page<[u8; PSRAM_BYTES]> = Page([0; PSRAM_BYTES]);
static mut META: [usize; META_WORDS] = [0; META_WORDS];

struct Memory {
    sram: &'static mut [u8],
    psram: &'static mut [u8],
    meta: &'static mut [usize],
}

/// The machine's memory ranges, once.
fn memory() -> Option<Memory> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    let (sram, psram, meta) = (&raw mut SRAM, &raw mut PSRAM, &raw mut META);
    // SAFETY: the three statics are named nowhere but here, and TAKEN lets one caller pass in the life of
    // the image, so each of these references is the only one to its static.
    let (sram, psram, meta) = unsafe { (&mut (*sram).0, &mut (*psram).0, &mut *meta) };
    let (head, tail) = SRAM_RAGGED;
    Some(Memory { sram: &mut sram[head..SRAM_BYTES - tail], psram, meta })
}

/// Where the boot code arrives: 64-bit mode, `.bss` cleared, the stack set, interrupts off.
extern "C" fn rust_main() -> ! {
    x86_64::init();
    let passed = match memory() {
        Some(m) => selftest::run(&mut Serial, m.sram, m.psram, m.meta),
        None => false,
    };
    let passed = if cfg!(feature = "fail") {
        let _ = writeln!(Serial, "firmware: feature `fail`: the verdict {passed} is reported as a failure");
        false
    } else {
        passed
    };
    x86_64::exit(if passed { Exit::Pass } else { Exit::Fail })
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    x86_64::disable_interrupts();
    let _ = writeln!(Serial, "firmware: {info}");
    x86_64::exit(Exit::Panic)
}
