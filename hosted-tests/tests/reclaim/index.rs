//! A roster says what buffers are, whatever is done to them; a walk by it visits those and no others, and costs what it
//! finds.

use forebay_backends::*;
use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

const BITS: usize = usize::BITS as usize;
const SLOTS: usize = 4;
const TRANSFER: Evict = Evict::TRANSFER;

/// Who is on the lists: what is not needed, what is clean, what is resident. Nobody is asked for anything.
fn listed<P, S, L, W>(
    home: &Forebay<P, S>,
    roster: &EvictionIndex<L, W>,
    seats: usize,
) -> [BTreeSet<usize>; 3]
where
    P: Platform,
    S: BackingStore<P::Block>,
    L: RawMutex,
    W: AsRef<[usize]> + AsMut<[usize]>,
{
    let log = RefCell::default();
    let stones: Vec<_> = (0..seats).map(|_| Stone).collect();
    let spies = looked(&stones, &log);
    home.reclaim(roster.of(&spies), ALL, Evict::ANY, CX);
    let log = log.into_inner();
    ['P', 'C', 'E'].map(|pass| log.iter().filter(|(p, _)| *p == pass).map(|(_, n)| *n).collect())
}

/// The same, by looking at each buffer.
fn are<P, S, T>(buffers: &[Option<Buffer<'_, P, S, T>>], unneeded: &[bool]) -> [BTreeSet<usize>; 3]
where
    P: Platform,
    S: BackingStore<P::Block>,
    T: Slots<P>,
{
    let of = |i: &usize| buffers[*i].as_ref().map(|b| b.residency().unwrap()).unwrap_or_default();
    let who = |f: &dyn Fn(&usize) -> bool| (0..buffers.len()).filter(f).collect();
    [
        who(&|i| unneeded[*i] && of(i).resident + of(i).stored > NONE),
        who(&|i| of(i).clean > NONE),
        who(&|i| of(i).resident > NONE),
    ]
}

const SEATS: usize = 5;

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
    Advise(Advice),
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
        Just(Op::Advise(Advice::DontNeed)),
        Just(Op::Advise(Advice::WillNeed)),
        Just(Op::Settle),
        (1_usize..12, 0_usize..6).prop_map(|(n, how)| Op::Reclaim(n, how)),
        Just(Op::Replace),
    ];
    proptest::collection::vec((0..SEATS, op), 1..40)
}

/// Does all that, and compares after each step.
fn live<'h, P, S, T, W>(
    world: &World,
    home: &'h Forebay<P, S>,
    roster: &EvictionIndex<SpinRawMutex, W>,
    make: impl Fn(usize) -> T,
    ops: &[(usize, Op)],
) where
    P: Platform,
    S: BackingStore<P::Block>,
    T: Slots<P>,
    W: AsRef<[usize]> + AsMut<[usize]>,
{
    let new = |i| Some(Buffer::of(make(i), home).with_id(BufferId(i)));
    let mut buffers: Vec<Option<Buffer<'h, P, S, T>>> = (0..SEATS).map(new).collect();
    let mut unneeded = [false; SEATS];
    for (i, op) in ops.iter().copied() {
        if let Op::Replace = op {
            buffers[i] = None;
            assert!(listed(home, roster, SEATS).iter().all(|list| !list.contains(&i)), "dropped, and listed");
            (buffers[i], unneeded[i]) = (new(i), false);
            continue;
        }
        let Some(buffer) = &buffers[i] else { continue };
        match op {
            Op::Fill => fill(buffer, i as u8),
            Op::Read => drop(contents(buffer)),
            Op::Evict(n, how) => drop(buffer.evict(pages(n), METHODS[how], CX).unwrap()),
            Op::Restore(n) => drop(buffer.restore(pages(n), CX).into_result().unwrap()),
            Op::Populate(n) => drop(buffer.populate(pages(n), CX).into_result().unwrap()),
            Op::Purge => buffer.purge(CX).unwrap(),
            Op::Discard => drop(buffer.discard_copies().unwrap()),
            Op::Advise(advice) => {
                let _ = buffer.advise(advice).unwrap();
                unneeded[i] = advice == Advice::DontNeed;
            }
            Op::Settle => drop(home.settle(pages(3), CX)),
            Op::Reclaim(n, how) => {
                let all: Vec<_> = buffers.iter().flatten().collect();
                home.reclaim(roster.of(&all), pages(n), METHODS[how], CX);
            }
            Op::Replace => {}
        }
        world.validate();
        let (told, known) = (listed(home, roster, SEATS), are(&buffers, &unneeded));
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
    assert!(listed(home, roster, SEATS).iter().all(BTreeSet::is_empty), "all are dropped");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: whatever is done to a buffer, in whatever layers its slots are, the roster knows what it is; a dropped one is on
    /// no list, and all words are zero in the end.
    #[test]
    fn a_roster_is_true(ops in ops(), layers in 0..3) {
        let (world, near, far) = (World::new(Contents::Compared), near(64), far(128));
        let home = &forebay(&near, &far, &world);
        let mut words = vec![0; EvictionIndex::<SpinRawMutex>::words(SEATS)];
        let roster = EvictionIndex::<SpinRawMutex, _>::new(&mut words[..]);
        let slots = || [const { Slot::EMPTY }; SLOTS];
        let (addresses, charges) = (|| forever([None; SLOTS]), || forever([None; SLOTS]));
        match layers {
            0 => live(&world, home, &roster, |i| roster.list(i, slots()).unwrap(), &ops),
            1 => {
                let make = |i| {
                    let addressed = Addressed::new(roster.list(i, slots()).unwrap(), addresses()).unwrap();
                    Charged::new(addressed, charges()).unwrap()
                };
                live(&world, home, &roster, make, &ops);
            }
            _ => {
                let make = |i| {
                    let charged = Charged::new(slots(), charges()).unwrap();
                    roster.list(i, Addressed::new(charged, addresses()).unwrap()).unwrap()
                };
                live(&world, home, &roster, make, &ops);
            }
        }
        prop_assert!(words.iter().all(|word| *word == 0));
        all_returned(&world, &near, &far);
    }
}

/// Rule: a buffer that is dropped is on no list, also where a block of it could not go.
#[test]
fn a_stranded_block_leaves_no_mark() {
    let (near, far) = (near(16), far(16));
    let machine = Machine::new(&near);
    let home = &Forebay::new(&machine, &far);
    let roster = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(3)]);
    for (id, advice) in [Advice::WillNeed, Advice::DontNeed].into_iter().enumerate() {
        let slots = roster.list(1, [Slot::EMPTY]).unwrap();
        let buffer = Buffer::with_slots(home, slots, Order::PAGE).with_mode(Caching::Uncached).with_id(BufferId(id));
        fill(&buffer, 1);
        let _ = buffer.advise(advice).unwrap();
        machine.say_no(No::Mode);
        drop(buffer);
        machine.say_no(No::Never);
        assert!(listed(home, &roster, 3).iter().all(BTreeSet::is_empty), "{advice:?}");
    }
    assert_eq!(home.stats().leaked, pages(2));
}

/// Rule: a buffer may be on several rosters, and all of them know it.
#[test]
fn on_two_rosters() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let rosters =
        [(); 2].map(|()| EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(9)]));
    let inner = rosters[0].list(3, [Slot::EMPTY]).unwrap();
    let buffer = Buffer::of(rosters[1].list(8, inner).unwrap(), home);
    fill(&buffer, 1);
    let resident = || [0, 1].map(|n| listed(home, &rosters[n], 9)[2].iter().copied().collect::<Vec<_>>());
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

/// Rule: a port that panics hides nobody: what is resident still, or lost and not needed, is listed.
#[test]
fn a_panic_hides_nobody() {
    let mut panics = 0;
    for (how, calls) in
        [Evict::TRANSFER, Evict::COPY].into_iter().flat_map(|how| (0..8).map(move |n| (how, n)))
    {
        let (world, near, far) = (World::new(Contents::Ignored), near(32), far(64));
        let hogged = leave(&near, (0..16).map(|n| 2 * n)); // single pages
        let home = &forebay(&near, Traced::new(&far, sink as fn(&Event)), &world);
        let roster = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(2)]);
        let buffers =
            [0, 1].map(|i| Buffer::of(roster.list(i, [const { Slot::EMPTY }; SLOTS]).unwrap(), home));
        buffers.iter().for_each(|b| fill(b, 3));
        let _ = buffers[1].set_purgeable(true).unwrap();
        CALLS_LEFT.store(calls, Ordering::Relaxed);
        for _ in 0..2 {
            let work = || {
                buffers.iter().for_each(|b| assert!(b.evict(pages(3), how, CX).is_ok()));
                home.reclaim(roster.of(&buffers), pages(7), how, CX);
                buffers.iter().for_each(|b| assert!(b.read().is_ok() || b.residency().is_ok()));
            };
            panics += usize::from(catch_unwind(AssertUnwindSafe(work)).is_err());
        }
        CALLS_LEFT.store(u32::MAX, Ordering::Relaxed);
        let [unneeded, _, resident] = listed(home, &roster, 2);
        for (i, buffer) in buffers.iter().enumerate() {
            let there = buffer.residency().unwrap();
            assert!(there.resident == NONE || resident.contains(&i), "{how:?} {calls}");
        }
        assert!(unneeded.contains(&1));
        buffers.iter().for_each(|b| b.purge(CX).unwrap());
        assert!(listed(home, &roster, 2).iter().all(BTreeSet::is_empty));
        drop(buffers);
        give_back(&near, hogged);
    }
    assert!(panics >= 12, "only {panics}");
}

/// Rule: a walk visits those that are listed, in order from its hand on, and nobody else; each roster has hands of its own,
/// and so has the forebay.
#[test]
fn a_walk_visits_those_that_are_listed() {
    const MANY: usize = 3 * BITS;
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(64));
    let home = &forebay(&near, &far, &world);
    let mut words = vec![0; EvictionIndex::<SpinRawMutex>::words(MANY)];
    let (first, second) = (
        EvictionIndex::<SpinRawMutex, _>::new(&mut words[..]),
        EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(BITS)]),
    );
    let members = [2, BITS - 1, BITS, 2 * BITS + 9];
    let buffers: Vec<_> =
        (0..MANY).map(|i| Buffer::of(first.list(i, [Slot::EMPTY]).unwrap(), home)).collect();
    let others: Vec<_> = (0..7).map(|i| Buffer::of(second.list(i, [Slot::EMPTY]).unwrap(), home)).collect();
    members.iter().for_each(|i| fill(&buffers[*i], 1));
    fill(&others[6], 2);
    let (log, other_log) = (RefCell::default(), RefCell::default());
    let (seats, other_seats) = (looked(&buffers, &log), looked(&others, &other_log));
    let cool = || {
        members.iter().for_each(|i| {
            buffers[*i].evict_if_idle(EvictRequest::new(NONE, TRANSFER, CX));
        })
    };
    cool();
    // The hand stays at the last one, which is looked at once more.
    let visits: [&[usize]; 6] = [&[0], &[0, 1], &[1, 2], &[2, 3], &[3], &[3, 0]];
    for (n, expected) in visits.into_iter().enumerate() {
        assert_eq!(home.reclaim(first.of(&seats), pages(1), TRANSFER, CX).evicted.transferred, pages(1));
        assert!(log.take().into_iter().eq(expected.iter().map(|i| ('E', members[*i]))), "walk {n}");
        if n == 3 {
            members.iter().for_each(|i| fill(&buffers[*i], 1));
            cool();
        }
        // Other walks between, by another roster, and without one.
        check(&others[6], 2);
        home.reclaim(second.of(&other_seats), pages(1), TRANSFER, CX);
        assert_eq!(other_log.take(), [('E', 6), ('E', 6)]);
        home.reclaim(&other_seats[..3], pages(1), TRANSFER, CX);
        assert_eq!(other_log.take().len(), 3 * 3);
    }
    members.iter().for_each(|i| check(&buffers[*i], 1));
    drop((seats, other_seats));
    drop((buffers, others));
    all_returned(&world, &near, &far);
}

/// Rule: there is no seat past the end; a slice may be shorter than its roster, or longer: only what is in both is walked.
#[test]
fn slices_of_other_lengths() {
    let (world, near, far) = (World::new(Contents::Compared), near(256), far(256));
    let home = &forebay(&near, &far, &world);
    let roster = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(BITS + 1)]);
    assert_eq!(roster.seats(), 2 * BITS, "whole words");
    assert!(roster.list(2 * BITS - 1, [Slot::<Watched<'_, &Near>>::EMPTY]).is_ok());
    for past in [2 * BITS, 2 * BITS + 1, usize::MAX] {
        assert!(roster.list(past, [Slot::<Watched<'_, &Near>>::EMPTY]).is_err(), "{past}");
    }
    let none = EvictionIndex::<SpinRawMutex, _>::new([0; 2]);
    assert_eq!((none.seats(), none.list(0, [Slot::<Watched<'_, &Near>>::EMPTY]).is_err()), (0, true));
    let buffers: Vec<_> =
        (0..2 * BITS).map(|i| Buffer::of(roster.list(i, [Slot::EMPTY]).unwrap(), home)).collect();
    buffers.iter().for_each(|b| fill(b, 4));
    for len in [1, BITS - 1, BITS, BITS + 1, 3] {
        let report = home.reclaim(roster.of(&buffers[..len]), ALL, Evict::COPY, CX);
        assert_eq!(report.evicted.moved(), pages(len));
        assert!(buffers[len..].iter().all(|b| b.residency() == residency(1, 0, 0)));
        buffers[..len].iter().for_each(|b| check(b, 4));
        buffers.iter().for_each(|b| fill(b, 4));
    }
    let longer: Vec<_> = buffers.iter().chain(&buffers[..5]).collect();
    let report = home.reclaim(roster.of(&longer), ALL, Evict::COPY, CX);
    assert_eq!((report.evicted.moved(), report.evicted.refused), (pages(2 * BITS), NONE));
    buffers.iter().for_each(|b| check(b, 4));
    drop(longer);
    drop(buffers);
    world.assert_empty();
}

/// Rule: among a million seats a walk looks at those that are listed, and takes the roster's lock a bounded number of times,
/// however few they are and wherever its hand is.
#[test]
fn a_million_seats() {
    const MANY: usize = 1_000_000;
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let roster = EvictionIndex::<Loud, _>::new(vec![0; EvictionIndex::<Loud>::words(MANY)]);
    assert!(roster.seats() >= MANY);
    let members = [17, 400_000, MANY - 1];
    let buffers = members.map(|i| Buffer::of(roster.list(i, [Slot::EMPTY]).unwrap(), home));
    buffers.iter().for_each(|b| fill(b, 4));
    let log = RefCell::default();
    let stone = Stone;
    let mut seats: Vec<&dyn Evictable> = vec![&stone; MANY];
    let spies: [Looked<'_, _>; 3] =
        std::array::from_fn(|n| Looked { buffer: &buffers[n], number: members[n], log: &log });
    members.iter().zip(&spies).for_each(|(i, spy)| seats[*i] = spy);
    for n in 0..6 {
        let walk = || home.reclaim(roster.of(&seats), pages(1), Evict::ANY, CX);
        let (report, taken) = sections(walk);
        assert_eq!(report.evicted.transferred, pages(1));
        let looks = log.take();
        assert!(looks.len() <= 4 && looks.iter().all(|(pass, _)| *pass == 'E'), "{looks:?}");
        // Words of a summary two at a time, for three rounds and a few finds; a look at a seat would be a million.
        assert!(taken < 4 * MANY / BITS / BITS / 2 + 60, "the lock was taken {taken} times in walk {n}");
        if n == 2 {
            buffers.iter().for_each(|b| check(b, 4));
        }
    }
    buffers.iter().for_each(|b| check(b, 4));
    drop(seats);
    drop(buffers);
    all_returned(&world, &near, &far);
}
