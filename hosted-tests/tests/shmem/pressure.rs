//! Reclaims on an arena: what is pending waits for its neighbours there, and its address space is not memory.

use super::*;
use forebay::ReclaimTarget;

/// Rule: what may be kept free is what the limit leaves; without a limit that is not known, and no contents leave.
#[test]
fn keeping_memory_free_ends() {
    for (limit, left) in [(Some(112), 80), (None, 112)] {
        let arena = limit.map_or(builder(8), |limit| builder(8).limit(Pages::new(limit))).create().unwrap();
        let home = &Forebay::new(&arena, &arena);
        let tiles: [_; 7] = std::array::from_fn(|_| Buffer::new(home, order(4))); // a chunk each
        tiles.iter().for_each(|t| drop(t.write().unwrap()));
        for _ in 0..10 {
            let report = home.keep_free(&tiles, Pages::new(32), Evict::TRANSFER, THREAD);
            assert_eq!(report.is_some(), limit.is_some());
            assert_eq!(arena.resident(), Pages::new(left), "{report:?}");
        }
    }
}

/// Rule: a reclaim goes on where what is pending waits for its neighbours, not for the system.
#[test]
fn what_can_not_settle_holds_up_nothing() {
    let arena = builder(4).create().unwrap();
    let home = &Forebay::new(&arena, &arena);
    let tiles: Vec<_> = (0..64).map(|_| Buffer::new(home, Order::PAGE)).collect();
    tiles.iter().for_each(|t| drop(t.write().unwrap()));
    let mut reports = Vec::new();
    for _ in 0..50 {
        reports.push(home.reclaim(&tiles[..], ReclaimTarget::freed(Pages::new(4)), Evict::ANY, THREAD));
        home.settle(Pages::MAX, THREAD);
    }
    let gained: Pages = reports.iter().map(|r| r.gained).sum();
    assert!(
        gained > Pages::ZERO,
        "50 reclaims of 4 of 64 idle pages: {:?}; {:?}",
        reports[49],
        arena.usage()
    );
}

/// Rule: what left makes room under the limit, though it is pending since its chunk has neighbours that are in use.
#[test]
fn what_is_pending_makes_room_under_the_limit() {
    let arena = builder(2).limit(Pages::new(4)).create().unwrap();
    let home = &Forebay::new(&arena, &arena);
    let tiles: [_; 5] = std::array::from_fn(|_| Buffer::new(home, Order::PAGE));
    tiles[..4].iter().for_each(|t| drop(t.write().unwrap()));
    let in_use = [0, 1, 2].map(|n| tiles[n].read().unwrap());
    let guard = home.or_reclaim(&tiles, Pages::new(1), Evict::TRANSFER, THREAD, || tiles[4].write());
    assert!(guard.is_ok(), "{:?}: {:?}", guard.err(), arena.usage());
    assert_eq!(arena.usage().pending, Pages::new(1));
    drop(in_use);
}
