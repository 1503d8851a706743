//! A DMA controller with one channel, simulated: it copies while the program does something else, a little at each
//! tick of its clock, and interrupts when it is done.

use super::home::{self, HOME, TILE_BYTES};
use super::{Failure, check};
use crate::machine::{self, PAGE, RawMutex};
use core::mem;
use core::task::Poll;
use forebay::{OwnedBlock, sync::Mutex};
use forebay_backends::{CopyEngine, Job, RamBlock};

type Piece = Job<RamBlock<PAGE>, PAGE>;

/// What it copies in one go. A page takes it several ticks.
const BYTES_A_TICK: usize = PAGE / 2;
/// The most that it is given at a time: a piece ends inside a page.
const PIECE: usize = TILE_BYTES / 2 + PAGE / 4;

struct Controller {
    channel: Channel,
    /// It fails once, after this number of bytes of a piece.
    breaks_after: Option<usize>,
    /// Interrupts that arrived.
    completions: usize,
}

enum Channel {
    Idle,
    Working {
        piece: Piece,
        done: usize,
    },
    /// The clock has the piece for a moment.
    InHand,
    Done(Piece),
}

static CONTROLLER: Mutex<RawMutex, Controller> =
    Mutex::new(Controller { channel: Channel::Idle, breaks_after: None, completions: 0 });

/// The driver's side: the region starts pieces and polls.
pub struct Dma;

impl CopyEngine<RamBlock<PAGE>, PAGE> for Dma {
    fn start(&mut self, piece: Piece) {
        CONTROLLER.lock(|c| c.channel = Channel::Working { piece, done: 0 });
    }

    fn poll(&mut self) -> Poll<Option<Piece>> {
        CONTROLLER.lock(|c| match mem::replace(&mut c.channel, Channel::Idle) {
            Channel::Idle => Poll::Ready(None),
            Channel::Done(piece) => Poll::Ready(Some(piece)),
            working => {
                c.channel = working;
                Poll::Pending
            }
        })
    }
}

/// The clock of the controller: for the timer interrupt.
pub fn clock() {
    let in_hand = CONTROLLER.lock(|c| match mem::replace(&mut c.channel, Channel::InHand) {
        Channel::Working { piece, done } => Some((piece, done, c.breaks_after)),
        other => {
            c.channel = other;
            None
        }
    });
    let Some((mut piece, done, breaks_after)) = in_hand else { return };
    let goal = piece.len().min(done + BYTES_A_TICK);
    let end = breaks_after.map_or(goal, |n| goal.min(n));
    copy(&mut piece, done, end);
    let broken = end < goal;
    if broken {
        piece.fell_short(end);
    }
    let over = broken || end == piece.len();
    CONTROLLER.lock(|c| {
        if broken {
            c.breaks_after = None;
        }
        c.channel = if over { Channel::Done(piece) } else { Channel::Working { piece, done: end } };
    });
    if over {
        machine::raise_completion();
    }
}

/// Bytes `from..end` of a piece.
fn copy(piece: &mut Piece, from: usize, end: usize) {
    let at = piece.at() + from;
    let (block, room) = piece.ends();
    block.read_at(at, &mut room[from..end]);
}

/// The interrupt of the controller.
pub fn completed() {
    CONTROLLER.lock(|c| c.completions += 1);
}

/// Its interrupts so far.
pub fn completions() -> usize {
    CONTROLLER.lock(|c| c.completions)
}

/// The next piece fails after `bytes` bytes.
pub fn break_after(bytes: usize) {
    CONTROLLER.lock(|c| c.breaks_after = Some(bytes));
}

/// Takes back the piece that the controller finished, and starts the next one. `Ready`: nothing waits any more.
pub fn advance() -> Result<Poll<()>, Failure> {
    match home::slow().write_out(&mut Dma, PIECE, &mut |block| HOME.free_settled(block)) {
        Poll::Pending => Ok(Poll::Pending),
        Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
        Poll::Ready(Err(_)) => Err(Failure::Check("the controller gave back a piece of another region")),
    }
}

/// The idle loop: everything that was transferred is written out, and the processor sleeps while the controller works. The
/// timer runs [`clock`]. Returns the number of pieces.
pub fn write_out() -> Result<usize, Failure> {
    let before = completions();
    loop {
        let seen = completions(); // before the start, so that no interrupt after it is missed
        if advance()?.is_ready() {
            break;
        }
        machine::wait_until(|| completions() != seen || is_idle());
    }
    check(is_idle(), "nothing waits, but the controller has a piece")?;
    Ok(completions() - before)
}

fn is_idle() -> bool {
    CONTROLLER.lock(|c| matches!(c.channel, Channel::Idle))
}
