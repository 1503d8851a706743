//! The test around the program: more tiles than fit, interrupts that take them away, and every byte compared.

use crate::app;
use crate::machine::{self, FAST_BYTES, Memory, SLOW_BYTES};
use core::fmt::Write;
use core::hint::spin_loop;
use forebay::{PinError, TakeError};
use portable_atomic::{AtomicU32, Ordering};
use static_cell::ConstStaticCell;

const TIMER_HZ: u32 = 1000;
const TICKS_WANTED: u32 = 10;
/// Far more turns than TICKS_WANTED take; a dead timer ends here instead of in the runner's time limit.
const SPIN_LIMIT: u32 = 20_000_000;
const ROUNDS: usize = 8;
const TILE_BYTES: usize = if FAST_BYTES < 64 * 1024 { 512 } else { 8192 };

static META: ConstStaticCell<[usize; app::metadata_words(FAST_BYTES, SLOW_BYTES)]> =
    ConstStaticCell::new([0; app::metadata_words(FAST_BYTES, SLOW_BYTES)]);
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Called in the timer's interrupt, interrupts off, on the interrupt's own stack.
fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
    app::tick();
}

/// Runs on the machine's memory; whether all went well.
pub fn run(out: &mut dyn Write, memory: Memory) -> bool {
    let [sram, _] = memory.fast;
    let psram = memory.slow;
    let (given_fast, given_slow) = (sram.len(), psram.len());
    let (fast, slow) = match app::init(sram, psram, META.take()) {
        Ok(usable) => usable,
        Err(e) => {
            let _ = writeln!(out, "init: {e}");
            return false;
        }
    };
    let _ = writeln!(
        out,
        "init: {fast} of {given_fast} bytes of SRAM, {slow} of {given_slow} bytes of PSRAM usable"
    );
    timer_works(out) && tiles_survive(out)
}

/// More tiles than fit into the SRAM: each is drawn, taken away by the timer, written out, restored, compared.
fn tiles_survive(out: &mut dyn Write) -> bool {
    machine::start_timer(TIMER_HZ, tick);
    let (mut wrong, mut waits) = (0_usize, 0_u32);
    let colour = |round: usize, n: usize| (round * 67 + n * 3 + 1) as u8;
    for round in 0..ROUNDS {
        for n in 0..app::TILES.len() {
            waits += until_free(|| app::draw(n, colour(round, n)));
        }
        for i in 0..app::TILES.len() {
            let n = i * 27 % app::TILES.len(); // another order
            let mut screen = [0; TILE_BYTES];
            waits += until_free(|| app::show(n, &mut screen).map(|_| ()));
            wrong += screen.iter().filter(|b| **b != colour(round, n)).count();
        }
    }
    machine::stop_timer();
    let stats = app::RAM.stats();
    let _ = writeln!(
        out,
        "tiles: {ROUNDS} rounds over {} tiles, {wrong} wrong bytes; pages handed over {}, written out {}, clean {}, \
         taken back {}, loaded {}; waited {waits} times for the timer",
        app::TILES.len(),
        stats.evicted.handed_over,
        stats.settled,
        stats.evicted.clean,
        stats.restored.taken_back,
        stats.restored.loaded,
    );
    let moved = stats.evicted.handed_over.get() > 0 && stats.restored.loaded.get() > 0;
    wrong == 0 && moved && stats.evicted.copied.get() == 0
}

/// Tries until the timer has made room and the idle loop has freed it; how often it had to wait.
fn until_free(mut f: impl FnMut() -> Result<(), PinError>) -> u32 {
    let mut waits = 0;
    while let Err(e) = f() {
        assert!(matches!(e, PinError::Take(TakeError::OutOfFrames(_)) | PinError::Busy), "{e}");
        assert!(waits < SPIN_LIMIT, "no room after {waits} turns");
        app::idle();
        spin_loop();
        waits += 1;
    }
    waits
}

fn timer_works(out: &mut dyn Write) -> bool {
    let early = TICKS.load(Ordering::Relaxed);
    machine::start_timer(TIMER_HZ, tick);
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
    machine::stop_timer();
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
