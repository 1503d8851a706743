//! Buffers that leave for others (scenarios 30, 31), and more of them than there is memory (33).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use forebay_backends::*;
use hosted_tests::kit::*;
use std::sync::LazyLock;

/// Rule: a small buffer leaves when one of half of the memory is wanted, and comes back when there is room.
#[test]
fn scenario_30_a_small_one_leaves_for_a_large_one() {
    let at_least = Calls { platform: 200, store: 30, splits: 2, joins: 1 };
    let ground = Ground::new(96);
    each_call_fails(&ground, at_least, |rig| METHODS.into_iter().try_for_each(|how| room_for_half(rig, how)));
    for how in [Evict::TRANSFER, Evict::SPLIT] {
        each_walk_stops(&ground, Stopped { by_budget: 25, by_interrupts: 8 }, |rig| room_for_half(rig, how));
    }
}

fn room_for_half(rig: &Rig<'_>, how: Evict) -> Tried {
    same(rig.pool().ready(Zones::ALL) - rig.pool().trim(Zones::ALL, ALL, CX), NONE)?;
    let _hogged = rig.ground.leave(ORDINARY, 34);
    let (mut slots_small, mut slots_large) = (slots(4), slots(32));
    let small = rig.buffer(&mut slots_small[..]).with_zones(Zones::of(ORDINARY)).with_mode(WC);
    let large = rig.buffer(&mut slots_large[..]).with_zones(Zones::of(ORDINARY)).with_mode(UC);
    write(&small, 1)?;
    let full = Known(&large, &[0; 32 * PAGE]).populate(rig, ALL)?;
    let exhausted = Some(AccessError::Alloc(AllocError::Exhausted));
    same((full.populated, full.why), (pages(30), exhausted))?;
    let report = rig.home().reclaim([&small], pages(2), how, CX);
    let settled = rig.home().settle(ALL, CX);
    assert_eq!(small.residency()?.stored, report.evicted.moved());
    same(freed(&report) + settled.freed >= pages(2), true)?;
    write(&large, 2)?;
    compare(&large, 2)?;
    // The other way round.
    same(Known(&small, bytes(1, 4 * PAGE)).restore(rig, ALL)?.why, exhausted)?;
    assert_eq!(small.residency()?.resident + small.residency()?.stored, pages(4));
    compare(&large, 2)?;
    drop(large);
    rig.pool().trim(Zones::ALL, ALL, CX);
    compare(&small, 1)
}

/// Rule: what a reclaim returns is a count of pages, and true; where one buffer was not enough the walk goes on, and comes
/// by what is evicted already without counting it again.
#[test]
fn scenario_31_the_count_is_pages() {
    let at_least = Calls { platform: 150, store: 250, splits: 50, joins: 20 };
    each_call_fails(&Ground::new(96), at_least, |rig| {
        METHODS.into_iter().try_for_each(|how| counted(rig, how))
    });
}

fn counted(rig: &Rig<'_>, how: Evict) -> Tried {
    let (mut slots_whole, mut slots_rest) = (slots(64), slots(4));
    let whole = rig.buffer(&mut slots_whole[..]).with_zones(Zones::of(ORDINARY));
    let rest = rig.buffer(&mut slots_rest[..]).with_zones(Zones::of(LOW)).with_mode(WC);
    write(&whole, 1)?;
    write(&rest, 2)?;
    let both: [&dyn Evictable; 2] = [&whole, &rest];
    let before = rig.home().stats().evicted;
    let mut moved = NONE;
    for want in [pages(64), pages(68) - pages(64), ALL] {
        let left = pages(68) - moved;
        let report = rig.home().reclaim(both, want, how, CX);
        let went = report.evicted.moved();
        assert!(went < want + LARGEST.pages(), "{went:?}");
        moved += went;
        let stored = whole.residency()?.stored + rest.residency()?.stored;
        assert_eq!(stored, moved, "it is as many as it says");
        assert_eq!(rig.world.stored(), moved);
        same(went >= want.min(left), true)?;
    }
    let after = rig.home().stats().evicted;
    assert_eq!(after.moved() - before.moved(), moved);
    let settled = rig.home().settle(ALL, CX);
    same(settled.error, None)?;
    assert_eq!(settled.freed, after.transferred - before.transferred);
    assert_eq!(rig.world.frames_out() - rig.pool().ready(Zones::ALL), NONE, "all of it is free");
    compare(&whole, 1)?;
    compare(&rest, 2)
}

/// Tries to reach contents that did not succeed, and those that did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Tally {
    interrupted: usize,
    successful: usize,
}

const OBJECTS: usize = 16;
const OBJECT: usize = 8;

/// Of those the first few may be purged: what is too much for memory and store together, and a fifth more.
const PURGEABLE: usize = 3;

/// Words of a seeded stream (xorshift32), each object's own; made once, as there are many runs.
fn contents(object: usize) -> &'static [u8] {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut word: u32 = 0x9e37_79b9;
        let words = std::iter::repeat_with(|| {
            word ^= word << 13;
            word ^= word >> 17;
            word ^= word << 5;
            word
        });
        words.take(OBJECTS * OBJECT * PAGE / 4).flat_map(u32::to_le_bytes).collect()
    });
    &ALL[object * OBJECT * PAGE..][..OBJECT * PAGE]
}

/// More buffers than there is memory for.
struct Crowd<'r, 'm, 'w> {
    rig: &'r Rig<'w>,
    objects: Vec<Buf<'r, 'w, &'m mut [Slot<Plat<'w>>]>>,
    purged: usize,
}

impl Crowd<'_, '_, '_> {
    /// Purges one of the first `written` if it may be, else evicts about as much as one has.
    fn make_room(&mut self, written: usize) {
        let home = self.rig.home();
        if self.purged < PURGEABLE.min(written) {
            self.purged += usize::from(self.objects[self.purged].purge(CX).is_ok());
        } else {
            let how = if written.is_multiple_of(2) { Evict::ANY } else { Evict::SPLIT };
            home.reclaim(&self.objects[..], pages(OBJECT), how, CX);
            home.settle(ALL, CX);
        }
        if home.pool().ready(Zones::ALL) > NONE {
            home.pool().trim(Zones::ALL, ALL, CX);
        }
    }

    /// Tries to get a guard until there is room; how often it was refused.
    fn patiently(&mut self, n: usize, mut step: impl FnMut(&Self) -> Result<(), AccessError>) -> usize {
        let mut refused = 0;
        while let Err(why) = step(self) {
            refused += 1;
            assert!(refused < 1000, "object {n}: {why:?} for ever");
            self.make_room(n);
        }
        refused
    }
}

/// Twice as much as there is memory is written, and then looked at in order, each until it is there.
fn overcommitted(rig: &Rig<'_>) -> Tally {
    let all = rig.ground.near(ORDINARY).total().get();
    let (wanted, there) = (OBJECTS * OBJECT, all + rig.ground.far.total().get());
    assert_eq!(wanted, 2 * all);
    assert!(PURGEABLE * OBJECT * 5 >= (wanted - there) * 6, "what is too much, and a fifth more");
    let mut slots: Vec<_> = (0..OBJECTS).map(|_| slots(OBJECT)).collect();
    let modes = MODES.into_iter().cycle();
    let objects = slots
        .iter_mut()
        .zip(modes)
        .map(|(slots, mode)| rig.buffer(&mut slots[..]).with_zones(Zones::of(ORDINARY)).with_mode(mode));
    let mut crowd = Crowd { rig, objects: objects.collect(), purged: 0 };
    let mut tally = Tally::default();
    for n in 0..OBJECTS {
        crowd.patiently(n, |crowd| {
            let mut guard = crowd.objects[n].write()?;
            assert_eq!(guard.write_at(0, contents(n)), OBJECT * PAGE);
            Ok(())
        });
    }
    assert_eq!(crowd.purged, PURGEABLE);
    for n in 0..OBJECTS {
        tally.interrupted += crowd.patiently(n, |crowd| {
            let guard = crowd.objects[n].read()?;
            let mut bytes = vec![0xA5; OBJECT * PAGE];
            assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
            let expected = if n < PURGEABLE { &[0; OBJECT * PAGE][..] } else { contents(n) };
            assert!(bytes == expected, "object {n} has other words");
            Ok(())
        });
        tally.successful += 1;
        if n < PURGEABLE {
            crowd.patiently(n, |crowd| Ok(crowd.objects[n].purge(CX)?)); // its zeros need no room
        }
    }
    tally
}

/// Rule: with twice as much as there is memory, and restores that fail at random, each is there in the end, in every word;
/// what was interrupted is tried again.
#[test]
fn scenario_33_twice_the_memory() {
    let ground = Ground::new(48);
    let mut sum = Tally::default();
    for seed in 1..=8 {
        let world = World::new(Contents::Compared);
        let rig = Rig::new(&ground, &world);
        let faults = |seed| Faults { per_mille: 150, seed, ..Faults::default() };
        rig.store().set(faults(seed));
        rig.platform().set(faults(7919 * seed));
        let tally = overcommitted(&rig);
        assert!(rig.store().failed() > 0 && rig.platform().failed() > 0);
        rig.store().set(Faults::default());
        rig.platform().set(Faults::default());
        rig.clear();
        sum.interrupted += tally.interrupted;
        sum.successful += tally.successful;
    }
    println!("{sum:?}");
    assert_eq!(sum.successful, 8 * OBJECTS);
    assert!(sum.interrupted > sum.successful, "{sum:?}: faults should be met");
}

/// Rule: the same for any single call that fails.
#[test]
fn scenario_33_any_call_fails() {
    let at_least = Calls { platform: 300, store: 230, splits: 30, joins: 10 };
    let failures = each_call_fails(&Ground::new(48), at_least, |rig| {
        overcommitted(rig);
        Ok(())
    });
    assert_eq!(failures, [], "whatever fails is tried again");
}
