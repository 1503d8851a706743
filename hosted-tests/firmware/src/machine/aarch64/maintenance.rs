//! Instructions that maintain caches and translations, each of which is logged, so that a test can tell their order.
//!
//! An emulator has no caches: forgetting one of these costs nothing there, and data on a board. The log is what can be
//! looked at in both.

use aarch64_cpu::asm::barrier::{SY, dsb, isb};
use core::arch::asm;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Bytes of a cache line of the Cortex-A53.
pub const LINE: usize = 64;

/// One instruction, or one store to a page table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// The line at that address is written back, so far as it is dirty (`dc cvac`).
    Clean(usize),
    /// The same, and dropped (`dc civac`).
    CleanInvalidate(usize),
    /// The page at that address is no longer mapped.
    Unmap(usize),
    /// It is mapped, with an attribute.
    Map(usize),
    /// All cores forget the translation of that address (`tlbi vaae1is`).
    Forget(usize),
    /// What came before is complete for all cores and for page-table walks (`dsb sy`).
    Wait,
    /// What comes after is fetched, and translated, anew (`isb`).
    Refetch,
}

impl Operation {
    /// In a word: addresses are those of lines or pages, which leaves their lowest bits free.
    const fn encode(self) -> u64 {
        let (address, kind) = match self {
            Operation::Clean(at) => (at, 0),
            Operation::CleanInvalidate(at) => (at, 1),
            Operation::Unmap(at) => (at, 2),
            Operation::Map(at) => (at, 3),
            Operation::Forget(at) => (at, 4),
            Operation::Wait => (0, 5),
            Operation::Refetch => (0, 6),
        };
        address as u64 | kind
    }

    const fn decode(word: u64) -> Operation {
        let address = (word & !7) as usize;
        match word & 7 {
            0 => Operation::Clean(address),
            1 => Operation::CleanInvalidate(address),
            2 => Operation::Unmap(address),
            3 => Operation::Map(address),
            4 => Operation::Forget(address),
            5 => Operation::Wait,
            _ => Operation::Refetch,
        }
    }
}

const ROOM: usize = 4096;
static LOG: [AtomicU64; ROOM] = [const { AtomicU64::new(0) }; ROOM];
static LOGGED: AtomicUsize = AtomicUsize::new(0);

pub(super) fn log(operation: Operation) {
    let at = LOGGED.fetch_add(1, Ordering::Relaxed);
    LOG[at % ROOM].store(operation.encode(), Ordering::Relaxed);
}

/// How many operations there were until now.
pub fn logged() -> usize {
    LOGGED.load(Ordering::Relaxed)
}

/// The operations since there were `begin` of them, so far as the log has room for them: the last 4096.
pub fn log_since(begin: usize) -> impl Iterator<Item = Operation> {
    let end = logged();
    (begin.max(end.saturating_sub(ROOM))..end)
        .map(|at| Operation::decode(LOG[at % ROOM].load(Ordering::Relaxed)))
}

/// The lines that have a byte of these.
fn lines(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let Range { start, end } = bytes.as_ptr_range();
    (start.addr() & !(LINE - 1)..end.addr()).step_by(LINE)
}

/// What was written to these bytes is in memory, where devices see it.
pub fn clean(bytes: &[u8]) {
    for line in lines(bytes) {
        // SAFETY: the line is mapped, as the bytes are. Its contents stay what they are.
        unsafe { asm!("dc cvac, {}", in(reg) line, options(nostack, preserves_flags)) }
        log(Operation::Clean(line));
    }
    wait_for_all();
}

/// The same; and then they are read from memory, where devices wrote. (A line that was cleaned before a device wrote, and
/// that was not written since, is only dropped. One that has other bytes too loses none of them.)
pub fn clean_and_invalidate(bytes: &[u8]) {
    for line in lines(bytes) {
        // SAFETY: as above: nothing that was written is lost.
        unsafe { asm!("dc civac, {}", in(reg) line, options(nostack, preserves_flags)) }
        log(Operation::CleanInvalidate(line));
    }
    wait_for_all();
}

/// All cores forget the translation of the page at `address`, at the latest when [`wait_for_all`] returns.
pub(super) fn forget(address: usize) {
    // SAFETY: a translation is a copy of what the page tables say, and is fetched again.
    unsafe { asm!("tlbi vaae1is, {}", in(reg) address >> 12, options(nostack, preserves_flags)) }
    log(Operation::Forget(address));
}

/// Waits until memory, caches and translations have all that came before.
pub(super) fn wait_for_all() {
    dsb(SY);
    log(Operation::Wait);
}

/// What comes after is fetched anew.
pub(super) fn refetch() {
    isb(SY);
    log(Operation::Refetch);
}
