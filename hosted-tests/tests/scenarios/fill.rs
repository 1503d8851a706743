//! Filling a buffer: what fails on the way (family g), which orders it gets (h), and what it finds in its blocks (j, in
//! part).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use hosted_tests::kit::*;

/// Rule: whatever fails while a buffer is filled (a block, its mode, its address, its charge), the next try goes on from
/// there, and once the buffer is dropped all counters of pool and source are as they were.
#[test]
fn family_g_each_stage_of_a_fill_fails() {
    let at_least = Calls { platform: 40, ..Calls::default() };
    let stopped = Stopped { by_budget: 15, by_interrupts: 20 };
    let failures = fail_and_stop(&Ground::new(16), at_least, stopped, fill);
    let stages = [
        AccessError::Alloc(AllocError::Exhausted),
        AccessError::Alloc(AllocError::ModeRefused),
        AccessError::MapRefused,
        AccessError::OverLimit,
    ];
    for stage in stages {
        assert!(failures.contains(&Failure::Access(stage)), "{stage:?}");
    }
}

fn fill(rig: &Rig<'_>) -> Tried {
    for (mode, zone) in [(WC, ORDINARY), (UC, COHERENT), (WB, LOW)] {
        let (ready, free) = (rig.pool().ready(Zones::ALL), rig.ground.free());
        // Blocks of orders 2, 1 and 0.
        let (mut slots, mut addresses, mut charges) = (slots(7), [None; 7], [None; 7]);
        let addressed = Addressed::new(&mut slots[..], &mut addresses).unwrap();
        let buffer = rig.buffer(Charged::new(addressed, &mut charges).unwrap());
        let buffer = buffer.with_zones(Zones::of(zone)).with_mode(mode);
        let payer = core::num::NonZeroUsize::new(buffer.id().0 + 1).map(Charge).unwrap();
        let known = Known(&buffer, &[0; 7 * PAGE]);
        let first = known.populate(rig, ALL)?.why.map_or_else(|| buffer.write().map(drop), Err);
        let there = buffer.residency()?.resident;
        assert_eq!(rig.world.charged(payer), there, "what is there is paid for");
        assert_eq!(rig.world.mapped(), if first.is_ok() { pages(7) } else { NONE }, "all or none");
        if let Err(why) = first {
            assert_eq!(buffer.write().map(drop), Ok(()), "just one call fails");
            assert_eq!((rig.world.charged(payer), rig.world.mapped()), (pages(7), pages(7)));
            assert!(read(&buffer)?.iter().all(|byte| *byte == 0));
            drop(buffer);
            rig.pool().trim(Zones::ALL, rig.pool().ready(Zones::ALL) - ready, CX);
            assert_eq!((rig.pool().ready(Zones::ALL), rig.ground.free()), (ready, free));
            return Err(why.into());
        }
        drop(buffer);
        assert_eq!(rig.world.charged(payer), NONE);
        rig.pool().trim(Zones::ALL, rig.pool().ready(Zones::ALL) - ready, CX);
        same((rig.pool().ready(Zones::ALL), rig.ground.free()), (ready, free))?;
    }
    Ok(())
}

fn orders<'w, T: Slots<Platform = Plat<'w>>>(buffer: &Buf<'_, 'w, T>) -> Tried<Vec<u8>> {
    Ok(buffer.read()?.blocks().map(|(_, block)| block.order().get()).collect())
}

/// Rule: where the source has no block above an order, a buffer gets blocks of that one.
#[test]
fn family_h_no_blocks_above_an_order() {
    let at_least = Calls { platform: 90, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, no_blocks_above);
}

fn no_blocks_above(rig: &Rig<'_>) -> Tried {
    for m in 0..=LARGEST.get() {
        let mut slots = slots(16);
        let buffer = rig.buffer(&mut slots[..]).with_mode(UC);
        rig.card().refuse_above(order(m));
        let found = orders(&buffer);
        rig.card().refuse_above(LARGEST);
        let found = found?;
        assert!(found.iter().all(|k| *k <= m), "{found:?}");
        assert_eq!(found.iter().map(|k| 1 << k).sum::<usize>(), 16);
        same(found, vec![m; 16 >> m])?;
        drop(buffer);
        same(rig.pool().trim(Zones::ALL, ALL, CX), pages(16))?; // or the next ones come from free lists
    }
    Ok(())
}

/// Rule: at each order, from the largest down, the free list comes before the source.
#[test]
fn family_h_the_free_list_comes_first_at_each_order() {
    let at_least = Calls { platform: 10, ..Calls::default() };
    each_call_fails(&Ground::new(16), at_least, list_first);
}

fn list_first(rig: &Rig<'_>) -> Tried {
    let mut hand = Hand::new(rig.pool());
    let page = hand.take(AllocRequest::new(order(0)), UC)?.pfn();
    let pair = hand.take(AllocRequest::new(order(1)), UC)?.pfn();
    let quad = hand.take(AllocRequest::new(order(2)), UC)?.pfn();
    hand.put_all()?;
    let mut slots = [slots(8), slots(8), slots(8)];
    let [first, second, third] = slots.each_mut().map(|slots| rig.buffer(&mut slots[..]).with_mode(UC));
    rig.card().asked();
    // The source has large blocks: they come before smaller ones in lists.
    whole(first.populate(ALL, CX))?;
    same(rig.card().asked(), vec![3])?;
    // It has none above order 1: so the list of order 2 comes next, and that of order 1 before the source's.
    rig.card().refuse_above(order(1));
    let filled = second.populate(ALL, CX);
    rig.card().refuse_above(LARGEST);
    whole(filled)?;
    same(rig.card().asked(), vec![3, 2, 1])?;
    let guard = second.read()?;
    let blocks: Vec<_> = guard.blocks().map(|(_, block)| (block.order().get(), block.pfn())).collect();
    assert_eq!((&blocks[..2], blocks[2].0, blocks.len()), (&[(2, quad), (1, pair)][..], 1, 3));
    // It has none at all: the list of single pages is the last one.
    let hogged = ZONES.map(|zone| rig.ground.leave(zone, 0));
    let (last, ready) = (third.populate(ALL, CX), rig.pool().ready(Zones::ALL));
    drop(hogged);
    assert_eq!(last.why, Some(AccessError::Alloc(AllocError::Exhausted)));
    same(rig.card().asked(), vec![3, 2, 1, 0])?;
    assert_eq!((last.populated, third.residency()?.resident, ready), (pages(1), pages(1), NONE));
    assert_eq!(
        third.read()?.blocks().next().map(|(_, block)| (block.order(), block.pfn())),
        Some((order(0), page))
    );
    Ok(())
}

/// Rule: a purge needs no room in the store, and asks it for nothing that could fail.
#[test]
fn family_j_a_purge_needs_no_room() {
    let at_least = Calls { platform: 10, store: 4, ..Calls::default() };
    each_call_fails(&Ground::new(1), at_least, purge_without_room);
}

fn purge_without_room(rig: &Rig<'_>) -> Tried {
    let (mut plug, mut slots) = (slots(1), slots(15));
    let plug = rig.buffer(&mut plug[..]);
    write(&plug, 1)?;
    same(plug.evict(ALL, Evict::COPY, CX)?.copied, pages(1))?;
    assert_eq!(rig.home().store().space().pages, NONE);
    let buffer = rig.buffer(&mut slots[..]).with_mode(WC);
    write(&buffer, 2)?;
    let evicted = buffer.evict(ALL, Evict::ANY, CX)?;
    assert_eq!(evicted.moved(), NONE);
    same((evicted.refused, evicted.why), (pages(15), Some(RefusalReason::Store(StoreError::Full))))?;
    let (calls, ready, out) = (rig.store().calls(), rig.pool().ready(Zones::ALL), rig.world.frames_out());
    buffer.purge(CX)?;
    assert_eq!(rig.store().calls(), calls);
    assert_eq!(buffer.residency()?, Residency::default());
    let (ready, went) = (rig.pool().ready(Zones::ALL) - ready, out - rig.world.frames_out());
    assert_eq!(ready + went, pages(15), "in their lists, or in the source");
    same(ready, pages(15))?; // a mode that could not be applied again leaves a block plain
    assert!(read(&buffer)?.iter().all(|byte| *byte == 0));
    compare(&plug, 1)
}

/// Rule: a purged buffer that is filled again shows nothing of what was there, wherever its contents were, in the very same
/// frames.
#[test]
fn family_j_nothing_stale_after_a_purge() {
    let at_least = Calls { platform: 100, store: 20, splits: 10, joins: 5 };
    let ground = Ground::new(64);
    each_call_fails(&ground, at_least, |rig| nothing_stale(rig, &METHODS, &[WB, UC]));
    // In steps of a page it is filled with single pages, which no list has: so in the mode that has no lists.
    for how in [Evict::TRANSFER, Evict::SPLIT] {
        each_walk_stops(&ground, Stopped { by_budget: 15, by_interrupts: 4 }, |rig| {
            nothing_stale(rig, &[how], &[WB])
        });
    }
}

fn nothing_stale(rig: &Rig<'_>, ways: &[Evict], modes: &[Caching]) -> Tried {
    let _hogged = rig.ground.leave(ORDINARY, 16);
    for how in ways.iter().copied() {
        for mode in modes.iter().copied() {
            let mut slots = slots(16);
            let buffer = rig.buffer(&mut slots[..]).with_zones(Zones::of(ORDINARY)).with_mode(mode);
            write(&buffer, 0x5E)?;
            let known = Known(&buffer, bytes(0x5E, 16 * PAGE));
            same(known.evict(rig, pages(7), how)?.moved() >= pages(7), true)?;
            let there = buffer.residency()?;
            assert_eq!(there.resident + there.stored, pages(16));
            buffer.purge(CX)?;
            assert_eq!(rig.world.stored(), NONE);
            let populated = Known(&buffer, &[0; 16 * PAGE]).populate(rig, ALL)?;
            assert_eq!(buffer.residency()?.resident, populated.total());
            same(populated.why, None)?;
            assert!(read(&buffer)?.iter().all(|byte| *byte == 0), "{how:?} {mode:?}");
            drop(buffer);
            rig.pool().trim(Zones::ALL, ALL, CX);
        }
    }
    Ok(())
}
