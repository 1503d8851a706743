//! A buffer's slots, from their first use to their last. After `ttm_tt_test.c` (scenarios 14 to 28).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use hosted_tests::kit::*;

/// Rule: a new buffer of one page has the properties that it was made with, has nothing beside its slot, and took no memory; its
/// first use gives it a page of zeros.
#[test]
fn scenario_14_a_new_page() {
    each_call_fails(&Ground::new(16), Calls { platform: 5, ..Calls::default() }, a_new_page);
}

fn a_new_page(rig: &Rig<'_>) -> Tried {
    for mode in MODES {
        let calls = (rig.platform().calls(), rig.store().calls());
        let mut slots = slots(1);
        let buffer = rig.buffer(&mut slots[..]).with_mode(mode).with_zones(Zones::of(LOW));
        assert_eq!(buffer.residency(), Ok(Residency::default()));
        assert_eq!((rig.platform().calls(), rig.store().calls(), rig.in_use()), (calls.0, calls.1, NONE));
        let guard = buffer.read()?;
        assert_eq!((guard.bytes(), dma_address(&guard, 0), guard.segments().count()), (PAGE, None, 0));
        let kinds: Vec<_> =
            guard.blocks().map(|(at, block)| (at, rig.card().zone(block), rig.card().mode(block))).collect();
        assert_eq!(kinds, [(0, LOW, mode)]);
        drop(guard);
        assert!(read(&buffer)?.iter().all(|byte| *byte == 0));
        assert_eq!((rig.in_use(), rig.world.stored()), (pages(1), NONE));
    }
    Ok(())
}

/// Rule: a slot more than the contents need is a page more, with zeros, which comes and goes with the rest.
#[test]
fn scenario_15_a_page_more() {
    let at_least = Calls { platform: 20, store: 12, splits: 3, joins: 1 };
    let stopped = Stopped { by_budget: 12, by_interrupts: 25 };
    fail_and_stop(&Ground::new(16), at_least, stopped, a_page_more);
}

fn a_page_more(rig: &Rig<'_>) -> Tried {
    for (n, mode, how) in [(1, UC, Evict::TRANSFER), (4, WB, Evict::COPY), (3, WC, Evict::SPLIT)] {
        let mut expected = bytes(15, n * PAGE).to_vec();
        let mut slots = slots(n + 1);
        let buffer = rig.buffer(&mut slots[..]).with_mode(mode);
        assert_eq!(buffer.write()?.write_at(0, &expected), n * PAGE);
        expected.resize((n + 1) * PAGE, 0);
        let known = Known(&buffer, &expected);
        same(known.evict(rig, ALL, how)?.moved(), pages(n + 1))?;
        same(known.restore(rig, ALL)?.total(), pages(n + 1))?;
        known.compare()?;
    }
    Ok(())
}

/// Rule: a length that is no multiple of a page takes the next one; a single block the next power of two of those. What is
/// behind the length is zeros, and there is nothing behind the last page.
#[test]
fn scenario_16_a_ragged_length() {
    let at_least = Calls { platform: 40, store: 10, ..Calls::default() };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 5, by_interrupts: 10 }, ragged);
}

fn ragged(rig: &Rig<'_>) -> Tried {
    for (len, n, k) in [(1, 1, 0), (PAGE, 1, 0), (PAGE + 1, 2, 1), (2 * PAGE + 1, 3, 2), (5 * PAGE - 1, 5, 3)]
    {
        let needed = len.div_ceil(PAGE);
        assert_eq!((needed, Order::for_pages(pages(needed))), (n, Some(order(k))));
        let mut vector = slots(needed);
        let many = rig.buffer(&mut vector[..]).with_mode(UC);
        let one = Buffer::new(rig.home(), order(k)).with_id(rig.id());
        let mut expected = bytes(16, len).to_vec();
        assert_eq!((many.write()?.write_at(0, &expected), one.write()?.write_at(0, &expected)), (len, len));
        for (there, covered) in [(read(&many)?, n), (read(&one)?, 1 << k)] {
            assert_eq!(there.len(), covered * PAGE);
            let (contents, behind) = there.split_at(len);
            assert!(contents == expected && behind.iter().all(|byte| *byte == 0));
        }
        expected.resize(n * PAGE, 0);
        let mut guard = many.write()?;
        assert_eq!(guard.write_at(n * PAGE - 1, &[expected[n * PAGE - 1], 1]), 1, "as much as there is");
        assert_eq!(guard.write_at(n * PAGE, b"past the end"), 0);
        drop(guard);
        let known = Known(&many, &expected);
        same(known.evict(rig, ALL, Evict::COPY)?.copied, pages(n))?;
        known.compare()?;
    }
    assert_eq!(Order::for_pages(pages((1 << 15) + 1)), None, "no block is that large");
    Ok(())
}

/// Rule: a buffer that ends gives its pages back, and its slots are empty for the next one.
#[test]
fn scenario_17_fini() {
    each_call_fails(&Ground::new(16), Calls { platform: 16, ..Calls::default() }, fini);
}

fn fini(rig: &Rig<'_>) -> Tried {
    for mode in [UC, WB] {
        let mut slots = slots(7);
        let (ready, out) = (rig.pool().ready(Zones::ALL), rig.world.frames_out());
        let buffer = rig.buffer(&mut slots[..]).with_mode(mode);
        write(&buffer, 17)?;
        assert_eq!(rig.in_use(), pages(7));
        drop(buffer);
        assert_eq!(rig.in_use(), NONE, "in the pool, or in the source");
        let gone = out + pages(7) - rig.world.frames_out();
        same(
            (rig.pool().ready(Zones::ALL) - ready, gone),
            if mode == UC { (pages(7), NONE) } else { (NONE, pages(7)) },
        )?;
        let next = rig.buffer(&mut slots[..]).with_mode(mode);
        assert_eq!(next.residency(), Ok(Residency::default()));
        assert!(read(&next)?.iter().all(|byte| *byte == 0), "what was in the slots is no more");
        drop(next);
        rig.pool().trim(Zones::ALL, ALL, CX);
    }
    Ok(())
}

/// Rule: a buffer with addresses that ends leaves none: no device reaches its pages, and the array has nothing in it.
#[test]
fn scenario_18_fini_with_addresses() {
    let at_least = Calls { platform: 20, store: 8, splits: 2, joins: 0 };
    fail_and_stop(
        &Ground::new(16),
        at_least,
        Stopped { by_budget: 4, by_interrupts: 20 },
        fini_with_addresses,
    );
}

fn fini_with_addresses(rig: &Rig<'_>) -> Tried {
    for (out, mode) in [(0, UC), (3, UC), (7, WB)] {
        let (mut slots, mut addresses) = (slots(7), [None; 7]);
        let buffer = rig.buffer(Addressed::new(&mut slots[..], &mut addresses).unwrap()).with_mode(mode);
        write(&buffer, 18)?;
        assert_eq!(rig.world.mapped(), pages(7));
        let known = Known(&buffer, bytes(18, 7 * PAGE));
        same(known.evict(rig, pages(out), Evict::SPLIT)?.moved() >= pages(out), true)?;
        drop(buffer);
        assert_eq!((rig.world.mapped(), addresses), (NONE, [None; 7]));
        assert_eq!(rig.in_use(), NONE);
    }
    Ok(())
}

/// Rule: a buffer that ends while its contents are in the store leaves nothing there, neither room nor blocks, whichever way
/// they went, and however far they are on it.
#[test]
fn scenario_19_fini_while_stored() {
    let at_least = Calls { platform: 100, store: 60, splits: 10, joins: 2 };
    fail_and_stop(
        &Ground::new(16),
        at_least,
        Stopped { by_budget: 40, by_interrupts: 150 },
        fini_while_stored,
    );
}

fn fini_while_stored(rig: &Rig<'_>) -> Tried {
    let space = rig.home().store().space();
    for how in METHODS {
        for settled in [NONE, pages(1), ALL] {
            let mut slots = slots(7);
            let buffer = rig.buffer(&mut slots[..]).with_mode(WC);
            write(&buffer, 19)?;
            same(Known(&buffer, bytes(19, 7 * PAGE)).evict(rig, ALL, how)?.moved(), pages(7))?;
            same(buffer.residency()?.stored, pages(7))?;
            rig.home().settle(settled, CX);
            drop(buffer);
            assert_eq!((rig.home().store().space(), rig.world.stored(), rig.in_use()), (space, NONE, NONE));
        }
    }
    Ok(())
}

/// Rule: a buffer of any shape is ready for use once it is made: one block, slots, slots of several pages, with addresses
/// and charges beside.
#[test]
fn scenario_20_create() {
    let at_least = Calls { platform: 30, store: 12, splits: 0, joins: 0 };
    fail_and_stop(&Ground::new(32), at_least, Stopped { by_budget: 12, by_interrupts: 25 }, create);
}

fn create(rig: &Rig<'_>) -> Tried {
    fn use_it<'w, T: Slots<Platform = Plat<'w>> + Send + Sync>(
        rig: &Rig<'w>,
        buffer: &Buf<'_, 'w, T>,
        n: usize,
    ) -> Tried {
        write(buffer, n)?;
        let known = Known(buffer, bytes(n, n * PAGE));
        same(known.evict(rig, ALL, Evict::ANY)?.moved(), pages(n))?;
        same(known.restore(rig, ALL)?.total(), pages(n))?;
        known.compare()
    }
    let one = Buffer::new(rig.home(), order(2)).with_id(rig.id()).with_mode(WC);
    use_it(rig, &one, 4)?;
    let many = rig.buffer([const { Slot::EMPTY }; 3]).with_mode(UC);
    use_it(rig, &many, 3)?;
    let mut large = slots(3);
    let large = rig.buffer_of(&mut large[..], order(1));
    use_it(rig, &large, 6)?;
    assert!(large.read()?.blocks().all(|(_, block)| block.order() >= order(1)));
    let (mut slots, mut addresses, mut charges) = (slots(5), [None; 5], [None; 6]);
    let addressed = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let both = rig.buffer(Charged::new(addressed, &mut charges).unwrap());
    use_it(rig, &both, 5)?;
    assert_eq!(
        rig.world.charged(core::num::NonZeroUsize::new(both.id().0 + 1).map(Charge).unwrap()),
        pages(5)
    );
    assert!(dma_address(&both.read()?, 5 * PAGE - 1).is_some());
    Ok(())
}

/// Rule: a shape that can't be is refused by name: arrays too short when the buffer is made; a block larger than the
/// platform's, or a zone that it has not, when it is first used. Nothing is taken, and what was lent is the caller's.
#[test]
fn scenario_21_impossible_shapes() {
    each_call_fails(&Ground::new(16), Calls { platform: 7, ..Calls::default() }, impossible);
}

fn impossible(rig: &Rig<'_>) -> Tried {
    let (mut slots, mut addresses, mut charges) = (slots(4), [None; 3], [None; 2]);
    let too_short = TooShort { given: 3, slots: 4 };
    assert_eq!(Addressed::new(&mut slots[..], &mut addresses).err(), Some(too_short));
    let too_short = TooShort { given: 2, slots: 4 };
    assert_eq!(Charged::new(&mut slots[..], &mut charges).err(), Some(too_short));
    let never = Some(AccessError::Alloc(AllocError::Never));
    let nowhere = Zones::of(3);
    let home = rig.home();
    let too_large = Buffer::new(home, Order::new(LARGEST.get() + 1).unwrap()).with_id(rig.id());
    let nowhere = Buffer::new(home, order(0)).with_id(rig.id()).with_zones(nowhere);
    for buffer in [&too_large, &nowhere] {
        assert_eq!(buffer.read().map(drop).err(), never);
        assert_eq!(buffer.write().map(drop).err(), never);
        assert_eq!(buffer.populate(ALL, CX).why, never);
        assert_eq!((buffer.residency()?, rig.in_use()), (Residency::default(), NONE));
        assert_eq!(buffer.evict(ALL, Evict::ANY, CX)?, Evicted::default());
    }
    let right = rig.buffer(&mut slots[..]).with_zones(Zones::of(ZONES[1]));
    write(&right, 21)?;
    compare(&right, 21)
}

/// Rule: a buffer that has begun stays as it began: what is set later changes neither it nor its contents, be they resident,
/// stored, or both.
#[test]
fn scenario_22_settings_of_what_has_begun() {
    let at_least = Calls { platform: 12, store: 4, ..Calls::default() };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 2, by_interrupts: 6 }, begun);
}

fn begun(rig: &Rig<'_>) -> Tried {
    for there_and_back in 0..3 {
        let mut slots = slots(4);
        let mut buffer = rig.buffer(&mut slots[..]).with_mode(WC).with_zones(Zones::of(LOW));
        let id = buffer.id();
        write(&buffer, 22)?;
        if there_and_back > 0 {
            same(Known(&buffer, bytes(22, 4 * PAGE)).evict(rig, ALL, Evict::COPY)?.copied, pages(4))?;
        }
        if there_and_back > 1 {
            drop(buffer.read()?);
        }
        let there = buffer.residency()?;
        buffer = buffer.with_mode(UC).with_zones(Zones::of(ORDINARY)).with_id(BufferId(5000));
        assert_eq!(buffer.id(), id);
        assert_eq!(buffer.residency()?, there);
        compare(&buffer, 22)?;
        let is_kind = |block| (rig.card().zone(block), rig.card().mode(block)) == (LOW, WC);
        assert!(buffer.read()?.blocks().all(|(_, block)| is_kind(block)));
        rig.card().changes();
        drop(buffer.read()?);
        assert_eq!(rig.card().changes(), 0, "in its mode already");
    }
    Ok(())
}

/// Rule: where the platform has no memory the first use says so, and the buffer is unchanged; with half of what it needs it
/// keeps that half, and goes on from there once there is more.
#[test]
fn scenario_23_no_memory() {
    let at_least = Calls { platform: 12, ..Calls::default() };
    let stopped = Stopped { by_budget: 4, by_interrupts: 6 };
    let failures = fail_and_stop(&Ground::new(16), at_least, stopped, no_memory);
    assert!(failures.contains(&Failure::Access(AccessError::OverLimit)), "no payer for it");
}

fn no_memory(rig: &Rig<'_>) -> Tried {
    let (mut slots, mut addresses, mut charges) = (slots(4), [None; 4], [None; 4]);
    let addressed = Addressed::new(&mut slots[..], &mut addresses).unwrap();
    let buffer = rig.buffer(Charged::new(addressed, &mut charges).unwrap()).with_zones(Zones::of(LOW));
    let exhausted = AccessError::Alloc(AllocError::Exhausted);
    let hogged = rig.ground.leave(LOW, 0);
    assert_eq!((buffer.read().map(drop), buffer.write().map(drop)), (Err(exhausted), Err(exhausted)));
    assert_eq!((buffer.residency()?, rig.in_use(), rig.world.mapped()), (Residency::default(), NONE, NONE));
    assert_eq!(rig.world.charged(core::num::NonZeroUsize::new(buffer.id().0 + 1).map(Charge).unwrap()), NONE);
    drop(hogged);
    let hogged = rig.ground.leave(LOW, 2);
    let known = Known(&buffer, &[0; 4 * PAGE]);
    let populated = known.populate(rig, ALL)?;
    assert_eq!((buffer.residency()?.resident, rig.in_use()), (populated.total(), populated.total()));
    same((populated.total(), populated.why), (pages(2), Some(exhausted)))?;
    assert_eq!((buffer.read().map(drop), buffer.residency()?.resident), (Err(exhausted), pages(2)));
    drop(hogged);
    same(whole(known.populate(rig, ALL)?)?.total(), pages(2))?;
    write(&buffer, 23)?;
    compare(&buffer, 23)
}
