//! Evicting and restoring stop after every step, at every point; then they go on, turn round, or end in a
//! purge or a drop. Nothing leaks and no byte is lost (`ttm-semantics.md` §5.4 c; B1: TTM's resumed restore
//! used stale state; B5: TTM can't evict the rest of a partly evicted object).

use forebay_backends::*;
use hosted_tests::kit::*;

const SLOTS: usize = 8;
const STEP: Pages = Pages::new(1);

#[derive(Clone, Copy, Debug)]
enum End {
    EvictTheRest,
    Restore,
    Write,
    Purge,
    Drop,
}

const ENDS: [End; 5] = [End::EvictTheRest, End::Restore, End::Write, End::Purge, End::Drop];

/// What the store does to a save.
#[derive(Clone, Copy, Debug)]
enum Saves {
    Whole,
    Short,
    SmallOnly,
}

fn script(saves: Saves) -> Script {
    match saves {
        Saves::Whole => Script::default(),
        Saves::Short => Script { short: true, ..Script::default() },
        Saves::SmallOnly => Script { largest: order(1), ..Script::default() },
    }
}

/// One life of a buffer: steps of an eviction, a settle, steps of a restore with little memory, and an end.
#[derive(Debug)]
struct Life {
    how: Evict,
    saves: Saves,
    settled: usize,
    back: usize,
    end: End,
}

/// Stops the eviction after `out` steps. Returns whether there was something to stop: the last step moved something, or there
/// was none.
fn live(near: &Near, far: &Far, world: &World, life: &Life, out: u32) -> u32 {
    let machine = Machine::new(near);
    let store: Scripted<_, RamBlock<PAGE>> = Scripted::new(far);
    store.answer(script(life.saves));
    let home = &forebay(&machine, &store, world);
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(Caching::WriteCombined);
    // Blocks of orders 2, 1, 0, 0.
    let hogged = leave(near, [0, 1, 2, 3, 4, 5, 6, 8]);
    fill(&buffer, 0x42);
    give_back(near, hogged);
    let whole = || {
        let there = buffer.residency().unwrap();
        assert_eq!(there.resident + there.stored, pages(SLOTS));
        world.validate();
        there
    };
    let mut goes_on = true;
    for _ in 0..out {
        let before = whole();
        let evicted = buffer.evict(STEP, life.how, CX).unwrap();
        assert_eq!(whole().stored, before.stored + evicted.moved());
        goes_on = evicted.moved() > NONE;
    }
    home.settle(pages(life.settled), CX);
    let hogged = leave(near, [1, 2, 4, 5, 8, 11]);
    for _ in 0..life.back {
        let before = whole();
        let restored = buffer.restore(STEP, CX);
        match restored.why {
            None => assert_eq!(whole().resident, before.resident + restored.total()),
            Some(why) => assert_eq!((why, whole()), (AccessError::Alloc(AllocError::Exhausted), before)),
        }
    }
    give_back(near, hogged);
    match life.end {
        End::EvictTheRest => {
            buffer.evict(ALL, life.how, CX).unwrap();
            whole();
            check(&buffer, 0x42);
        }
        End::Restore => {
            assert_eq!(buffer.restore(ALL, CX).why, None);
            assert_eq!(whole().stored, NONE);
            check(&buffer, 0x42);
        }
        End::Write => {
            buffer.write().unwrap().write_at(PAGE - 1, b"now");
            assert_eq!(world.stored(), NONE, "copies are wrong now");
            buffer.evict(ALL, life.how, CX).unwrap();
            let mut bytes = pattern(0x42, SLOTS * PAGE);
            bytes[PAGE - 1..PAGE + 2].copy_from_slice(b"now");
            assert!(contents(&buffer) == bytes);
        }
        End::Purge => {
            buffer.purge(Context::THREAD).unwrap();
            world.assert_empty();
        }
        End::Drop => {}
    }
    drop(buffer);
    assert_eq!(machine.in_mode(Caching::WriteCombined), 0);
    all_returned(world, near, far);
    u32::from(goes_on)
}

/// Stops at each step. There must be `stops` stops.
fn stop(how: Evict, saves: Saves, stops: u32) {
    let (near, far) = (near(16), far(32));
    for settled in [0, 1, 5, usize::MAX] {
        for back in [0, 1, 2, 3, 5, 8] {
            for end in ENDS {
                let life = Life { how, saves, settled, back, end };
                sweep(&life, |world, out| live(&near, &far, world, &life, out)).at_least(stops);
            }
        }
    }
}

#[test]
fn transfers_stop_anywhere() {
    stop(Evict::TRANSFER, Saves::Whole, 5);
}

#[test]
fn copies_stop_anywhere() {
    stop(Evict::COPY, Saves::Whole, 5);
    stop(Evict::COPY, Saves::SmallOnly, 4);
}

#[test]
fn splits_stop_anywhere() {
    stop(Evict::SPLIT, Saves::Whole, 9);
    stop(Evict::COPY | Evict::SPLIT, Saves::SmallOnly, 6);
}

#[test]
fn short_copies_stop_anywhere() {
    stop(Evict::COPY | Evict::SPLIT, Saves::Short, 8);
}

/// Rule: every mixture of the methods within one buffer is an ordinary state, in both directions.
#[test]
fn methods_alternate_within_a_buffer() {
    let (near, far) = (near(16), far(32));
    let world = World::new(Contents::Compared);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    for program in 0..6_usize.pow(4) {
        if program % 7 == 0 {
            fill(&buffer, program as u8);
        }
        let seed = (program - program % 7) as u8;
        let mut rest = program;
        for _ in 0..4 {
            let how = METHODS[rest % 6];
            buffer.evict(pages(1 + rest % 3), how, CX).unwrap();
            if rest % 5 == 0 {
                home.settle(STEP, CX);
            }
            if rest % 2 == 0 {
                assert_eq!(buffer.restore(STEP, CX).why, None);
            }
            rest /= 6;
        }
        world.validate();
        check(&buffer, seed);
    }
    drop(buffer);
    all_returned(&world, &near, &far);
}
