//! The counters of a forebay for people: what a debugfs file or a console shows.

use crate::forebay::Forebay;
use crate::frame::Pages;
use crate::port::Platform;
use crate::stats::Stats;
use core::fmt;

/// The free lists, then what passed through, in pages, then the reasons for refusals. Lines of zeros are left out. Printing
/// allocates nothing; the lists are read while they are printed.
impl<P: Platform, S> fmt::Display for Forebay<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.stats();
        let Stats { evicted, refusals, restored, pending, reclaimable, held, leaked, .. } = stats;
        let pages = [
            ("transferred", evicted.transferred),
            ("copied", evicted.copied),
            ("clean", evicted.clean),
            ("purged", evicted.purged),
            ("refused", evicted.refused),
            ("freed", stats.evicted.freed() + stats.settled),
            ("taken back", restored.taken_back),
            ("loaded", restored.loaded),
            ("populated", restored.populated),
            ("leaked", leaked),
            ("pending, at the last settle", pending),
            ("reclaimable, at the last settle", reclaimable),
            ("held, at the last settle", held),
        ];
        write!(f, "{}", self.pool())?;
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

impl<P: Platform, S> fmt::Debug for Forebay<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forebay")
            .field("pool", self.pool())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform, S> defmt::Format for Forebay<P, S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Forebay({}; {})", self.pool(), self.stats());
    }
}
