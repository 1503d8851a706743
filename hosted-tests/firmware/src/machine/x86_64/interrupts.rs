//! What can come between two instructions: the interrupt table, the controllers and their two lines, and what holds them off.
//! The invariants ONE CORE, OWN STACKS and CLOSED are those of the module above.

use super::super::handler::Handler;
use super::{Console, Exit, exit, inb, outb};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::sync::atomic::{AtomicUsize, Ordering};

// Handlers. The processor has switched to the handler's stack, aligned it to 16 bytes, pushed ss, rsp,
// rflags, cs, rip (and for some faults an error code) and turned interrupts off; iretq undoes it all.
global_asm!(
    r#"
.pushsection .text.handlers, "ax"
.macro handler entry, function
\entry:
    push rbp
    mov  rbp, rsp
    push rax
    push rcx
    push rdx
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    sub  rsp, 512
    and  rsp, -16
    fxsave64 [rsp]
    cld                             // memmove may have been going backwards
    call \function
    fxrstor64 [rsp]
    lea  rsp, [rbp - 72]
    pop  r11
    pop  r10
    pop  r9
    pop  r8
    pop  rdi
    pop  rsi
    pop  rdx
    pop  rcx
    pop  rax
    pop  rbp
    iretq
.endm
handler timer_entry, {timer}
handler serial_entry, {serial}

// A request that is gone when the controller is asked for its number. It expects no end of interrupt.
spurious_entry:
    iretq

// One stub of 16 bytes for each fault. All leave the same frame: vector, error code, rip and so on. The mask
// has a bit for each vector whose error code the processor pushes.
.balign 16
fault_entries:
.irp v, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    .balign 16
    .if ((0x60227d00 >> \v) & 1) == 0
    push 0
    .endif
    push \v
    jmp  fault_common
.endr
fault_common:
    cld
    mov  rdi, rsp
    and  rsp, -16
    call {fault}
    ud2
.popsection
"#,
    timer = sym timer,
    serial = sym serial,
    fault = sym fault,
);

unsafe extern "C" {
    // Code, named for its address alone.
    safe static timer_entry: [u8; 0];
    safe static serial_entry: [u8; 0];
    safe static spurious_entry: [u8; 0];
    safe static fault_entries: [u8; 0];
}

/// A gate of the interrupt descriptor table.
#[derive(Clone, Copy)]
#[repr(C)]
struct Gate {
    low: u64,
    high: u64,
}

impl Gate {
    const NONE: Self = Self { low: 0, high: 0 };

    /// An interrupt gate: the processor goes to `address` in segment 8 on interrupt stack `stack`, with
    /// interrupts off.
    const fn new(address: usize, stack: u8) -> Self {
        const PRESENT_INTERRUPT_GATE: u64 = 0x8e;
        let address = address as u64;
        Self {
            low: (address & 0xffff)
                | 8 << 16
                | (stack as u64) << 32
                | PRESENT_INTERRUPT_GATE << 40
                | (address >> 16 & 0xffff) << 48,
            high: address >> 32,
        }
    }
}

const HANDLER_STACK: u8 = 1;
const FAULT_STACK: u8 = 2;
const FAULTS: usize = 32;
const FAULT_ENTRY_BYTES: usize = 16;
/// Where the controllers' sixteen lines begin; the processor keeps the vectors before it for faults.
const FIRST_IRQ: usize = 0x20;
const GATES: usize = FIRST_IRQ + 16;

#[repr(C, align(16))]
struct Idt(UnsafeCell<[Gate; GATES]>);

// SAFETY: by ONE CORE no second thread exists; the only access from Rust is in `load_idt`.
unsafe impl Sync for Idt {}

static IDT: Idt = Idt(UnsafeCell::new([Gate::NONE; GATES]));

/// Loads the interrupt table.
pub(super) fn load_idt() {
    let mut gates = [Gate::NONE; GATES];
    let faults = (&raw const fault_entries).addr();
    for (vector, gate) in gates[..FAULTS].iter_mut().enumerate() {
        *gate = Gate::new(faults + vector * FAULT_ENTRY_BYTES, FAULT_STACK);
    }
    gates[FIRST_IRQ + TIMER_LINE] = Gate::new((&raw const timer_entry).addr(), HANDLER_STACK);
    gates[FIRST_IRQ + SERIAL_LINE] = Gate::new((&raw const serial_entry).addr(), HANDLER_STACK);
    gates[FIRST_IRQ + 7] = Gate::new((&raw const spurious_entry).addr(), HANDLER_STACK);
    // SAFETY: by ONE CORE, and since no handler reads the table in Rust, nothing else accesses it now; the
    // processor reads it only after `lidt` below.
    unsafe { *IDT.0.get() = gates }

    #[repr(C, packed)]
    struct Register {
        limit: u16,
        base: usize,
    }
    let register = Register { limit: size_of::<Idt>() as u16 - 1, base: IDT.0.get().addr() };
    // SAFETY: the table lives for ever and every gate in it leads to a handler above, which saves what it
    // uses (timer, serial, spurious) or never returns (faults), on the handlers' own stacks that the boot code put
    // into the task state segment (OWN STACKS).
    unsafe { asm!("lidt [{}]", in(reg) &raw const register, options(readonly, nostack, preserves_flags)) }
}

/// A pair of 8259 interrupt controllers: (command, data) of the first and the second.
const CONTROLLERS: [(u16, u16); 2] = [(0x20, 0x21), (0xa0, 0xa1)];
const ALL_LINES: u8 = 0xff;
const TIMER_LINE: usize = 0;
const SERIAL_LINE: usize = 4;
const END_OF_INTERRUPT: u8 = 0x20;

/// Moves the lines to the vectors from FIRST_IRQ on and masks them all.
pub(super) fn shut_controllers() {
    let [(command1, data1), (command2, data2)] = CONTROLLERS;
    let first = FIRST_IRQ as u8;
    for (port, value) in [
        (command1, 0x11), // begin, four words
        (command2, 0x11),
        (data1, first), // vectors
        (data2, first + 8),
        (data1, 4), // the second hangs on line 2 of the first
        (data2, 2),
        (data1, 1), // 8086 mode
        (data2, 1),
        (data1, ALL_LINES),
        (data2, ALL_LINES),
    ] {
        // SAFETY: interrupts have been off since boot, and the sequence ends with every line masked.
        unsafe { outb(port, value) }
    }
}

/// Lets a line of the first controller through.
///
/// # Safety
///
/// With interrupts on, its handler runs from now on: [`load_idt`] installed one.
unsafe fn open_line(line: usize) {
    let mask = CONTROLLERS[0].1;
    // SAFETY: the caller's promise; by ONE CORE, and as no handler touches the mask, nothing changes it in between.
    unsafe { outb(mask, inb(mask) & !(1 << line)) }
}

/// Masks a line of the first controller.
fn shut_line(line: usize) {
    let mask = CONTROLLERS[0].1;
    // SAFETY: this only takes an interrupt away; and as above.
    unsafe { outb(mask, inb(mask) | 1 << line) }
}

/// How many critical sections and handlers are open: while any is, interrupts stay off.
static CLOSED: AtomicUsize = AtomicUsize::new(0);

static TICK: Handler = Handler::none();
static COMPLETION: Handler = Handler::none();

/// Lets `tick` be called about `hz` times a second (19 to 10000), in the interrupt, until [`stop_timer`]. Turns
/// interrupts on.
///
/// # Panics
///
/// Inside a critical section or the tick itself, where interrupts must not be turned on.
pub fn start_timer(hz: u32, tick: fn()) {
    const PIT_HZ: u32 = 1_193_182;
    TICK.set(tick);
    // 65536, the longest period, is written as 0 in the divisor's 16 bits.
    let [low, high, ..] = (PIT_HZ / hz.clamp(19, 10_000)).to_le_bytes();
    // Channel 0, both bytes of the divisor, mode 2: periodic.
    for (port, value) in [(0x43, 0x34), (0x40, low), (0x40, high)] {
        // SAFETY: these set the period of the timer, whose line is masked.
        unsafe { outb(port, value) }
    }
    // SAFETY: `init` installed the timer's handler.
    unsafe { open_line(TIMER_LINE) }
    enable_interrupts();
}

/// Ends the ticks: none comes after the return. Turns interrupts off.
pub fn stop_timer() {
    disable_interrupts();
    shut_line(TIMER_LINE);
}

/// Lets `handler` be called, in the interrupt, each time that [`raise_completion`] was; while interrupts are on.
pub fn on_completion(handler: fn()) {
    COMPLETION.set(handler);
    // SAFETY: `init` installed the handler of the serial port.
    unsafe { open_line(SERIAL_LINE) }
}

/// The interrupt of a device that is done, which comes when interrupts are on: the serial port's, which is empty or soon
/// will be.
pub fn raise_completion() {
    // SAFETY: the serial port interrupts, for which there is a handler, and touches no memory.
    unsafe { outb(Console::ENABLED_INTERRUPTS, Console::WHEN_TRANSMITTER_EMPTY) }
}

/// Sleeps until `done` says so, which is asked with interrupts off, after each interrupt again: so none is missed between
/// the question and the sleep. Turns interrupts on.
///
/// # Panics
///
/// Inside a critical section or a handler, where nothing could wake it.
pub fn wait_until(done: impl Fn() -> bool) {
    assert!(CLOSED.load(Ordering::Relaxed) == 0, "a wait with interrupts held off");
    loop {
        disable_interrupts();
        if done() {
            return enable_interrupts();
        }
        // SAFETY: neither a critical section nor a handler is open (asserted), so CLOSED holds with interrupts on. They are
        // on one instruction after `sti`, when the processor sleeps already. Not `nomem`: handlers write memory.
        unsafe { asm!("sti", "hlt", options(nostack)) }
    }
}

/// Turns interrupts on.
///
/// # Panics
///
/// Inside a critical section or a handler.
fn enable_interrupts() {
    assert!(CLOSED.load(Ordering::Relaxed) == 0, "interrupts are held off");
    // SAFETY: the interrupt table is loaded (`init` runs before any other code), and neither a critical section nor a handler
    // is open (asserted), so CLOSED holds with interrupts on. Not `nomem`: memory accesses stay on their side.
    unsafe { asm!("sti", options(nostack)) }
}

/// Turns interrupts off for good, or until [`start_timer`] or [`wait_until`].
pub fn disable_interrupts() {
    // SAFETY: no code needs an interrupt to come for its memory safety. Not `nomem`: memory accesses stay on
    // their side.
    unsafe { asm!("cli", options(nostack)) }
}

/// Called by `timer_entry` with interrupts off.
extern "C" fn timer() {
    handle(&TICK);
}

/// Called by `serial_entry` with interrupts off.
extern "C" fn serial() {
    // SAFETY: the serial port takes its request back; it touches no memory.
    unsafe { outb(Console::ENABLED_INTERRUPTS, 0) }
    handle(&COMPLETION);
}

fn handle(handler: &Handler) {
    CLOSED.fetch_add(1, Ordering::Relaxed);
    handler.call();
    CLOSED.fetch_sub(1, Ordering::Relaxed);
    // SAFETY: this ends the request that is served, of a line of the first controller; by CLOSED the next one waits for
    // iretq, so the handlers' stack is never entered twice.
    unsafe { outb(CONTROLLERS[0].0, END_OF_INTERRUPT) }
}

/// What `fault_entries` and the processor push.
#[repr(C)]
struct Fault {
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

/// Called by `fault_common`: says where the program went wrong, and ends the machine.
extern "C" fn fault(frame: &Fault) -> ! {
    let cr2: u64;
    // SAFETY: reads a control register (the address of a page fault), with no effect.
    unsafe { asm!("mov {}, cr2", out(reg) cr2, options(nomem, nostack, preserves_flags)) }
    let Fault { vector, error, rip, rsp, .. } = *frame;
    let _ = writeln!(
        Console,
        "firmware: fault {vector}, error {error:#x}, at {rip:#x}, stack {rsp:#x}, page-fault address {cr2:#x}"
    );
    exit(Exit::Fault)
}

struct InterruptsOff;
critical_section::set_impl!(InterruptsOff);

// SAFETY: by ONE CORE a handler is all that can come between two instructions, and with interrupts off it
// cannot. `release` turns them on again only if this section's `acquire` found them on, so an inner
// section never opens an outer one, nor one in a handler; and nothing else turns them on while any is open
// (`enable_interrupts`, `wait_until`). The assembly is not `nomem`, so the compiler keeps memory accesses inside the section.
unsafe impl critical_section::Impl for InterruptsOff {
    unsafe fn acquire() -> bool {
        const INTERRUPT_FLAG: u64 = 1 << 9;
        let rflags: u64;
        // SAFETY: saves the flags and turns interrupts off; not `nostack`, for it pushes.
        unsafe { asm!("pushfq", "pop {}", "cli", out(reg) rflags) }
        CLOSED.fetch_add(1, Ordering::Relaxed);
        rflags & INTERRUPT_FLAG != 0
    }

    unsafe fn release(were_on: bool) {
        CLOSED.fetch_sub(1, Ordering::Relaxed);
        if were_on {
            // SAFETY: the caller pairs this with the `acquire` that found interrupts on, so this is the
            // outermost section and it is over.
            unsafe { asm!("sti", options(nostack)) }
        }
    }
}
