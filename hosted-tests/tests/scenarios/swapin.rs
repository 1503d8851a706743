//! A buffer's contents: filling, emptying, away and back. After `ttm_tt_test.c` (scenarios 24 to 29).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use hosted_tests::kit::*;

/// How far a buffer has come when it ends.
#[derive(Clone, Copy, Debug)]
enum Life {
    Unused,
    Half,
    Filled,
    Out(usize),
    OutAndBack(usize),
    /// Everything is in both places.
    Clean,
    Purged,
}

/// Rule: a buffer may end in any state, and nothing of it is left anywhere.
#[test]
fn scenario_24_destroy_in_any_state() {
    let at_least = Calls { platform: 110, store: 70, splits: 4, joins: 1 };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 60, by_interrupts: 150 }, in_any_state);
}

fn in_any_state(rig: &Rig<'_>) -> Tried {
    use Life::*;
    let lives = [Unused, Half, Filled, Out(3), Out(7), OutAndBack(2), OutAndBack(5), Clean, Purged];
    for (n, life) in lives.into_iter().enumerate() {
        for how in [Evict::ANY, Evict::SPLIT, METHODS[n % 6]] {
            let mut slots = slots(7);
            let buffer = rig.buffer(&mut slots[..]).with_mode(MODES[n % 3]);
            live(rig, &buffer, life, how)?;
            drop(buffer);
            assert_eq!((rig.in_use(), rig.world.stored()), (NONE, NONE), "{life:?} {how:?}");
            assert_eq!(rig.home().store().space().pages, rig.ground.far.total());
        }
    }
    Ok(())
}

fn live<'w, T: Slots<Platform = Plat<'w>> + Send + Sync>(
    rig: &Rig<'w>,
    buffer: &Buf<'_, 'w, T>,
    life: Life,
    how: Evict,
) -> Tried {
    let known = Known(buffer, bytes(24, 7 * PAGE));
    match life {
        Life::Unused => return Ok(()),
        Life::Half => return same(whole(buffer.populate(pages(3), CX))?.total() >= pages(3), true),
        _ => write(buffer, 24)?,
    }
    let (out, back) = match life {
        Life::Out(n) => (n, 0),
        Life::OutAndBack(n) => (7, n),
        Life::Clean => (7, 7),
        _ => (0, 0),
    };
    if out > 0 {
        same(known.evict(rig, pages(out), how)?.moved() >= pages(out), true)?;
        rig.home().settle(pages(2), CX);
    }
    if back > 0 {
        same(known.restore(rig, pages(back))?.total() >= pages(back), true)?;
    }
    let there = buffer.residency()?;
    assert_eq!((there.resident + there.stored, rig.world.stored()), (pages(7), there.stored + there.clean));
    match life {
        Life::Purged => Ok(buffer.purge(CX)?),
        _ => Ok(()),
    }
}

/// Rule: a buffer of no slots is one of no bytes: filling it, reading it, writing to it, evicting and restoring it do
/// nothing, and say so.
#[test]
fn scenario_25_no_slots() {
    // None of its calls can fail, and nothing moves that could be stopped: there is nothing to sweep.
    let (ground, world) = (Ground::new(16), World::new(Contents::Compared));
    let rig = Rig::new(&ground, &world);
    assert_eq!(no_slots(&rig), Ok(()));
    assert_eq!((rig.platform().calls(), rig.card().hooks()), (0, (0, 0)), "no port is asked for anything");
    rig.clear();
}

fn no_slots(rig: &Rig<'_>) -> Tried {
    let mut slots = slots(0);
    let buffer = rig.buffer(&mut slots[..]);
    let known = Known(&buffer, &[]);
    for _ in 0..2 {
        assert_eq!(known.populate(rig, ALL)?, Restored::default());
        assert_eq!(buffer.write()?.write_at(0, b"anything"), 0);
        known.compare()?;
        assert_eq!(known.evict(rig, ALL, Evict::ANY)?.moved(), NONE);
        assert_eq!(known.restore(rig, ALL)?, Restored::default());
        assert_eq!((buffer.purge(CX), buffer.discard_copies()), (Ok(()), Ok(NONE)));
        assert_eq!((buffer.residency()?, rig.in_use()), (Residency::default(), NONE));
    }
    Ok(())
}

/// Rule: what is filled already is not filled again: the same pages, the same bytes, and no port is asked for anything.
#[test]
fn scenario_26_populate_twice() {
    let at_least = Calls { platform: 10, ..Calls::default() };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 12, by_interrupts: 8 }, populate_twice);
}

fn populate_twice(rig: &Rig<'_>) -> Tried {
    for mode in [WB, UC] {
        let mut slots = slots(7);
        let buffer = rig.buffer(&mut slots[..]).with_mode(mode);
        let known = Known(&buffer, &[0; 7 * PAGE]);
        same(whole(known.populate(rig, ALL)?)?.total(), pages(7))?;
        write(&buffer, 26)?;
        let there = || Tried::Ok(buffer.read()?.blocks().map(|(_, block)| block.pfn()).collect::<Vec<_>>());
        let (first, calls) = (there()?, rig.platform().calls());
        rig.card().asked();
        for budget in [pages(1), ALL, NONE] {
            assert_eq!(buffer.populate(budget, CX), Restored::default());
        }
        assert_eq!((there()?, rig.platform().calls(), rig.card().asked()), (first, calls, vec![]));
        compare(&buffer, 26)?;
    }
    Ok(())
}

/// Rule: a purged buffer is not filled: its pages are others' to take, it reads as zeros, and may be filled again.
#[test]
fn scenario_27_unpopulate() {
    let at_least = Calls { platform: 18, store: 2, ..Calls::default() };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 22, by_interrupts: 7 }, unpopulate);
}

fn unpopulate(rig: &Rig<'_>) -> Tried {
    for (out, mode) in [(0, UC), (3, WC), (8, WB)] {
        let mut slots = slots(8);
        let buffer = rig.buffer(&mut slots[..]).with_mode(mode);
        write(&buffer, 27)?;
        if out > 0 {
            let known = Known(&buffer, bytes(27, 8 * PAGE));
            same(known.evict(rig, pages(out), Evict::TRANSFER)?.moved() >= pages(out), true)?;
        }
        buffer.purge(CX)?;
        assert_eq!(
            (buffer.residency()?, rig.world.stored(), rig.in_use()),
            (Residency::default(), NONE, NONE)
        );
        let known = Known(&buffer, &[0; 8 * PAGE]);
        same(whole(known.populate(rig, ALL)?)?.populated, pages(8))?;
        known.compare()?;
        rig.pool().trim(Zones::ALL, ALL, CX);
    }
    Ok(())
}

/// Rule: emptying what is empty is no mistake, however often, and calls no port.
#[test]
fn scenario_28_unpopulate_what_is_empty() {
    each_call_fails(&Ground::new(16), Calls { platform: 4, ..Calls::default() }, unpopulate_empty);
}

fn unpopulate_empty(rig: &Rig<'_>) -> Tried {
    let mut slots = slots(3);
    let buffer = rig.buffer(&mut slots[..]).with_mode(UC);
    for filled_before in [false, true] {
        if filled_before {
            write(&buffer, 28)?;
            buffer.purge(CX)?;
        }
        let calls = (rig.platform().calls(), rig.store().calls());
        for _ in 0..2 {
            assert_eq!((buffer.purge(CX), buffer.discard_copies()), (Ok(()), Ok(NONE)));
            assert_eq!(buffer.evict(ALL, Evict::ANY, CX)?, Evicted::default());
            assert_eq!(buffer.restore(ALL, CX), Restored::default());
        }
        assert_eq!((rig.platform().calls(), rig.store().calls()), calls);
        assert_eq!((buffer.residency()?, rig.in_use()), (Residency::default(), NONE));
    }
    assert!(read(&buffer)?.iter().all(|byte| *byte == 0));
    Ok(())
}

/// Rule: one page goes and counts as one; it is stored, and once it was written to again it is stored no more; its bytes are
/// what they were, whichever way it went, and however far.
#[test]
fn scenario_29_away_and_back() {
    let at_least = Calls { platform: 60, store: 35, ..Calls::default() };
    fail_and_stop(&Ground::new(16), at_least, Stopped { by_budget: 20, by_interrupts: 60 }, away_and_back);
}

fn away_and_back(rig: &Rig<'_>) -> Tried {
    for (n, how) in METHODS.into_iter().enumerate() {
        for settled in [NONE, ALL] {
            let mut slots = slots(1);
            let buffer = rig.buffer(&mut slots[..]).with_mode(MODES[n % 3]);
            write(&buffer, 29 + n)?;
            let known = Known(&buffer, bytes(29 + n, PAGE));
            let evicted = known.evict(rig, ALL, how)?;
            same(evicted.moved(), pages(1))?;
            same((buffer.residency()?.resident, buffer.residency()?.stored), (NONE, pages(1)))?;
            let freed = rig.home().settle(settled, CX).freed;
            same(freed, if settled == ALL { evicted.transferred } else { NONE })?;
            same(whole(known.restore(rig, ALL)?)?.total(), pages(1))?;
            same((buffer.residency()?.resident, buffer.residency()?.stored), (pages(1), NONE))?;
            known.compare()?;
            write(&buffer, 60 + n)?;
            assert_eq!(
                (rig.world.stored(), buffer.residency()?.clean),
                (NONE, NONE),
                "its copy would be wrong"
            );
            compare(&buffer, 60 + n)?;
        }
    }
    Ok(())
}
