//! The program that runs on the bare machine.
use crate::x86_64;
use core::fmt::Write;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};

const TIMER_HZ: u32 = 1000;
const TICKS_WANTED: u32 = 10;
/// Far more turns than TICKS_WANTED take; a dead timer ends here instead of in the runner's time limit.
const SPIN_LIMIT: u32 = 20_000_000;

static TICKS: AtomicU32 = AtomicU32::new(0);

/// Called in the timer's interrupt, interrupts off, on the interrupt's own stack.
pub fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// Runs on the machine's memory; whether all went well.
pub fn run(
    out: &mut dyn Write,
    sram: &'static mut [u8],
    psram: &'static mut [u8],
    meta: &'static mut [usize],
) -> bool {
    let _ = writeln!(
        out,
        "memory: sram {} bytes at {:p}, psram {} bytes at {:p}, meta {} words",
        sram.len(),
        sram.as_ptr(),
        psram.len(),
        psram.as_ptr(),
        meta.len()
    );
    timer_works(out)
}

fn timer_works(out: &mut dyn Write) -> bool {
    let early = TICKS.load(Ordering::Relaxed);
    x86_64::start_timer(TIMER_HZ);
    let spins = spin_until(|| TICKS.load(Ordering::Relaxed) >= TICKS_WANTED);
    // As many turns again with interrupts held off: the count must stand still.
    let held = critical_section::with(|_| {
        let before = TICKS.load(Ordering::Relaxed);
        for _ in 0..spins {
            spin_loop();
        }
        TICKS.load(Ordering::Relaxed) - before
    });
    // The tick that waited meanwhile comes through when the section ends.
    let last = TICKS.load(Ordering::Relaxed);
    spin_until(|| TICKS.load(Ordering::Relaxed) > last);
    x86_64::stop_timer();
    let ticks = TICKS.load(Ordering::Relaxed);
    let _ = writeln!(
        out,
        "timer: {early} ticks before the start, {ticks} after {spins} turns, {held} inside a critical section"
    );
    early == 0 && ticks > TICKS_WANTED && held == 0
}

/// Spins until `done` says so or SPIN_LIMIT turns are over; the turns spun.
fn spin_until(done: impl Fn() -> bool) -> u32 {
    let mut spins = 0;
    while spins < SPIN_LIMIT && !done() {
        spin_loop();
        spins += 1;
    }
    spins
}
