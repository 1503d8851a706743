//! The timer interrupt needs memory while the main loop writes: the buffer in use is busy, another one leaves.

use super::home::{self, HOME, TILE_PAGES, TILES};
use super::{Failure, check, pattern, timer};
use crate::machine::{self, RawMutex};
use core::fmt::Write;
use forebay::{Busy, Context, Evict, Pages, stats::Evicted, sync::Mutex};

/// What the interrupt saw.
#[derive(Clone, Copy)]
struct Seen {
    ticks: usize,
    transferred: Pages,
    /// The answer of the buffer that the main loop writes to.
    asked: Option<Result<Evicted, Busy>>,
}

static SEEN: Mutex<RawMutex, Seen> = Mutex::new(Seen { ticks: 0, transferred: Pages::ZERO, asked: None });
/// How often the timer ticks in this step. The first time it takes memory.
const TICKS: usize = 3;

fn tick() {
    let seen = seen();
    let asked = TILES[0].evict(Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);
    let taken = if seen.transferred == Pages::ZERO {
        HOME.reclaim(&TILES[..2], TILE_PAGES, Evict::TRANSFER, Context::INTERRUPT).evicted.transferred
    } else {
        Pages::ZERO
    };
    SEEN.lock(|s| {
        s.ticks += 1;
        s.transferred += taken;
        s.asked = Some(asked);
    });
}

fn seen() -> Seen {
    SEEN.lock(|s| *s)
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    home::fill(&TILES[..2], 5000)?;

    let mut bytes = TILES[0].write()?;
    timer::start(tick);
    pattern::fill(&mut bytes, 5500);
    machine::wait_until(|| seen().ticks >= TICKS);
    timer::stop();
    let in_hand = pattern::wrong(&bytes, 5500);
    drop(bytes);

    let Seen { ticks, transferred, asked } = seen();
    let residency = [TILES[0].residency()?, TILES[1].residency()?];
    let wrong = in_hand + home::wrong(&TILES[..1], 5500)? + home::wrong(&TILES[1..2], 5001)?;
    write!(
        out,
        "{ticks} ticks, {transferred} pages transferred while {} were written to; {wrong} wrong bytes",
        residency[0].resident
    )?;
    check(asked == Some(Err(Busy)), "the buffer in use was not busy")?;
    check(residency[0].resident == TILE_PAGES, "the buffer in use left")?;
    check(transferred == TILE_PAGES && residency[1].stored == TILE_PAGES, "the other one did not leave")?;
    check(wrong == 0, "bytes are wrong")
}
