//! The interrupt that comes again and again, and the critical section that holds it off.

use super::{Failure, check};
use crate::machine::{self, RawMutex};
use core::fmt::Write;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, Ordering};
use forebay::sync::Mutex;

const HZ: u32 = 1000;
const TICKS_WANTED: u32 = 10;
/// Far more turns than TICKS_WANTED take; a dead timer ends here instead of in the runner's time limit.
const SPIN_LIMIT: u32 = 20_000_000;

/// Next to the mutex, not in it: what a mutex has can't change under it, as far as the compiler knows. Only the interrupt
/// writes it.
static TICKS: AtomicU32 = AtomicU32::new(0);
static LOCK: Mutex<RawMutex, ()> = Mutex::new(());

/// Lets `tick` be called in the interrupt.
pub fn start(tick: fn()) {
    machine::start_timer(HZ, tick);
}

pub fn stop() {
    machine::stop_timer();
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let early = ticks();
    start(|| TICKS.store(ticks() + 1, Ordering::Relaxed));
    let spins = spin_until(|| ticks() >= TICKS_WANTED);
    // As many turns again under the lock: it must keep the interrupt out.
    let held = LOCK.lock(|()| {
        let before = ticks();
        (0..spins).for_each(|_| spin_loop());
        ticks() - before
    });
    // The tick that waited meanwhile comes through.
    let last = ticks();
    spin_until(|| ticks() > last);
    stop();
    let all = ticks();
    write!(out, "{early} ticks before the start, {all} after {spins} turns, {held} under the lock")?;
    check(early == 0, "it ticked before the start")?;
    check(all > TICKS_WANTED, "it does not tick")?;
    check(held == 0, "it ticked under the lock")
}

fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// Spins until `done` says so or SPIN_LIMIT turns are over. Returns the turns.
fn spin_until(done: impl Fn() -> bool) -> u32 {
    let mut spins = 0;
    while spins < SPIN_LIMIT && !done() {
        spin_loop();
        spins += 1;
    }
    spins
}
