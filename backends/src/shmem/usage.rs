//! How much of an arena is used for what.

use super::ledger::Ledger;
use core::fmt;
use forebay::Pages;

/// Pages of an arena, by use. Others may change it at any time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// All address space.
    pub total: Pages,
    /// Blocks that exist.
    pub resident: Pages,
    /// The most that may be resident.
    pub limit: Pages,
    /// Stored, and not reclaimable yet: not settled, or something else of the chunk is resident.
    pub pending: Pages,
    /// Stored and unmapped: the system can reclaim them by itself.
    pub reclaimable: Pages,
    /// Discarded, but with their memory: held by neighbours that are in use, or until the next settle.
    pub held: Pages,
    /// Exported once, and never used again.
    pub retired: Pages,
    /// Without an owner; held ones among them.
    pub free: Pages,
    /// Chunks with memory that are one huge page each.
    pub huge_chunks: usize,
    /// Chunks with memory that are made of smaller pages. (Where the kernel does not tell, neither of the two counts.)
    pub small_chunks: usize,
}

impl Usage {
    /// Pages under handles.
    pub fn stored(&self) -> Pages {
        self.pending + self.reclaimable
    }

    pub(super) fn of(ledger: &Ledger) -> Usage {
        let sums = ledger.sums();
        Usage {
            total: ledger.total(),
            resident: Pages::new(sums.resident),
            limit: ledger.limit(),
            pending: Pages::new(sums.pending),
            reclaimable: Pages::new(sums.reclaimable),
            held: Pages::new(sums.stale),
            retired: ledger.retired(),
            free: ledger.free(),
            huge_chunks: sums.huge,
            small_chunks: sums.small,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { total, resident, pending, reclaimable, held, retired, free, .. } = self;
        write!(
            f,
            "{resident} pages resident, {pending} pending, {reclaimable} reclaimable, {held} held, {retired} retired, \
             {free} of {total} free"
        )
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Usage {
    fn format(&self, f: defmt::Formatter<'_>) {
        let Usage { resident, pending, reclaimable, held, retired, .. } = self;
        defmt::write!(f, "{=usize} pages resident, {=usize} pending, ", resident.get(), pending.get());
        defmt::write!(f, "{=usize} reclaimable, {=usize} held, ", reclaimable.get(), held.get());
        let (free, total) = (self.free.get(), self.total.get());
        defmt::write!(f, "{=usize} retired, {=usize} of {=usize} free", retired.get(), free, total);
    }
}
