//! What a person reads of the counters.

use forebay::{Evicted, Pages, Report, Restored, Settled, Stats, StoreError};

/// Rule: counts are in pages, each with its name; zeros are left out, and an error hides no count.
#[test]
fn counters_are_readable() {
    assert_eq!(Stats::default().to_string(), "evicted: nothing; restored: nothing");
    let mut evicted = Evicted::default();
    (evicted.handed_over, evicted.refused) = (Pages::new(12), Pages::new(4));
    evicted.why = Some(forebay::StayReason::Store(StoreError::Full));
    let why = StoreError::Full;
    assert_eq!(evicted.to_string(), format!("12 pages handed over, 4 pages refused ({why})"));
    let mut settled = Settled::default();
    (settled.pending, settled.reclaimable) = (Pages::new(3), Pages::new(9));
    let mut report = Report::default();
    (report.evicted, report.settled) = (evicted, settled);
    let text = report.to_string();
    assert!(text.ends_with("; store: 9 pages reclaimable, 3 pages pending"), "{text}");
    let mut restored = Restored::default();
    (restored.taken_back, restored.loaded) = (Pages::new(1), Pages::new(2));
    assert_eq!(restored.to_string(), "1 pages taken back, 2 pages loaded");
}
