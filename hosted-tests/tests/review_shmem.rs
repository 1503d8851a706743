//! Review: shmem under `keep_free` and `Want::block`. Each fails now, for the reason that it states.

use forebay::*;
use forebay_backends::shmem::Arena;

const PAGE: usize = 4096;
const THREAD: Context = Context::THREAD;

/// Chunks of 16 pages.
fn arena(chunks: u64) -> Arena {
    Arena::builder(chunks * 16 * PAGE as u64).chunk(16 * PAGE).create().unwrap()
}

/// Rule: `keep_free` ends at what others can have; it does not move out everybody's contents, call by call.
#[test]
fn keeping_memory_free_ends() {
    let arena = arena(8);
    let home: &Forebay<_, _> = &Forebay::<_, _, [Place<&Arena>; 0]>::new(&arena, &arena, 0);
    let tiles: [_; 7] = std::array::from_fn(|_| Buffer::new(home, Order::new(4).unwrap())); // a chunk each
    tiles.iter().for_each(|t| drop(t.write().unwrap()));
    for call in 1..=10 {
        let report = home.keep_free(&tiles, Pages::new(32), Evict::TRANSFER, THREAD).unwrap();
        println!("{call}: {:?} {:?}; {:?}", report.evicted.handed_over, report.outcome, arena.usage());
    }
    assert!(
        arena.resident() > Pages::ZERO,
        "16 were missing, and all 112 left, in calls that each said they reached it"
    );
}

/// Rule: a reclaim goes on where what is pending waits for its neighbours, not for the system.
#[test]
fn what_can_not_settle_holds_up_nothing() {
    let arena = arena(4);
    let home: &Forebay<_, _> = &Forebay::<_, _, [Place<&Arena>; 0]>::new(&arena, &arena, 0);
    let tiles: Vec<_> = (0..64).map(|_| Buffer::new(home, Order::PAGE)).collect();
    tiles.iter().for_each(|t| drop(t.write().unwrap()));
    let mut reports = Vec::new();
    for _ in 0..50 {
        reports.push(home.reclaim(&tiles[..], Want::freed(Pages::new(4)), Evict::LADDER, THREAD));
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

/// Rule: asking whether there is a block takes no memory.
#[test]
fn asking_for_a_block_brings_in_none() {
    let arena: Arena = Arena::builder(4 * 16 * PAGE as u64).chunk(16 * PAGE).create().unwrap();
    let home: &Forebay<_, _> = &Forebay::<_, _, [Place<&Arena>; 0]>::new(&arena, &arena, 0);
    let before = arena.usage();
    let none = [Buffer::new(home, Order::PAGE)];
    let report = home.reclaim(&none, Want::block(Order::new(4).unwrap()), Evict::TRANSFER, THREAD);
    assert_eq!(arena.usage(), before, "{report:?}");
    let fresh = arena.allocate(Order::PAGE, THREAD).unwrap();
    assert_eq!(arena.wiped(&fresh), Wiped::Yes, "it was touched by nobody, and has to be wiped now");
    arena.release(fresh);
}
