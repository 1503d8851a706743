//! Buffers that are partly resident and partly stored: each way on from such a state, and each step without progress
//! (`ttm-semantics.md` B1, B4, B5, B18).

use super::complete;
use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;

type Store<'w> = Scripted<&'w Far, RamBlock<PAGE>>;

const SLOTS: usize = 8;

/// Free pages of a source of sixteen that make a buffer of eight slots five blocks, of orders 1, 1, 1, 0, 0.
const HOLES: [usize; 8] = [0, 1, 4, 5, 7, 8, 9, 11];

/// Rule: the rest of a partly evicted buffer leaves, by whichever method the first part left and the rest leaves, also
/// after the store was full and refused it (B5: TTM fails for ever).
#[test]
fn the_rest_of_a_partly_evicted_buffer_leaves() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(SLOTS));
    let hogged = leave(&near, HOLES.into_iter().chain((16..32).step_by(2)));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let others = [(); SLOTS].map(|()| Buffer::new(home, Order::PAGE));
    for (n, (first, rest)) in METHODS.into_iter().flat_map(|a| METHODS.map(|b| (a, b))).enumerate() {
        for budget in 1..SLOTS {
            let (seed, what) = ((n * SLOTS + budget) as u8, format!("{budget} by {first:?}, then {rest:?}"));
            fill(&buffer, seed);
            let gone = buffer.evict(pages(budget), first, CX).unwrap().moved();
            let left = pages(SLOTS) - gone;
            for other in others.iter().take(left.get()) {
                fill(other, !seed);
                assert_eq!(other.evict(ALL, Evict::ANY, CX).unwrap().moved(), pages(1), "{what}");
            }
            let part = residency(left.get(), 0, gone.get());
            let full = buffer.evict(ALL, rest, CX).unwrap();
            assert_eq!((full.moved(), full.refused, buffer.residency()), (NONE, left, part), "{what}");
            if budget % 2 == 0 {
                home.settle(ALL, CX);
            }
            for other in others.iter().take(left.get()) {
                check(other, !seed);
                other.purge(CX).unwrap();
            }
            let evicted = buffer.evict(ALL, rest, CX).unwrap();
            assert_eq!((evicted.moved(), evicted.refused), (left, NONE), "{what}");
            assert_eq!(buffer.residency(), residency(0, 0, SLOTS), "{what}");
            world.validate();
            check(&buffer, seed);
        }
    }
    drop((buffer, others));
    give_back(&near, hogged);
    world.validate();
    world.assert_empty();
    assert_eq!((near.unused(), far.space()), (near.total(), Space { pages: far.total(), transfers: 16 }));
}

/// Rule: a restore that stopped after any page leaves nothing behind that a later one could believe: neither after an
/// eviction between, nor where it found everything resident already (B1).
#[test]
fn no_restore_believes_an_earlier_one() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let mut seed = 0;
    for (out, again) in METHODS.into_iter().flat_map(|a| METHODS.map(|b| (a, b))) {
        for stop in 0..=SLOTS {
            let what = format!("{out:?}, {stop} pages back, {again:?}");
            seed += 1;
            fill(&buffer, seed as u8);
            assert_eq!(buffer.evict(ALL, out, CX).unwrap().moved(), pages(SLOTS), "{what}");
            for _ in 0..stop {
                complete(buffer.restore(pages(1), CX));
            }
            if stop == SLOTS {
                for _ in 0..2 {
                    let early = complete(buffer.restore(ALL, CX));
                    assert_eq!(early.total(), NONE, "{what}: all of it was resident");
                }
            }
            if seed % 2 == 0 && stop == SLOTS {
                let mut guard = buffer.write().unwrap(); // what is stored is old from now on
                assert_eq!(guard.write_at(0, &pattern(!seed as u8, SLOTS * PAGE)), SLOTS * PAGE);
                drop(guard);
                buffer.evict(pages(3), again, CX).unwrap();
                complete(buffer.restore(pages(1), CX));
                check(&buffer, !seed as u8);
                continue;
            }
            let here = buffer.residency().unwrap().resident;
            assert_eq!(buffer.evict(ALL, again, CX).unwrap().moved(), here, "{what}");
            assert_eq!(buffer.residency(), residency(0, 0, SLOTS), "{what}");
            let back = complete(buffer.restore(ALL, CX));
            assert_eq!(back.total(), pages(SLOTS), "{what}: each page once");
            world.validate();
            check(&buffer, seed as u8);
        }
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// All that zero progress must not change.
#[derive(PartialEq, Debug)]
struct Picture {
    blocks: Vec<(usize, Pfn, Order)>,
    segments: Vec<Segment>,
    in_mode: usize,
    residency: Result<Residency, Busy>,
    mapped: Pages,
    stored: Pages,
    frames_out: Pages,
    moved: (usize, usize, usize, usize),
}

/// A machine, and a log of all calls, around a buffer with addresses, of five blocks in another mode.
struct Still<'w> {
    world: &'w World,
    machine: &'w AllPorts<Machine<&'w Near>>,
    log: &'w Log,
}

impl Still<'_> {
    /// A picture, for which nothing has to be called.
    #[track_caller]
    fn picture<H, T>(&self, buffer: &Buffer<H, T>) -> Picture
    where
        H: Home,
        T: Slots<Platform = H::Platform>,
    {
        self.log.take();
        let residency = buffer.residency();
        let guard = buffer.read().unwrap();
        assert_eq!(self.log.take(), [], "the guard had something to do");
        let counts = self.world.counts();
        Picture {
            blocks: guard.blocks().map(|(at, block)| (at, block.pfn(), block.order())).collect(),
            segments: guard.segments().collect(),
            in_mode: self.machine.in_mode(Caching::WriteCombined),
            residency,
            mapped: self.world.mapped(),
            stored: self.world.stored(),
            frames_out: self.world.frames_out(),
            moved: (counts.transferred, counts.saved, counts.loaded, counts.freed),
        }
    }
}

/// Rule: an eviction without progress changes nothing, whatever stops it: frames, orders, modes, addresses and bytes are as
/// before, and hooks come in pairs or not at all (B4).
#[test]
fn an_eviction_without_progress_changes_nothing() {
    let (world, log, near, far) = (World::new(Contents::Compared), Log::default(), near(16), far(32));
    let (machine, store) = (Machine::new(&near), Store::new(&far));
    let still = Still { world: &world, machine: &machine, log: &log };
    let hogged = leave(&near, HOLES);
    let home = &forebay(AllPorts(Traced::new(&machine, &log)), Traced::new(&store, &log), &world);
    let (mut slots, mut addresses) = ([const { Slot::EMPTY }; SLOTS], [None; SLOTS]);
    let layered = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let buffer = Buffer::with_slots(home, layered, Order::PAGE).with_mode(Caching::WriteCombined);
    fill(&buffer, 0x5A);
    let before = still.picture(&buffer);
    assert_eq!((before.blocks.len(), before.segments.len(), before.in_mode), (5, 5, SLOTS));
    machine.0.hooks();
    // Which hooks were called meanwhile; nothing else has changed.
    let nothing = |how: Evict, cx: Context, hooks: &[&str], what: &str| {
        log.take();
        let evicted = buffer.evict(ALL, how, cx).unwrap();
        let events = log.take();
        assert_eq!((evicted.moved(), evicted.splits), (NONE, 0), "{what}");
        assert_eq!(still.picture(&buffer), before, "{what}: {events:?}");
        assert_eq!(machine.0.hooks(), hooks, "{what}");
        check(&buffer, 0x5A);
        world.validate();
        (evicted.why, events.len())
    };
    let pair = ["before", "after"];
    let store_says = |why| Some(RefusalReason::Store(why));
    for how in METHODS {
        machine.say_no(No::Before);
        assert_eq!(nothing(how, CX, &[], "the hook refuses"), (Some(RefusalReason::Hook), 1));
        machine.say_no(No::ModeTo(Caching::WriteBack));
        assert_eq!(nothing(how, CX, &pair, "the mode refuses").0, Some(RefusalReason::Mode(ModeRefused)));
        machine.say_no(No::Never);
        for why in [
            StoreError::Full,
            StoreError::Backlog,
            StoreError::Busy,
            StoreError::TooLarge,
            StoreError::Io,
            StoreError::NoHeadroom,
            StoreError::Context,
        ] {
            store.answer(Script { transfer: Some(why), save: Some(why), ..Script::default() });
            assert_eq!(nothing(how, CX, &pair, "the store refuses").0, store_says(why), "{how:?}");
        }
        let without = Capabilities::TRANSFER | Capabilities::COPY;
        store.answer(Script { without, ..Script::default() });
        let cannot = store_says(StoreError::Unsupported);
        assert_eq!(nothing(how, CX, &[], "the store can't"), (cannot, 0), "{how:?}");
        store.answer(Script::default());
        let copies = how - Evict::TRANSFER - Evict::PURGE;
        if !copies.is_empty() {
            let forbidden = store_says(StoreError::Context);
            let found = nothing(copies, Context::INTERRUPT, &[], "the context forbids it");
            assert_eq!(found, (forbidden, 0), "{how:?}");
        }
        for budget in [NONE, ALL] {
            let how = if budget == NONE { how } else { Evict::empty() };
            log.take();
            assert_eq!(buffer.evict(budget, how, CX).unwrap().moved(), NONE);
            assert_eq!((log.take(), still.picture(&buffer) == before), (vec![], true));
        }
        let guard = buffer.read().unwrap();
        assert_eq!((buffer.evict(ALL, how, CX), log.take()), (Err(Busy), vec![]));
        drop(guard);
        let guard = buffer.write().unwrap();
        assert_eq!((buffer.evict(ALL, how, CX), log.take()), (Err(Busy), vec![]));
        assert_eq!(
            (buffer.read().err(), buffer.write().err()),
            (Some(AccessError::Busy), Some(AccessError::Busy))
        );
        drop(guard);
        assert_eq!(still.picture(&buffer), before);
    }
    assert_eq!(machine.0.hooks(), [""; 0]);
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}

/// Rule: a restore without progress changes nothing either: what is stored and what is resident stay as they are, no copy
/// is split, no frame kept, and no hook runs.
#[test]
fn a_restore_without_progress_changes_nothing() {
    let (world, log, near, far) = (World::new(Contents::Compared), Log::default(), near(16), far(32));
    let (machine, store) = (Machine::new(&near), Store::new(&far));
    let home = &forebay(&machine, Traced::new(&store, &log), &world);
    let (mut slots, mut addresses) = ([const { Slot::EMPTY }; SLOTS], [None; SLOTS]);
    let layered = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let buffer = Buffer::with_slots(home, layered, Order::PAGE).with_mode(Caching::WriteCombined);
    for (seed, (how, part)) in
        (0..).zip(METHODS.into_iter().flat_map(|how| [1, 4, 8].map(|part| (how, part))))
    {
        let hogged = leave(&near, HOLES);
        fill(&buffer, seed);
        machine.0.hooks();
        let gone = buffer.evict(pages(part), how, CX).unwrap();
        assert_eq!(machine.0.hooks(), ["before"]);
        give_back(&near, hogged);
        let there = residency(SLOTS - gone.moved().get(), 0, gone.moved().get());
        let nothing = |cx: Context, why: AccessError, what: &str| {
            let (out, stored, saved) = (world.frames_out(), world.stored(), world.counts().saved);
            log.take();
            for _ in 0..2 {
                let restored = buffer.restore(ALL, cx);
                assert_eq!((restored.total(), restored.why), (NONE, Some(why)), "{how:?}, {part}: {what}");
                assert_eq!(buffer.read_in(cx).err(), Some(why), "{how:?}, {part}: {what}");
            }
            let cut = log.count(|e| matches!(e, Event::Split(_, Ok(_)) | Event::Discard(..)));
            assert_eq!((buffer.residency(), cut), (there, 0), "{how:?}, {part}: {what}");
            assert_eq!((world.frames_out(), world.stored(), world.counts().saved), (out, stored, saved));
            assert_eq!(machine.0.hooks(), [""; 0], "{what}");
            world.validate();
        };
        for why in [StoreError::Io, StoreError::Busy, StoreError::Unavailable] {
            store.answer(Script { take_back: Some(why), load: Some(why), ..Script::default() });
            nothing(CX, why.into(), "the store refuses");
        }
        store.answer(Script::default());
        if gone.copied > NONE {
            nothing(Context::INTERRUPT, AccessError::Context, "the context forbids it");
            let hogged = leave(&near, []);
            nothing(CX, AccessError::Alloc(AllocError::Exhausted), "no frame is free");
            give_back(&near, hogged);
        }
        check(&buffer, seed);
        assert_eq!(machine.0.hooks(), ["after"]);
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// A source that has blocks of some orders only.
struct Picky<'n> {
    near: &'n Near,
    /// A bit for each order.
    orders: Cell<u32>,
}

impl FrameSource for Picky<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = NoopRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        match self.orders.get() >> request.order.get() & 1 {
            0 => Err(AllocError::Exhausted),
            _ => self.near.allocate(request, cx),
        }
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.near.free(block);
    }
}

/// Rule: whatever was restored before, and whatever sizes are free then: each block lies at an index that is a multiple of
/// its size, and the blocks cover the buffer, each page once.
#[test]
fn a_resumed_restore_keeps_to_the_alignment() {
    const SLOTS: usize = 16;
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let source = Picky { near: &near, orders: Cell::new(u32::MAX) };
    let home = &forebay(&source, &far, &world);
    let mut seen = [0; 5];
    for (unit, first_orders) in [(0, 0b1_0000), (0, 0b0101), (0, 0b1011), (1, 0b1_0000), (1, 0b0110)] {
        let mut slots = [const { Slot::EMPTY }; SLOTS];
        let buffer = Buffer::with_slots(home, &mut slots[..SLOTS >> unit], order(unit));
        for (seed, (how, [first, second])) in (0..).zip(
            [Evict::COPY, Evict::SPLIT, Evict::TRANSFER]
                .into_iter()
                .flat_map(|how| [[1, 4], [2, 1], [4, 1], [4, 2], [1, 8], [8, 4]].map(|orders| (how, orders))),
        ) {
            for stop in 0..SLOTS {
                source.orders.set(first_orders);
                fill(&buffer, seed);
                buffer.evict(pages(5), how, CX).unwrap(); // so that the next one does not begin at the first slot
                buffer.evict(ALL, how, CX).unwrap();
                home.settle(ALL, CX);
                source.orders.set(first);
                let _ = buffer.restore(pages(stop), CX);
                source.orders.set(second);
                let _ = buffer.restore(pages(3), CX);
                let _ = buffer.evict(pages(2), how, CX).unwrap();
                let _ = buffer.restore(ALL, CX);
                let there = buffer.residency().unwrap();
                assert_eq!(there.resident + there.stored, pages(SLOTS));
                source.orders.set(u32::MAX);
                let guard = buffer.read().unwrap();
                let mut next = 0;
                for (at, block) in guard.blocks() {
                    let (size, what) =
                        (block.order().pages().get(), format!("{how:?}, {stop}, {first:b}, {second:b}"));
                    assert_eq!((at / PAGE % size, at), (0, next), "{what}: {block:?}");
                    assert!(block.order() >= order(unit), "{what}: {block:?}");
                    seen[usize::from(block.order().get())] += 1;
                    next = at + block.bytes();
                }
                assert_eq!(next, SLOTS * PAGE);
                drop(guard);
                world.validate();
                check(&buffer, seed);
                buffer.purge(CX).unwrap();
            }
        }
    }
    assert!(seen.iter().all(|n| *n > 0), "blocks of each order were seen: {seen:?}");
    all_returned(&world, &near, &far);
}

thread_local! {
    /// What another context does at each call of the store in the next test.
    static ELSE: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
}

/// Rule: there is one writer, also of a buffer that is being restored: every other context receives `Busy` while the store
/// is called, and the first gets all of it.
#[test]
fn no_second_writer_while_it_comes_back() {
    let world: &'static World = forever(World::new(Contents::Compared));
    let (near, far): (&'static Near, &'static Far) = (forever(near(16)), forever(far(32)));
    let meanwhile = |_: &Event| {
        if let Some(f) = ELSE.get() {
            f();
        }
    };
    let home: &'static Forebay<_, _> = forever(forebay(near, Traced::new(far, meanwhile), world));
    let slots = forever([const { Slot::EMPTY }; SLOTS]);
    let buffer: &'static Buffer<_, _> = forever(Buffer::with_slots(home, slots, Order::PAGE));
    let asked: &'static Cell<usize> = forever(Cell::new(0));
    let other = forever(move || {
        asked.set(asked.get() + 1);
        assert_eq!(
            (buffer.write().err(), buffer.read().err()),
            (Some(AccessError::Busy), Some(AccessError::Busy))
        );
        assert_eq!((buffer.residency(), buffer.purge(CX)), (Err(Busy), Err(Busy)));
    });
    for (seed, how) in (0..).zip(METHODS) {
        for part in [3, 8] {
            let hogged = leave(near, HOLES);
            fill(buffer, seed);
            buffer.evict(pages(part), how, CX).unwrap();
            ELSE.set(Some(other));
            asked.set(0);
            let mut first = buffer.write().unwrap();
            assert!(asked.get() > 0, "the store was called");
            other();
            ELSE.set(None);
            let mut bytes = vec![0; first.bytes()];
            assert_eq!(first.read_at(0, &mut bytes), SLOTS * PAGE);
            assert!(bytes == pattern(seed, SLOTS * PAGE));
            assert_eq!(first.write_at(1, b"mine"), 4);
            drop(first);
            let mut second = buffer.write().unwrap();
            assert_eq!((second.read_at(1, &mut bytes[..4]), &bytes[..4]), (4, &b"mine"[..]));
            assert_eq!(second.write_at(1, b"ours"), 4);
            drop(second);
            give_back(near, hogged);
        }
    }
    buffer.purge(CX).unwrap();
    all_returned(world, near, far);
}

/// Rule: what a reclaim dropped, in whatever state it was, is populated with zeros, step by step. The answer that it was
/// dropped stays the same while these come and go, until the buffer is written (B18; GEM's `madvise`).
#[test]
fn what_was_purged_in_part_is_populated_with_zeros() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let gone = || assert_eq!(buffer.set_purgeable(false), Ok(false));
    for (seed, (how, part)) in
        (1..).zip(METHODS.into_iter().flat_map(|how| [1, 5, 8].map(|part| (how, part))))
    {
        let hogged = leave(&near, HOLES);
        fill(&buffer, seed);
        buffer.evict(pages(part), how, CX).unwrap();
        complete(buffer.restore(pages(part / 2), CX));
        assert_eq!(buffer.set_purgeable(true), Ok(true));
        let before = world.frames_out();
        let report = home.reclaim([&buffer], pages(1), Evict::PURGE, CX);
        assert_eq!((report.evicted.purged, world.frames_out()), (before, NONE), "{how:?}, {part}");
        assert_eq!((buffer.residency(), world.stored()), (residency(0, 0, 0), NONE));
        gone();
        for n in 1..=SLOTS {
            let step = complete(buffer.populate(pages(1), CX));
            assert_eq!((step.populated, step.total()), (pages(1), pages(1)), "{how:?}, {part}");
            assert_eq!(buffer.residency(), residency(n, 0, 0));
            gone();
        }
        buffer.evict(pages(part), how - Evict::PURGE, CX).unwrap();
        gone();
        assert!(contents(&buffer).iter().all(|byte| *byte == 0), "{how:?}, {part}");
        gone();
        let mut guard = buffer.write().unwrap();
        assert_eq!(guard.write_at(PAGE - 1, &[seed; 2]), 2);
        drop(guard);
        assert_eq!(buffer.set_purgeable(false), Ok(true));
        let expected: Vec<_> =
            (0..SLOTS * PAGE).map(|n| if n == PAGE - 1 || n == PAGE { seed } else { 0 }).collect();
        assert!(contents(&buffer) == expected, "{how:?}, {part}");
        buffer.purge(CX).unwrap();
        give_back(&near, hogged);
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}

/// Rule: of more blocks than share a flush, each is evicted when they are cut into pages, and none is believed to be gone that is not.
#[test]
fn many_blocks_are_cut() {
    let (near, far, world) = (near(160), region::<4>(128, 0), World::new(Contents::Compared));
    // Blocks of two pages, no larger ones.
    let hogged = leave(&near, (0..160).filter(|page| page % 4 < 2));
    let home = forebay(&near, &far, &world);
    for slots in [32, 64, 80] {
        let buffer =
            Buffer::with_slots(&home, (0..slots).map(|_| Slot::EMPTY).collect::<Vec<_>>(), Order::PAGE);
        let bytes = pattern(slots as u8, slots * PAGE);
        assert_eq!(buffer.write().unwrap().write_at(0, &bytes), bytes.len());
        assert_eq!(buffer.read().unwrap().blocks().count(), slots / 2);
        assert_eq!(buffer.evict(ALL, Evict::SPLIT, CX).unwrap().copied, pages(slots));
        assert_eq!(buffer.residency(), residency(0, 0, slots));
        let mut back = vec![0; bytes.len()];
        assert_eq!(buffer.read().unwrap().read_at(0, &mut back), bytes.len());
        assert!(back == bytes);
    }
    give_back(&near, hogged);
    world.assert_empty();
}
