//! The machine: a PC as QEMU makes it, entered by the PVH note of the image.
//!
//! One processor, one thread of execution, and two interrupts that can come between its instructions: the periodic
//! timer, and the serial port's, which stands for a device that is done. Its invariants, which the safety comments below
//! name:
//!
//! - ONE CORE: no other processor is ever started, so nothing runs at the same time as the current instruction.
//! - OWN STACKS: the processor enters every handler on a stack of the handler's kind (the interrupt stack
//!   table of the task state segment). The prebuilt `core` is compiled to keep live data in the 128 bytes
//!   below the stack pointer (the "red zone"), which a handler on the interrupted stack would overwrite.
//! - CLOSED: the handlers of interrupts and the critical sections run with interrupts off from begin to end. The
//!   static of this name (`interrupts.rs`) counts them.

mod interrupts;

pub use interrupts::{
    disable_interrupts, on_completion, raise_completion, start_timer, stop_timer, wait_until,
};

use super::{Exit, Memory};
use core::arch::{asm, global_asm};
use core::fmt::{self, Write};
use core::ops::Range;
use static_cell::ConstStaticCell;

// Boot. QEMU finds the note (XEN_ELFNOTE_PHYS32_ENTRY = 18) and enters `_start32` in 32-bit protected mode,
// paging and interrupts off, flat segments.
global_asm!(
    r#"
.pushsection .note.pvh, "a", @note
    .balign 4
    .long 4                         // bytes of the name
    .long 4                         // bytes of the description
    .long 18
    .asciz "Xen"
    .long _start32
.popsection

.pushsection .text.boot, "ax"
.code32
.global _start32
_start32:
    cli
    cld
    mov  esp, offset __stack_top
    mov  edi, offset __bss_start
    mov  ecx, offset __bss_end
    sub  ecx, edi
    xor  eax, eax
    rep  stosb

    // 1 GiB one to one in pages of 2 MiB, but for the first, which stays a hole.
    mov  eax, offset boot_pdpt
    or   eax, 3                     // present, writable
    mov  [boot_pml4], eax
    mov  eax, offset boot_pd
    or   eax, 3
    mov  [boot_pdpt], eax
    mov  edi, offset boot_pd + 8
    mov  eax, 0x200083              // the second 2 MiB: present, writable, large
    mov  ecx, 511
2:  mov  [edi], eax
    add  eax, 0x200000
    add  edi, 8
    dec  ecx
    jnz  2b
    mov  eax, offset boot_pml4
    mov  cr3, eax

    mov  eax, cr4
    or   eax, 0x620                 // PAE, OSFXSR, OSXMMEXCPT
    mov  cr4, eax
    mov  ecx, 0xc0000080            // EFER
    rdmsr
    or   eax, 0x100                 // LME
    wrmsr
    mov  eax, cr0
    and  eax, 0xfffffff3            // not EM, not TS
    or   eax, 0x80000003            // PG, MP, PE
    mov  cr0, eax
    fninit

    // The descriptor of the task state segment holds its address in three pieces.
    mov  eax, offset boot_tss
    mov  [boot_gdt_tss + 2], ax
    shr  eax, 16
    mov  [boot_gdt_tss + 4], al
    mov  [boot_gdt_tss + 7], ah
    lgdt [boot_gdtr]
    push 8
    mov  eax, offset boot64
    push eax
    retf

.code64
boot64:
    mov  ax, 16
    mov  ds, ax
    mov  es, ax
    mov  ss, ax
    xor  eax, eax
    mov  fs, ax
    mov  gs, ax
    mov  ax, 24
    ltr  ax
    lea  rsp, [rip + __stack_top]
    xor  ebp, ebp
    call {main}
    ud2
.popsection

.pushsection .data.boot, "aw"
.balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9a000000ffff        // 8: code, 64 bits
    .quad 0x00cf92000000ffff        // 16: data
boot_gdt_tss:
    .quad 0x0000890000000067        // 24: task state segment, 104 bytes
    .quad 0
boot_gdtr:
    .word . - boot_gdt - 1
    .quad boot_gdt
.balign 8
boot_tss:
    .skip 36
    .quad handler_stack_top         // interrupt stack 1
    .quad fault_stack_top           // interrupt stack 2
    .skip 50
    .word 104                       // no I/O permission map
.popsection

.pushsection .bss.boot, "aw", @nobits
.balign 4096
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pd:   .skip 4096
    .skip 65536
handler_stack_top:
    .skip 16384
fault_stack_top:
.popsection
"#,
    main = sym crate::rust_main,
);

/// Sets up the serial port, the interrupt table and the interrupt controllers, all lines shut. Interrupts
/// stay off.
pub fn init() {
    Console::init();
    interrupts::load_idt();
    interrupts::shut_controllers();
}

/// Ends the machine.
pub fn exit(code: Exit) -> ! {
    disable_interrupts();
    // SAFETY: port 0xf4 is QEMU's isa-debug-exit, as `cargo xtask firmware` starts the machine, which doubles what it is
    // told and adds one; where the device is missing the write goes nowhere. No memory is involved.
    unsafe { asm!("out dx, eax", in("dx") 0xf4u16, in("eax") code as u32 >> 1, options(nomem, nostack)) }
    loop {
        // SAFETY: interrupts are off, so this stops the processor and changes no state of the program.
        unsafe { asm!("hlt", options(nomem, nostack)) }
    }
}

/// Writes a byte to an I/O port.
///
/// # Safety
///
/// The device behind `port` must not, on this write, touch memory or raise an interrupt that the caller's
/// invariants forbid.
unsafe fn outb(port: u16, value: u8) {
    // SAFETY: the caller answers for the device; the instruction itself touches no memory and no flags.
    // Not `nomem`: unmasking a line must not drift across writes to memory that the handler reads.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack, preserves_flags)) }
}

/// Reads a byte from an I/O port.
///
/// # Safety
///
/// As for [`outb`], of a read.
unsafe fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: the caller answers for the device; the instruction itself touches no memory and no flags.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nostack, preserves_flags)) }
    value
}

/// The first serial port, COM1.
pub struct Console;

impl Console {
    const DATA: u16 = 0x3f8;
    const ENABLED_INTERRUPTS: u16 = Self::DATA + 1;
    const WHEN_TRANSMITTER_EMPTY: u8 = 2;
    const STATUS: u16 = Self::DATA + 5;
    const TRANSMITTER_EMPTY: u8 = 0x20;

    fn init() {
        // No interrupts; rate divisor 1 (115200); 8 bits, no parity, 1 stop bit; FIFOs on and cleared.
        for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7)] {
            // SAFETY: these registers of the UART set its own mode; its interrupts are turned off first.
            unsafe { outb(Self::DATA + register, value) }
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        for byte in s.bytes() {
            // SAFETY: reading the line status only clears error bits, which are not read. The wait is bounded: with
            // no UART there the output is lost, never the run.
            let _ = (0..100_000).any(|_| unsafe { inb(Self::STATUS) } & Self::TRANSMITTER_EMPTY != 0);
            // SAFETY: this register takes a byte to send; the UART neither touches memory nor interrupts.
            unsafe { outb(Self::DATA, byte) }
        }
        Ok(())
    }
}

/// As `rust_eh_personality` in `c_library`: it is named, and never called.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    exit(Exit::Panic)
}

/// What excludes the interrupts.
pub type RawMutex = forebay::sync::CriticalSectionRawMutex;

/// Bytes of a page.
pub const PAGE: usize = 512;
/// Bytes of fast memory.
pub const FAST_BYTES: usize = 96 * 1024;
/// Bytes of slow memory.
pub const SLOW_BYTES: usize = 1024 * 1024;

/// Where the two pieces of the fast memory begin and end: a linker hands out ranges with no round edge.
const PIECES: [Range<usize>; 2] = [3..61_007, 61_018..FAST_BYTES - 6];

#[repr(C, align(4096))]
struct Aligned<T>(T);

static FAST: ConstStaticCell<Aligned<[u8; FAST_BYTES]>> = ConstStaticCell::new(Aligned([0; FAST_BYTES]));
static SLOW: ConstStaticCell<Aligned<[u8; SLOW_BYTES]>> = ConstStaticCell::new(Aligned([0; SLOW_BYTES]));

/// The machine's memories, once.
pub fn memory() -> Option<Memory> {
    let (Aligned(fast), Aligned(slow)) = (FAST.try_take()?, SLOW.try_take()?);
    Some(Memory { fast: fast.get_disjoint_mut(PIECES).ok()?, slow: &mut slow[5..SLOW_BYTES - 700] })
}
