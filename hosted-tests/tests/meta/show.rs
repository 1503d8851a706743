//! What a person reads of the counters.

use hosted_tests::kit::*;

/// Rule: counts are in pages, each with its name; zeros are left out, and an error hides no count.
#[test]
fn counters_are_readable() {
    assert_eq!(Stats::default().to_string(), "evicted: nothing; restored: nothing");
    let mut evicted = Evicted::default();
    (evicted.transferred, evicted.refused) = (Pages::new(12), Pages::new(4));
    evicted.why = Some(RefusalReason::Store(StoreError::Full));
    let why = StoreError::Full;
    assert_eq!(evicted.to_string(), format!("12 pages transferred, 4 pages refused ({why})"));
    let mut settled = Settled::default();
    (settled.pending, settled.reclaimable) = (Pages::new(3), Pages::new(9));
    let mut report = Report::default();
    (report.evicted, report.settled) = (evicted, settled);
    let text = report.to_string();
    assert!(text.ends_with("; store: 9 pages reclaimable, 3 pages pending"), "{text}");
    let mut restored = Restored::default();
    (restored.taken_back, restored.loaded) = (Pages::new(1), Pages::new(2));
    assert_eq!(restored.to_string(), "1 page taken back, 2 pages loaded");
}

/// Rule: reasons are counted each by itself, and only those that there were are shown.
#[test]
fn refusals_are_readable() {
    assert_eq!(Refusals::default().to_string(), "nothing");
    assert_eq!(format!("{:?}", Refusals::default()), "{}");
}

/// Rule: a forebay shows the free lists, what passed, and why blocks were refused, each in its own unit; lines of zeros are
/// left out; and what the store had at its last settle is there until the next one.
#[test]
fn a_forebay_is_readable() {
    let (near, far) = (near(16), far(32));
    let store = Scripted::new(&far);
    let home = &Forebay::new(with_lists::<_, 2, 2>(&near), &store);
    assert_eq!(home.to_string(), "0 pages ready");

    let (tile, page) = (Buffer::new(home, order(1)), Buffer::new(home, order(0)));
    fill(&tile, 1);
    fill(&page, 1);
    assert_eq!(page.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(1));
    check(&page, 1);
    assert_eq!(page.evict(ALL, Evict::COPY, CX).unwrap().clean, pages(1));
    store.answer(Script { transfer: Some(StoreError::Full), ..Script::default() });
    for _ in 0..2 {
        tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    }
    tile.evict(ALL, Evict::COPY, Context::INTERRUPT).unwrap();
    store.answer(Script::default());
    home.reclaim([&tile], ALL, Evict::TRANSFER, CX); // skips it once
    fill(&page, 2);
    page.purge(CX).unwrap();
    let expected = "order mode zone  ready   hits misses\n    \
                    0    0    0      1      0      3\n    \
                    1    0    0      0      0      1\n\
                    1 page ready\n\
                    \n     \
                         pages\n         \
                             2 transferred\n         \
                             1 copied\n         \
                             1 clean\n         \
                             4 refused\n         \
                             2 freed\n         \
                             2 loaded\n         \
                             3 populated\n         \
                             2 pending, at the last settle\n\
                    \n     \
                         times refused, because\n         \
                             2 the store is full: discard something, give it more memory, or add a store behind it\n         \
                             1 not allowed in this context: call it from a thread";
    assert_eq!(home.to_string(), expected);
    let stats = home.stats();
    let ready = home.pool().ready(Zones::ALL);
    assert_eq!(
        (ready, stats.pending, stats.evicted.moved() - stats.evicted.transferred + stats.settled),
        (pages(1), pages(2), pages(2))
    );
    let blocks: Vec<_> = home.pool().lists().map(|list| (list.order, list.counts.ready)).collect();
    assert_eq!(blocks, [(order(0), 1), (order(1), 0)]);
    assert_eq!(
        stats.refusals.to_string(),
        "2 times (the store is full: discard something, give it more memory, or add a store behind it), \
         1 time (not allowed in this context: call it from a thread)"
    );

    assert_eq!(home.settle(ALL, CX).freed, pages(2));
    let stats = home.stats();
    assert_eq!(
        (stats.pending, stats.settled, stats.evicted.moved() - stats.evicted.transferred + stats.settled),
        (NONE, pages(2), pages(4))
    );
}
