//! An index says what buffers are, whatever is done to them; a reclaim by it looks at those and no others, and costs what it
//! finds.

use forebay_backends::*;
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

const BITS: usize = usize::BITS as usize;
const SLOTS: usize = 4;
const TRANSFER: Evict = Evict::TRANSFER;

/// Which entries the lists have: what is not needed, what is clean, what is resident. No buffer is asked for anything.
fn listed<R, W>(index: &EvictionIndex<R, W>, entries: usize) -> [BTreeSet<usize>; 3]
where
    R: RawMutex,
    W: AsRef<[usize]> + AsMut<[usize]>,
{
    let candidates = index.candidates::<&dyn Evictable>(&[]);
    [Class::PURGEABLE, Class::CLEAN, Class::RESIDENT].map(|class| {
        let next = |from| candidates.find_candidate(class, from..entries);
        std::iter::successors(next(0), |last| next(last + 1)).collect()
    })
}

/// The same, by looking at each buffer.
fn are<H: Home, T: Slots<Platform = H::Platform>>(
    buffers: &[Option<Buffer<H, T>>],
    unneeded: &[bool],
) -> [BTreeSet<usize>; 3] {
    let of = |i: &usize| buffers[*i].as_ref().map(|b| b.residency().unwrap()).unwrap_or_default();
    let which = |f: &dyn Fn(&usize) -> bool| (0..buffers.len()).filter(f).collect();
    [
        which(&|i| unneeded[*i] && of(i).resident + of(i).stored > NONE),
        which(&|i| of(i).clean > NONE),
        which(&|i| of(i).resident > NONE),
    ]
}

const COUNT: usize = 5;

/// One thing that is done to a buffer.
#[derive(Clone, Copy, Debug)]
enum Op {
    Fill,
    Read,
    Evict(usize, usize),
    Restore(usize),
    Populate(usize),
    Purge,
    Discard,
    SetPurgeable(bool),
    Settle,
    Reclaim(usize, usize),
    Replace,
}

fn ops() -> impl Strategy<Value = Vec<(usize, Op)>> {
    let op = prop_oneof![
        Just(Op::Fill),
        Just(Op::Read),
        (1_usize..6, 0_usize..6).prop_map(|(n, how)| Op::Evict(n, how)),
        (1_usize..6).prop_map(Op::Restore),
        (1_usize..6).prop_map(Op::Populate),
        Just(Op::Purge),
        Just(Op::Discard),
        Just(Op::SetPurgeable(true)),
        Just(Op::SetPurgeable(false)),
        Just(Op::Settle),
        (1_usize..12, 0_usize..6).prop_map(|(n, how)| Op::Reclaim(n, how)),
        Just(Op::Replace),
    ];
    proptest::collection::vec((0..COUNT, op), 1..40)
}

/// Does all that, and compares after each step.
fn live<H, T, W>(
    world: &World,
    home: H,
    index: &EvictionIndex<SpinRawMutex, W>,
    make: impl Fn(usize) -> T,
    ops: &[(usize, Op)],
) where
    H: Home + Copy,
    T: Slots<Platform = H::Platform>,
    W: AsRef<[usize]> + AsMut<[usize]>,
{
    let new = |i| Some(Buffer::with_slots(home, make(i), Order::PAGE).with_id(BufferId(i)));
    let mut buffers: Vec<Option<Buffer<H, T>>> = (0..COUNT).map(new).collect();
    let mut unneeded = [false; COUNT];
    for (i, op) in ops.iter().copied() {
        if let Op::Replace = op {
            buffers[i] = None;
            assert!(listed(index, COUNT).iter().all(|list| !list.contains(&i)), "dropped, and listed");
            (buffers[i], unneeded[i]) = (new(i), false);
            continue;
        }
        let Some(buffer) = &buffers[i] else { continue };
        match op {
            Op::Fill => fill(buffer, i as u8),
            Op::Read => drop(contents(buffer)),
            Op::Evict(n, how) => drop(buffer.evict(pages(n), METHODS[how], CX).unwrap()),
            Op::Restore(n) => assert_eq!(buffer.restore(pages(n), CX).why, None),
            Op::Populate(n) => assert_eq!(buffer.populate(pages(n), CX).why, None),
            Op::Purge => buffer.purge(CX).unwrap(),
            Op::Discard => drop(buffer.discard_copies().unwrap()),
            Op::SetPurgeable(purgeable) => {
                let _ = buffer.set_purgeable(purgeable).unwrap();
                unneeded[i] = purgeable;
            }
            Op::Settle => drop(home.forebay().settle(pages(3), CX)),
            Op::Reclaim(n, how) => {
                let all: Vec<_> = buffers.iter().flatten().collect();
                home.forebay().reclaim(index.candidates(&all), pages(n), METHODS[how], CX);
            }
            Op::Replace => {}
        }
        world.validate();
        let (told, known) = (listed(index, COUNT), are(&buffers, &unneeded));
        for (told, known) in told.iter().zip(&known) {
            assert!(known.is_subset(told), "{op:?} hides one: {told:?}, and it is {known:?}");
        }
        // A mark may be there too long, but not after these.
        if matches!(op, Op::Fill | Op::Read | Op::Purge) {
            for (told, known) in told.iter().zip(&known) {
                assert_eq!(told.contains(&i), known.contains(&i), "{op:?}");
            }
        }
    }
    drop(buffers);
    assert!(listed(index, COUNT).iter().all(BTreeSet::is_empty), "all are dropped");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: whatever is done to a buffer, in whatever layers its slots are, the index knows what it is; a dropped one is in no
    /// list, and all words are zero in the end.
    #[test]
    fn an_index_is_true(ops in ops(), layers in 0..3) {
        let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
        let home = &forebay(&near, &far, &world);
        let mut words = vec![0; EvictionIndex::<SpinRawMutex>::words(COUNT)];
        let index = EvictionIndex::<SpinRawMutex, _>::new(&mut words[..]);
        let slots = || [const { Slot::EMPTY }; SLOTS];
        let (addresses, charges) = (|| forever([None; SLOTS]), || forever([None; SLOTS]));
        match layers {
            0 => live(&world, home, &index, |i| index.indexed(i, slots()).unwrap(), &ops),
            1 => {
                let make = |i| {
                    let addressed = Addressed::new(index.indexed(i, slots()).unwrap(), addresses()).unwrap();
                    Charged::new(addressed, charges()).unwrap()
                };
                live(&world, home, &index, make, &ops);
            }
            _ => {
                let make = |i| {
                    let charged = Charged::new(slots(), charges()).unwrap();
                    index.indexed(i, Addressed::new(charged, addresses()).unwrap()).unwrap()
                };
                live(&world, home, &index, make, &ops);
            }
        }
        prop_assert!(words.iter().all(|word| *word == 0));
        all_returned(&world, &near, &far);
    }
}

/// Rule: a buffer that is dropped is in no list, also where a block of it could not go.
#[test]
fn a_leaked_block_leaves_no_mark() {
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home = &Forebay::new(&machine, &far);
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(3)]);
    for (id, purgeable) in [false, true].into_iter().enumerate() {
        let slots = index.indexed(1, [Slot::EMPTY]).unwrap();
        let buffer = Buffer::with_slots(home, slots, Order::PAGE);
        let buffer = buffer.with_mode(Caching::Uncached).with_id(BufferId(id));
        fill(&buffer, 1);
        let _ = buffer.set_purgeable(purgeable).unwrap();
        machine.say_no(No::Mode);
        drop(buffer);
        machine.say_no(No::Never);
        assert!(listed(&index, 3).iter().all(BTreeSet::is_empty), "purgeable: {purgeable}");
    }
    assert_eq!(home.stats().leaked, pages(2));
}

/// Rule: a buffer may be in several indices, and all of them know it.
#[test]
fn in_two_indices() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let indices =
        [(); 2].map(|()| EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(9)]));
    let inner = indices[0].indexed(3, [Slot::EMPTY]).unwrap();
    let buffer = Buffer::with_slots(home, indices[1].indexed(8, inner).unwrap(), Order::PAGE);
    fill(&buffer, 1);
    let resident = || [0, 1].map(|n| listed(&indices[n], 9)[2].iter().copied().collect::<Vec<_>>());
    assert_eq!(resident(), [[3], [8]]);
    buffer.evict(ALL, Evict::COPY, CX).unwrap();
    assert_eq!(resident(), [[0; 0]; 2]);
    check(&buffer, 1);
    drop(buffer);
    assert_eq!(resident(), [[0; 0]; 2]);
    all_returned(&world, &near, &far);
}

static CALLS_LEFT: AtomicU32 = AtomicU32::new(u32::MAX);

fn sink(event: &Event) {
    let counts = matches!(event, Event::Transfer(..) | Event::Save(..) | Event::TakeBack(..));
    if counts && CALLS_LEFT.fetch_sub(1, Ordering::Relaxed) == 0 {
        panic!("a store's own fault");
    }
}

/// Rule: a port that panics hides nothing: what is resident still, or lost and not needed, is listed.
#[test]
fn a_panic_hides_nothing() {
    let mut panics = 0;
    for (how, calls) in
        [Evict::TRANSFER, Evict::COPY].into_iter().flat_map(|how| (0..8).map(move |n| (how, n)))
    {
        let (world, near, far) = (World::new(Contents::Ignored), near(32), far(64));
        let hogged = leave(&near, (0..16).map(|n| 2 * n)); // single pages
        let home = &forebay(&near, Traced::new(&far, sink as fn(&Event)), &world);
        let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(2)]);
        let buffers = [0, 1].map(|i| {
            let slots = index.indexed(i, [const { Slot::EMPTY }; SLOTS]).unwrap();
            Buffer::with_slots(home, slots, Order::PAGE)
        });
        buffers.iter().for_each(|b| fill(b, 3));
        let _ = buffers[1].set_purgeable(true).unwrap();
        CALLS_LEFT.store(calls, Ordering::Relaxed);
        for _ in 0..2 {
            let work = || {
                buffers.iter().for_each(|b| assert!(b.evict(pages(3), how, CX).is_ok()));
                home.reclaim(index.candidates(&buffers), pages(7), how, CX);
                buffers.iter().for_each(|b| assert!(b.read().is_ok() || b.residency().is_ok()));
            };
            panics += usize::from(catch_unwind(AssertUnwindSafe(work)).is_err());
        }
        CALLS_LEFT.store(u32::MAX, Ordering::Relaxed);
        let [unneeded, _, resident] = listed(&index, 2);
        for (i, buffer) in buffers.iter().enumerate() {
            let there = buffer.residency().unwrap();
            assert!(there.resident == NONE || resident.contains(&i), "{how:?} {calls}");
        }
        assert!(unneeded.contains(&1));
        buffers.iter().for_each(|b| b.purge(CX).unwrap());
        assert!(listed(&index, 2).iter().all(BTreeSet::is_empty));
        drop(buffers);
        give_back(&near, hogged);
    }
    assert!(panics >= 12, "only {panics}");
}

/// Rule: a reclaim visits those that are listed, in order from its hand on, and no others; each index has hands of its own, and
/// so has the forebay.
#[test]
fn a_walk_visits_those_that_are_listed() {
    const MANY: usize = 3 * BITS;
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let log = Log::default();
    let home = &forebay(AllPorts(Traced::new(&near, &log)), &far, &world);
    let mut words = vec![0; EvictionIndex::<SpinRawMutex>::words(MANY)];
    let (first, second) = (
        EvictionIndex::<SpinRawMutex, _>::new(&mut words[..]),
        EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(BITS)]),
    );
    let members = [2, BITS - 1, BITS, 2 * BITS + 9];
    let hidden = [0, 3, BITS + 1, MANY - 1]; // resident, and in no index
    let unlisted = hidden.map(|i| Buffer::new(home, order(0)).with_id(BufferId(1000 + i)));
    let buffers: Vec<_> = (0..MANY)
        .map(|i| {
            let slots = first.indexed(i, [Slot::EMPTY]).unwrap();
            Buffer::with_slots(home, slots, Order::PAGE).with_id(BufferId(i))
        })
        .collect();
    let others: Vec<_> = (0..7)
        .map(|i| Buffer::with_slots(home, second.indexed(i, [Slot::EMPTY]).unwrap(), Order::PAGE))
        .collect();
    let plain = tiles::<3, _>(home, order(0));
    let mut all: Vec<&dyn Evictable> = buffers.iter().map(|b| b as &dyn Evictable).collect();
    hidden.iter().zip(&unlisted).for_each(|(i, buffer)| all[*i] = buffer);
    let victims = || {
        let of = |e: &Event| if let Event::BeforeEvict(id, Ok(())) = e { Some(id.0) } else { None };
        log.take().iter().filter_map(of).collect::<Vec<_>>()
    };
    let cool = |buffer: &dyn Evictable| {
        buffer.evict_if_idle(&EvictRequest::new(NONE, TRANSFER, CX));
    };
    members.iter().for_each(|i| fill(&buffers[*i], 1));
    unlisted.iter().for_each(|b| fill(b, 3));
    fill(&others[6], 2);
    all.iter().for_each(|b| cool(*b));
    plain.iter().for_each(|b| cool(b));
    log.take();
    for (n, expected) in [0, 1, 2, 3, 3, 0].into_iter().enumerate() {
        let report = home.reclaim(first.candidates(&all), pages(1), TRANSFER, CX);
        assert_eq!(report.evicted.transferred, pages(1));
        assert_eq!(victims(), [members[expected]], "reclaim {n}");
        if n == 3 {
            members.iter().for_each(|i| fill(&buffers[*i], 1));
            all.iter().for_each(|b| cool(*b));
        }
        // Other reclaims between, by another index, and without one.
        check(&others[6], 2);
        assert_eq!(home.reclaim(second.candidates(&others), pages(1), TRANSFER, CX).gained, pages(1));
        assert_eq!(others[6].residency(), residency(0, 0, 1));
        log.take();
        home.reclaim(&plain, pages(1), TRANSFER, CX);
        assert_eq!(victims(), [n % 3], "the forebay's own hand");
        check(&plain[n % 3], (n % 3) as u8);
    }
    members.iter().for_each(|i| check(&buffers[*i], 1));
    for (i, buffer) in unlisted.iter().enumerate() {
        assert_eq!(buffer.residency(), residency(1, 0, 0), "{i}");
    }
    drop(all);
    drop((buffers, others, plain, unlisted));
    all_returned(&world, &near, &far);
}

/// Rule: there is no entry past the end; a slice may be shorter than its index, or longer: only what is in both is visited.
#[test]
fn slices_of_other_lengths() {
    let (world, near, far) = (World::new(Contents::Compared), near(256), far(256));
    let home = &forebay(&near, &far, &world);
    let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(BITS + 1)]);
    assert!(index.indexed(2 * BITS - 1, ()).is_ok(), "whole words");
    for past in [2 * BITS, 2 * BITS + 1, usize::MAX] {
        assert_eq!(
            index.indexed(past, ()).err().map(|refused| refused.why),
            Some(IndexFull::PastTheEnd),
            "{past}"
        );
    }
    let none = EvictionIndex::<SpinRawMutex, _>::new([0; 2]);
    assert!(none.indexed(0, ()).is_err());
    let buffers: Vec<_> = (0..2 * BITS)
        .map(|i| Buffer::with_slots(home, index.indexed(i, [Slot::EMPTY]).unwrap(), Order::PAGE))
        .collect();
    buffers.iter().for_each(|b| fill(b, 4));
    for len in [1, BITS - 1, BITS, BITS + 1, 3] {
        let report = home.reclaim(index.candidates(&buffers[..len]), ALL, Evict::COPY, CX);
        assert_eq!(report.evicted.moved(), pages(len));
        assert!(buffers[len..].iter().all(|b| b.residency() == residency(1, 0, 0)));
        buffers[..len].iter().for_each(|b| check(b, 4));
        buffers.iter().for_each(|b| fill(b, 4));
    }
    let longer: Vec<_> = buffers.iter().chain(&buffers[..5]).collect();
    let report = home.reclaim(index.candidates(&longer), ALL, Evict::COPY, CX);
    assert_eq!((report.evicted.moved(), report.evicted.refused), (pages(2 * BITS), NONE));
    buffers.iter().for_each(|b| check(b, 4));
    drop(longer);
    drop(buffers);
    world.assert_empty();
}

/// Slots without memory, indexed under that number, for as long as they live.
type Entry<'i> = Indexed<'i, [Slot<Near>; 1], SpinRawMutex, &'i mut [usize]>;

/// Rule: the next entry of a list is the first at or behind a number and before the end, whatever lies between.
#[test]
fn the_next_one_is_found() {
    const ENTRIES: usize = (BITS * 9 + 5) * BITS; // more words of the summary than are looked at together
    let mut words = vec![0; EvictionIndex::<SpinRawMutex>::words(ENTRIES)];
    let index = EvictionIndex::<SpinRawMutex, _>::new(&mut words[..]);
    let members = [0, 1, BITS - 1, BITS, 3 * BITS + 7, BITS * BITS, 2 * BITS * BITS + 1, ENTRIES - 1];
    let entries: [Entry<'_>; 8] = members.map(|at| index.indexed(at, [Slot::EMPTY]).unwrap());
    entries.iter().for_each(|entry| entry.class_changed(Class::RESIDENT | Class::PURGEABLE));
    entries[3].class_changed(Class::CLEAN); // and no longer resident
    let candidates = index.candidates::<&dyn Evictable>(&[]);
    for list in [Class::RESIDENT, Class::CLEAN, Class::PURGEABLE] {
        let is = |at: &usize| (*at == BITS) == (list == Class::CLEAN);
        let near = members.into_iter().flat_map(|at| [at.saturating_sub(1), at, at + 1, at + BITS]);
        for from in near.chain([5 * BITS * BITS, ENTRIES]) {
            for end in [from, from + 1, from + BITS + 3, from + BITS * BITS, ENTRIES] {
                let expected = members.into_iter().filter(is).find(|at| (from..end).contains(at));
                assert_eq!(candidates.find_candidate(list, from..end), expected, "{list:?} {from}..{end}");
            }
        }
    }
    drop(entries);
    assert!(words.iter().all(|word| *word == 0), "something is left of them");
}

/// Rule: `words(n)` words are enough for `n` entries, and no word is superfluous.
#[test]
fn words_are_enough() {
    for entries in (1..40 * BITS).step_by(7).chain([BITS * BITS, BITS * BITS + 1, 1_000_000]) {
        let index =
            EvictionIndex::<SpinRawMutex, _>::new(vec![0; EvictionIndex::<SpinRawMutex>::words(entries)]);
        assert!(index.indexed(entries - 1, ()).is_ok(), "{entries}");
        assert!(index.indexed(entries - 1 + BITS, ()).is_err(), "{entries}");
    }
}

/// Rule: among a million entries a reclaim takes the index's lock a bounded number of times, however few are listed and
/// wherever its hand is; and it takes those that are.
#[test]
fn a_million_entries() {
    const MANY: usize = 1_000_000;
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let index = EvictionIndex::<Loud, _>::new(vec![0; EvictionIndex::<Loud>::words(MANY)]);
    assert!(index.indexed(MANY - 1, ()).is_ok());
    let members = [17, 400_000, MANY - 1];
    let buffers =
        members.map(|i| Buffer::with_slots(home, index.indexed(i, [Slot::EMPTY]).unwrap(), Order::PAGE));
    buffers.iter().for_each(|b| fill(b, 4));
    let stone = stone(home);
    let mut all: Vec<&dyn Evictable> = vec![&stone; MANY];
    members.iter().zip(&buffers).for_each(|(i, buffer)| all[*i] = buffer);
    for n in 0..6 {
        let (report, taken) = sections(|| home.reclaim(index.candidates(&all), pages(1), Evict::ANY, CX));
        assert_eq!(report.evicted.transferred, pages(1));
        // Words of a summary two at a time, for three rounds and a few finds; a look at each entry would be a million.
        assert!(taken < 4 * MANY / BITS / BITS / 2 + 60, "the lock was taken {taken} times in reclaim {n}");
        if n == 2 {
            buffers.iter().for_each(|b| check(b, 4));
        }
    }
    buffers.iter().for_each(|b| check(b, 4));
    drop(all);
    drop(buffers);
    all_returned(&world, &near, &far);
}

/// Words that count how often they are looked at: a load each.
struct Counted<'c>(Vec<usize>, &'c AtomicU32);

impl AsRef<[usize]> for Counted<'_> {
    fn as_ref(&self) -> &[usize] {
        self.1.fetch_add(1, Ordering::Relaxed);
        &self.0
    }
}

impl AsMut<[usize]> for Counted<'_> {
    fn as_mut(&mut self) -> &mut [usize] {
        self.1.fetch_add(1, Ordering::Relaxed);
        &mut self.0
    }
}

/// Rule: what a reclaim of one page, and the purge of the one that is not needed, look at does not grow with the number of
/// buffers: at a million at most 1.3 times as many words as at a thousand, but for those of the highest level.
#[test]
fn a_million_cost_what_a_thousand_do() {
    let looks = [1000, 100_000, 1_000_000].map(|many: usize| {
        let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
        let (home, loads) = (&forebay(&near, &far, &world), AtomicU32::new(0));
        let words = vec![0; EvictionIndex::<SpinRawMutex>::words(many)];
        let index = EvictionIndex::<SpinRawMutex, _>::new(Counted(words, &loads));
        let members: Vec<usize> = (0..10).map(|n| n * many / 10 + n).collect();
        let new =
            |n: &usize| Buffer::with_slots(home, index.indexed(*n, [Slot::EMPTY]).unwrap(), Order::PAGE);
        let buffers: Vec<_> = members.iter().map(new).collect();
        let stone = stone(home);
        let mut all: Vec<&dyn Evictable> = vec![&stone; many];
        members.iter().zip(&buffers).for_each(|(n, buffer)| all[*n] = buffer);
        buffers.iter().for_each(|buffer| fill(buffer, 5));
        let reclaim = |how| {
            let before = loads.load(Ordering::Relaxed);
            let report = home.reclaim(index.candidates(&all), pages(1), how, CX);
            assert_eq!(report.evicted.moved(), pages(1));
            loads.load(Ordering::Relaxed) - before
        };
        reclaim(Evict::COPY); // once round: all were used
        assert_eq!(buffers[4].set_purgeable(true), Ok(true));
        let purge = reclaim(Evict::PURGE);
        let evict: u32 = (0..8).map(|_| reclaim(Evict::COPY)).sum();
        (0..10).filter(|n| *n != 4).for_each(|n| check(&buffers[n], 5));
        drop(all);
        drop(buffers);
        all_returned(&world, &near, &far);
        [evict, purge]
    });
    let [few, _, many] = looks;
    assert!(many.iter().zip(few).all(|(many, few)| 10 * many <= 13 * few + 80), "{looks:?}");
    assert!(looks.iter().flatten().all(|looks| *looks < 400), "{looks:?}");
}
