//! The README's program, where there is memory for it: more tiles than fit, interrupts that evict them, and every byte
//! compared.

use super::{Failure, check, timer};
use crate::app;
use crate::machine::{FAST_BYTES, Memory, SLOW_BYTES};
use core::fmt::Write;
use core::hint::spin_loop;
use core::mem;
use forebay::{AccessError, Pages};
use static_cell::ConstStaticCell;

/// What it gets of the fast and of the slow memory: room for a few tiles, and for all of them.
const SHARE: (usize, usize) = (40 << 10, 576 << 10);
/// Whether there is as much left for the other steps.
const RUNS: bool = FAST_BYTES >= 2 * SHARE.0 && SLOW_BYTES > SHARE.1;
const ROUNDS: usize = 4;
/// Far more turns than room takes to come; a dead timer ends here instead of in the runner's time limit.
const SPIN_LIMIT: u32 = 20_000_000;

const META_WORDS: usize = app::metadata_words(SHARE.0);
static META: ConstStaticCell<[usize; META_WORDS]> = ConstStaticCell::new([0; META_WORDS]);

/// Gives the program the end of the longer piece, and of the slow memory, where it runs.
pub fn begin(memory: &mut Memory) -> Result<(), Failure> {
    let longer = memory.fast.iter_mut().max_by_key(|piece| piece.len());
    if let (true, Some(longer)) = (RUNS, longer) {
        app::init(cut_off(longer, SHARE.0), cut_off(&mut memory.slow, SHARE.1), META.take())?;
    }
    Ok(())
}

/// The last `bytes` bytes, or all.
fn cut_off(memory: &mut &'static mut [u8], bytes: usize) -> &'static mut [u8] {
    let whole = mem::take(memory);
    let (rest, end) = whole.split_at_mut(whole.len().saturating_sub(bytes));
    *memory = rest;
    end
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    if !RUNS {
        write!(out, "not on a machine with so little memory")?;
        return Ok(());
    }
    timer::start(app::tick);
    let (mut wrong, mut waits) = (0_usize, 0_u32);
    let colour = |round: usize, n: usize| (round * 67 + n * 3 + 1) as u8;
    for round in 0..ROUNDS {
        for n in 0..app::TILES.len() {
            waits += until_free(|| app::draw(n, colour(round, n)))?;
        }
        for i in 0..app::TILES.len() {
            let n = i * 27 % app::TILES.len(); // another order
            let mut screen = [0; 8192];
            waits += until_free(|| app::show(n, &mut screen).map(|_| ()))?;
            wrong += screen.iter().filter(|b| **b != colour(round, n)).count();
        }
    }
    timer::stop();
    let stats = app::RAM.stats();
    write!(
        out,
        "{ROUNDS} rounds over {} tiles, {wrong} wrong bytes; pages transferred {}, written out {}, clean {}, \
         taken back {}, loaded {}; waited {waits} times for the timer",
        app::TILES.len(),
        stats.evicted.transferred,
        stats.settled,
        stats.evicted.clean,
        stats.restored.taken_back,
        stats.restored.loaded,
    )?;
    check(wrong == 0, "bytes are wrong")?;
    check(stats.evicted.transferred > Pages::ZERO && stats.restored.loaded > Pages::ZERO, "nothing moved")?;
    check(stats.evicted.copied == Pages::ZERO, "something was copied on the way out")
}

/// Tries until the timer has made room and the idle loop has freed it. Returns how often it had to wait.
fn until_free(mut f: impl FnMut() -> Result<(), AccessError>) -> Result<u32, Failure> {
    let mut waits = 0;
    loop {
        match f() {
            Ok(()) => return Ok(waits),
            Err(AccessError::Alloc(_) | AccessError::Busy) => {}
            Err(why) => return Err(why.into()),
        }
        check(waits < SPIN_LIMIT, "no room, however long it waits")?;
        app::idle();
        spin_loop();
        waits += 1;
    }
}
