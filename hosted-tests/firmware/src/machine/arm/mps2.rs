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
    CONSOLE.init();
    #[cfg(feature = "defmt")]
    log::init();
    shut_vectors();
}

/// Nothing may touch the vector table, which lies at address 0. The processor reads it all the same.
fn shut_vectors() {
    const KIBIBYTE: u32 = 9; // the region has two to the power of one more
    if let Some(peripherals) = Peripherals::take() {
        let mpu = peripherals.MPU;
        // SAFETY: region 0 is the first KiB, with no access; all of it is the vector table (cortex-m-rt's linker script).
        // All else is as without the MPU (PRIVDEFENA).
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

/// The registers of a CMSDK UART.
#[repr(C)]
struct Registers {
    data: RW<u32>,
    state: RO<u32>,
    control: RW<u32>,
    interrupts: RW<u32>,
    divisor: RW<u32>,
}

/// One of the board's UARTs.
struct Uart(usize);

const CONSOLE: Uart = Uart(0x4000_4000);
#[cfg(feature = "defmt")]
const LOG: Uart = Uart(0x4000_5000);

impl Uart {
    fn registers(&self) -> &'static Registers {
        // SAFETY: both constants above are where the board has UARTs, for ever; the registers are only used by what this
        // reference permits.
        unsafe { &*with_exposed_provenance(self.0) }
    }

    fn init(&self) {
        let registers = self.registers();
        // SAFETY: this turns the transmitter on, and leaves the interrupts of the UART off.
        unsafe {
            registers.divisor.write(CLOCK_HZ / 115_200);
            registers.control.write(1);
        }
    }

    fn send(&self, bytes: &[u8]) {
        const FULL: u32 = 1;
        let registers = self.registers();
        for &byte in bytes {
            while registers.state.read() & FULL != 0 {}
            // SAFETY: it sends a byte.
            unsafe { registers.data.write(byte.into()) }
        }
    }
}

/// The board's first UART.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        CONSOLE.send(s.as_bytes());
        Ok(())
    }
}

/// The second UART: frames of `defmt`.
#[cfg(feature = "defmt")]
mod log {
    use core::convert::Infallible;
    use static_cell::ConstStaticCell;

    struct Port;

    static PORT: ConstStaticCell<Port> = ConstStaticCell::new(Port);

    pub fn init() {
        super::LOG.init();
        defmt_serial::defmt_serial(PORT.take());
    }

    impl embedded_io::ErrorType for Port {
        type Error = Infallible;
    }

    impl embedded_io::Write for Port {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            super::LOG.send(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }
}
