//! The machine: one RISC-V core as QEMU's `virt` has it, entered in machine mode. No interrupt is ever enabled at a source.

use core::arch::{asm, global_asm};
use core::fmt;
use core::ptr::with_exposed_provenance_mut;

global_asm!(
    r#"
.pushsection .text.boot, "ax"
.global _start
_start:
    la   sp, __stack_top
    la   t0, fault_entry
    csrw mtvec, t0
    la   t0, __bss_start
    la   t1, __bss_end
2:  sw   zero, 0(t0)
    addi t0, t0, 4
    bltu t0, t1, 2b
    csrsi mstatus, 8                // so that masking interrupts changes something
    call {main}
.balign 4
fault_entry:
    call {fault}
.popsection
"#,
    main = sym crate::rust_main,
    fault = sym fault,
);

unsafe extern "C" {
    safe static mut __memory: [u8; 0];
}

/// Bytes of memory that the program itself does not use.
pub const MEMORY: usize = 0x3f00_0000;

/// That memory.
///
/// # Safety
/// To be called once.
pub unsafe fn memory() -> &'static mut [u8] {
    // SAFETY: the linker script keeps the program out of it, QEMU clears it, and this is called once.
    unsafe { core::slice::from_raw_parts_mut((&raw mut __memory).cast(), MEMORY) }
}

/// The serial port.
pub struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            // SAFETY: the transmit register of the UART at this address; it is always ready in QEMU, and touches no memory.
            unsafe { with_exposed_provenance_mut::<u8>(0x1000_0000).write_volatile(byte) }
        }
        Ok(())
    }
}

/// How the image ends, as QEMU's status.
#[derive(Clone, Copy)]
pub enum Exit {
    Pass = 0,
    /// 1 is what QEMU says of its own errors.
    Fail = 2,
    Panic = 3,
    Fault = 4,
}

pub fn exit(how: Exit) -> ! {
    let word = match how as u32 {
        0 => 0x5555,
        status => status << 16 | 0x3333,
    };
    loop {
        // SAFETY: the register of the test device at this address ends the machine.
        unsafe { with_exposed_provenance_mut::<u32>(0x10_0000).write_volatile(word) }
        // SAFETY: it only waits.
        unsafe { asm!("wfi") }
    }
}

extern "C" fn fault() -> ! {
    exit(Exit::Fault)
}
