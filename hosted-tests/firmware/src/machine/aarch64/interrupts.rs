//! Exceptions, the interrupt controller (GIC version 2) and the timer of each core.
//!
//! - CLOSED: handlers run with interrupts masked from begin to end, on the exception stack of their core, and keep all
//!   registers of what they interrupted, FP and SIMD among them.

use super::{Console, core_number, exit};
use crate::machine::Exit;
use crate::machine::handler::Handler;
use aarch64_cpu::asm::barrier::{SY, dsb, isb};
use aarch64_cpu::asm::wfi;
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTV_CTL_EL0, CNTV_TVAL_EL0, DAIF, ELR_EL1, ESR_EL1, FAR_EL1, Readable, SP_EL0, Writeable,
};
use core::arch::{asm, global_asm};
use core::fmt::Write;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};
use forebay::sync::IrqGuard;

// The processor has switched to `SP_EL1` and masked all interrupts; `eret` undoes both. A fault never returns, so it has
// the last stack for itself, whichever ran over.
global_asm!(
    r#"
.pushsection .text.vectors, "ax"
.balign 2048
vectors:
.irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
    .balign 128
    .if \n == 1
    b    interrupt_entry
    .endif
    mov  x0, #\n
    b    fault_entry
.endr

.balign 4
interrupt_entry:
    sub  sp, sp, #784
    stp  x0, x1, [sp, #0]
    stp  x2, x3, [sp, #16]
    stp  x4, x5, [sp, #32]
    stp  x6, x7, [sp, #48]
    stp  x8, x9, [sp, #64]
    stp  x10, x11, [sp, #80]
    stp  x12, x13, [sp, #96]
    stp  x14, x15, [sp, #112]
    stp  x16, x17, [sp, #128]
    stp  x18, x29, [sp, #144]
    mrs  x0, fpsr
    stp  x30, x0, [sp, #160]
    mrs  x0, fpcr
    str  x0, [sp, #176]
    add  x0, sp, #192
    stp  q0, q1, [x0, #0]
    stp  q2, q3, [x0, #32]
    stp  q4, q5, [x0, #64]
    stp  q6, q7, [x0, #96]
    stp  q8, q9, [x0, #128]
    stp  q10, q11, [x0, #160]
    stp  q12, q13, [x0, #192]
    stp  q14, q15, [x0, #224]
    stp  q16, q17, [x0, #256]
    stp  q18, q19, [x0, #288]
    stp  q20, q21, [x0, #320]
    stp  q22, q23, [x0, #352]
    stp  q24, q25, [x0, #384]
    stp  q26, q27, [x0, #416]
    stp  q28, q29, [x0, #448]
    stp  q30, q31, [x0, #480]
    bl   {interrupt}
    add  x0, sp, #192
    ldp  q0, q1, [x0, #0]
    ldp  q2, q3, [x0, #32]
    ldp  q4, q5, [x0, #64]
    ldp  q6, q7, [x0, #96]
    ldp  q8, q9, [x0, #128]
    ldp  q10, q11, [x0, #160]
    ldp  q12, q13, [x0, #192]
    ldp  q14, q15, [x0, #224]
    ldp  q16, q17, [x0, #256]
    ldp  q18, q19, [x0, #288]
    ldp  q20, q21, [x0, #320]
    ldp  q22, q23, [x0, #352]
    ldp  q24, q25, [x0, #384]
    ldp  q26, q27, [x0, #416]
    ldp  q28, q29, [x0, #448]
    ldp  q30, q31, [x0, #480]
    ldr  x0, [sp, #176]
    msr  fpcr, x0
    ldp  x30, x0, [sp, #160]
    msr  fpsr, x0
    ldp  x18, x29, [sp, #144]
    ldp  x16, x17, [sp, #128]
    ldp  x14, x15, [sp, #112]
    ldp  x12, x13, [sp, #96]
    ldp  x10, x11, [sp, #80]
    ldp  x8, x9, [sp, #64]
    ldp  x6, x7, [sp, #48]
    ldp  x4, x5, [sp, #32]
    ldp  x2, x3, [sp, #16]
    ldp  x0, x1, [sp, #0]
    add  sp, sp, #784
    eret

fault_entry:
    ldr  x1, =__stacks_end
    mov  sp, x1
    bl   {fault}
.popsection
"#,
    interrupt = sym interrupt,
    fault = sym fault,
);

/// A register of the interrupt controller.
#[derive(Clone, Copy)]
struct Register(usize);

impl Register {
    /// Of the distributor. Those of the first 32 interrupts are banked: each core has its own.
    const ENABLE: Register = Register(0x0800_0000);
    const SET_ENABLE: Register = Register(0x0800_0100);
    const CLEAR_ENABLE: Register = Register(0x0800_0180);
    const SEND: Register = Register(0x0800_0f00);
    /// Of the core's own interface.
    const CORE_ENABLE: Register = Register(0x0801_0000);
    const PRIORITY_MASK: Register = Register(0x0801_0004);
    const ACKNOWLEDGE: Register = Register(0x0801_000c);
    const END: Register = Register(0x0801_0010);

    fn read(self) -> u32 {
        // SAFETY: all values of this type are registers of 32 bits, which the MMU maps as device memory.
        unsafe { ptr::with_exposed_provenance::<u32>(self.0).read_volatile() }
    }

    fn write(self, value: u32) {
        // SAFETY: as above; the controller touches no memory, and every handler it can call is CLOSED.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(self.0).write_volatile(value) }
    }
}

/// The interrupt that a core sends.
const COMPLETION: u32 = 0;
/// That of the virtual timer, one of each core's own.
const TIMER: u32 = 27;
/// Where the controller has nothing to tell.
const SPURIOUS: u32 = 1023;

/// Lets this core take interrupts; none has a source yet.
pub fn init() {
    Register::CLEAR_ENABLE.write(u32::MAX);
    Register::PRIORITY_MASK.write(0xff); // any priority
    Register::ENABLE.write(1);
    Register::CORE_ENABLE.write(1);
    enable_interrupts();
}

static TICK: Handler = Handler::none();
static DONE: Handler = Handler::none();
/// Counts of the timer between two ticks.
static PERIOD: AtomicU64 = AtomicU64::new(0);

/// Lets `tick` be called about `hz` times a second on this core, in the interrupt, until [`stop_timer`]. Both cores may have a
/// timer; rate and tick are those of the last call.
pub fn start_timer(hz: u32, tick: fn()) {
    TICK.set(tick);
    PERIOD.store(CNTFRQ_EL0.get() / u64::from(hz.max(1)), Ordering::Relaxed);
    wind_timer();
    Register::SET_ENABLE.write(1 << TIMER);
    enable_interrupts();
}

/// Ends this core's ticks: none comes after the return.
pub fn stop_timer() {
    Masked::with(|| {
        CNTV_CTL_EL0.set(0);
        Register::CLEAR_ENABLE.write(1 << TIMER);
        // The controller does what it was told before it answers.
        Register::CLEAR_ENABLE.read();
    });
}

/// The next tick comes a period from now.
fn wind_timer() {
    CNTV_TVAL_EL0.set(PERIOD.load(Ordering::Relaxed));
    CNTV_CTL_EL0.write(CNTV_CTL_EL0::ENABLE::SET);
    isb(SY); // the interrupt that this ends is gone before the controller is told so
}

/// Lets `handler` be called in the first core's interrupt for each [`raise_completion`].
pub fn on_completion(handler: fn()) {
    DONE.set(handler);
    Register::SET_ENABLE.write(1 << COMPLETION);
}

/// The interrupt of a device that is done: the first core takes it.
pub fn raise_completion() {
    const FIRST_CORE: u32 = 1 << 16;
    dsb(SY); // what was written before is there when the handler runs
    Register::SEND.write(FIRST_CORE | COMPLETION);
}

/// Sleeps from interrupt to interrupt until `done`, asked with interrupts off, says so.
pub fn wait_until(done: impl Fn() -> bool) {
    let asked = || {
        let done = done();
        if !done {
            wfi(); // until one is pending; it comes when the section ends
        }
        done
    };
    enable_interrupts();
    while !Masked::with(asked) {}
}

fn enable_interrupts() {
    // SAFETY: the vectors are installed before any Rust runs on a core, and every handler is CLOSED. Not `nomem`: memory
    // accesses stay on their side.
    unsafe { asm!("msr daifclr, #2", options(nostack, preserves_flags)) }
}

/// Turns this core's interrupts off for good.
pub fn disable_interrupts() {
    // SAFETY: no code needs an interrupt to come for its memory safety. Not `nomem`: memory accesses stay on their side.
    unsafe { asm!("msr daifset, #2", options(nostack, preserves_flags)) }
}

/// Interrupts of this core off, and as they were afterwards.
pub struct Masked;

impl Masked {
    /// Masks them; whether they were on.
    pub(super) fn begin() -> bool {
        let were_on = !DAIF.is_set(DAIF::I);
        disable_interrupts();
        were_on
    }

    /// Ends what `begin` began, which said `were_on`.
    pub(super) fn end(were_on: bool) {
        if were_on {
            enable_interrupts();
        }
    }
}

impl IrqGuard for Masked {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let were_on = Masked::begin();
        let result = f();
        Masked::end(were_on);
        result
    }
}

/// Called by `interrupt_entry`.
extern "C" fn interrupt() {
    loop {
        let acknowledged = Register::ACKNOWLEDGE.read();
        match acknowledged & 0x3ff {
            SPURIOUS => return,
            TIMER => {
                wind_timer();
                TICK.call();
            }
            COMPLETION => DONE.call(),
            unknown => panic!("interrupt {unknown} is not expected"),
        }
        Register::END.write(acknowledged);
    }
}

/// Called by `fault_entry`: says where the program went wrong, and ends the machine.
extern "C" fn fault(vector: u64) -> ! {
    let (syndrome, at, address, stack) = (ESR_EL1.get(), ELR_EL1.get(), FAR_EL1.get(), SP_EL0.get());
    let _ = writeln!(
        Console,
        "firmware: fault {vector} on core {}, ESR {syndrome:#x}, at {at:#x}, address {address:#x}, stack {stack:#x}",
        core_number()
    );
    exit(Exit::Fault)
}
