//! Counters for people: what a debugfs file or a console shows.

use crate::{
    Evicted, Pages, Place, Places, Platform, Pool, Refusals, Report, Restored, Settled, Shelf, ShelfStats,
    Stats,
};
use core::fmt;

/// The shelves of a pool as a table, as TTM's `page_pool` file in debugfs: a line for each kind of block that has a shelf
/// and was ever asked for, and a sum below. [`Pool::table`] makes one.
///
/// It reads as it is written: a lock for each line, and the pool may change between two.
pub struct PoolTable<'p, P: Platform, M: Places<P> + ?Sized = [Place<P>]>(&'p Pool<P, M>);

impl<'p, P: Platform, M: Places<P> + ?Sized> PoolTable<'p, P, M> {
    pub(crate) const fn new(pool: &'p Pool<P, M>) -> Self {
        PoolTable(pool)
    }

    /// Those that were ever asked for.
    fn shelves(&self) -> impl Iterator<Item = Shelf> {
        self.0.shelves().filter(|shelf| shelf.stats != ShelfStats::default())
    }
}

impl<P: Platform, M: Places<P> + ?Sized> fmt::Display for PoolTable<'_, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "order mode zone  ready   hits misses")?;
        for Shelf { order, mode, zone, stats, .. } in self.shelves() {
            let ShelfStats { ready, hits, misses } = stats;
            let (order, zone) = (order.get(), zone.get());
            writeln!(f, "{order:5} {mode:4} {zone:4} {ready:6} {hits:6} {misses:6}")?;
        }
        write!(f, "{} pages ready", self.0.ready())
    }
}

impl<P: Platform, M: Places<P> + ?Sized> fmt::Debug for PoolTable<'_, P, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The same in a line.
#[cfg(feature = "defmt")]
impl<P: Platform, M: Places<P> + ?Sized> defmt::Format for PoolTable<'_, P, M> {
    fn format(&self, f: defmt::Formatter<'_>) {
        for Shelf { order, mode, zone, stats } in self.shelves() {
            let (zone, ShelfStats { ready, hits, misses }) = (zone.get(), stats);
            defmt::write!(f, "{} mode {=usize} zone {=u8}: {=usize} ready, ", order, mode, zone, ready);
            defmt::write!(f, "{=u32} hits, {=u32} misses; ", hits, misses);
        }
        defmt::write!(f, "{=usize} pages ready", self.0.ready().get());
    }
}

/// Counts of pages that are not zero, with their names; "nothing" if all are.
fn list(f: &mut fmt::Formatter<'_>, counts: &[(Pages, &str)]) -> fmt::Result {
    let mut first = true;
    for (pages, name) in counts.iter().filter(|(pages, _)| *pages > Pages::ZERO) {
        let comma = if first { "" } else { ", " };
        write!(f, "{comma}{pages} pages {name}")?;
        first = false;
    }
    if first { f.write_str("nothing") } else { Ok(()) }
}

impl fmt::Display for Evicted {
    /// Pages, by what became of them, and why the first of those that stayed did.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.handed_over, "handed over"),
            (self.copied, "copied"),
            (self.clean, "clean"),
            (self.purged, "purged"),
            (self.refused, "refused"),
        ];
        list(f, &counts)?;
        self.why.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

impl fmt::Display for Refusals {
    /// How often, and why, one after the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (why, times)) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{times} times ({why})")?;
        }
        if self.iter().next().is_none() { f.write_str("nothing") } else { Ok(()) }
    }
}

impl fmt::Display for Restored {
    /// Pages, by how they came back, and why the first of those that did not was refused.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts =
            [(self.taken_back, "taken back"), (self.loaded, "loaded"), (self.populated, "populated")];
        list(f, &counts)?;
        self.why.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

impl fmt::Display for Settled {
    /// Pages, by where they are, and what went wrong first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.freed, "freed"),
            (self.reclaimable, "reclaimable"),
            (self.pending, "pending"),
            (self.held, "held"),
        ];
        list(f, &counts)?;
        self.error.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; evicted: {}; store: {}", self.outcome, self.evicted, self.settled)
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "evicted: {}; restored: {}", self.evicted, self.restored)?;
        if self.settled + self.stranded > Pages::ZERO {
            f.write_str("; ")?;
            list(f, &[(self.settled, "sent home by the store"), (self.stranded, "stranded")])?;
        }
        Ok(())
    }
}

/// As [`list`]; the names stay in the file that decodes the log.
#[cfg(feature = "defmt")]
fn list_in_defmt(f: defmt::Formatter<'_>, counts: &[(Pages, defmt::Str)]) {
    let mut first = true;
    for (pages, name) in counts.iter().filter(|(pages, _)| *pages > Pages::ZERO) {
        if !first {
            defmt::write!(f, ", ");
        }
        defmt::write!(f, "{=usize} pages {=istr}", pages.get(), *name);
        first = false;
    }
    if first {
        defmt::write!(f, "nothing");
    }
}

#[cfg(feature = "defmt")]
fn why_in_defmt<E: defmt::Format>(f: defmt::Formatter<'_>, why: Option<E>) {
    if let Some(why) = why {
        defmt::write!(f, " ({})", why);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Evicted {
    fn format(&self, f: defmt::Formatter<'_>) {
        let counts = [
            (self.handed_over, defmt::intern!("handed over")),
            (self.copied, defmt::intern!("copied")),
            (self.clean, defmt::intern!("clean")),
            (self.purged, defmt::intern!("purged")),
            (self.refused, defmt::intern!("refused")),
        ];
        list_in_defmt(f, &counts);
        why_in_defmt(f, self.why);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Refusals {
    fn format(&self, f: defmt::Formatter<'_>) {
        for (n, (why, times)) in self.iter().enumerate() {
            if n > 0 {
                defmt::write!(f, ", ");
            }
            defmt::write!(f, "{=u32} times ({})", times, why);
        }
        if self.iter().next().is_none() {
            defmt::write!(f, "nothing");
        }
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Restored {
    fn format(&self, f: defmt::Formatter<'_>) {
        let counts = [
            (self.taken_back, defmt::intern!("taken back")),
            (self.loaded, defmt::intern!("loaded")),
            (self.populated, defmt::intern!("populated")),
        ];
        list_in_defmt(f, &counts);
        why_in_defmt(f, self.why);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Settled {
    fn format(&self, f: defmt::Formatter<'_>) {
        let counts = [
            (self.freed, defmt::intern!("freed")),
            (self.reclaimable, defmt::intern!("reclaimable")),
            (self.pending, defmt::intern!("pending")),
            (self.held, defmt::intern!("held")),
        ];
        list_in_defmt(f, &counts);
        why_in_defmt(f, self.error);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Report {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}; evicted: {}; store: {}", self.outcome, self.evicted, self.settled);
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Stats {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "evicted: {}; restored: {}", self.evicted, self.restored);
        if self.settled + self.stranded > Pages::ZERO {
            defmt::write!(f, "; ");
            let settled = (self.settled, defmt::intern!("sent home by the store"));
            list_in_defmt(f, &[settled, (self.stranded, defmt::intern!("stranded"))]);
        }
    }
}
