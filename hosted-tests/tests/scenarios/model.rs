//! Buffers against a model that has just their bytes, whatever is done to them in whatever order (family k).

use crate::card::*;
use crate::rig::*;
use crate::stops::*;
use forebay_backends::Faults;
use hosted_tests::kit::*;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::BTreeMap;

const BUFFERS: usize = 3;
/// Slots of each, one behind the other; their units are one, two and one page.
const SLOTS: [usize; BUFFERS] = [11, 4, 5];
const UNITS: [u8; BUFFERS] = [0, 1, 0];

#[derive(Clone, Debug)]
enum Op {
    /// The buffer, the first byte, the number of bytes, the seed of their values.
    Write(usize, usize, usize, u8),
    Read(usize),
    Evict(usize, usize, usize),
    /// As an interrupt does.
    EvictInInterrupt(usize),
    Restore(usize, usize),
    Populate(usize, usize),
    /// An eviction, or a restore, which an interrupt disturbs in that call.
    Interrupted(usize, usize, u32),
    Purge(usize),
    SetPurgeable(usize, bool),
    Discard(usize),
    Reclaim(usize, usize),
    /// Purges what is not needed any more, and nothing else.
    ReclaimByPurging(usize),
    Trim(usize),
    Settle(usize),
    /// All memory but this number of pages is in use elsewhere, until the next operation of this kind.
    Hog(usize),
    /// From now on a part of the calls of platform and store fail, in thousandths: of the platform, of the store.
    Faults(u16, u16),
    /// All buffers end, and new ones begin.
    Drop,
}

fn op() -> impl Strategy<Value = Op> {
    let which = || 0..BUFFERS;
    prop_oneof![
        6 => (which(), any::<usize>(), 1..4 * PAGE, any::<u8>()).prop_map(|(b, at, n, seed)| Op::Write(b, at, n, seed)),
        4 => which().prop_map(Op::Read),
        6 => (which(), 1..12_usize, 0..6_usize).prop_map(|(b, n, how)| Op::Evict(b, n, how)),
        2 => which().prop_map(Op::EvictInInterrupt),
        4 => (which(), 1..12_usize).prop_map(|(b, n)| Op::Restore(b, n)),
        3 => (which(), 1..12_usize).prop_map(|(b, n)| Op::Populate(b, n)),
        3 => (which(), 0..6_usize, 0..12_u32).prop_map(|(b, how, left)| Op::Interrupted(b, how, left)),
        3 => which().prop_map(Op::Purge),
        3 => (which(), any::<bool>()).prop_map(|(b, purgeable)| Op::SetPurgeable(b, purgeable)),
        2 => which().prop_map(Op::Discard),
        5 => (1..20_usize, 0..6_usize).prop_map(|(n, how)| Op::Reclaim(n, how)),
        1 => (1..20_usize).prop_map(Op::ReclaimByPurging),
        4 => (1..20_usize).prop_map(Op::Trim),
        3 => (0..20_usize).prop_map(Op::Settle),
        1 => (4..64_usize).prop_map(Op::Hog),
        1 => prop::sample::select(vec![(0, 0), (0, 0), (200, 0), (0, 200), (150, 150)])
            .prop_map(|(platform, store)| Op::Faults(platform, store)),
        1 => Just(Op::Drop),
    ]
}

/// How often something was done, and did something.
#[derive(Default)]
struct Tally(RefCell<BTreeMap<&'static str, usize>>);

impl Tally {
    fn add(&self, what: &'static str, did: bool) {
        *self.0.borrow_mut().entry(what).or_default() += usize::from(did);
    }
}

type Of<'h, 's, 'w> = Buf<'h, 'w, Charged<'s, Addressed<'s, &'s mut [Slot<Plat<'w>>]>>>;

/// Buffers, and what should be in them.
struct Crowd<'r, 's, 'w> {
    rig: &'r Rig<'w>,
    tally: &'r Tally,
    buffers: Vec<Of<'r, 's, 'w>>,
    bytes: Vec<Vec<u8>>,
}

impl Crowd<'_, '_, '_> {
    /// What a reclaim dropped reads as zeros; the buffers themselves say which that is. Only what was not needed may be.
    fn learn_of_purges(&mut self, may: impl Fn(usize) -> bool, purgeable: &[bool]) {
        for (n, buffer) in self.buffers.iter().enumerate() {
            if buffer.set_purgeable(purgeable[n]) == Ok(false) {
                self.tally.add("was purged", true);
                let zeros = self.bytes[n].iter().all(|byte| *byte == 0);
                assert!(zeros || may(n), "{:?} was dropped, and it is needed", buffer.id());
                self.bytes[n].fill(0);
            }
        }
    }

    /// Compares, if the contents can be reached.
    fn read(&self, n: usize) -> Tried {
        Known(&self.buffers[n], &self.bytes[n]).compare()
    }

    /// Whatever was done: each page is in one place, or nowhere and zeros.
    fn validate(&self) {
        self.rig.world.validate();
        let all = self.buffers.iter().map(|buffer| buffer.residency().unwrap());
        let (mut stored, mut resident) = (NONE, NONE);
        all.for_each(|there| {
            stored += there.stored + there.clean;
            resident += there.resident;
        });
        assert_eq!(self.rig.world.stored(), stored);
        assert!(self.rig.in_use() >= resident);
    }

    fn act(&mut self, op: &Op, purgeable: &mut [bool], cx: Context) {
        let (rig, tally) = (self.rig, self.tally);
        match *op {
            Op::Write(n, at, len, seed) => {
                let at = at % self.bytes[n].len();
                let Ok(mut guard) = self.buffers[n].write_in(cx) else {
                    return tally.add("write refused", true);
                };
                let new = pattern(seed, len);
                let wrote = guard.write_at(at, &new);
                assert_eq!(wrote, len.min(self.bytes[n].len() - at));
                self.bytes[n][at..at + wrote].copy_from_slice(&new[..wrote]);
                tally.add("written", true);
            }
            Op::Read(n) => tally.add("read", self.read(n).is_ok()),
            Op::Evict(n, want, how) => {
                let evicted = self.buffers[n].evict(pages(want), METHODS[how] - Evict::PURGE, cx).unwrap();
                tally.add(
                    "evicted in part",
                    evicted.moved() > NONE && self.buffers[n].residency().unwrap().resident > NONE,
                );
                tally.add("transferred", evicted.transferred > NONE);
                tally.add("copied", evicted.copied > NONE);
                tally.add("left clean", evicted.clean > NONE);
                tally.add("split", evicted.splits > 0);
            }
            Op::EvictInInterrupt(n) => {
                let evicted = self.buffers[n].evict(ALL, Evict::TRANSFER, Context::INTERRUPT).unwrap();
                assert_eq!(evicted.copied, NONE);
                tally.add("evicted in an interrupt", evicted.moved() > NONE);
            }
            Op::Restore(n, want) => {
                let restored = self.buffers[n].restore(pages(want), cx);
                tally.add("taken back", restored.taken_back > NONE);
                tally.add("loaded", restored.loaded > NONE);
                tally.add(
                    "restored in part",
                    restored.total() > NONE && self.buffers[n].residency().unwrap().stored > NONE,
                );
            }
            Op::Populate(n, want) => {
                tally.add("populated", self.buffers[n].populate(pages(want), cx).populated > NONE);
            }
            Op::Interrupted(n, how, left) => {
                let buffer = &self.buffers[n];
                let (_, not_yet) = interrupted(rig, buffer, left, || {
                    if buffer.residency().unwrap().resident > NONE {
                        buffer.evict(ALL, METHODS[how] - Evict::PURGE, cx).unwrap();
                    } else {
                        let _ = buffer.restore(ALL, cx);
                    }
                });
                tally.add("interrupted", not_yet.is_none());
            }
            Op::Purge(n) => {
                let purged = self.buffers[n].purge(cx).is_ok();
                if purged {
                    self.bytes[n].fill(0);
                }
                tally.add("purged", purged);
            }
            Op::SetPurgeable(n, is) => {
                purgeable[n] = is;
                tally.add("not needed", is);
            }
            Op::Discard(n) => tally.add("copies dropped", self.buffers[n].discard_copies().unwrap() > NONE),
            Op::Reclaim(want, how) => {
                let report = rig.home().reclaim(&self.buffers[..], pages(want), METHODS[how], cx);
                tally.add("reclaimed", report.evicted.moved() > NONE);
            }
            Op::ReclaimByPurging(want) => {
                let report = rig.home().reclaim(&self.buffers[..], pages(want), Evict::PURGE, cx);
                assert_eq!(report.evicted.moved(), report.evicted.purged);
                tally.add("reclaimed by a purge", report.evicted.purged > NONE);
            }
            Op::Trim(want) => tally.add("trimmed", rig.pool().trim(Zones::ALL, pages(want), cx) > NONE),
            Op::Settle(budget) => tally.add("settled", rig.home().settle(pages(budget), cx).freed > NONE),
            Op::Faults(platform, store) => {
                let faults = |per_mille| Faults { per_mille, seed: 1 + u32::from(per_mille), kth: None };
                tally.add("a call failed", rig.platform().failed() + rig.store().failed() > 0);
                rig.platform().set(faults(platform));
                rig.store().set(faults(store));
            }
            Op::Hog(_) | Op::Drop => {}
        }
    }
}

/// What a life of the buffers is, from their beginning to their end.
fn live(rig: &Rig<'_>, ops: &[Op], tally: &Tally) {
    let mut slots = SLOTS.map(slots);
    let mut addresses = SLOTS.map(|n| vec![None; n]);
    let mut charges = SLOTS.map(|n| vec![None; n]);
    let beside = slots.iter_mut().zip(&mut addresses).zip(&mut charges).enumerate();
    let buffers = beside.map(|(n, ((slots, addresses), charges))| {
        let slots = Addressed::new(&mut slots[..], addresses).unwrap();
        let slots = Charged::new(slots, charges).unwrap();
        let buffer = rig.buffer_of(slots, order(UNITS[n])).with_mode(MODES[n]);
        buffer.with_zones(Zones::of(ORDINARY))
    });
    let bytes = (0..BUFFERS).map(|n| vec![0; (SLOTS[n] << UNITS[n]) * PAGE]);
    let mut crowd = Crowd { rig, tally, buffers: buffers.collect(), bytes: bytes.collect() };
    let mut purgeable = [false; BUFFERS];
    let mut hogged = None;
    for op in ops {
        let before = purgeable;
        if let Op::Hog(left) = op {
            drop(hogged.take());
            let free = rig.ground.near(ORDINARY).unused().get();
            hogged = Some(rig.ground.leave(ORDINARY, free.min(*left)));
            tally.add("memory was short", free > *left);
        }
        crowd.act(op, &mut purgeable, CX);
        crowd.learn_of_purges(|n| before[n], &purgeable);
        crowd.validate();
    }
    drop(hogged);
    rig.platform().set(Faults::default());
    rig.store().set(Faults::default());
    rig.pool().trim(Zones::ALL, ALL, CX);
    // The last one ends as it is; the others can be reached again, and have their bytes.
    for n in 0..BUFFERS - 1 {
        assert_eq!(crowd.read(n), Ok(()));
    }
    drop(crowd);
    tally.add("ended", true);
    rig.clear();
}

/// Rule: whatever is done to buffers, in whatever order, and whatever fails or interrupts it: a guard shows the bytes of the
/// model, or is refused; each page is in one place; only what is not needed is ever dropped; and nothing is left at the end.
/// Every kind of operation was done, and did something.
#[test]
fn family_k_buffers_are_as_good_as_their_model() {
    let tally = Tally::default();
    let config = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let ground = Ground::new(20);
    let run = TestRunner::new(config).run(&prop::collection::vec(op(), 1..90), |ops| {
        let world = World::new(Contents::Compared);
        let rig = Rig::new(&ground, &world);
        ops.split(|op| matches!(op, Op::Drop)).for_each(|ops| live(&rig, ops, &tally));
        Ok(())
    });
    if let Err(found) = run {
        panic!("{found}");
    }
    println!("{:?}", tally.0.borrow());
    assert_eq!(tally.0.borrow().len(), 25, "kinds of operations");
    for (what, n) in tally.0.borrow().iter() {
        assert!(*n >= 8, "{what}: only {n}");
    }
}
