//! Each way out and back: what CPU and device wrote is there for both, without a sync where forebay does it.

use super::*;

/// Each way out, each way of writing out, each mode, with and without a busy cache.
fn each_way(test: impl Fn(&Rig, &Pooled<'_>, Caching, Evict, By)) {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        for mode in MODES {
            for how in METHODS {
                for by in [By::None, By::Cpu, By::Engine] {
                    rig.run(|home| test(&rig, home, mode, how, by));
                }
            }
        }
    }
}

/// Another buffer leaves other bytes in the free frames, so that what comes back is not there already.
fn scribble(home: &Pooled<'_>, mode: Caching) {
    let mut arrays = arrays();
    fill(&shared(home, &mut arrays).with_mode(mode), 99);
}

/// Rule: what a device wrote is kept, also if its driver did not tell the CPU before the buffer was evicted.
#[test]
fn what_a_device_wrote_goes_with_the_block() {
    each_way(|rig, home, mode, how, by| {
        let device = rig.machine.device();
        let mut arrays = arrays();
        let buffer = shared(home, &mut arrays).with_mode(mode);
        fill(&buffer, 1);
        for seed in 2..4 {
            overwrite(&device, &buffer, seed);
            assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
            rig.write_out(home, by);
            scribble(home, mode);
            check(&buffer, seed);
            assert!(seen_by(&device, &buffer) == pattern(seed, BYTES), "the device sees other bytes");
        }
    });
}

/// Rule: what the CPU wrote is in memory when a guard gives out addresses again, without a sync.
#[test]
fn what_the_cpu_wrote_is_there_for_a_device_after_the_way_back() {
    each_way(|rig, home, mode, how, by| {
        let device = rig.machine.device();
        let mut arrays = arrays();
        let buffer = shared(home, &mut arrays).with_mode(mode);
        for seed in 1..3 {
            fill(&buffer, seed);
            assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
            rig.write_out(home, by);
            scribble(home, mode);
            assert!(seen_by(&device, &buffer) == pattern(seed, BYTES), "the device sees other bytes");
        }
    });
}

/// Rule: the same if a restore brought it back before there was a guard.
#[test]
fn what_was_restored_is_there_for_a_device() {
    each_way(|rig, home, mode, how, by| {
        let device = rig.machine.device();
        let mut arrays = arrays();
        let buffer = shared(home, &mut arrays).with_mode(mode);
        fill(&buffer, 1);
        assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
        rig.write_out(home, by);
        scribble(home, mode);
        assert_eq!(buffer.restore(pages(3), CX).why, None);
        assert_eq!(buffer.restore(ALL, CX).why, None);
        assert!(seen_by(&device, &buffer) == pattern(1, BYTES), "the device sees other bytes");
    });
}

/// Rule: what only the CPU uses is kept too: by the engine, which cleans, and by the mode change, which leaves nothing
/// stale.
#[test]
fn what_no_device_uses_is_kept() {
    each_way(|rig, home, mode, how, by| {
        let mut slots = [const { Slot::EMPTY }; 8];
        let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(mode);
        for seed in 1..3 {
            fill(&buffer, seed);
            assert_eq!(buffer.evict(ALL, how, CX).unwrap().moved(), pages(8));
            rig.write_out(home, by);
            scribble(home, mode);
            check(&buffer, seed);
        }
    });
}

/// Rule: fresh blocks are zeros for a device too.
#[test]
fn fresh_blocks_are_zeros_for_a_device() {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        for mode in MODES {
            let device = rig.machine.device();
            rig.run(|home| {
                let (mut some, mut others) = (arrays(), arrays());
                for round in 0..3 {
                    let buffer = shared(home, &mut some).with_mode(mode);
                    assert!(seen_by(&device, &buffer) == [0; BYTES], "in round {round}");
                    overwrite(&device, &buffer, 5);
                    let other = shared(home, &mut others).with_mode(mode);
                    fill(&other, 6); // another buffer has its frames in the next round
                }
            });
        }
    }
}

/// Rule: what is purged is gone for both: no dirty line from before appears.
#[test]
fn what_is_purged_is_zeros_for_both() {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        for mode in MODES {
            let device = rig.machine.device();
            rig.run(|home| {
                let mut arrays = arrays();
                let buffer = shared(home, &mut arrays).with_mode(mode);
                for seed in 1..4 {
                    fill(&buffer, seed);
                    overwrite(&device, &buffer, seed + 10);
                    buffer.purge(CX).unwrap();
                    assert!(seen_by(&device, &buffer) == [0; BYTES]);
                    assert!(contents(&buffer) == [0; BYTES]);
                }
            });
        }
    }
}

/// Rule: after a part was evicted, the scatter list is right for what stayed and for what came back.
#[test]
fn a_part_that_was_evicted_is_there_for_a_device_again() {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        for (mode, how) in MODES.into_iter().flat_map(|mode| METHODS.map(|how| (mode, how))) {
            let device = rig.machine.device();
            let hogged = leave(rig.near, [0, 1, 4, 5, 6, 7, 10, 13, 16, 18, 20, 22]); // 4, 2, and single pages
            rig.run(|home| {
                let mut arrays = arrays();
                let buffer = shared(home, &mut arrays).with_mode(mode);
                fill(&buffer, 1);
                for seed in 2..6 {
                    overwrite(&device, &buffer, seed);
                    let moved = buffer.evict(pages(3), how, CX).unwrap().moved();
                    assert!(moved >= pages(3) && moved < pages(8), "{moved:?}");
                    rig.write_out(home, By::Engine);
                    assert!(seen_by(&device, &buffer) == pattern(seed, BYTES), "the device sees other bytes");
                    let guard = buffer.read().unwrap();
                    guard.sync_for_cpu(0..BYTES); // what stayed was not unmapped
                    drop(guard);
                    check(&buffer, seed);
                }
            });
            give_back(rig.near, hogged);
        }
    }
}

/// Rule (B4): an eviction that moves nothing leaves the bytes of both, and addresses that work, whatever refused.
#[test]
fn a_refused_eviction_leaves_what_both_wrote() {
    let refusals = [
        Refuse::Nothing, // but the store takes nothing
        Refuse::ModeTo(Caching::WriteBack),
        Refuse::ModeTo(Caching::WriteCombined), // that it was made cached can't be undone
        Refuse::ModeTo(Caching::Uncached),
        Refuse::Map, // that it was unmapped can't be undone
    ];
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        for (mode, refuse) in MODES.into_iter().flat_map(|mode| refusals.map(|refuse| (mode, refuse))) {
            let device = rig.machine.device();
            rig.run(|home| {
                let mut arrays = arrays();
                let buffer = shared(home, &mut arrays).with_mode(mode);
                fill(&buffer, 1);
                overwrite(&device, &buffer, 2);
                let mut guard = buffer.write().unwrap();
                guard.sync_for_cpu(BYTES - 100..BYTES); // the rest is left to the unmapping
                guard.write_at(BYTES - 100, &[3; 100]);
                drop(guard);
                let full = Some(StoreError::Full);
                rig.store.answer(Script { transfer: full, save: full, ..Script::default() });
                rig.machine.refuse(refuse);
                assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().moved(), NONE);
                rig.machine.refuse(Refuse::Nothing);
                rig.store.answer(Script::default());
                let mut expected = pattern(2, BYTES);
                expected[BYTES - 100..].fill(3);
                assert_eq!(buffer.residency(), residency(8, 0, 0));
                assert!(contents(&buffer) == expected, "{mode:?} {refuse:?}");
                assert!(seen_by(&device, &buffer) == expected, "{mode:?} {refuse:?}");
            });
        }
    }
}

/// Rule: a device may go on after the guard, until the hook before an eviction.
#[test]
fn a_device_goes_on_after_the_guard() {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        let device = rig.machine.device();
        rig.run(|home| {
            let mut arrays = arrays();
            let buffer = shared(home, &mut arrays);
            fill(&buffer, 1);
            buffer.evict(ALL, Evict::COPY, CX).unwrap();
            drop(buffer.read().unwrap());
            assert_eq!(buffer.residency(), residency(8, 8, 0), "clean");
            let guard = buffer.write().unwrap();
            guard.sync_for_device(0..BYTES);
            let list: Vec<_> = guard.segments().collect();
            drop(guard);
            device.scatter(&list, 0, &pattern(2, BYTES));
            assert!(device.gather(&list, 0..BYTES) == pattern(2, BYTES));
            assert_eq!(buffer.evict(ALL, Evict::ANY, CX).unwrap().transferred, pages(8));
            check(&buffer, 2);
        });
    }
}

/// Rule: a sync of any bytes shows what the device wrote to them, and keeps what the CPU wrote beside them, once it is
/// cleaned, and after.
#[test]
fn a_sync_of_any_bytes_keeps_the_bytes_beside_them() {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        let device = rig.machine.device();
        let hogged = leave(rig.near, (0..SOURCE).step_by(2)); // single pages
        rig.run(|home| {
            let mut arrays = arrays();
            let buffer = shared(home, &mut arrays);
            let mut expected = pattern(1, BYTES);
            fill(&buffer, 1);
            let ranges =
                [0..1, 1..LINE, 5..LINE + 5, LINE - 1..LINE + 1, PAGE - 3..PAGE + 3, 70..3 * PAGE + 9];
            for (bytes, value) in ranges.into_iter().zip(100..) {
                let mut guard = buffer.write().unwrap();
                let list: Vec<_> = guard.segments().collect();
                assert_eq!(guard.sync_for_device(bytes.clone()), bytes.len());
                device.scatter(&list, bytes.start, &vec![value; bytes.len()]);
                assert_eq!(guard.sync_for_cpu(bytes.clone()), bytes.len());
                expected[bytes.clone()].fill(value);
                let beside = bytes.end..bytes.end + 7; // in the same line, or the next
                guard.write_at(beside.start, &[value + 50; 7]);
                assert_eq!(guard.sync_for_cpu(bytes.clone()), bytes.len());
                expected[beside].fill(value + 50);
                let mut seen = vec![0; BYTES];
                guard.read_at(0, &mut seen);
                assert!(seen == expected, "after {bytes:?}");
                guard.sync_for_device(0..BYTES);
                assert!(device.gather(&list, 0..BYTES) == expected, "after {bytes:?}");
            }
        });
        give_back(rig.near, hogged);
    }
}

/// Rule: blocks share no cache line: what a device writes to one, the CPU's use of its neighbours does not touch.
#[test]
fn neighbours_share_nothing() {
    for adversary in adversaries() {
        let rig = Rig::new(adversary);
        for how in METHODS {
            let device = rig.machine.device();
            let hogged = leave(rig.near, 0..16);
            rig.run(|home| {
                let (mut some, mut others) = (arrays(), arrays());
                // Page by page in turn, so that their blocks lie between each other's.
                let (one, other) = (shared(home, &mut some), shared(home, &mut others));
                for n in 1..=8 {
                    while one.residency().unwrap().resident < pages(n) {
                        assert_eq!(one.populate(pages(1), CX).why, None);
                    }
                    while other.residency().unwrap().resident < pages(n) {
                        assert_eq!(other.populate(pages(1), CX).why, None);
                    }
                }
                fill(&one, 1);
                for seed in 2..5 {
                    let guard = one.write().unwrap();
                    guard.sync_for_device(0..BYTES);
                    let list: Vec<_> = guard.segments().collect();
                    drop(guard);
                    for at in (0..BYTES).step_by(PAGE / 2) {
                        device.scatter(&list, at, &pattern(seed, BYTES)[at..at + PAGE / 2]);
                        other.write().unwrap().write_at(at, &pattern(seed + 10, BYTES)[at..at + PAGE / 2]);
                    }
                    assert_eq!(one.evict(ALL, how, CX).unwrap().moved(), pages(8));
                    check(&other, seed + 10);
                    check(&one, seed);
                }
            });
            give_back(rig.near, hogged);
        }
    }
}
