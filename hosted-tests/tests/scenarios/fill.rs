//! Filling a buffer: what fails on the way (family g), which orders it gets (h), and what it finds in its blocks (j, in
//! part).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use hosted_tests::kit::*;

/// Rule: whatever fails while a buffer is filled (a block, its mode, its address, its charge), the next try goes on from
/// there, and once the buffer is dropped all counters of pool and source are as they were.
#[test]
fn family_g_each_stage_of_a_fill_fails() {
    let at_least = Calls { platform: 40, ..Calls::default() };
    let stopped = Stopped { by_budget: 15, by_interrupts: 20 };
    let failures = sweep_both(&Ground::new(16), at_least, stopped, fill);
    let stages = [
        AccessError::Alloc(AllocError::Exhausted),
        AccessError::Alloc(AllocError::ModeRefused),
        AccessError::MapRefused,
        AccessError::OverLimit,
    ];
    for stage in stages {
        assert!(failures.contains(&Failure::Pin(stage)), "{stage:?}");
    }
}

fn fill(rig: &Rig<'_>) -> Tried {
    for (mode, zone) in [(WC, ORDINARY), (UC, COHERENT), (WB, LOW)] {
        let (ready, free) = (rig.pool().ready(), rig.ground.free());
        // Blocks of orders 2, 1 and 0.
        let (mut slots, mut addresses, mut charges) = (slots(7), [None; 7], [None; 7]);
        let addressed = Addressed::new(&mut slots[..], &mut addresses).unwrap();
        let buffer = rig.buffer(Charged::new(addressed, &mut charges).unwrap());
        let buffer = buffer.within(zone.only()).with_mode(mode);
        let payer = Charge::new(buffer.id().0).unwrap();
        let known = Known(&buffer, &[0; 7 * PAGE]);
        let first = known.populate(rig, ALL)?.into_result().and_then(|_| buffer.write().map(drop));
        let there = buffer.residency()?.resident;
        assert_eq!(rig.world.charged(payer), there, "what is there is paid for");
        assert_eq!(rig.world.mapped(), if first.is_ok() { pages(7) } else { NONE }, "all or none");
        if let Err(why) = first {
            assert_eq!(buffer.write().map(drop), Ok(()), "just one call fails");
            assert_eq!((rig.world.charged(payer), rig.world.mapped()), (pages(7), pages(7)));
            assert!(read(&buffer)?.iter().all(|byte| *byte == 0));
            drop(buffer);
            rig.pool().trim(rig.pool().ready() - ready, CX);
            assert_eq!((rig.pool().ready(), rig.ground.free()), (ready, free));
            return Err(why.into());
        }
        drop(buffer);
        assert_eq!(rig.world.charged(payer), NONE);
        rig.pool().trim(rig.pool().ready() - ready, CX);
        same((rig.pool().ready(), rig.ground.free()), (ready, free))?;
    }
    Ok(())
}

fn orders<'w, T: Slots<Plat<'w>>>(buffer: &Buf<'_, 'w, T>) -> Tried<Vec<u8>> {
    Ok(buffer.read()?.blocks().map(|(_, block)| block.order().get()).collect())
}

/// Rule: where the source has no block above an order, a buffer gets blocks of that one.
#[test]
fn family_h_no_blocks_above_an_order() {
    let at_least = Calls { platform: 90, ..Calls::default() };
    sweep(&Ground::new(16), at_least, no_blocks_above);
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
        same(rig.pool().trim(ALL, CX), pages(16))?; // or the next ones come from shelves
    }
    Ok(())
}

/// Rule: at each order, from the largest down, the shelf comes before the source.
#[test]
fn family_h_the_shelf_comes_first_at_each_order() {
    let at_least = Calls { platform: 10, ..Calls::default() };
    sweep(&Ground::new(16), at_least, shelf_first);
}

fn shelf_first(rig: &Rig<'_>) -> Tried {
    let mut hand = Hand::new(rig.pool());
    let page = hand.take(AllocRequest::new(order(0)), UC)?.block().pfn();
    let pair = hand.take(AllocRequest::new(order(1)), UC)?.block().pfn();
    let quad = hand.take(AllocRequest::new(order(2)), UC)?.block().pfn();
    hand.give_all()?;
    let mut take = || {
        let block = hand.hold(rig.pool().take_up_to(LARGEST, Order::PAGE, UC, CX)?).block();
        Tried::Ok((block.pfn(), block.order().get(), rig.card().asked()))
    };
    rig.card().asked();
    // The source has large blocks: they come before smaller ones on shelves.
    let (_, k, asked) = take()?;
    same((k, asked), (3, vec![3]))?;
    // It has none above order 1: so the shelf of order 2 comes next, and that of order 1 before the source's.
    rig.card().refuse_above(order(1));
    let small = [take(), take(), take()];
    rig.card().refuse_above(LARGEST);
    let [first, second, third] = small;
    let ((first, k, asked), (second, l, asked_again)) = (first?, second?);
    assert_eq!(((first, k), (second, l)), ((quad, 2), (pair, 1)));
    same((asked, asked_again), (vec![3], vec![3, 2]))?;
    let (_, k, asked) = third?;
    same((k, asked), (1, vec![3, 2, 1]))?;
    // It has none at all: the shelf of single pages is the last one.
    let hogged = ZONES.map(|zone| rig.ground.leave(zone, 0));
    let (last, none) = (take(), take());
    drop(hogged);
    let (last, k, asked) = last?;
    assert_eq!((last, k), (page, 0));
    same(asked, vec![3, 2, 1])?;
    assert_eq!(none, Err(Failure::Take(AllocError::Exhausted)));
    same(rig.card().asked(), vec![3, 2, 1, 0])
}

/// Rule: a purge needs no room in the store, and asks it for nothing that could fail.
#[test]
fn family_j_a_purge_needs_no_room() {
    let at_least = Calls { platform: 10, store: 4, ..Calls::default() };
    sweep(&Ground::new(1), at_least, purge_without_room);
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
    let (calls, ready, out) = (rig.store().calls(), rig.pool().ready(), rig.world.frames_out());
    buffer.purge(CX)?;
    assert_eq!(rig.store().calls(), calls);
    assert_eq!(buffer.residency()?, Residency::default());
    let (ready, went) = (rig.pool().ready() - ready, out - rig.world.frames_out());
    assert_eq!(ready + went, pages(15), "on their shelves, or home");
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
    sweep(&ground, at_least, |rig| nothing_stale(rig, &RUNGS, &[WB, UC]));
    // In steps of a page it is filled with single pages, which no shelf has: so in the mode that is kept on none.
    for how in [Evict::TRANSFER, Evict::SPLIT] {
        stop_sweep(&ground, Stopped { by_budget: 15, by_interrupts: 4 }, |rig| {
            nothing_stale(rig, &[how], &[WB])
        });
    }
}

fn nothing_stale(rig: &Rig<'_>, rungs: &[Evict], modes: &[Caching]) -> Tried {
    let _hogged = rig.ground.leave(ORDINARY, 16);
    for how in rungs.iter().copied() {
        for mode in modes.iter().copied() {
            let mut slots = slots(16);
            let buffer = rig.buffer(&mut slots[..]).within(ORDINARY.only()).with_mode(mode);
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
            rig.pool().trim(ALL, CX);
        }
    }
    Ok(())
}
