//! A Cortex-M4 with much fast SRAM, and slower PSRAM behind it: the board MPS2 with the FPGA image AN386.

use core::fmt::{self, Write};
use core::ptr::with_exposed_provenance;
use cortex_m::Peripherals;
use volatile_register::{RO, RW};

pub const CLOCK_HZ: u32 = 25_000_000;
/// The last of the 32 lines of the FPGA image, which has fewer devices.
pub const COMPLETION: u16 = 31;

/// Bytes of a page.
pub const PAGE: usize = 512;
/// Bytes of SRAM that are given away.
pub const FAST_BYTES: usize = 96 * 1024;
/// Bytes of PSRAM.
pub const SLOW_BYTES: usize = 16 * 1024 * 1024;

/// Where the SRAM is (`mps2.x` keeps it free), and how much: two pieces with ragged ends, as they are left over between
/// others.
pub const FAST: [(usize, usize); 2] = [(0x2010_0003, 61_001), (0x2010_f005, FAST_BYTES - 61_440 - 5 - 6)];
/// Where the PSRAM is.
pub const SLOW: (usize, usize) = (0x2100_0000, SLOW_BYTES);

/// The console, and what a null pointer does.
pub fn init() {
    let uart = uart();
    // SAFETY: this turns the transmitter on, and leaves the interrupts of the UART off.
    unsafe {
        uart.divisor.write(CLOCK_HZ / 115_200);
        uart.control.write(1);
    }
    shut_vectors();
}

/// Nobody may touch the vector table, which the processor reads all the same: it lies at address 0.
fn shut_vectors() {
    const KIBIBYTE: u32 = 9; // the region has two to the power of one more
    if let Some(peripherals) = Peripherals::take() {
        let mpu = peripherals.MPU;
        // SAFETY: region 0 is the first KiB, with no access, where neither code nor data lies (cortex-m-rt's linker script);
        // all else is as without the MPU (PRIVDEFENA).
        unsafe {
            mpu.rnr.write(0);
            mpu.rbar.write(0);
            mpu.rasr.write(KIBIBYTE << 1 | 1);
            mpu.ctrl.write(0b101);
        }
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// A CMSDK UART.
#[repr(C)]
struct Uart {
    data: RW<u32>,
    state: RO<u32>,
    control: RW<u32>,
    interrupts: RW<u32>,
    divisor: RW<u32>,
}

fn uart() -> &'static Uart {
    // SAFETY: there is the board's first UART, for ever; its registers are only used by what this reference permits.
    unsafe { &*with_exposed_provenance(0x4000_4000) }
}

/// The board's first UART.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        const FULL: u32 = 1;
        for byte in s.bytes() {
            while uart().state.read() & FULL != 0 {}
            // SAFETY: it sends a byte.
            unsafe { uart().data.write(byte.into()) }
        }
        Ok(())
    }
}
