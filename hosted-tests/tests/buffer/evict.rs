//! The way out: each eviction method, what leads from one to the next, and what a refusal leaves behind.

use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

type Store<'w> = Scripted<&'w Far, RamBlock<PAGE>>;

fn saves(events: &[Event]) -> Vec<u8> {
    let of = |e: &Event| if let Event::Save(_, o, Ok(_)) = e { Some(o.get()) } else { None };
    events.iter().filter_map(of).collect()
}

fn stay(why: StoreError) -> Option<RefusalReason> {
    Some(RefusalReason::Store(why))
}

/// Free pages of a source of sixteen that make a buffer of eight slots five blocks, of orders 1, 1, 1, 0, 0.
const HOLES: [usize; 8] = [0, 1, 4, 5, 7, 8, 9, 11];

/// Methods, pages transferred and copied, splits, orders of the saves, and the most pages held above the start.
type Row<'r> = (Evict, usize, usize, usize, &'r [u8], usize);

/// Rule: each method does what it says, block by block, and needs no more memory than it says: none for a transfer, a
/// page for splitting, a block for copying (the cover letter's point).
#[test]
fn each_method_by_itself() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let hogged = leave(&near, HOLES);
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let rows: [Row<'_>; 6] = [
        (Evict::TRANSFER, 8, 0, 0, &[], 0),
        (Evict::COPY, 0, 8, 0, &[1, 1, 1, 0, 0], 2),
        (Evict::SPLIT, 0, 8, 3, &[0; 8], 1),
        (Evict::COPY | Evict::SPLIT, 0, 8, 0, &[1, 1, 1, 0, 0], 2),
        (Evict::TRANSFER | Evict::COPY, 8, 0, 0, &[], 0),
        (Evict::ANY, 8, 0, 0, &[], 0),
    ];
    for (how, transferred, copied, splits, orders, peak) in rows {
        fill(&buffer, how.bits() as u8);
        log.take();
        world.begin_shrink();
        let evicted = buffer.evict(ALL, how, CX).unwrap();
        let mut expected = Evicted::default();
        (expected.transferred, expected.copied, expected.splits) =
            (pages(transferred), pages(copied), splits);
        assert_eq!(evicted, expected, "{how:?}");
        assert_eq!((saves(&log.take()), world.peak_extra()), (orders.to_vec(), pages(peak)), "{how:?}");
        assert_eq!((near.unused(), evicted.moved() - evicted.transferred), (pages(copied), pages(copied)));
        world.validate();
        check(&buffer, how.bits() as u8);
        buffer.purge(Context::THREAD).unwrap();
        fill(&buffer, 0); // the split pages are whole blocks again
    }
    assert_eq!(home.stats().evicted.moved(), pages(6 * 8));
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: a method that the store does not have is never tried.
#[test]
fn capabilities_are_believed() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 1);
    log.take();
    store.answer(Script { without: Capabilities::TRANSFER, ..Script::default() });
    assert_eq!(tile.evict(ALL, Evict::TRANSFER, CX).unwrap().why, stay(StoreError::Unsupported));
    assert_eq!(tile.evict(ALL, Evict::ANY, CX).unwrap().copied, pages(4));
    assert_eq!(log.count(|e| matches!(e, Event::Transfer(..))), 0);
    fill(&tile, 1);
    log.take();
    store.answer(Script { without: Capabilities::COPY, ..Script::default() });
    assert_eq!(tile.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap().why, stay(StoreError::Unsupported));
    assert_eq!(tile.evict(ALL, Evict::ANY, CX).unwrap().transferred, pages(4));
    assert_eq!(log.count(|e| matches!(e, Event::Save(..))), 0);
    check(&tile, 1);
    drop(tile);

    let home = &forebay(&near, Null, &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 2);
    let evicted = tile.evict(ALL, Evict::ANY, CX).unwrap();
    assert_eq!((evicted.moved(), evicted.why), (NONE, stay(StoreError::Unsupported)));
    check(&tile, 2);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: what a transfer refuses is copied, with the block that came back.
#[test]
fn a_refused_transfer_is_copied() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let tile = Buffer::new(home, order(2));
    for why in [StoreError::Full, StoreError::Backlog, StoreError::Busy, StoreError::TooLarge, StoreError::Io]
    {
        fill(&tile, 1);
        store.answer(Script { transfer: Some(why), ..Script::default() });
        let alone = tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
        assert_eq!((alone.moved(), alone.refused, alone.why), (NONE, pages(4), stay(why)));
        let evicted = tile.evict(ALL, Evict::TRANSFER | Evict::COPY, CX).unwrap();
        assert_eq!((evicted.copied, evicted.refused, evicted.splits), (pages(4), NONE, 0));
        check(&tile, 1);
        world.validate();
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: "too large" leads to halves. "Full" does not, or a full store would split every large block for nothing.
#[test]
fn too_large_splits_and_full_does_not() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 7);
    log.take();
    for why in [StoreError::Full, StoreError::Backlog, StoreError::Busy, StoreError::Io, StoreError::Context]
    {
        store.answer(Script { save: Some(why), ..Script::default() });
        let evicted = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
        assert_eq!((evicted.splits, evicted.refused, evicted.why), (0, pages(8), stay(why)));
        assert_eq!(log.count(|e| matches!(e, Event::Save(..))), 1, "one try, at the block's own order");
    }
    store.answer(Script { largest: order(1), ..Script::default() });
    let evicted = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
    assert_eq!((evicted.copied, evicted.splits), (pages(8), 3), "8 = 2 + 2 + 4, and 4 = 2 + 2");
    assert_eq!(saves(&log.take()), [1, 1, 1, 1]);
    world.validate();
    check(&buffer, 7);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: COPY without SPLIT never splits a block that is too large. What is small enough leaves, the rest stays
/// and may leave another time (B5: TTM can't retry a partly backed up object).
#[test]
fn copy_alone_leaves_what_is_too_large() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let hogged = leave(&near, HOLES);
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 3);
    store.answer(Script { largest: order(0), ..Script::default() });
    for copied in [2, 0] {
        let evicted = buffer.evict(ALL, Evict::COPY, CX).unwrap();
        assert_eq!((evicted.copied, evicted.refused, evicted.splits), (pages(copied), pages(6), 0));
        assert_eq!((evicted.why, buffer.residency()), (stay(StoreError::TooLarge), residency(6, 0, 2)));
        world.validate();
    }
    let rest = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
    assert_eq!((rest.copied, rest.splits, rest.refused), (pages(6), 3, NONE));
    check(&buffer, 3);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: COPY without SPLIT never splits, not even where the store took only half. Then nothing is stored, and the
/// block stays whole ("COPY: copy it whole, at its own order").
#[test]
fn copy_alone_does_not_split_at_a_short_copy() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 3);
    store.answer(Script { short: true, ..Script::default() });
    let evicted = buffer.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!((evicted.splits, evicted.copied, evicted.refused), (0, NONE, pages(8)));
    assert_eq!((buffer.residency(), world.stored()), (residency(8, 0, 0), NONE));
    check(&buffer, 3);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a short copy splits off what was copied, frees that, and goes on behind it (`ttm-semantics.md` item
/// 53; B6: nothing is reported as backed up that is not).
#[test]
fn a_short_copy_splits_off_its_prefix() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 9);
    log.take();
    store.answer(Script { short: true, ..Script::default() });
    let first = buffer.evict(pages(1), Evict::COPY | Evict::SPLIT, CX).unwrap();
    assert_eq!((first.copied, first.splits, buffer.residency()), (pages(4), 1, residency(4, 0, 4)));
    assert_eq!(near.unused(), pages(12), "the copied half is in the source already");
    let rest = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
    assert_eq!((rest.copied, rest.splits, saves(&log.take())), (pages(4), 2, vec![3, 2, 1, 0]));
    world.validate();
    store.answer(Script::default());
    check(&buffer, 9);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a short copy below the buffer's unit can't be kept: it is dropped, and the block stays whole.
#[test]
fn a_copy_shorter_than_the_unit_is_dropped() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 5);
    let at = tile.read().unwrap().as_ptr();
    store.answer(Script { short: true, ..Script::default() });
    for how in [Evict::COPY, Evict::SPLIT, Evict::COPY | Evict::SPLIT] {
        let evicted = tile.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.refused, evicted.splits), (NONE, pages(4), 0));
        assert!(how == Evict::COPY || evicted.why == Some(RefusalReason::Unsplittable));
        assert_eq!((world.stored(), tile.read().unwrap().as_ptr()), (NONE, at));
        check(&tile, 5);
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: a block that can't be split is evicted whole, or stays, and the reason is reported.
#[test]
fn a_heap_block_is_never_split() {
    type Heap = HeapSource<SpinRawMutex, PAGE>;
    type HeapFar = Region<SpinRawMutex, HeapBlock<PAGE>, PAGE, 4>;
    let world = World::new(Contents::Compared);
    let (near, far) = (Heap::new(), HeapFar::new(StoreId::DEFAULT));
    near.init(memory::leak(16 * PAGE, 0)).unwrap();
    far.init(memory::leak(16 * PAGE, 0), memory::words(HeapFar::metadata_words(16 * PAGE))).unwrap();
    let free = near.free_bytes();
    let store = Scripted::new(&far);
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 6);
    store.answer(Script { largest: order(0), ..Script::default() });
    for how in [Evict::SPLIT, Evict::COPY | Evict::SPLIT] {
        let evicted = buffer.evict(ALL, how, CX).unwrap();
        assert_eq!((evicted.moved(), evicted.refused, evicted.splits), (NONE, pages(4), 0));
        assert_eq!((evicted.why, world.stored()), (Some(RefusalReason::Unsplittable), NONE));
        check(&buffer, 6);
        world.validate();
    }
    store.answer(Script::default());
    for how in [Evict::COPY, Evict::TRANSFER, Evict::ANY] {
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(4));
        check(&buffer, 6);
    }
    drop(buffer);
    world.assert_empty();
    assert_eq!(near.free_bytes(), free);
}

/// Rule: a step without progress does not change the buffer, also where a block refuses only the second split of the several
/// that the store's piece would need: its source joins the halves again.
#[test]
fn a_split_that_is_refused_half_way_is_undone() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (StiffRam { ram: near(16), joins: true }, far_of::<Stiff>(16));
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 8);
    let evicted = buffer.evict(ALL, Evict::SPLIT, CX).unwrap();
    assert_eq!((evicted.moved(), evicted.why), (NONE, Some(RefusalReason::Unsplittable)));
    assert_eq!((evicted.splits, evicted.refused, world.stored()), (0, pages(8), NONE));
    check(&buffer, 8);
    log.take();
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(8));
    assert_eq!(log.count(|e| matches!(e, Event::Transfer(..))), 1, "one block, as before");
    check(&buffer, 8);
    drop(buffer);
    world.assert_empty();
    assert_eq!(near.ram.unused(), near.ram.total());
}

/// Rule: a step without progress does not change the buffer: the same frames, in the same blocks, with the same bytes,
/// nothing stored (B4).
#[test]
fn a_refusal_changes_nothing() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let hogged = leave(&near, HOLES);
    let store = Store::new(&far);
    let home = &forebay(AllPorts(Traced::new(&near, &log)), Traced::new(&store, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 0x3C);
    let mut blocks = Vec::new();
    for why in [StoreError::Full, StoreError::Busy, StoreError::TooLarge, StoreError::Io] {
        for how in METHODS {
            store.answer(Script { transfer: Some(why), save: Some(why), ..Script::default() });
            log.take();
            let evicted = buffer.evict(ALL, how, CX).unwrap();
            assert_eq!(
                (evicted.moved(), evicted.refused, evicted.splits, evicted.why),
                (NONE, pages(8), 0, stay(why))
            );
            let events = log.take();
            let moved = |e: &Event| matches!(e, Event::Allocate(..) | Event::Free(..) | Event::Discard(..));
            assert!(!events.iter().any(moved), "{events:?}");
            assert_eq!((buffer.residency(), world.stored()), (residency(8, 0, 0), NONE));
            check(&buffer, 0x3C);
            world.validate();
        }
        // Which frames it has, as a transfer would name them.
        log.take();
        buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
        let of = |e: &Event| if let Event::Transfer(p, o, _) = e { Some((*p, *o)) } else { None };
        blocks.push(log.take().iter().filter_map(of).collect::<Vec<_>>());
    }
    assert!(blocks.iter().all(|b| b.len() == 5 && *b == blocks[0]), "{blocks:?}");
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: a budget is overshot by less than one block; 0 is nothing.
#[test]
fn a_budget_is_overshot_by_less_than_a_block() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let hogged = leave(&near, HOLES);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for budget in 0..=9 {
        for how in METHODS {
            fill(&buffer, 2);
            let largest = if how == Evict::SPLIT { 1 } else { 2 };
            let moved = buffer.evict(pages(budget), how, CX).unwrap().moved().get();
            assert!(moved >= budget.min(8) && moved < budget + largest, "{how:?}: {moved} of {budget}");
            world.validate();
            check(&buffer, 2);
            buffer.purge(Context::THREAD).unwrap();
        }
    }
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: what the context forbids is not tried, and the reason is reported.
#[test]
fn a_context_forbids_copying() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 1);
    log.take();
    for how in [Evict::COPY, Evict::SPLIT, Evict::COPY | Evict::SPLIT] {
        let evicted = tile.evict(ALL, how, Context::INTERRUPT).unwrap();
        assert_eq!((evicted.moved(), evicted.why), (NONE, stay(StoreError::Context)));
    }
    store.answer(Script { with: Capabilities::NEEDS_IO, ..Script::default() });
    let evicted = tile.evict(ALL, Evict::COPY, Context::NO_IO).unwrap();
    assert_eq!((evicted.moved(), evicted.why), (NONE, stay(StoreError::Context)));
    assert_eq!(log.take(), []);
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(4));
    check(&tile, 1);

    // In an interrupt all methods are the transfer, and its answer is the reason.
    fill(&tile, 1);
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    let evicted = tile.evict(ALL, Evict::ANY, Context::INTERRUPT).unwrap();
    assert_eq!((evicted.moved(), evicted.why), (NONE, stay(StoreError::Backlog)));
    store.answer(Script::default());
    assert_eq!(tile.evict(ALL, Evict::ANY, Context::INTERRUPT).unwrap().transferred, pages(4));
    check(&tile, 1);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: the reason is the context also where a clean block may go and a dirty one may not.
#[test]
fn the_context_is_the_reason_next_to_a_clean_block() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let hogged = leave(&near, [0, 2]);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 2];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    buffer.evict(pages(1), Evict::COPY, CX).unwrap();
    check(&buffer, 1);
    assert_eq!(buffer.residency(), residency(2, 1, 0));
    let evicted = buffer.evict(ALL, Evict::COPY, Context::INTERRUPT).unwrap();
    assert_eq!((evicted.clean, evicted.refused), (pages(1), NONE), "the other was not even tried");
    assert_eq!(evicted.why, stay(StoreError::Context));
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(1), "and leaves where it may");
    assert_eq!(buffer.residency(), residency(0, 0, 2));
    check(&buffer, 1);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

thread_local! {
    /// What happens at each event of the next test.
    static MEANWHILE: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
}

/// Rule: an eviction stops after the present block as soon as another context wants the buffer, and the next call
/// goes on.
#[test]
fn an_eviction_gives_way() {
    let world: &'static World = forever(World::new(Contents::Compared));
    let (near, far): (&'static Near, &'static Far) = (forever(near(16)), forever(far(32)));
    let hogged = leave(near, HOLES);
    let meanwhile = |e: &Event| {
        if let (Event::Transfer(..) | Event::Save(..), Some(f)) = (e, MEANWHILE.get()) {
            f();
        }
    };
    let home: &'static Forebay<_, _> = forever(forebay(near, Traced::new(far, meanwhile), world));
    let slots = forever([const { Slot::EMPTY }; 8]);
    let buffer: &'static Buffer<_, _> = forever(Buffer::with_slots(home, slots, Order::PAGE));
    let want = forever(move || assert_eq!(buffer.read().err(), Some(AccessError::Busy)));
    for how in [Evict::TRANSFER, Evict::COPY] {
        fill(buffer, 1);
        MEANWHILE.set(Some(want));
        let moved: Vec<_> = (0..5).map(|_| buffer.evict(ALL, how, CX).unwrap().moved().get()).collect();
        assert_eq!(moved, [2, 2, 2, 1, 1], "{how:?}");
        MEANWHILE.set(None);
        world.validate();
        check(buffer, 1);
        buffer.purge(Context::THREAD).unwrap();
    }
    give_back(near, hogged);
    all_returned(world, near, far);
}

/// Rule: what an eviction did is counted before the next call of a port, so that a panic of that loses no count.
#[test]
fn a_panic_of_a_hook_loses_no_count() {
    struct Panics;
    impl EvictHooks<RamBlock<PAGE>> for Panics {
        fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
            panic!("the hook")
        }
    }
    let far = far(32);
    let store = Store::new(&far);
    let home = Forebay::new(WithHooks(near(16), Panics), &store);
    let (one, several) = (Buffer::new(&home, order(1)), Buffer::<_, [_; 2]>::inline(&home, order(0)));
    fill(&one, 1);
    fill(&several, 2);
    store.answer(Script { transfer: Some(StoreError::Io), ..Script::default() });
    for (n, buffer) in [(1, &one as &dyn Evictable), (2, &several)] {
        let ended = catch_unwind(AssertUnwindSafe(|| {
            home.reclaim([buffer], pages(2), Evict::TRANSFER, Context::INTERRUPT)
        }));
        assert!(ended.is_err(), "the hook panics");
        assert_eq!(home.stats().evicted.refused, pages(2 * n));
    }
}
