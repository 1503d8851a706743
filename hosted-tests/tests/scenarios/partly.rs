//! Stores that take a part: the first few blocks (family a), nothing (b), or the first pages of a block (d).

use crate::card::*;
use crate::gate::*;
use crate::rig::*;
use crate::stops::*;
use hosted_tests::kit::*;
use std::collections::BTreeSet;

/// Pages of the buffers of these tests.
const N: usize = 8;

/// The frame of each page, in order.
fn frames<'w, T: Slots<Platform = Plat<'w>>>(buffer: &Buf<'_, 'w, T>) -> Tried<Vec<usize>> {
    let guard = buffer.read()?;
    let blocks = guard.blocks().map(|(_, block)| block.pfn().0..block.pfn().0 + block.order().pages().get());
    Ok(blocks.flatten().collect())
}

/// Exactly the first `gone` of these frames have left the buffer, once the store was settled; the others are where they were.
fn first_are_gone(rig: &Rig<'_>, before: &[usize], gone: usize) -> Tried {
    same(rig.home().settle(ALL, CX).pending, NONE)?;
    rig.pool().trim(Zones::ALL, ALL, CX);
    let there: BTreeSet<_> = rig.world.frames().into_iter().collect();
    let expected: BTreeSet<_> = before.iter().skip(gone).copied().collect();
    same(there, expected)
}

#[derive(Clone, Copy, Debug)]
enum End {
    Restore,
    /// The store takes everything again.
    EvictTheRest,
    Destroy,
}

const ENDS: [End; 3] = [End::Restore, End::EvictTheRest, End::Destroy];

/// The store fails at put `k` and each one after it; the blocks are of order `m`, or pages are put one by one.
fn fails_from(rig: &Rig<'_>, how: Evict, m: u8, k: u32, why: StoreError, end: End) -> Tried {
    let mut slots = slots(N);
    let buffer = rig.buffer(&mut slots[..]).with_zones(Zones::of(ORDINARY)).with_mode(MODES[usize::from(m)]);
    rig.card().refuse_above(order(m));
    let written = write(&buffer, 0xA);
    rig.card().refuse_above(LARGEST);
    written?;
    let known = Known(&buffer, bytes(0xA, N * PAGE));
    let before = frames(&buffer)?;
    let put = if how == Evict::SPLIT { 1 } else { 1 << m };
    let gone = (k as usize * put).min(N);
    let terms = rig.ground.door.on(Terms { puts: k, why, ..Terms::ANY });
    let evicted = known.evict(rig, ALL, how)?;
    let there = buffer.residency()?;
    assert_eq!((there.stored, there.resident), (rig.world.stored(), pages(N) - rig.world.stored()));
    same((evicted.moved(), evicted.why), (pages(gone), (gone < N).then_some(RefusalReason::Store(why))))?;
    same(there.stored, pages(gone))?;
    first_are_gone(rig, &before, gone)?;
    drop(terms);
    match end {
        End::Restore => {
            same(whole(known.restore(rig, ALL)?)?.total(), pages(gone))?;
            known.compare()?;
        }
        End::EvictTheRest => {
            same(known.evict(rig, ALL, how)?.moved(), pages(N - gone))?;
            same(buffer.residency()?.stored, pages(N))?;
            known.compare()?;
        }
        End::Destroy => {
            drop(buffer);
            assert_eq!((rig.in_use(), rig.world.stored()), (NONE, NONE));
            assert_eq!(rig.ground.far.space().pages, rig.ground.far.total());
        }
    }
    Ok(())
}

/// Rule: if the store fails at put k of n, exactly what was put before is stored, and the rest is resident in its frames; for
/// each k, method, size of block and reason. Everything is intact after a restore; the rest can be evicted later (B5); and
/// dropped like that, nothing is left.
#[test]
fn family_a_the_store_fails_at_each_put() {
    let ground = Ground::new(16);
    let mut lives = 0;
    for how in METHODS {
        for m in 0..3 {
            for why in [StoreError::Full, StoreError::Io] {
                for k in 0..=N as u32 >> if how == Evict::SPLIT { 0 } else { m } {
                    for end in ENDS {
                        let world = World::new(Contents::Compared);
                        let rig = Rig::new(&ground, &world);
                        // Of several methods each puts what it can: a transfer that is refused is copied.
                        let twice = how.contains(Evict::TRANSFER) && how != Evict::TRANSFER;
                        assert_eq!(
                            fails_from(&rig, how, m, k, why, end),
                            Ok(()),
                            "{how:?} {m} {k} {why:?} {end:?}"
                        );
                        assert!(!twice || rig.ground.door.asked() > 0);
                        rig.clear();
                        lives += 1;
                    }
                }
            }
        }
    }
    assert!(lives > 650, "only {lives}");
}

/// Rule: the same while any other call fails as well, and when each walk is stopped.
#[test]
fn family_a_while_other_calls_fail() {
    let at_least = Calls { platform: 60, store: 30, splits: 2, joins: 0 };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 12, by_interrupts: 50 }, |rig| {
        for (n, how) in METHODS.into_iter().enumerate() {
            fails_from(rig, how, 2 - (n % 2) as u8, 1 + n as u32 % 2, StoreError::Full, ENDS[n % 3])?;
        }
        Ok(())
    });
}

/// Everything about a buffer that can be seen from outside.
#[derive(PartialEq, Debug)]
struct Picture {
    blocks: Vec<(usize, Pfn, u8)>,
    addresses: Vec<Option<DmaAddr>>,
    bytes: Vec<u8>,
    residency: Residency,
    changes: usize,
}

fn picture<'w, T: Slots<Platform = Plat<'w>>>(rig: &Rig<'w>, buffer: &Buf<'_, 'w, T>) -> Tried<Picture> {
    rig.card().changes();
    let guard = buffer.read()?;
    let blocks = guard.blocks().map(|(at, block)| (at, block.pfn(), block.order().get())).collect();
    let addresses = (0..guard.bytes()).step_by(PAGE).map(|at| dma_address(&guard, at)).collect();
    drop(guard);
    let bytes = read(buffer)?;
    Ok(Picture { blocks, addresses, bytes, residency: buffer.residency()?, changes: rig.card().changes() })
}

/// Rule: an eviction that moved nothing changes nothing (B4): frames, orders, addresses, bytes, modes and copies are as
/// before, the hooks came in a pair or not at all, and the next guard has nothing to do.
#[test]
fn family_b_zero_progress_changes_nothing() {
    let (ground, world) = (Ground::new(16), World::new(Contents::Compared));
    let rig = Rig::new(&ground, &world);
    let all = [StoreError::Full, StoreError::Backlog, StoreError::TooLarge, StoreError::Io, StoreError::Busy];
    assert_eq!(zero_progress(&rig, &MODES, &METHODS, &all), Ok(()));
    rig.clear();
    let at_least = Calls { platform: 35, store: 18, ..Calls::default() };
    fail_and_stop(&ground, at_least, Stopped { by_budget: 0, by_interrupts: 60 }, |rig| {
        zero_progress(rig, &[UC], &[Evict::TRANSFER, Evict::ANY], &[StoreError::Full, StoreError::TooLarge])
    });
}

fn zero_progress(rig: &Rig<'_>, modes: &[Caching], ways: &[Evict], reasons: &[StoreError]) -> Tried {
    for mode in modes.iter().copied() {
        // Blocks of orders 2, 1 and 0, with fixed addresses: those that are mapped again have the same.
        let (mut slots, mut addresses) = (slots(7), [None; 7]);
        let slots = Addressed::new(&mut slots[..], &mut addresses).unwrap();
        let buffer = rig.buffer(slots).with_zones(Zones::of(COHERENT)).with_mode(mode);
        write(&buffer, 0xB)?;
        let (before, leaked) = (picture(rig, &buffer)?, rig.home().stats().leaked);
        same((before.blocks.len(), before.changes), (3, 0))?;
        let known = Known(&buffer, bytes(0xB, 7 * PAGE));
        for how in ways.iter().copied() {
            for why in reasons.iter().copied() {
                let terms = rig.ground.door.on(Terms { puts: 0, why, ..Terms::ANY });
                let hooks = rig.card().hooks();
                let evicted = known.evict(rig, ALL, how)?;
                drop(terms);
                assert_eq!((evicted.moved(), rig.world.stored()), (NONE, NONE));
                assert!(evicted.why.is_some(), "it says why");
                let calls = (rig.platform().calls(), rig.store().calls());
                let after = picture(rig, &buffer)?;
                let (before_evict, after_restore) = rig.card().hooks();
                assert_eq!(before_evict - hooks.0, after_restore - hooks.1, "in a pair");
                assert_eq!((&after.blocks, &after.bytes), (&before.blocks, &before.bytes));
                assert_eq!((&after.addresses, after.residency), (&before.addresses, before.residency));
                assert_eq!(rig.world.mapped(), pages(7));
                same(after, picture(rig, &buffer)?)?;
                same((rig.platform().calls(), rig.store().calls()), calls)?;
            }
        }
        // A method that this context has not: no port is even asked.
        let calls = (rig.platform().calls(), rig.store().calls());
        assert_eq!(buffer.evict(ALL, Evict::COPY, Context::INTERRUPT)?.moved(), NONE);
        assert_eq!((rig.platform().calls(), rig.store().calls()), calls);
        assert_eq!((picture(rig, &buffer)?, rig.home().stats().leaked), (before, leaked));
    }
    Ok(())
}

/// Rule: a copy that falls short within a block leaves the rest of that block resident, in pieces, and the same walk goes on
/// with them, until all of it left; a store that fails in the middle of a block keeps what it took.
#[test]
fn family_d_short_within_a_block() {
    let (ground, world) = (Ground::new(16), World::new(Contents::Compared));
    let rig = Rig::new(&ground, &world);
    let sizes = [(0, 3), (1, 3), (2, 3), (3, 0), (3, 1), (3, 2), (0, 2), (1, 1)];
    assert_eq!(short_within(&rig, &sizes, &[1, 2, 3, 4, 5, 6, 7, 100]), Ok(()));
    rig.clear();
    let at_least = Calls { platform: 35, store: 60, splits: 12, joins: 5 };
    fail_and_stop(&ground, at_least, Stopped { by_budget: 20, by_interrupts: 70 }, |rig| {
        short_within(rig, &[(0, 3), (2, 3), (3, 1)], &[1, 3])
    });
}

/// How much the store takes of a block, or takes at most, as powers of two; and which put fails.
fn short_within(rig: &Rig<'_>, sizes: &[(u8, u8)], puts: &[u32]) -> Tried {
    for (short, largest) in sizes.iter().copied() {
        for fails_at in puts.iter().copied() {
            let mut slots = slots(N);
            let buffer = rig.buffer(&mut slots[..]).with_zones(Zones::of(ORDINARY)).with_mode(WC);
            write(&buffer, 0xD)?;
            let known = Known(&buffer, bytes(0xD, N * PAGE));
            let before = frames(&buffer)?;
            let terms = Terms { short: order(short), largest: order(largest), ..Terms::ANY };
            let on = rig.ground.door.on(Terms { puts: fails_at, ..terms });
            let evicted = known.evict(rig, ALL, Evict::COPY | Evict::SPLIT)?;
            drop(on);
            let there = buffer.residency()?;
            assert_eq!((there.stored, there.resident), (rig.world.stored(), pages(N) - rig.world.stored()));
            let gone = N.min((fails_at as usize) << short.min(largest));
            let why = (gone < N).then_some(RefusalReason::Store(StoreError::Full));
            same((evicted.moved(), evicted.why), (pages(gone), why))?;
            same(evicted.splits > 0, true)?;
            first_are_gone(rig, &before, gone)?;
            let on = rig.ground.door.on(terms);
            same(known.evict(rig, ALL, Evict::COPY | Evict::SPLIT)?.moved(), pages(N - gone))?;
            drop(on);
            known.compare()?;
            rig.pool().trim(Zones::ALL, ALL, CX);
        }
    }
    Ok(())
}

/// Rule: a store that takes nothing of any size, or always less than the least piece, ends a walk: it asks at most once for
/// each size of each block, nothing moves, and no block is in pieces afterwards.
#[test]
fn family_d_zero_progress_ends() {
    let at_least = Calls { platform: 30, store: 12, ..Calls::default() };
    fail_and_stop(
        &Ground::new(16),
        at_least,
        Stopped { by_budget: 0, by_interrupts: 20 },
        zero_progress_ends,
    );
}

fn zero_progress_ends(rig: &Rig<'_>) -> Tried {
    for too_large in [true, false] {
        for how in [Evict::SPLIT, Evict::COPY | Evict::SPLIT] {
            let mut slots = slots(4);
            // The least piece is of two pages, and the store takes one.
            let buffer = rig.buffer_of(&mut slots[..], order(1)).with_mode(UC);
            write(&buffer, 0xD)?;
            let before = picture(rig, &buffer)?;
            let terms = if too_large {
                Terms { puts: 0, why: StoreError::TooLarge, ..Terms::ANY }
            } else {
                Terms { short: order(0), ..Terms::ANY }
            };
            let on = rig.ground.door.on(terms);
            rig.ground.door.asked();
            let evicted = buffer.evict(ALL, how, CX)?;
            let asked = rig.ground.door.asked();
            let again = Known(&buffer, bytes(0xD, 8 * PAGE)).evict(rig, ALL, how)?;
            assert_eq!((again.moved(), again.splits), (NONE, 0));
            let report = rig.home().reclaim([&buffer], ALL, how, CX);
            drop(on);
            assert!(asked <= 3 * before.blocks.len() as u32, "{asked} times");
            assert_eq!((evicted.moved(), evicted.splits, report.evicted.moved()), (NONE, 0, NONE));
            assert!(evicted.why.is_some());
            assert_eq!(rig.world.stored(), NONE);
            assert_eq!(picture(rig, &buffer)?.blocks, before.blocks);
            compare(&buffer, 0xD)?;
        }
    }
    Ok(())
}
