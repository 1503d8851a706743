//! What a block of shmem costs beside copies of it: evictions, restores and drops of an arena.
//!
//! All cases run in one process, in turns, round after round; a figure is the median of the rounds. It is processor time of the thread
//! that does the work, so that others on the machine matter little. Memory is touched again before each case: a host may take back
//! memory of a virtual machine that was free for a moment.
//!
//! | case | what is done with each block |
//! | --- | --- |
//! | `memcpy`, `memcpy_nt` | copied from warm memory to warm memory, the second past the caches |
//! | `copy_pwrite` | `pwrite` to a fresh memfd, and `MADV_DONTNEED` of the source |
//! | `copy_best` | the cheapest of that, of 64 blocks a call, and of copies into a mapping that asks for huge pages |
//! | `transfer` | transferred, with a settle after each block, or after each chunk where blocks are smaller |
//! | `transfer_batched` | the same, with a settle after 64 of these |
//! | `madvise_floor`, `madvise_floor_batched` | the `madvise` calls of these two alone, on a mapping like the arena's |
//! | `take_back` | taken back, in memory, not mapped |
//! | `copy_back` | `pread` into warm memory |
//! | `drop` | discarded, with a settle after each chunk |
//! | `punch_hole` | the `fallocate` calls of that alone |

pub mod cases;
pub mod raw;

use self::cases::{Bench, Times};
use super::progress::Progress;
use super::row::BlockRow;
use forebay::{Order, Pages};
use forebay_backends::shmem::{Arena, CreateError};
use std::io;

/// Which cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Blocks leave memory.
    Evict,
    /// Blocks come back.
    Restore,
    /// Blocks are dropped.
    Drop,
}

/// 4 KiB, 64 KiB, 2 MiB, 4 MiB.
const ORDERS: [u8; 4] = [0, 4, 9, 10];

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Amount {
    /// Bytes of all blocks of one size: much more than the caches hold.
    pub bytes: usize,
    /// Rounds, after one that does not count.
    pub rounds: usize,
}

impl Amount {
    /// Some seconds, and figures of little worth.
    pub const QUICK: Amount = Amount { bytes: 32 << 20, rounds: 1 };
    /// The usual one.
    pub const USUAL: Amount = Amount { bytes: 256 << 20, rounds: 5 };
}

/// Runs the cases with pinned arenas and others, under the machine's present setting for huge pages.
///
/// # Errors
/// What the system refuses. Pinned arenas are left out where the process may not lock memory.
pub fn run(way: Way, amount: Amount, progress: &mut Progress) -> io::Result<Vec<BlockRow>> {
    let mut rows = vec![];
    progress.begin("shmem", 2 * ORDERS.len() * (amount.rounds + 1));
    for pinned in [Pinned::No, Pinned::Yes] {
        for order in ORDERS.into_iter().filter_map(Order::new) {
            match arena(pinned, amount.bytes) {
                Ok(arena) => rows.extend(of_order(way, arena, order, amount, pinned, progress)?),
                Err(CreateError::Lock(_)) => {}
                Err(why) => return Err(io::Error::other(why)),
            }
        }
    }
    progress.end();
    Ok(rows)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pinned {
    No,
    Yes,
}

fn arena(pinned: Pinned, bytes: usize) -> Result<Arena, CreateError> {
    let arena = Arena::builder(bytes as u64);
    if pinned == Pinned::Yes { arena.pinned().create() } else { arena.create() }
}

fn of_order(
    way: Way,
    arena: Arena,
    order: Order,
    amount: Amount,
    pinned: Pinned,
    progress: &mut Progress,
) -> io::Result<Vec<BlockRow>> {
    let setting = arena.host_report().huge_page_setting();
    let mode = if pinned == Pinned::Yes { format!("{setting}, pinned") } else { setting.to_string() };
    let mut bench = Bench::new(arena, order, amount.bytes)?;
    let mut rounds: Vec<Times> = vec![];
    for round in 0..=amount.rounds {
        let times = match way {
            Way::Evict => bench.evict(),
            Way::Restore => bench.restore(),
            Way::Drop => bench.discard(),
        }?;
        if round > 0 {
            rounds.push(times);
        }
        progress.step();
    }
    Ok(rows(&rounds, &mode, Pages::new(order.pages().get()).get() * 4096))
}

/// The medians.
fn rows(rounds: &[Times], mode: &str, block_bytes: usize) -> Vec<BlockRow> {
    let Some(first) = rounds.first() else { return vec![] };
    let median = |case: usize| {
        let mut all: Vec<f64> = rounds.iter().map(|times| times[case].1).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let memcpy = median(0);
    let row = |(n, (case, _)): (usize, &(&'static str, f64))| BlockRow {
        case: (*case).into(),
        mode: mode.into(),
        block_bytes,
        ns_per_block: (10.0 * median(n)).round() / 10.0,
        memcpy_ratio: (10_000.0 * median(n) / memcpy).round() / 10_000.0,
    };
    first.iter().enumerate().map(row).collect()
}
