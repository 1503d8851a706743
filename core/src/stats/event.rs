//! Events for a logger: through `defmt`, through `log`, or not at all.

use crate::frame::{BufferId, Pages};
use crate::port::Settled;
use crate::stats::{Evicted, Report, Restored};

#[cfg(all(feature = "defmt", feature = "log"))]
compile_error!(
    "forebay tells its events to one logger: leave out the feature `defmt` or the feature `log` \
     (`cargo tree -e features -i forebay` says who turned them on)"
);

/// Something that was done. Counts are those that the caller receives.
#[cfg_attr(not(any(feature = "defmt", feature = "log")), expect(dead_code, reason = "there is no logger"))]
pub(crate) enum Event {
    /// Something of a buffer left, or was refused.
    Evicted(BufferId, Evicted),
    /// Something of a buffer came back, or was populated.
    Restored(BufferId, Restored),
    /// The contents of a buffer were dropped.
    Purged(BufferId),
    /// A reclaim, with its settles.
    Reclaimed(Report),
    /// A settle by itself.
    Settled(Settled),
    /// Pages that left the free lists.
    Trimmed(Pages),
    /// Pages of blocks that can't be returned to the source.
    Leaked(Pages),
    /// The store does not have what it took.
    Lost(BufferId),
}

#[cfg(any(feature = "defmt", feature = "log"))]
impl Event {
    /// Whether it is worth a line.
    fn is_news(&self) -> bool {
        match self {
            Event::Evicted(_, what) => what.moved() + what.refused > Pages::ZERO,
            Event::Restored(_, what) => what.total() > Pages::ZERO,
            Event::Settled(what) => what.written + what.freed > Pages::ZERO || what.error.is_some(),
            Event::Trimmed(pages) | Event::Leaked(pages) => *pages > Pages::ZERO,
            Event::Purged(_) | Event::Reclaimed(_) | Event::Lost(_) => true,
        }
    }
}

/// Tells the logger. What concerns one buffer is a trace, one call a debug message, a loss a warning.
///
/// # Context
/// That of the call, perhaps an interrupt. Never called under a lock: a logger may take as long as it likes.
#[cfg(feature = "defmt")]
pub(crate) fn send(event: Event) {
    if !event.is_news() {
        return;
    }
    match event {
        Event::Evicted(id, what) => defmt::trace!("buffer {=usize}: evicted: {}", id.0, what),
        Event::Restored(id, what) => defmt::trace!("buffer {=usize}: restored: {}", id.0, what),
        Event::Purged(id) => defmt::trace!("buffer {=usize}: purged", id.0),
        Event::Reclaimed(report) => defmt::debug!("reclaim: {}", report),
        Event::Settled(what) => defmt::debug!("settle: {}", what),
        Event::Trimmed(pages) => defmt::debug!("pool: {=usize} pages trimmed", pages.get()),
        Event::Leaked(pages) => {
            defmt::warn!("{=usize} pages leaked: their caching mode can't be changed", pages.get());
        }
        Event::Lost(id) => defmt::warn!("buffer {=usize}: contents lost by the store", id.0),
    }
}

/// The same for `log`.
#[cfg(all(feature = "log", not(feature = "defmt")))]
pub(crate) fn send(event: Event) {
    if !event.is_news() {
        return;
    }
    match event {
        Event::Evicted(id, what) => log::trace!(target: "forebay", "buffer {}: evicted: {what}", id.0),
        Event::Restored(id, what) => log::trace!(target: "forebay", "buffer {}: restored: {what}", id.0),
        Event::Purged(id) => log::trace!(target: "forebay", "buffer {}: purged", id.0),
        Event::Reclaimed(report) => log::debug!(target: "forebay", "reclaim: {report}"),
        Event::Settled(what) => log::debug!(target: "forebay", "settle: {what}"),
        Event::Trimmed(pages) => log::debug!(target: "forebay", "pool: {pages} pages trimmed"),
        Event::Leaked(pages) => {
            log::warn!(target: "forebay", "{pages} pages leaked: their caching mode can't be changed");
        }
        Event::Lost(id) => log::warn!(target: "forebay", "buffer {}: contents lost by the store", id.0),
    }
}

/// No logger: nothing is linked.
#[cfg(not(any(feature = "defmt", feature = "log")))]
#[inline(always)]
pub(crate) fn send(_: Event) {}
