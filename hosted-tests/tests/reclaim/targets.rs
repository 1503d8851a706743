//! What a reclaim reaches for: pages that left, or pages that are free; how it ends where the store can't follow.

use forebay_backends::*;
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use std::cell::Cell;

const TRANSFER: Evict = Evict::TRANSFER;
const COPY: Evict = Evict::COPY;
const INTERRUPT: Context = Context::INTERRUPT;

/// What left, what settling returned, what counts, and how it ended.
fn told(report: &Report) -> ([usize; 3], Outcome) {
    let counts = [report.evicted.moved(), report.settled.freed, report.gained];
    (counts.map(Pages::get), report.outcome)
}

/// Rule: what is to move is done when it left; what is to be free, when its frames are in the source. What is on its way comes
/// first: it costs no buffer its contents.
#[test]
fn moved_or_freed() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<8, _>(home, order(1));
    let report = home.reclaim(&tiles, ReclaimTarget::moved(pages(4)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([4, 0, 4], Outcome::Reached), NONE));
    assert_eq!(report.settled.pending, pages(4));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(3)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([0, 4, 4], Outcome::Reached), pages(4)));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(3)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([4, 4, 4], Outcome::Reached), pages(8)));
    home.reclaim(&tiles, pages(2), TRANSFER, CX);
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(6)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([4, 6, 6], Outcome::Reached), pages(14)));
    assert_eq!((report.settled.written, report.settled.pending), (pages(6), NONE));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(3)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([2, 2, 2], Outcome::Short), pages(16)));
    world.validate();
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: every block that is written out in pieces is written to its end.
#[test]
fn a_block_is_written_to_its_end() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<2, _>(home, order(3));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(1)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([8, 8, 8], Outcome::Reached), pages(8)));
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: where the context does not permit to write out, what was transferred is not yet reclaimable: it says so, takes no
/// more than was wanted, also not the next time, and settles a few times only.
#[test]
fn in_an_interrupt_it_is_pending() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Settles::new(&far);
    let home = &forebay(&near, &store, &world);
    let tiles = tiles::<8, _>(home, order(1));
    for (moved, pending) in [(4, 4), (0, 4), (0, 4)] {
        let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(3)), Evict::ANY, INTERRUPT);
        assert_eq!(told(&report), ([moved, 0, 0], Outcome::Pending));
        assert_eq!((report.settled.pending, near.unused()), (pages(pending), NONE));
        assert!(store.times() <= 4);
    }
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(7)), Evict::ANY, INTERRUPT);
    assert_eq!((told(&report), report.settled.pending), (([4, 0, 0], Outcome::Pending), pages(8)));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(3)), Evict::ANY, CX);
    assert_eq!((told(&report), near.unused()), (([0, 4, 4], Outcome::Reached), pages(4)));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(ALL), TRANSFER, INTERRUPT);
    assert_eq!((told(&report), report.settled.pending), (([8, 0, 0], Outcome::Short), pages(12)));
    world.validate();
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: what is copied is free at once, and the store is not asked to write out.
#[test]
fn what_is_copied_is_free_at_once() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<8, _>(home, order(1));
    for (want, gained, outcome) in [
        (3, 4, Outcome::Reached),
        (0, 0, Outcome::Reached),
        (13, 12, Outcome::Short),
        (1, 0, Outcome::Nothing),
    ] {
        let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(want)), COPY, CX);
        assert_eq!(told(&report), ([gained, 0, gained], outcome), "{want} wanted");
        assert_eq!(report.settled, Settled::default());
    }
    assert_eq!(near.unused(), pages(16));
    check_all(&tiles);
    drop(tiles);
    all_returned(&world, &near, &far);
}

/// Rule: a store that takes one block at a time is settled after each, until enough is free; where it can't be settled, the
/// walk ends.
#[test]
fn a_store_with_room_for_one() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), region::<1>(32, 0));
    let store = Settles::new(&far);
    let home = &forebay(&near, &store, &world);
    let tiles = tiles::<8, _>(home, order(1));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(9)), TRANSFER, CX);
    assert_eq!((told(&report), near.unused()), (([10, 10, 10], Outcome::Reached), pages(10)));
    store.times();
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(4)), TRANSFER, INTERRUPT);
    assert_eq!((told(&report), report.settled.pending), (([2, 0, 0], Outcome::Short), pages(2)));
    assert_eq!(report.evicted.backlogs, 1);
    assert!(store.times() <= 4);
    check_all(&tiles);
    drop(tiles);
    world.validate();
    world.assert_empty();
    assert_eq!((near.unused(), far.space()), (pages(16), Space { pages: pages(32), transfers: 1 }));
}

/// Rule: a store whose settle fails ends the reclaim, with its error and the counts as they are; nothing more than was
/// wanted leaves, and when it works again all goes on.
#[test]
fn a_store_that_can_not_settle_ends_it() {
    for how in [Settling::Fails, Settling::FailsLate, Settling::Lies] {
        let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
        let store = Settles::new(&far);
        let home = &forebay(&near, &store, &world);
        let tiles = tiles::<8, _>(home, order(1));
        store.how.set(how);
        // One that fails is given no more; one that only does not come nearer may wait for what is not there yet.
        let lies = how == Settling::Lies;
        for moved in if lies { [4, 4, 4] } else { [4, 0, 0] } {
            store.times();
            let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(4)), TRANSFER, CX);
            assert_eq!(told(&report), ([moved, 0, 0], Outcome::Pending), "{how:?}");
            assert_eq!(report.settled.error, (how != Settling::Lies).then_some(StoreError::Io));
        }
        store.times();
        let report = home.reclaim(&tiles, ReclaimTarget::freed(ALL), TRANSFER, CX);
        let expected = if lies { ([4, 0, 0], Outcome::Short) } else { ([0, 0, 0], Outcome::Nothing) };
        assert_eq!(told(&report), expected, "{how:?}");
        store.how.set(Settling::Honest);
        store.times();
        let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(9)), TRANSFER, CX);
        let moved = if lies { 0 } else { 6 };
        assert_eq!((told(&report), near.unused()), (([moved, 10, 10], Outcome::Reached), pages(10)));
        world.validate();
        check_all(&tiles);
        drop(tiles);
        all_returned(&world, &near, &far);
    }
}

/// A hook that refuses one buffer, and counts how often it was asked for it.
struct Stubborn(Cell<usize>);

impl EvictHooks<RamBlock<PAGE>> for Stubborn {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut RamBlock<PAGE>>,
        _: Context,
    ) -> Result<(), Busy> {
        if id != BufferId(2) {
            return Ok(());
        }
        self.0.set(self.0.get() + 1);
        Err(Busy)
    }
}

/// Rule: what refused is not asked again by the same reclaim, though it goes on settling for what the others gave.
#[test]
fn what_refused_is_not_asked_again() {
    for how in [TRANSFER, COPY, Evict::ANY] {
        for cx in [CX, INTERRUPT] {
            let (near, far) = (near(16), far(32));
            let hooks = Stubborn(Cell::new(0));
            let home = &Forebay::new(WithHooks(&near, &hooks), &far);
            let tiles = tiles::<8, _>(home, order(1));
            for _ in 0..3 {
                home.reclaim(&tiles, ReclaimTarget::freed(ALL), how, cx);
                assert_eq!(hooks.0.take(), usize::from(how != COPY || cx == CX), "{how:?} {cx:?}");
            }
            check_all(&tiles);
        }
    }
}

/// Rule: each way to end, by its name.
#[test]
fn how_it_ends() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(8));
    let home = &forebay(&near, &far, &world);
    let tiles = tiles::<4, _>(home, order(2));
    let stones: [_; 3] = std::array::from_fn(|_| stone(home));
    let guards = tiles.each_ref().map(|t| t.read().unwrap());
    for measure in [ReclaimTarget::moved, ReclaimTarget::freed] {
        for (want, outcome) in [(0, Outcome::Reached), (1, Outcome::Nothing)] {
            assert_eq!(home.reclaim(&tiles[..0], measure(pages(want)), Evict::ANY, CX).outcome, outcome);
            assert_eq!(home.reclaim(&tiles, measure(pages(want)), Evict::ANY, CX).outcome, outcome);
            assert_eq!(home.reclaim(&stones, measure(pages(want)), COPY, CX).outcome, outcome);
        }
    }
    drop(guards);
    let report = home.reclaim(&tiles, ReclaimTarget::moved(pages(12)), Evict::ANY, CX);
    assert_eq!((told(&report), report.evicted.refused), (([8, 0, 8], Outcome::Short), pages(8)));
    assert_eq!(
        home.reclaim(&tiles, ReclaimTarget::moved(pages(4)), Evict::ANY, CX).outcome,
        Outcome::Nothing
    );
    check_all(&tiles[..1]);
    drop(tiles);
    world.validate();
    world.assert_empty();
}

/// Rule: what the system could reclaim before the call does not count.
#[test]
fn only_the_difference_counts() {
    struct Says(Settled);
    impl BackingStore<RamBlock<PAGE>> for Says {
        fn ids(&self) -> StoreIds {
            StoreIds::empty()
        }
        fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
            Err(Refused { item: handle, why: StoreError::WrongStore })
        }
        fn settle(&self, _: Pages, _: Context, _: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
            self.0
        }
    }
    let near = near(16);
    let mut said = Settled::default();
    said.reclaimable = pages(9);
    let home = &Forebay::new(&near, Says(said));
    let report = home.reclaim(&[stone(home)], ReclaimTarget::freed(pages(4)), Evict::ANY, CX);
    assert_eq!((told(&report), report.settled.reclaimable), (([0, 0, 0], Outcome::Nothing), pages(9)));
}

/// Rule: where blocks stay in the source's own memory and the system takes it, what it can take counts; and again only
/// what was added.
#[cfg(target_os = "linux")]
#[test]
fn what_the_system_can_take_counts() {
    use forebay_backends::shmem::Arena;
    const CHUNK: usize = 16;
    let arena = Arena::builder(8 * CHUNK as u64 * 4096).chunk(CHUNK * 4096).create().unwrap();
    let home = &Forebay::new(&arena, &arena);
    let tiles = tiles::<6, _>(home, order(4));
    for round in 1..=2 {
        let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(CHUNK)), TRANSFER, CX);
        assert_eq!(told(&report), ([CHUNK, 0, CHUNK], Outcome::Reached));
        assert_eq!(report.settled.reclaimable, pages(round * CHUNK));
    }
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(CHUNK)), TRANSFER, INTERRUPT);
    assert_eq!((told(&report), report.settled.pending), (([CHUNK, 0, 0], Outcome::Pending), pages(CHUNK)));
    let report = home.reclaim(&tiles, ReclaimTarget::freed(pages(CHUNK)), TRANSFER, CX);
    assert_eq!((report.evicted.moved(), report.settled.reclaimable), (NONE, pages(3 * CHUNK)));
    assert_eq!((report.gained, report.outcome), (pages(CHUNK), Outcome::Reached), "by this call");
    check_all(&tiles);
}
