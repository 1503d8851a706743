//! Memory kept free ahead, and an allocation that asks to reclaim and tries again; nothing reclaims unasked.

use forebay_backends::*;
use hosted_tests::kit::walkers::{check_all, tiles};
use hosted_tests::kit::*;
use std::cell::{Cell, RefCell};

const TRANSFER: Evict = Evict::TRANSFER;
const EXHAUSTED: AccessError = AccessError::Alloc(AllocError::Exhausted);

/// Rule: if that number of pages is free, nothing is done; else exactly what is missing is freed, to the block; then all is well
/// again. A mark
/// above all that there is evicts nothing.
#[test]
fn what_is_missing_and_no_more() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(32), far(64));
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let tiles = tiles::<12, _>(home, order(1));
    for (ahead, moved, free) in [(0, 0, 8), (8, 0, 8), (9, 2, 10), (10, 0, 10), (15, 6, 16), (16, 0, 16)] {
        log.take();
        let report = home.keep_free(&tiles, pages(ahead), TRANSFER, CX).unwrap();
        assert_eq!((report.evicted.moved(), near.unused()), (pages(moved), pages(free)), "{ahead} ahead");
        assert_eq!((report.gained, report.outcome), (pages(moved), Outcome::Reached));
        assert_eq!(log.take().is_empty(), moved == 0, "nothing is asked of the store where all is well");
    }
    let report = home.keep_free(&tiles, pages(33), TRANSFER, CX).unwrap();
    assert_eq!((report.outcome, near.unused()), (Outcome::Never, pages(16)));
    let report = home.keep_free(&tiles, pages(32), TRANSFER, CX).unwrap();
    assert_eq!((report.outcome, near.unused()), (Outcome::Reached, pages(32)));
    world.validate();
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: what is on its way counts: it is settled before more leaves; where it can't be, it is pending, and no more leaves
/// either, however often.
#[test]
fn what_is_on_its_way_counts() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<16, _>(home, order(1));
    home.reclaim(&tiles, pages(6), TRANSFER, Context::INTERRUPT);
    for _ in 0..3 {
        let report = home.keep_free(&tiles, pages(6), Evict::ANY, Context::INTERRUPT).unwrap();
        assert_eq!((report.evicted.moved(), report.outcome), (NONE, Outcome::Pending));
    }
    let report = home.keep_free(&tiles, pages(5), Evict::ANY, CX).unwrap();
    assert_eq!((report.evicted.moved(), report.gained, report.outcome), (NONE, pages(6), Outcome::Reached));
    assert_eq!((near.unused(), far.pending()), (pages(6), NONE));
    home.reclaim(&tiles, pages(2), TRANSFER, Context::INTERRUPT);
    let report = home.keep_free(&tiles, pages(10), Evict::ANY, CX).unwrap();
    assert_eq!((report.evicted.moved(), report.gained, near.unused()), (pages(2), pages(4), pages(10)));
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: what is ready in free lists is free.
#[test]
fn free_lists_count() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(64));
    let home = &forebay_with_lists::<_, _, 1, 8>(&near, &far, &world);
    let tiles = tiles::<10, _>(home, order(0));
    drop(self::tiles::<6, _>(home, order(0)));
    assert_eq!((near.unused(), home.pool().ready(Zones::ALL)), (NONE, pages(6)));
    let report = home.keep_free(&tiles, pages(6), Evict::ANY, CX).unwrap();
    assert_eq!((report, home.pool().ready(Zones::ALL)), (Report::default(), pages(6)));
    let report = home.keep_free(&tiles, pages(8), Evict::ANY, CX).unwrap();
    assert_eq!((report.gained, near.unused(), home.pool().ready(Zones::ALL)), (pages(2), pages(2), pages(6)));
    check_all(&tiles);
    drop(tiles);
    home.pool().trim(Zones::ALL, ALL, CX);
    all_returned(&world, &near, &far);
}

/// Rule: a source that does not say how much is free is not kept free.
#[test]
fn a_source_that_does_not_say() {
    let (near, far) = (SeenRam(near(16)), far_of::<Seen>(16));
    let home = &Forebay::new(&near, &far);
    let tiles = tiles::<4, _>(home, order(0));
    assert_eq!(home.keep_free(&tiles, ALL, Evict::ANY, CX), None);
    assert!(tiles.iter().all(|t| t.residency() == residency(1, 0, 0)));
}

/// Rule: nothing is reclaimed for an allocation that did not ask for it.
#[test]
fn nothing_is_reclaimed_unasked() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(8), far(64));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), Traced::new(&far, &log), &world);
    let tiles = tiles::<8, _>(home, order(0));
    let _ = tiles[0].set_purgeable(true).unwrap();
    let one_more = Buffer::new(home, order(0));
    log.take();
    assert_eq!(one_more.read().err(), Some(EXHAUSTED));
    assert_eq!(one_more.populate(ALL, CX).why, Some(EXHAUSTED));
    assert_eq!(one_more.write().err(), Some(EXHAUSTED));
    assert_eq!(home.pool().take(AllocRequest::new(order(0)), (), CX).map(drop), Err(AllocError::Exhausted));
    assert!(log.take().iter().all(|e| matches!(e, Event::Allocate(..))));
    check_all(&tiles);
    drop((tiles, one_more));
    all_returned(&world, &near, &far);
}

/// Rule: it is tried again after each reclaim, until it works; what the attempt got in between it keeps.
#[test]
fn tried_again_until_it_works() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<16, _>(home, order(0));
    let mut slots = [const { Slot::EMPTY }; 5];
    let large = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for how in [Evict::ANY, TRANSFER, Evict::COPY] {
        check_all(&tiles[..4]); // whatever left is back
        let tries = Cell::new(0);
        let guard = home.or_reclaim(&tiles, pages(1), how, CX, || {
            tries.set(tries.get() + 1);
            large.write()
        });
        guard.unwrap().write_at(0, &pattern(9, 5 * PAGE));
        check(&large, 9);
        large.evict(ALL, Evict::COPY, CX).unwrap();
        assert!(tries.get() <= 6, "{} tries", tries.get());
    }
    world.validate();
    check_all(&tiles[..4]);
    check(&large, 9);
    drop((tiles, large));
    all_returned(&world, &near, &far);
}

/// Rule: as long as something leaves, at most once for each candidate, and once more; an attempt that no reclaim
/// helps ends with its error.
#[test]
fn it_ends_when_nothing_helps() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<4, _>(home, order(0));
    let tries = Cell::new(0);
    let attempt = || {
        tries.set(tries.get() + 1);
        Err::<(), _>(EXHAUSTED)
    };
    let calls = |candidates: &[Buffer<_>], how, cx| {
        assert_eq!(home.or_reclaim(candidates, pages(1), how, cx, attempt), Err(EXHAUSTED));
        tries.take()
    };
    assert_eq!(calls(&[], Evict::ANY, CX), 1, "no candidates");
    assert_eq!(calls(&tiles, Evict::ANY, Context::INTERRUPT), 2, "transferred is not free, but for a limit");
    check_all(&tiles);
    assert_eq!(calls(&tiles[..3], Evict::ANY, CX), 4, "each candidate once, and a last try");
    assert_eq!(calls(&tiles[..3], Evict::ANY, CX), 1, "nothing is left");
    check_all(&tiles);
    let guards = tiles.each_ref().map(|t| t.read().unwrap());
    assert_eq!(calls(&tiles, Evict::ANY, CX), 1, "all in use");
    drop(guards);
    world.validate();
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: even a candidate that gives again and again does not keep it going.
#[test]
fn at_most_once_for_each_candidate_and_once_more() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(64));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<3, _>(home, order(0));
    let tries = Cell::new(0);
    let result = home.or_reclaim(&tiles, pages(1), TRANSFER, CX, || {
        tries.set(tries.get() + 1);
        check_all(&tiles); // whatever left is back
        Err::<(), _>(AccessError::Alloc(AllocError::Limit))
    });
    assert_eq!((result, tries.get()), (Err(AccessError::Alloc(AllocError::Limit)), 5));
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: only a shortage is worth a reclaim; any other error comes back at once, and nothing left.
#[test]
fn what_is_no_shortage_comes_back_at_once() {
    let (near, far) = (near(16), far(64));
    let home = &Forebay::new(&near, &far);
    let tiles = tiles::<3, _>(home, order(0));
    let out = |why| AccessError::Alloc(why);
    let others = [
        AccessError::Busy,
        AccessError::Context,
        AccessError::Lost,
        AccessError::Store(StoreError::Full),
        AccessError::Alloc(AllocError::ModeRefused),
        out(AllocError::Failed),
        out(AllocError::Unavailable),
    ];
    for why in others {
        let tries = Cell::new(0);
        let result = home.or_reclaim(&tiles, pages(1), Evict::ANY, CX, || {
            tries.set(tries.get() + 1);
            Err::<(), _>(why)
        });
        assert_eq!((result, tries.get()), (Err(why), 1));
        assert!(tiles.iter().all(|t| t.residency() == residency(1, 0, 0)), "{why:?}");
    }
    for why in [AllocError::Exhausted, AllocError::Limit, AllocError::NoHeadroom] {
        let left = RefCell::new(vec![Err(out(why)), Ok(())]);
        check_all(&tiles);
        assert_eq!(home.or_reclaim(&tiles, pages(1), Evict::ANY, CX, || left.borrow_mut().remove(0)), Ok(()));
    }
}

/// Rule: a reclaim that found all that was wanted without taking it from a buffer, in free lists say, is worth one more try,
/// and no second one.
#[test]
fn what_was_in_free_lists_helps() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(64));
    let home = &forebay_with_lists::<_, _, 4, 16>(&near, &far, &world);
    let kept = tiles::<1, _>(home, order(3));
    drop(tiles::<8, _>(home, order(0)));
    let large = Buffer::new(home, order(3));
    assert_eq!(large.read().err(), Some(EXHAUSTED));
    let guard = home.or_reclaim(&kept, ReclaimTarget::block(order(3)), Evict::ANY, CX, || large.write());
    guard.unwrap().write_at(0, b"there");
    assert_eq!(kept[0].residency(), residency(8, 0, 0));
    drop(large);
    home.pool().trim(Zones::ALL, ALL, CX);
    let tries = Cell::new(0);
    let many = [(); 20].map(|()| Buffer::new(home, order(0)));
    let result = home.or_reclaim(&many, ReclaimTarget::block(order(3)), Evict::ANY, CX, || {
        tries.set(tries.get() + 1);
        Err::<(), _>(EXHAUSTED)
    });
    assert_eq!((result, tries.get()), (Err(EXHAUSTED), 2), "the source has one, and it is of no use");
    check_all(&kept);
    drop((kept, many));
    home.pool().trim(Zones::ALL, ALL, CX);
    all_returned(&world, &near, &far);
}
