//! The way back: the same block or a copy, in blocks of whatever orders are free, and errors on the way.

use super::complete;
use forebay_backends::*;
use hosted_tests::kit::*;
use std::task::Poll;

type Store<'w> = Scripted<&'w Far, RamBlock<PAGE>>;

const OUT: AccessError = AccessError::Alloc(AllocError::Exhausted);

/// Orders of the blocks that were allocated.
fn allocated(events: &[Event]) -> Vec<u8> {
    let of = |e: &Event| if let Event::Allocate(o, Ok(_)) = e { Some(o.get()) } else { None };
    events.iter().filter_map(of).collect()
}

/// Rule: a transferred block that is taken back is the same block: the same frames, without memory, without copying.
#[test]
fn taking_back_needs_no_memory() {
    let (world, near, far) = (World::new(Contents::Compared), near(8), far(16));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 1);
    let at = tile.read().unwrap().as_ptr();
    tile.evict(ALL, Evict::TRANSFER, Context::INTERRUPT).unwrap();
    let hogged = leave(&near, []);
    assert_eq!(complete(tile.restore(ALL, Context::INTERRUPT)).taken_back, pages(4));
    assert_eq!(tile.read_in(Context::INTERRUPT).unwrap().as_ptr(), at);
    assert_eq!((world.counts().loaded, far.pending(), far.space().pages), (0, NONE, pages(16)));
    check(&tile, 1);
    give_back(&near, hogged);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: where a limit forbids taking back, nothing is allocated, split or copied for it: that would be no progress, and
/// leave the contents in parts.
#[test]
fn no_headroom_changes_nothing() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(8), far(16));
    let store: Store<'_> = Scripted::new(&far);
    let home = &forebay(&near, Traced::new(&store, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
    let free = near.unused();
    store.answer(Script { take_back: Some(StoreError::NoHeadroom), ..Script::default() });
    log.take();
    let why = AccessError::Alloc(AllocError::NoHeadroom);
    assert_eq!(buffer.read().map(drop), Err(why));
    assert!(log.take().iter().all(|e| matches!(e, Event::TakeBack(_, Err(_)))));
    assert_eq!((near.unused(), world.counts().freed), (free, 0));
    store.answer(Script::default());
    assert_eq!(complete(buffer.restore(ALL, CX)).taken_back, pages(4));
    check(&buffer, 1);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: taking back cancels a write-out, also one that is half done. What is written out completely is loaded.
#[test]
fn taking_back_cancels_a_write_out() {
    let (world, near, far) = (World::new(Contents::Compared), near(8), far(16));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(2));
    for written in 0..=4 {
        fill(&tile, written as u8);
        let at = tile.read().unwrap().as_ptr();
        tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
        let settled = home.settle(pages(written), CX);
        assert_eq!(settled.freed, pages(if written == 4 { 4 } else { 0 }));
        let restored = complete(tile.restore(ALL, CX));
        let by_copy = if written == 4 { (NONE, pages(4)) } else { (pages(4), NONE) };
        assert_eq!((restored.taken_back, restored.loaded), by_copy);
        assert!(written == 4 || tile.read().unwrap().as_ptr() == at);
        check(&tile, written as u8);
        world.validate();
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: taking back comes first, since it needs no frames and may give the store room.
#[test]
fn taking_back_comes_before_loading() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let hogged = leave(&near, [0, 2, 4, 6]);
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    buffer.evict(pages(2), Evict::COPY, CX).unwrap();
    buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
    log.take();
    check(&buffer, 1);
    let events = log.take();
    let last = events.iter().rposition(|e| matches!(e, Event::TakeBack(_, Ok(_)))).unwrap();
    let first = events.iter().position(|e| matches!(e, Event::Load(..))).unwrap();
    assert!(last < first, "{events:?}");
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: parts that were split on the way out come back in one block, where one is free (TTM restores by its normal
/// allocation; the orders of the copies do not matter). It is clean, and is evicted again without copying.
#[test]
fn split_copies_come_back_whole() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let home = &forebay(AllPorts(Traced::new(&near, &log)), Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().splits, 7);
    log.take();
    assert_eq!(complete(buffer.restore(pages(8), CX)).loaded, pages(8), "as large as the budget permits");
    let events = log.take();
    assert_eq!(allocated(&events), [3]);
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Load(o, _, Ok(())) if *o == order(0))).count(), 8);
    check(&buffer, 1);
    assert_eq!(buffer.evict(pages(1), Evict::ANY, CX).unwrap().clean, pages(8));
    assert_eq!(buffer.residency(), residency(0, 0, 8));
    world.validate();

    // The same copies, where only small blocks are free.
    let hogged = leave(&near, [1, 3, 4, 5, 7, 9, 11, 13]);
    log.take();
    check(&buffer, 1);
    assert_eq!(allocated(&log.take()), [1, 0, 0, 0, 0, 0, 0]);
    fill(&buffer, 2);
    check(&buffer, 2);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: where only smaller blocks are free, the handle of what is stored is split until a half fits.
#[test]
fn a_large_copy_comes_back_in_small_blocks() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(AllPorts(Traced::new(&near, &log)), Traced::new(&store, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for (n, free) in [[0, 2, 4, 6, 8, 10, 12, 14], [0, 1, 4, 5, 8, 9, 12, 13], [0, 1, 2, 3, 8, 9, 11, 13]]
        .into_iter()
        .enumerate()
    {
        fill(&buffer, n as u8);
        assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
        let hogged = leave(&near, free);
        // Without splitting nothing can be restored, and nothing is lost.
        for (script, why) in [
            (Script { without: Capabilities::SPLIT, ..Script::default() }, OUT),
            (Script { split: Some(StoreError::Io), ..Script::default() }, AccessError::Store(StoreError::Io)),
        ] {
            store.answer(script);
            assert_eq!((buffer.restore(ALL, CX).why, buffer.residency()), (Some(why), residency(0, 0, 8)));
        }
        store.answer(Script { split: Some(StoreError::Busy), ..Script::default() });
        assert_eq!(buffer.read().err(), Some(AccessError::Busy));
        store.answer(Script::default());
        log.take();
        check(&buffer, n as u8);
        let expected: &[u8] = [&[0; 8][..], &[1; 4], &[2, 1, 0, 0]][n];
        assert_eq!(allocated(&log.take()), expected);
        assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().clean, pages(8));
        check(&buffer, n as u8);
        world.validate();
        buffer.purge(Context::THREAD).unwrap();
        give_back(&near, hogged);
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a step without progress does not change the buffer: where no frame is free, no handle is split.
#[test]
fn without_any_frame_no_copy_is_split() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(8), far(16));
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    buffer.evict(ALL, Evict::COPY, CX).unwrap();
    let hogged = leave(&near, []);
    log.take();
    assert_eq!((buffer.restore(ALL, CX).why, buffer.residency()), (Some(OUT), residency(0, 0, 8)));
    assert_eq!(log.count(|e| matches!(e, Event::Split(_, Ok(())))), 0, "the copy was split for nothing");
    give_back(&near, hogged);
    check(&buffer, 1);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a block lies at a multiple of its size, also after restores that were interrupted and went on with more or
/// less memory (TTM's alignment hole, `ttm-semantics.md` §2.6).
#[test]
fn blocks_are_aligned_at_each_index() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(64), far(64));
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 21];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let mut random = 0x2545_F491_u32;
    let mut next = |below: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random % below
    };
    for round in 0..60 {
        // Populated in part with single pages, then to the end with whatever is free.
        let hogged = leave(&near, (0..next(6) as usize).map(|n| 3 * n));
        let _ = buffer.read().is_ok();
        give_back(&near, hogged);
        let hogged = leave(&near, (0..64).filter(|_| next(8) > 0));
        let fits = near.unused() + buffer.residency().unwrap().resident >= pages(21);
        if fits {
            fill(&buffer, round);
        }
        give_back(&near, hogged);
        if !fits {
            continue;
        }
        for _ in 0..next(4) {
            buffer.evict(pages(next(21) as usize), METHODS[next(6) as usize], CX).unwrap();
            home.settle(pages(next(8) as usize), CX);
            let hogged = leave(&near, (0..64).filter(|_| next(2) > 0));
            let _ = buffer.restore(pages(next(9) as usize), CX);
            give_back(&near, hogged);
            world.validate();
        }
        check(&buffer, round);
        drop(buffer.write().unwrap()); // no copies, so every block is transferred now
        log.take();
        buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
        let mut index = 0;
        for event in log.take() {
            let Event::Transfer(_, order, result) = event else { continue };
            assert_eq!(index % order.pages().get(), 0, "round {round}: {order:?} at index {index}");
            assert!(result.is_ok() || result == Err(StoreError::Backlog));
            index += order.pages().get();
        }
        assert_eq!(index, 21);
        check(&buffer, round);
        buffer.purge(Context::THREAD).unwrap();
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: an error in the middle of a load loses nothing. What came back before stays, and the next call goes on.
#[test]
fn a_failing_load_loses_nothing() {
    let (near, far) = (near(16), far(32));
    for free in [(0..16).collect::<Vec<_>>(), vec![0, 1, 4, 5, 8, 9, 11, 13]] {
        let swept = sweep(&free, |world, k| {
            let store = Faulty::<_, SpinRawMutex>::new(&far);
            let home = &forebay(&near, &store, world);
            let mut slots = [const { Slot::EMPTY }; 8];
            let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
            fill(&buffer, k as u8);
            buffer.evict(ALL, Evict::SPLIT, CX).unwrap();
            let hogged = leave(&near, free.clone());
            let before = near.unused();
            store.set(kth(k));
            let error = buffer.read().err();
            assert!(error.is_none() || error == Some(AccessError::Store(StoreError::Io)), "{error:?}");
            let failed = store.failed();
            store.set(NEVER);
            let there = buffer.residency().unwrap();
            assert_eq!(there.resident + there.stored, pages(8));
            assert_eq!(near.unused() + there.resident, before, "the half-loaded block is in the source");
            world.validate();
            check(&buffer, k as u8);
            drop(buffer);
            give_back(&near, hogged);
            all_returned(world, &near, &far);
            failed
        });
        swept.at_least(8);
    }
}

/// Rule: a restore may stop after any block. What is empty stays empty. A restore with nothing to do is no error.
#[test]
fn restoring_goes_step_by_step() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let hogged = leave(&near, [0, 1, 4, 6, 9]);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    assert_eq!(buffer.read().err(), Some(OUT));
    assert_eq!(buffer.residency(), residency(5, 0, 0));
    buffer.evict(ALL, Evict::SPLIT, CX).unwrap();
    assert_eq!(buffer.restore(NONE, CX), Restored::default());
    let mut steps = Vec::new();
    for _ in 0..10 {
        let step = complete(buffer.restore(pages(1), CX));
        assert_eq!((step.loaded, step.why), (step.total(), None));
        world.validate();
        steps.push(step.total().get());
    }
    assert_eq!((steps, buffer.residency()), (vec![1, 1, 1, 1, 1, 0, 0, 0, 0, 0], residency(5, 5, 0)));
    give_back(&near, hogged);
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: where frames are short, a restore keeps what it got, and goes on when there are some.
#[test]
fn out_of_frames_and_on_again() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 3);
    buffer.evict(ALL, Evict::COPY, CX).unwrap();
    let mut hogged = leave(&near, [2, 3, 5]);
    let step = buffer.restore(ALL, CX);
    assert_eq!(
        (step.loaded, step.total(), step.why),
        (pages(3), pages(3), Some(OUT)),
        "no error hides a count"
    );
    assert_eq!(buffer.residency(), residency(3, 3, 5));
    assert_eq!((buffer.read().err(), buffer.write().err()), (Some(OUT), Some(OUT)));
    near.free(hogged[7].take().unwrap());
    assert_eq!(buffer.read().err(), Some(OUT));
    assert_eq!(buffer.residency(), residency(4, 4, 4));
    world.validate();
    give_back(&near, hogged);
    check(&buffer, 3);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a store that gives back another block than it was given lost the contents, and every guard says so until the
/// buffer is purged. What came back is not leaked.
#[test]
fn lost_contents_are_reported_until_the_purge() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Scripted::new(Watched::new(&far, &world));
    // The bad store stands outside the oracle, which would notice at once.
    let home = Forebay::new(Watched::platform(&near, &world), &store);
    let home = &home;
    let mut slots = [const { Slot::EMPTY }; 3];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE); // blocks of orders 1 and 0
    fill(&buffer, 1);
    buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
    store.answer(Script { steals: true, ..Script::default() });
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    store.answer(Script::default());
    for block in store.stolen() {
        home.platform().free(block);
    }
    for _ in 0..2 {
        assert_eq!(
            (buffer.read().err(), buffer.write().err()),
            (Some(AccessError::Lost), Some(AccessError::Lost))
        );
        assert_eq!(buffer.restore(ALL, CX).why, Some(AccessError::Lost));
        assert_eq!(buffer.residency(), residency(0, 0, 1));
        assert_eq!(buffer.evict(ALL, Evict::ANY, CX), Ok(Evicted::default()));
        world.validate();
    }
    buffer.purge(Context::THREAD).unwrap();
    all_returned(&world, &near, &far);
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    fill(&buffer, 2);
    buffer.evict(ALL, Evict::ANY, CX).unwrap();
    check(&buffer, 2);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: a store that is busy makes the buffer busy, and nothing is lost by trying again.
#[test]
fn a_busy_store_is_a_busy_buffer() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let tile = Buffer::new(home, order(2));
    for how in [Evict::TRANSFER, Evict::COPY] {
        fill(&tile, 3);
        tile.evict(ALL, how, CX).unwrap();
        let busy = Some(StoreError::Busy);
        store.answer(Script { take_back: busy, load: busy, ..Script::default() });
        assert_eq!(
            (tile.read().err(), tile.write().err()),
            (Some(AccessError::Busy), Some(AccessError::Busy))
        );
        assert_eq!(tile.restore(ALL, CX).why, Some(AccessError::Busy));
        assert_eq!(tile.residency(), residency(0, 0, 4));
        world.validate();
        store.answer(Script::default());
        check(&tile, 3);
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: bytes that a copy engine has at the moment are out of reach, not lost. Purging does not wait for them.
#[test]
fn what_an_engine_has_is_busy() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(2));
    let mut engine = Slow::default();
    let mut step = |bytes| {
        far.write_out(&mut engine, bytes, &mut |block: RamBlock<PAGE>| {
            home.store().note_settled(&block);
            home.platform().free(block);
        })
    };
    fill(&tile, 3);
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    assert!(step(PAGE).is_pending());
    assert_eq!(tile.read().err(), Some(AccessError::Busy));
    assert_eq!(tile.residency(), residency(0, 0, 4));
    assert!(step(PAGE).is_pending(), "it was asked for: the engine does not get the next part of it");
    check(&tile, 3);
    assert_eq!(home.stats().restored.taken_back, pages(4), "half written out, and cancelled");
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    while step(PAGE).is_pending() {}
    check(&tile, 3);
    assert_eq!(home.stats().restored.loaded, pages(4), "it was not asked for meanwhile");
    fill(&tile, 4);
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    assert!(step(PAGE).is_pending());
    tile.purge(Context::THREAD).unwrap();
    assert_eq!(near.unused(), pages(12), "the engine still reads it");
    assert!(step(PAGE).is_ready());
    all_returned(&world, &near, &far);
    assert!(contents(&tile).iter().all(|b| *b == 0));
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Copies at once, and reports it only at the second poll.
#[derive(Default)]
struct Slow(Option<Job<RamBlock<PAGE>, PAGE>>, bool);

impl CopyEngine<RamBlock<PAGE>, PAGE> for Slow {
    fn start(&mut self, mut job: Job<RamBlock<PAGE>, PAGE>) {
        job.copy();
        *self = Slow(Some(job), true);
    }
    fn poll(&mut self) -> Poll<Option<Job<RamBlock<PAGE>, PAGE>>> {
        if std::mem::take(&mut self.1) { Poll::Pending } else { Poll::Ready(self.0.take()) }
    }
}

/// Rule: an interrupt may read what is resident or can be taken back. Anything else is refused and stays as it is.
#[test]
fn an_interrupt_does_not_load() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 3);
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    let refused = Some(AccessError::Context);
    assert_eq!(tile.read_in(Context::INTERRUPT).err(), refused);
    assert_eq!(tile.write_in(Context::INTERRUPT).err(), refused);
    assert_eq!((tile.residency(), near.unused()), (residency(0, 0, 4), near.total()));
    check(&tile, 3);
    assert!(tile.read_in(Context::INTERRUPT).unwrap()[..] == pattern(3, 4 * PAGE)[..]);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: nor does it populate: zeroing takes time in proportion to the block, which is what an interrupt may
/// not spend ("`Context::INTERRUPT`: what is resident or can be taken back", else an error).
#[test]
fn an_interrupt_does_not_populate() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(3));
    assert!(tile.read_in(Context::INTERRUPT).is_err(), "eight pages were zeroed in an interrupt");
    assert!(tile.write_in(Context::INTERRUPT).is_err());
    assert_eq!((tile.residency(), near.unused()), (residency(0, 0, 0), near.total()));
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: the first error is reported: that taking back failed, not that a transferred block can't be loaded.
#[test]
fn the_error_of_taking_back_is_reported() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let tile = Buffer::new(home, order(2));
    fill(&tile, 3);
    for why in [StoreError::Io, StoreError::Unavailable, StoreError::Full] {
        tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
        store.answer(Script { take_back: Some(why), ..Script::default() });
        let error = AccessError::Store(why);
        assert_eq!((tile.read().err(), tile.write().err()), (Some(error), Some(error)));
        for cx in [CX, Context::INTERRUPT] {
            let step = tile.restore(ALL, cx);
            assert_eq!((step.total(), step.why), (NONE, Some(error)));
        }
        assert_eq!((tile.residency(), near.unused()), (residency(0, 0, 4), pages(12)));
        store.answer(Script::default());
        check(&tile, 3);
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: contents that can't be taken back, and were written out, are loaded.
#[test]
fn what_is_written_out_is_loaded_if_it_cant_be_taken_back() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Store::new(&far);
    let home = &forebay(&near, &store, &world);
    let (tile, tiles) = (Buffer::new(home, order(2)), Buffer::<_, [_; 2]>::inline(home, order(1)));
    fill(&tile, 3);
    fill(&tiles, 4);
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    tiles.evict(ALL, Evict::TRANSFER, CX).unwrap();
    home.settle(ALL, CX);
    store.answer(Script { take_back: Some(StoreError::Unavailable), ..Script::default() });
    assert_eq!(complete(tile.restore(ALL, CX)).loaded, pages(4));
    assert_eq!(complete(tiles.restore(ALL, CX)).loaded, pages(4));
    check(&tile, 3);
    check(&tiles, 4);
    drop((tile, tiles));
    store.answer(Script::default());
    all_returned(&world, &near, &far);
}

/// Rule: what fails stays stored, and the walk goes on: one busy slot keeps no other from coming back, whether by taking
/// back or by loading. The next call restores the rest.
#[test]
fn one_busy_slot_keeps_no_other_from_coming_back() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let store = Faulty::<_, SpinRawMutex>::new(&far);
    store.fail_with(StoreError::Busy);
    let hogged = leave(&near, (0..8).map(|n| 2 * n));
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for how in [Evict::TRANSFER, Evict::COPY] {
        for kth in 0..6 {
            fill(&buffer, kth as u8);
            assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(6));
            store.set(Faults { kth: Some(kth), ..Faults::default() });
            let step = buffer.restore(ALL, CX);
            assert_eq!((step.total(), step.why), (pages(5), Some(AccessError::Busy)), "{how:?}, call {kth}");
            assert_eq!((buffer.residency().unwrap().stored, store.failed()), (pages(1), 1));
            world.validate();
            store.set(Faults::default());
            assert_eq!(complete(buffer.restore(ALL, CX)).total(), pages(1));
            check(&buffer, kth as u8);
        }
    }
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}
