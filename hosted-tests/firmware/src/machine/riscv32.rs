//! The machine: QEMU's `virt` with one RISC-V hart, in machine mode, without firmware before it.
//!
//! ONE HART: there is no other, so critical sections are those of `riscv`, which mask all interrupts. After the boot
//! code, interrupts are on but for them. A page below the stack is shut: one that is overrun ends in a fault. So does a
//! null pointer, where this machine has nothing.

use super::handler::Handler;
use super::{Exit, Memory};
use core::arch::global_asm;
use core::fmt::{self, Write};
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicU32, Ordering};
use riscv::interrupt::Interrupt;
use riscv::register::{Permission, Range, mcause, mepc, mie, mtval, pmpaddr0, pmpcfg0};
use riscv_rt::{TrapFrame, core_interrupt, entry};
use static_cell::ConstStaticCell;
use volatile_register::{RO, RW};

/// What excludes the interrupts.
pub type RawMutex = forebay::sync::CriticalSectionRawMutex;

/// Bytes of a page.
pub const PAGE: usize = 512;
/// Bytes of fast memory.
pub const FAST_BYTES: usize = 96 * 1024;
/// Bytes of slow memory.
pub const SLOW_BYTES: usize = 1024 * 1024;

#[entry]
fn boot() -> ! {
    // SAFETY: no critical section is open before the first code of the program.
    unsafe { riscv::interrupt::enable() }
    crate::rust_main()
}

/// The page below the stack.
pub fn init() {
    unsafe extern "C" {
        // By the linker script: a page, where nothing lies.
        safe static _stack_guard: [u8; 4096];
    }
    let natural_4096 = (&raw const _stack_guard).addr() >> 2 | 0x1ff;
    // SAFETY: it takes a page away where nothing lies. What no entry matches is open to machine mode as before.
    unsafe {
        pmpaddr0::write(natural_4096);
        pmpcfg0::set_pmp(0, Range::NAPOT, Permission::NONE, true);
    }
}

// A trap whose stack pointer is below the stack starts on a new one: the program was at its end, and will not go on.
global_asm!(
    r#"
.pushsection .trap.start, "ax"
.global _pre_default_start_trap
_pre_default_start_trap:
    csrw mscratch, t0
    la   t0, _stack_end
    bgeu sp, t0, 1f
    la   sp, _stack_start
1:  csrr t0, mscratch
    j    _pre_default_start_trap_ret
.popsection
"#
);

/// The core-local interruptor.
struct Clint {
    /// Raises the hart's software interrupt.
    software: &'static RW<u32>,
    /// When the timer's interrupt comes: low and high half.
    due: &'static [RW<u32>; 2],
    now: &'static [RO<u32>; 2],
}

fn clint() -> Clint {
    // SAFETY: there the machine has them, for ever; they are only used by what these references permit.
    unsafe {
        Clint {
            software: &*with_exposed_provenance(0x0200_0000),
            due: &*with_exposed_provenance(0x0200_4000),
            now: &*with_exposed_provenance(0x0200_bff8),
        }
    }
}

const CLOCK_HZ: u32 = 10_000_000;
/// Of the clock, between ticks.
static PERIOD: AtomicU32 = AtomicU32::new(0);
static TICK: Handler = Handler::none();
static DONE: Handler = Handler::none();

/// Lets `tick` be called about `hz` times a second, in the interrupt, until [`stop_timer`].
pub fn start_timer(hz: u32, tick: fn()) {
    TICK.set(tick);
    PERIOD.store(CLOCK_HZ / hz.clamp(1, 100_000), Ordering::Relaxed);
    set_due();
    // SAFETY: this opens a line, not a critical section.
    unsafe { mie::set_mtimer() }
}

/// Ends the ticks.
pub fn stop_timer() {
    // SAFETY: this only takes an interrupt away.
    unsafe { mie::clear_mtimer() }
}

/// The next tick comes a period from now.
fn set_due() {
    let Clint { due: [low, high], now: [now_low, now_high], .. } = clint();
    let now = loop {
        let high = now_high.read();
        let low = now_low.read();
        if high == now_high.read() {
            break u64::from(high) << 32 | u64::from(low);
        }
    };
    let then = now + u64::from(PERIOD.load(Ordering::Relaxed));
    // SAFETY: they set when the timer's interrupt comes, whose handler is below; never too early in between.
    unsafe {
        high.write(u32::MAX);
        low.write(then as u32);
        high.write((then >> 32) as u32);
    }
}

#[core_interrupt(Interrupt::MachineTimer)]
fn timer() {
    set_due();
    TICK.call();
}

/// Lets `handler` be called in the interrupt that [`raise_completion`] raises.
pub fn on_completion(handler: fn()) {
    DONE.set(handler);
    // SAFETY: this opens a line, not a critical section.
    unsafe { mie::set_msoft() }
}

/// Raises the interrupt of [`on_completion`].
pub fn raise_completion() {
    // SAFETY: the handler below expects it.
    unsafe { clint().software.write(1) }
}

#[core_interrupt(Interrupt::MachineSoft)]
fn completion() {
    // SAFETY: this takes back the request that is served.
    unsafe { clint().software.write(0) }
    DONE.call();
}

/// Says where the program went wrong, and ends the machine.
#[unsafe(export_name = "ExceptionHandler")]
extern "C" fn exception(frame: &TrapFrame) -> ! {
    let (cause, at, value) = (mcause::read().code(), mepc::read(), mtval::read());
    let _ = writeln!(
        Console,
        "firmware: fault {cause} at {at:#x}, called from {:#x}, address {value:#x}",
        frame.ra
    );
    exit(Exit::Fault)
}

#[unsafe(export_name = "DefaultHandler")]
extern "C" fn unexpected() -> ! {
    let _ = writeln!(Console, "firmware: interrupt {} is not expected", mcause::read().code());
    exit(Exit::Fault)
}

/// Sleeps from interrupt to interrupt until `done`, asked with interrupts off, says so.
pub fn wait_until(done: impl Fn() -> bool) {
    let asked = || {
        let done = done();
        if !done {
            riscv::asm::wfi(); // until one is pending; it comes when the section ends
        }
        done
    };
    while !critical_section::with(|_| asked()) {}
}

/// For good.
pub fn disable_interrupts() {
    riscv::interrupt::disable();
}

/// Ends the machine.
pub fn exit(code: Exit) -> ! {
    const FAIL: u32 = 0x3333; // with a status; what QEMU calls a pass has none but 0
    // SAFETY: there is QEMU's device `sifive_test`.
    let device: &RW<u32> = unsafe { &*with_exposed_provenance(0x0010_0000) };
    // SAFETY: it ends the machine.
    unsafe { device.write((code as u32) << 16 | FAIL) }
    loop {
        riscv::asm::wfi();
    }
}

/// A 16550, from its first register on.
type Uart = [RW<u8>; 8];

/// The serial port.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        const ROOM: u8 = 0x20;
        // SAFETY: there is the UART, for ever; its registers are only used by what this reference permits.
        let [data, _, _, _, _, status, ..]: &Uart = unsafe { &*with_exposed_provenance(0x1000_0000) };
        for byte in s.bytes() {
            while status.read() & ROOM == 0 {}
            // SAFETY: it sends a byte.
            unsafe { data.write(byte) }
        }
        Ok(())
    }
}

#[repr(C, align(4096))]
struct Aligned<T>(T);

static FAST: ConstStaticCell<Aligned<[u8; FAST_BYTES]>> = ConstStaticCell::new(Aligned([0; FAST_BYTES]));
static SLOW: ConstStaticCell<Aligned<[u8; SLOW_BYTES]>> = ConstStaticCell::new(Aligned([0; SLOW_BYTES]));

/// The machine's memories, once.
pub fn memory() -> Option<Memory> {
    let (Aligned(fast), Aligned(slow)) = (FAST.try_take()?, SLOW.try_take()?);
    Some(Memory { fast: [&mut fast[3..], &mut []], slow })
}
