//! Single buffers: reading, writing, guards, purging, dropping.

use super::complete;
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;

/// Rule: a buffer begins empty, reads as zeros, and takes memory at its first use only. Evicting an empty buffer does
/// nothing.
#[test]
fn an_empty_buffer_is_zeros_without_memory() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 6];
    let many = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let one = Buffer::new(home, order(2));
    for how in METHODS {
        assert_eq!(many.evict(ALL, how, CX), Ok(Evicted::default()));
    }
    assert_eq!(many.restore(ALL, CX), Restored::default());
    assert_eq!((many.residency(), world.frames_out()), (residency(0, 0, 0), NONE));
    assert!(contents(&many) == vec![0; 6 * PAGE] && contents(&one) == vec![0; 4 * PAGE]);
    assert_eq!((many.residency(), one.residency()), (residency(6, 0, 0), residency(4, 0, 0)));
    assert_eq!(world.frames_out(), pages(10));
    assert_eq!(home.stats().restored.populated, pages(10));
    drop((many, one));
    all_returned(&world, &near, &far);
}

/// Rule: contiguous memory that nothing else writes derefs to bytes.
#[test]
fn a_contiguous_buffer_derefs_to_bytes() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(3)).with_id(BufferId(7));
    assert_eq!(tile.id(), BufferId(7));
    let text = pattern(1, 8 * PAGE);
    let mut guard = tile.write().unwrap();
    assert_eq!((guard.len(), guard.bytes()), (8 * PAGE, 8 * PAGE));
    guard.copy_from_slice(&text);
    assert!(guard[..] == text[..]);
    drop(guard);
    for how in METHODS {
        assert_eq!(tile.evict(ALL, how, CX).unwrap().moved(), pages(8));
        world.validate();
        assert!(tile.read().unwrap()[..] == text[..]);
    }
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: bytes are copied across blocks at every offset, and short only at the end.
#[test]
fn copies_reach_across_blocks() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    // Holes that make a buffer of eight slots five blocks: 2 + 2 + 1 + 2 + 1.
    let hogged = leave(&near, [0, 1, 4, 5, 7, 8, 9, 11]);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let end = 8 * PAGE;
    let mut model = vec![0; end];
    let spots: Vec<usize> = (0..=8).flat_map(|p| (p * PAGE).saturating_sub(1)..=p * PAGE + 1).collect();
    for (n, at) in spots.iter().copied().enumerate() {
        for len in [0, 1, 2, PAGE, 3 * PAGE + 1, end + 1] {
            let piece = pattern(n as u8, len);
            let fits = len.min(end.saturating_sub(at));
            let mut guard = buffer.write().unwrap();
            assert_eq!(guard.write_at(at, &piece), fits);
            if fits > 0 {
                model[at..at + fits].copy_from_slice(&piece[..fits]);
            }
            let mut back = vec![0x77; len];
            assert_eq!(guard.read_at(at, &mut back), fits);
            assert!(back[..fits] == piece[..fits] && back[fits..].iter().all(|b| *b == 0x77));
        }
        assert!(contents(&buffer) == model, "after writing at {at}");
    }
    let mut byte = [9];
    let mut guard = buffer.write().unwrap();
    for at in [end, usize::MAX - 1, usize::MAX] {
        assert_eq!((guard.read_at(at, &mut byte), guard.write_at(at, &[1]), byte), (0, 0, [9]));
    }
    drop(guard);
    assert_eq!(buffer.residency(), residency(8, 0, 0));
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: with a larger unit no block of the buffer is smaller, and each slot is that many pages.
#[test]
fn a_unit_is_the_least_block() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let log = Log::default();
    let home = &forebay(AllPorts(Traced::new(&near, &log)), &far, &world);
    let mut slots = [const { Slot::EMPTY }; 3];
    let buffer = Buffer::with_slots(home, &mut slots[..], order(2));
    fill(&buffer, 4);
    assert_eq!(buffer.read().unwrap().bytes(), 3 * 4 * PAGE);
    for how in METHODS {
        assert_eq!(buffer.evict(pages(1), how, CX).unwrap().moved().get() % 4, 0);
        buffer.evict(ALL, how, CX).unwrap();
        home.settle(ALL, CX);
        assert_eq!(buffer.residency(), residency(0, 0, 12));
        check(&buffer, 4);
        world.validate();
    }
    let small = |e: &Event| matches!(e, Event::Allocate(o, _) | Event::Free(_, o) if *o < order(2));
    assert_eq!(log.count(small), 0);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: readers join, a writer is alone, every other caller receives `Busy` and nothing changes. No context waits.
#[test]
fn guards_exclude_each_other() {
    let (world, near, far) = (World::new(Contents::Compared), near(8), far(8));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(1));
    fill(&tile, 8);
    let refuses = |write: Option<AccessError>| {
        assert_eq!(tile.write().err(), write);
        assert_eq!(tile.purge(Context::THREAD), Err(Busy));
        assert_eq!(tile.restore(ALL, CX).why, Some(AccessError::Busy));
        assert_eq!(tile.evict(ALL, Evict::ANY, CX), Err(Busy));
        assert_eq!(tile.evict_if_idle(&EvictRequest::new(ALL, Evict::ANY, CX)), Evicted::default());
    };
    let first = tile.read().unwrap();
    let second = tile.read_in(Context::INTERRUPT).unwrap();
    refuses(Some(AccessError::Busy));
    drop(first);
    refuses(Some(AccessError::Busy)); // the second still reads
    assert_eq!(tile.residency(), residency(2, 0, 0)); // joins as a reader
    assert!(second[..] == pattern(8, 2 * PAGE)[..]);
    drop(second);
    let writer = tile.write().unwrap();
    refuses(Some(AccessError::Busy));
    assert_eq!((tile.read().err(), tile.residency()), (Some(AccessError::Busy), Err(Busy)));
    drop(writer);
    check(&tile, 8);
    world.validate();
    drop(tile);
    all_returned(&world, &near, &far);
}

/// The states that a buffer of eight slots can be brought into, by name.
const STATES: [&str; 9] = [
    "empty",
    "resident",
    "transferred",
    "written out",
    "half written out",
    "copied",
    "part",
    "clean",
    "part clean",
];

fn bring_into<P, S>(state: &str, home: &Forebay<P, S>, buffer: &Buffer<&Forebay<P, S>, &mut [Slot<P>]>)
where
    P: Platform,
    S: BackingStore<P::Block>,
{
    if state == "empty" {
        return;
    }
    fill(buffer, 0x21);
    let evict = |n, how| buffer.evict(n, how, CX).unwrap();
    match state {
        "transferred" => assert_eq!(evict(ALL, Evict::TRANSFER).transferred, pages(8)),
        "written out" | "half written out" => {
            evict(ALL, Evict::TRANSFER);
            let pages = if state == "written out" { ALL } else { pages(3) };
            home.settle(pages, CX);
        }
        "copied" => assert_eq!(evict(ALL, Evict::COPY).copied, pages(8)),
        "part" => assert_eq!(evict(pages(3), Evict::SPLIT).copied, pages(3)),
        "clean" | "part clean" => {
            evict(ALL, Evict::COPY | Evict::SPLIT);
            check(buffer, 0x21);
            if state == "part clean" {
                assert_eq!(evict(pages(1), Evict::SPLIT).copied, NONE);
            }
        }
        _ => assert_eq!(state, "resident"),
    }
}

/// Rule: any state may end in a drop; nothing leaks, neither frames nor room in the store.
#[test]
fn a_buffer_may_be_dropped_in_any_state() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    for state in STATES {
        let home = &forebay(&near, &far, &world);
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
        bring_into(state, home, &buffer);
        world.validate();
        drop(buffer);
        all_returned(&world, &near, &far);
    }
}

/// Rule: purging drops the contents wherever they are, and what is read then is zeros, never what was there
/// (B18).
#[test]
fn a_purged_buffer_reads_as_zeros() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for state in STATES {
        bring_into(state, home, &buffer);
        buffer.purge(Context::THREAD).unwrap();
        assert_eq!(buffer.residency(), residency(0, 0, 0), "{state}");
        all_returned(&world, &near, &far);
        assert!(contents(&buffer).iter().all(|b| *b == 0), "{state}");
        buffer.purge(Context::THREAD).unwrap();
    }
}

/// Rule: a buffer that was only read keeps the store's copy, and is evicted again without copying, in any
/// context; one that was held for writing drops it.
#[test]
fn reading_keeps_the_copy_and_writing_drops_it() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
    check(&buffer, 1);
    assert_eq!((buffer.residency(), world.stored()), (residency(8, 8, 0), pages(8)));
    let again = buffer.evict(ALL, Evict::TRANSFER, Context::INTERRUPT).unwrap();
    assert_eq!((again.clean, again.moved(), near.unused()), (pages(8), pages(8), near.total()));
    world.validate();

    drop(buffer.write().unwrap());
    assert_eq!((buffer.residency(), world.stored()), (residency(8, 0, 0), NONE));
    fill(&buffer, 2);
    assert_eq!(buffer.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
    check(&buffer, 2);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: clean blocks are returned to the source without a call of the store, and each other block is saved once.
#[test]
fn a_partly_clean_buffer_copies_only_the_rest() {
    let (world, log) = (World::new(Contents::Compared), Log::default());
    let (near, far) = (near(16), far(32));
    let hogged = leave(&near, [0, 1, 4, 5, 7, 8, 9, 11]);
    let home = &forebay(&near, Traced::new(&far, &log), &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(pages(3), Evict::COPY, CX).unwrap().copied, pages(4));
    check(&buffer, 1);
    assert_eq!(buffer.residency(), residency(8, 4, 0));
    log.take();
    let evicted = buffer.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!((evicted.clean, evicted.copied), (pages(4), pages(4)));
    assert_eq!(log.count(|e| matches!(e, Event::Save(..))), 3, "the blocks of orders 1, 0, 0");
    world.validate();
    check(&buffer, 1);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: copies of what is resident are kept only while the store has room for as much again.
#[test]
fn copies_are_not_kept_in_a_store_that_is_nearly_full() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(12));
    let home = &forebay(&near, &far, &world);
    let tile = Buffer::new(home, order(3));
    fill(&tile, 1);
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
    check(&tile, 1); // four pages are free, eight would be needed
    assert_eq!((tile.residency(), world.stored()), (residency(8, 0, 0), NONE));
    assert_eq!(tile.evict(ALL, Evict::COPY, CX).unwrap().copied, pages(8));
    check(&tile, 1);
    drop(tile);
    all_returned(&world, &near, &far);
}

/// Rule: a leaked guard keeps its buffer busy, and does nothing else: an owner's `&mut` and the drop forget it.
#[test]
fn a_leaked_guard_loses_nothing() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let home = &forebay(&near, &far, &world);
    let mut read = Buffer::new(home, order(2));
    let mut written = Buffer::new(home, order(1));
    for (buffer, seed) in [(&read, 5), (&written, 6)] {
        fill(buffer, seed);
    }
    std::mem::forget(read.read().unwrap());
    std::mem::forget(written.write().unwrap());
    assert_eq!(
        (read.write().err(), written.read().err()),
        (Some(AccessError::Busy), Some(AccessError::Busy))
    );
    assert_eq!((read.purge(Context::THREAD), written.purge(Context::THREAD)), (Err(Busy), Err(Busy)));
    assert_eq!(read.evict_mut(ALL, Evict::TRANSFER, CX).transferred, pages(4));
    assert_eq!(written.evict_mut(ALL, Evict::COPY, CX).copied, pages(2));
    check(&read, 5);
    check(&written, 6);
    std::mem::forget(read.read().unwrap());
    std::mem::forget(written.write().unwrap());
    drop((read, written));
    all_returned(&world, &near, &far);
}

/// Rule: a leaked buffer leaks its memory, and nothing else: another buffer may have its slots, and begins empty.
#[test]
fn slots_of_a_leaked_buffer_begin_empty() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 4];
    let leaked = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&leaked, 9);
    leaked.evict(pages(1), Evict::SPLIT, CX).unwrap();
    std::mem::forget(leaked);
    let (frames, stored) = (world.frames_out(), world.stored());
    assert_eq!((frames, stored), (pages(3), pages(1)));

    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    assert_eq!(buffer.residency(), residency(0, 0, 0));
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    fill(&buffer, 10);
    buffer.evict(ALL, Evict::ANY, CX).unwrap();
    check(&buffer, 10);
    drop(buffer);
    world.validate();
    assert_eq!((world.frames_out(), world.stored()), (frames, stored), "only what was leaked is gone");
}

/// Rule: when no frame is free, a guard is refused. Nothing else changes, and it succeeds once there are frames.
#[test]
fn a_shortage_of_frames_passes() {
    let (world, near, far) = (World::new(Contents::Compared), near(8), far(16));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let (tile, many) = (Buffer::new(home, order(2)), Buffer::with_slots(home, &mut slots[..], Order::PAGE));
    fill(&tile, 3);
    let out = Some(AccessError::Alloc(AllocError::Exhausted));
    assert_eq!((many.read().err(), many.write().err()), (out, out));
    assert_eq!(many.residency(), residency(4, 0, 0), "what it got so far stays");
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    assert!(contents(&many) == vec![0; 8 * PAGE]);
    assert_eq!(tile.read().err(), out);
    many.purge(Context::THREAD).unwrap();
    check(&tile, 3);
    drop((tile, many));
    all_returned(&world, &near, &far);
}

/// Rule: mode, zones and number are for a buffer that was not used yet. Later they change nothing, or its blocks would be
/// in the wrong mode, in the wrong zone, or unmapped under one number and mapped under another.
#[test]
fn a_buffer_in_use_stays_as_it_was_made() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let machine = Machine::new(&near);
    let home = &forebay(&machine, &far, &world);
    for evicted in [NONE, pages(1), ALL] {
        let mut slots = [const { Slot::EMPTY }; 4];
        let (mode, id) = (Caching::WriteCombined, BufferId(evicted.get()));
        let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(mode).with_id(id);
        fill(&buffer, 1);
        buffer.evict(evicted, Evict::SPLIT, CX).unwrap();
        let there = buffer.residency();
        let elsewhere = Zones::of(5); // the source has no such zone
        let buffer = buffer.with_zones(elsewhere).with_mode(Caching::Uncached).with_id(BufferId(77));
        assert_eq!((buffer.id(), buffer.residency()), (id, there));
        check(&buffer, 1);
        assert_eq!(buffer.read().unwrap().bytes(), 4 * PAGE);
        assert_eq!((machine.in_mode(mode), machine.in_mode(Caching::Uncached)), (4, 0));
        drop(buffer);
        world.validate();
    }
    all_returned(&world, &near, &far);
}

/// Rule: a buffer of many slots may be in a static, its slots inside it.
#[test]
fn a_buffer_of_many_slots_in_a_static() {
    static HOME: Forebay<Near, Far> = Forebay::new(Near::new(), Far::new(StoreId::DEFAULT));
    static BUFFER: Buffer<&Forebay<Near, Far>, [Slot<Near>; 6]> = Buffer::inline(&HOME, Order::PAGE);
    assert_eq!(BUFFER.read().err(), Some(AccessError::Alloc(AllocError::Never)), "no memory yet");
    let (bytes, words) = (16 * PAGE, Near::metadata_words(16 * PAGE));
    HOME.platform().add(memory::leak(bytes, 0), memory::words(words)).unwrap();
    let words = Far::metadata_words(bytes);
    HOME.store().init(memory::leak(bytes, 0), memory::words(words)).unwrap();
    for (how, seed) in METHODS.into_iter().zip(0..) {
        fill(&BUFFER, seed);
        assert_eq!(BUFFER.read().unwrap().bytes(), 6 * PAGE);
        assert_eq!(HOME.reclaim([&BUFFER], ALL, how, CX).evicted.moved(), pages(6));
        assert_eq!(BUFFER.residency(), residency(0, 0, 6));
        check(&BUFFER, seed);
    }
    BUFFER.purge(CX).unwrap();
    assert_eq!((HOME.platform().unused(), HOME.store().space().pages), (pages(16), pages(16)));
}

/// Rule: discarding drops the store's copies of what is resident, which makes room there. The contents stay, and are
/// copied again the next time. What is in the store only stays there.
#[test]
fn discarding_makes_clean_dirty_and_gives_the_store_room() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    assert_eq!(buffer.discard_copies(), Ok(NONE));
    fill(&buffer, 1);
    assert_eq!(buffer.discard_copies(), Ok(NONE));
    for how in [Evict::COPY, Evict::SPLIT] {
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().copied, pages(8), "{how:?}: nothing was clean");
        assert_eq!((buffer.discard_copies(), buffer.residency()), (Ok(NONE), residency(0, 0, 8)));
        let reader = buffer.read().unwrap();
        assert_eq!((buffer.discard_copies(), buffer.residency()), (Err(Busy), residency(8, 8, 0)));
        assert_eq!(buffer.discard_copies(), Err(Busy), "it is in use");
        drop(reader);
        assert_eq!(far.space().pages, pages(24));
        assert_eq!((buffer.discard_copies(), buffer.residency()), (Ok(pages(8)), residency(8, 0, 0)));
        assert_eq!((far.space().pages, world.stored()), (pages(32), NONE));
        check(&buffer, 1);
    }
    // Part clean, part stored: only what is clean.
    buffer.evict(ALL, Evict::SPLIT, CX).unwrap();
    let hogged = leave(&near, [0, 2, 4]);
    assert_eq!(buffer.restore(ALL, CX).loaded, pages(3));
    assert_eq!((buffer.discard_copies(), buffer.residency()), (Ok(pages(3)), residency(3, 0, 5)));
    world.validate();
    give_back(&near, hogged);
    check(&buffer, 1);
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: populating goes step by step, in blocks no larger than the budget. What is stored comes back before anything is
/// zeroed, and in an interrupt nothing is.
#[test]
fn populating_goes_step_by_step() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let hogged = leave(&near, [0, 1, 4, 5, 7, 8, 9, 11]);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let refused = buffer.populate(ALL, Context::INTERRUPT);
    assert_eq!((refused.total(), refused.why), (NONE, Some(AccessError::Context)));
    assert_eq!(buffer.populate(NONE, CX), Restored::default());
    let step = || {
        let step = complete(buffer.populate(pages(2), CX));
        world.validate();
        (step.loaded.get(), step.populated.get())
    };
    assert_eq!([step(), step()], [(0, 2), (0, 2)]);
    assert_eq!(buffer.residency(), residency(4, 0, 0));
    assert_eq!(buffer.evict(pages(1), Evict::COPY, CX).unwrap().copied, pages(2));
    assert_eq!([step(), step(), step(), step()], [(2, 0), (0, 2), (0, 2), (0, 0)]);
    assert_eq!((buffer.residency(), near.unused()), (residency(8, 2, 0), NONE));
    assert!(contents(&buffer).iter().all(|b| *b == 0));
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}
