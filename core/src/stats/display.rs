//! Counts for people.

use crate::frame::Pages;
use crate::port::Settled;
use crate::stats::{Evicted, Refusals, Report, Restored, Stats};
use core::fmt;

/// The counts above zero with their names; "nothing" if there are none.
fn list(f: &mut fmt::Formatter<'_>, counts: &[(Pages, &str)]) -> fmt::Result {
    let mut first = true;
    for (pages, name) in counts.iter().filter(|(pages, _)| *pages > Pages::ZERO) {
        let comma = if first { "" } else { ", " };
        let noun = if pages.get() == 1 { "page" } else { "pages" };
        write!(f, "{comma}{pages} {noun} {name}")?;
        first = false;
    }
    if first { f.write_str("nothing") } else { Ok(()) }
}

impl fmt::Display for Evicted {
    /// Pages by outcome, and the first reason for a refusal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.transferred, "transferred"),
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
    /// How often, and the reason, one after the other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (why, times)) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            let noun = if times == 1 { "time" } else { "times" };
            write!(f, "{comma}{times} {noun} ({why})")?;
        }
        if self.iter().next().is_none() { f.write_str("nothing") } else { Ok(()) }
    }
}

impl fmt::Display for Restored {
    /// Pages by the way back, and the first reason why something did not come back.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts =
            [(self.taken_back, "taken back"), (self.loaded, "loaded"), (self.populated, "populated")];
        list(f, &counts)?;
        self.why.map_or(Ok(()), |why| write!(f, " ({why})"))
    }
}

impl fmt::Display for Settled {
    /// Pages by state, and the first failure.
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
        if self.settled + self.leaked > Pages::ZERO {
            f.write_str("; ")?;
            list(f, &[(self.settled, "returned by the store"), (self.leaked, "leaked")])?;
        }
        if self.refusals == Refusals::NONE { Ok(()) } else { write!(f, "; refused: {}", self.refusals) }
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
        defmt::write!(f, "{=usize} page", pages.get());
        if pages.get() != 1 {
            defmt::write!(f, "s");
        }
        defmt::write!(f, " {=istr}", *name);
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
            (self.transferred, defmt::intern!("transferred")),
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
            defmt::write!(f, "{=u32} time", times);
            if times != 1 {
                defmt::write!(f, "s");
            }
            defmt::write!(f, " ({})", why);
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
        if self.settled + self.leaked > Pages::ZERO {
            defmt::write!(f, "; ");
            let settled = (self.settled, defmt::intern!("returned by the store"));
            list_in_defmt(f, &[settled, (self.leaked, defmt::intern!("leaked"))]);
        }
        if self.refusals != Refusals::NONE {
            defmt::write!(f, "; refused: {}", self.refusals);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::port::StoreError;
    use crate::stats::{AccessError, RefusalReason};
    use std::string::ToString;

    const ONE: Pages = Pages::new(1);
    const TWO: Pages = Pages::new(2);

    /// Rule: each count above zero is there with its name, one page is not pages, and what is not there is not named.
    #[test]
    fn counts_as_text() {
        let evicted = Evicted { transferred: ONE, copied: TWO, ..Evicted::default() };
        assert_eq!(evicted.to_string(), "1 page transferred, 2 pages copied");
        let why = Some(RefusalReason::NotPermitted);
        let evicted = Evicted { clean: TWO, purged: ONE, refused: TWO, why, ..Evicted::default() };
        let text = evicted.to_string();
        assert!(text.starts_with("2 pages clean, 1 page purged, 2 pages refused ("), "{text}");
        let restored = Restored { taken_back: ONE, loaded: TWO, ..Restored::default() };
        assert_eq!(restored.to_string(), "1 page taken back, 2 pages loaded");
        let why = Some(AccessError::Busy);
        let text = Restored { populated: ONE, why, ..Restored::default() }.to_string();
        assert!(text.starts_with("1 page populated ("), "{text}");
        let settled = Settled { freed: ONE, reclaimable: TWO, pending: ONE, held: TWO, ..Settled::default() };
        assert_eq!(settled.to_string(), "1 page freed, 2 pages reclaimable, 1 page pending, 2 pages held");
        let text = Settled { error: Some(StoreError::Io), ..Settled::default() }.to_string();
        assert!(text.starts_with("nothing ("), "{text}");
    }

    /// Rule: the sums of a forebay name what the store returned, what leaked and what was refused only if there is any.
    #[test]
    fn sums_as_text() {
        assert_eq!(Stats::default().to_string(), "evicted: nothing; restored: nothing");
        let both = Stats { settled: ONE, leaked: TWO, ..Stats::default() };
        assert_eq!(
            both.to_string(),
            "evicted: nothing; restored: nothing; 1 page returned by the store, 2 pages leaked"
        );
        let leaked = Stats { leaked: ONE, ..Stats::default() };
        assert_eq!(leaked.to_string(), "evicted: nothing; restored: nothing; 1 page leaked");
        let mut refused = Stats::default();
        refused.refusals.add(RefusalReason::NotPermitted);
        let text = refused.to_string();
        assert!(text.contains("; refused: 1 time ("), "{text}");
        refused.refusals.add(RefusalReason::NotPermitted);
        let text = refused.to_string();
        assert!(text.contains("; refused: 2 times ("), "{text}");
        let report = Report { evicted: Evicted { copied: ONE, ..Evicted::default() }, ..Report::default() };
        assert!(report.to_string().ends_with("; evicted: 1 page copied; store: nothing"), "{report}");
    }
}
