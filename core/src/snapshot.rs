//! All counters of a [`Forebay`] together: what a debugfs file or a console shows.

use crate::{Forebay, Pages, Place, Places, Platform, Pool, PoolTable, Shelf, Stats};
use core::fmt;

/// Everything that is counted, for people: what passed through, and the shelves. [`Forebay::snapshot`] takes one.
///
/// [`stats`](Snapshot::stats) and [`ready`](Snapshot::ready) are copies of their moment, but what the store said of itself it
/// said when it was settled last ([`Forebay::settle`] with a budget of zero asks it anew). The shelves are read when they
/// are looked at, a lock for each, since their number is the pool's: so they may say what came later.
///
/// It prints as the table of the shelves ([`PoolTable`]), one of what passed, in pages, and one of the reasons why
/// blocks stayed. Lines of zeros are left out, and printing allocates nothing.
#[non_exhaustive]
pub struct Snapshot<'f, P: Platform, M: Places<P> + ?Sized = [Place<P>]> {
    /// What passed through.
    pub stats: Stats,
    /// Pages on the shelves.
    pub ready: Pages,
    pool: &'f Pool<P, M>,
}

impl<P: Platform, M: Places<P> + ?Sized> Snapshot<'_, P, M> {
    /// The shelves, as [`Pool::shelves`].
    pub fn shelves(&self) -> impl Iterator<Item = Shelf> {
        self.pool.shelves()
    }

    /// The shelves, to be printed.
    pub const fn table(&self) -> PoolTable<'_, P, M> {
        self.pool.table()
    }
}

impl<P: Platform, S, M: Places<P> + ?Sized> Forebay<P, S, M> {
    /// What passed through since the beginning, and what is on the shelves.
    ///
    /// # Context
    /// O(1). To look at its shelves is O(places), a lock for each shelf, O(depth).
    pub fn snapshot(&self) -> Snapshot<'_, P, M> {
        Snapshot { stats: self.stats(), ready: self.pool.ready(), pool: &self.pool }
    }
}

impl<P: Platform, M: Places<P> + ?Sized> fmt::Display for Snapshot<'_, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stats { evicted, refusals, restored, pending, reclaimable, held, stranded, .. } = self.stats;
        let pages = [
            ("handed over", evicted.handed_over),
            ("copied", evicted.copied),
            ("clean", evicted.clean),
            ("purged", evicted.purged),
            ("refused", evicted.refused),
            ("freed", self.stats.freed()),
            ("taken back", restored.taken_back),
            ("loaded", restored.loaded),
            ("populated", restored.populated),
            ("stranded", stranded),
            ("pending, when settled last", pending),
            ("reclaimable, when settled last", reclaimable),
            ("held, when settled last", held),
        ];
        write!(f, "{}", self.table())?;
        let mut title = "\n\n     pages";
        for (name, pages) in pages.into_iter().filter(|(_, pages)| *pages > Pages::ZERO) {
            write!(f, "{title}\n{:10} {name}", pages.get())?;
            title = "";
        }
        let mut title = "\n\n     times refused, because";
        for (why, times) in refusals.iter() {
            write!(f, "{title}\n{times:10} {why}")?;
            title = "";
        }
        Ok(())
    }
}

impl<P: Platform, M: Places<P> + ?Sized> fmt::Debug for Snapshot<'_, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("stats", &self.stats).field("pool", &self.table()).finish()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, M: Places<P> + ?Sized> defmt::Format for Snapshot<'_, P, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}; stayed: {}; {}", self.stats, self.stats.refusals, self.table());
    }
}
