//! A Cortex-M0 with 16 KiB of RAM in all: the nRF51822 of the first micro:bit. What is slow here is slow by name only.

use core::fmt::{self, Write};
use core::ptr::with_exposed_provenance;
use volatile_register::{RW, WO};

pub const CLOCK_HZ: u32 = 16_000_000;
/// The first line that is for software alone (SWI0).
pub const COMPLETION: u16 = 20;

/// Bytes of a page.
pub const PAGE: usize = 256;
/// Bytes of the pool.
pub const FAST_BYTES: usize = 8 * 1024;
/// Bytes of the swap region.
pub const SLOW_BYTES: usize = 4 * 1024;

/// Where they are: `microbit.x` keeps both free.
pub const FAST: [(usize, usize); 2] = [(0x2000_1000, FAST_BYTES), (0x2000_3000, 0)];
pub const SLOW: (usize, usize) = (0x2000_3000, SLOW_BYTES);

/// The console.
pub fn init() {
    let uart = uart();
    // SAFETY: this turns the transmitter on, and leaves the interrupts of the UART off.
    unsafe {
        uart.enable.write(4);
        uart.start_transmitter.write(1);
    }
}

/// The nRF51's UART, as far as needed.
#[repr(C)]
struct Uart {
    _0x000: [u32; 2],
    start_transmitter: WO<u32>,
    _0x00c: [u32; 68],
    sent: RW<u32>,
    _0x120: [u32; 248],
    enable: RW<u32>,
    _0x504: [u32; 6],
    data: WO<u32>,
}

fn uart() -> &'static Uart {
    // SAFETY: there is the UART, for ever; its registers are only used by what this reference permits.
    unsafe { &*with_exposed_provenance(0x4000_2000) }
}

/// The UART.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            // SAFETY: it sends a byte; the event is cleared before, and waited for after.
            unsafe {
                uart().sent.write(0);
                uart().data.write(byte.into());
            }
            while uart().sent.read() == 0 {}
        }
        Ok(())
    }
}
