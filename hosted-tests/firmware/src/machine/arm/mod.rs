//! The microcontrollers: what a Cortex-M has wherever it is. Consoles and memories are the boards'.
//!
//! ONE CORE: there is no other, so critical sections are those of `cortex-m`, which mask all interrupts. After the boot
//! code, interrupts are on but for them. The stack lies at the lowest addresses of the RAM: one that is overrun leaves
//! the memory, which is a fault within a fault, and the processor stops.

#[cfg(board = "microbit")]
mod microbit;
#[cfg(board = "mps2")]
mod mps2;

#[cfg(board = "microbit")]
use microbit as board;
#[cfg(board = "mps2")]
use mps2 as board;

pub use board::{Console, FAST_BYTES, PAGE, SLOW_BYTES, init};

use super::handler::Handler;
use super::{Exit, Memory};
use board::{CLOCK_HZ, COMPLETION};
use core::fmt::Write;
use core::ptr::with_exposed_provenance_mut;
use core::slice;
use cortex_m::Peripherals;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SYST};
use cortex_m_rt::{ExceptionFrame, entry, exception};
use static_cell::ConstStaticCell;

/// What excludes the interrupts.
pub type RawMutex = forebay::sync::CriticalSectionRawMutex;

#[entry]
fn boot() -> ! {
    crate::rust_main()
}

/// The board's memories, once.
pub fn memory() -> Option<Memory> {
    static ONCE: ConstStaticCell<()> = ConstStaticCell::new(());
    ONCE.try_take()?;
    // SAFETY: there the board has memory, where any byte is a value; its linker script puts nothing there, the ranges of
    // a board are disjoint, and by `ONCE` each is given away once.
    let memory = |(at, bytes)| unsafe { slice::from_raw_parts_mut(with_exposed_provenance_mut(at), bytes) };
    Some(Memory { fast: board::FAST.map(memory), slow: memory(board::SLOW) })
}

static TICK: Handler = Handler::none();
static DONE: Handler = Handler::none();

/// Lets `tick` be called about `hz` times a second, in the interrupt, until [`stop_timer`].
pub fn start_timer(hz: u32, tick: fn()) {
    const LONGEST: u32 = (1 << 24) - 1;
    TICK.set(tick);
    let mut timer = timer();
    timer.set_clock_source(SystClkSource::Core);
    timer.set_reload((CLOCK_HZ / hz.max(1)).clamp(2, LONGEST) - 1);
    timer.clear_current();
    timer.enable_interrupt();
    timer.enable_counter();
}

/// Ends the ticks.
pub fn stop_timer() {
    let mut timer = timer();
    timer.disable_interrupt();
    timer.disable_counter();
}

fn timer() -> SYST {
    // SAFETY: by ONE CORE nothing runs at the same time as the two functions above, which are all that use the timer, and no handler
    // does: so one value of it is in use at a time.
    unsafe { Peripherals::steal() }.SYST
}

#[exception]
fn SysTick() {
    TICK.call();
}

/// The line that nothing of the board pulls.
#[derive(Clone, Copy)]
struct Completion;

// SAFETY: one value, one number.
unsafe impl InterruptNumber for Completion {
    fn number(self) -> u16 {
        COMPLETION
    }
}

/// Lets `handler` be called in the interrupt that [`raise_completion`] raises.
pub fn on_completion(handler: fn()) {
    DONE.set(handler);
    // SAFETY: the line is for the handler alone, so opening it breaks into no critical section that masks single lines.
    unsafe { NVIC::unmask(Completion) }
}

/// Raises the interrupt of [`on_completion`].
pub fn raise_completion() {
    NVIC::pend(Completion);
}

/// Every line of the interrupt controller, and exceptions without a handler of their own.
#[exception]
unsafe fn DefaultHandler(line: i16) {
    if line == COMPLETION as i16 {
        DONE.call();
    } else {
        let _ = writeln!(Console, "firmware: interrupt {line} is not expected");
        exit(Exit::Fault)
    }
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    let _ = writeln!(Console, "firmware: fault at {:#x}, called from {:#x}", frame.pc(), frame.lr());
    exit(Exit::Fault)
}

/// Sleeps from interrupt to interrupt until `done`, asked with interrupts off, says so.
pub fn wait_until(done: impl Fn() -> bool) {
    let asked = || {
        let done = done();
        if !done {
            cortex_m::asm::wfi(); // until one is pending; it comes when the section ends
        }
        done
    };
    while !critical_section::with(|_| asked()) {}
}

/// For good.
pub fn disable_interrupts() {
    cortex_m::interrupt::disable();
}

/// Ends the machine.
pub fn exit(code: Exit) -> ! {
    semihosting::process::exit(code as i32)
}
