//! Why blocks stayed, counted: every reason there is.

use hosted_tests::kit::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const ANSWERS: [StoreError; 14] = [
    StoreError::Unsupported,
    StoreError::Full,
    StoreError::Backlog,
    StoreError::TooLarge,
    StoreError::Limit,
    StoreError::NoHeadroom,
    StoreError::Busy,
    StoreError::Context,
    StoreError::WrongStore,
    StoreError::NotStored,
    StoreError::WrongKind,
    StoreError::SameId,
    StoreError::Io,
    StoreError::Unavailable,
];

fn counted(stats: Stats) -> Vec<(RefusalReason, u32)> {
    stats.refusals.iter().collect()
}

/// Rule: each answer of a store is counted as itself, and as nothing else, by every method.
#[test]
fn every_answer_of_a_store_is_counted() {
    for why in ANSWERS {
        for how in [Evict::TRANSFER, Evict::COPY] {
            let (world, near, far) = (World::new(Contents::Compared), near(8), far(16));
            let store = Scripted::new(&far);
            let home = &forebay(&near, &store, &world);
            let buffer = Buffer::new(home, order(1));
            fill(&buffer, 1);
            store.answer(Script { transfer: Some(why), save: Some(why), ..Script::default() });
            for times in 1..=2 {
                let evicted = buffer.evict(ALL, how, CX).unwrap();
                assert_eq!((evicted.refused, evicted.why), (pages(2), Some(RefusalReason::Store(why))));
                assert_eq!(counted(home.stats()), [(RefusalReason::Store(why), times)]);
            }
        }
    }
}

/// Rule: what the platform refuses is counted too: the hook once for a buffer, a mode for each block.
#[test]
fn what_a_platform_refuses_is_counted() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let home = &forebay(Machine::new(&near), &far, &world);
    let mut slots = [const { Slot::EMPTY }; 6]; // orders 2 and 1
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(Caching::WriteCombined);
    fill(&buffer, 1);
    let machine = home.platform().inner();
    machine.say_no(No::Before);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().why, Some(RefusalReason::Hook));
    machine.say_no(No::ModeTo(Caching::WriteBack));
    let mode = RefusalReason::Mode(ModeRefused);
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().why, Some(mode));
    machine.say_no(No::Never);
    assert_eq!(counted(home.stats()), [(RefusalReason::Hook, 1), (mode, 2)]);
    check(&buffer, 1);
}

/// Rule: a block that is in the way of its own split is counted as that.
#[test]
fn what_cannot_be_split_is_counted() {
    let world = World::new(Contents::Compared);
    let (near, far) = (StiffRam { ram: near(16), joins: true }, far_of::<Stiff>(16));
    let store = Scripted::new(&far);
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 2];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    store.answer(Script { short: true, ..Script::default() });
    let evicted = buffer.evict(ALL, Evict::COPY | Evict::SPLIT, CX).unwrap();
    assert_eq!((evicted.moved(), evicted.why), (NONE, Some(RefusalReason::Unsplittable)));
    assert_eq!(counted(home.stats()), [(RefusalReason::Unsplittable, 1)]);
}

/// Rule: a block that is not even tried, since an earlier answer left no method, is counted by that answer; its pages are
/// not among those that were tried. A call without a method counts once for the buffer.
#[test]
fn what_is_not_tried_is_counted() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let store = Scripted::new(&far);
    let home = &forebay(&near, &store, &world);
    let mut slots = [const { Slot::EMPTY }; 7]; // orders 2, 1 and 0
    let mut more = [const { Slot::EMPTY }; 3]; // orders 1 and 0
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(pages(4), Evict::COPY, CX).unwrap().copied, pages(4));
    drop(buffer.read().unwrap()); // clean, so that the walk goes on without a method
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    buffer.evict(ALL, Evict::TRANSFER, CX).unwrap();
    let backlog = RefusalReason::Store(StoreError::Backlog);
    assert_eq!(counted(home.stats()), [(backlog, 2)]);
    assert_eq!(home.stats().evicted.refused, pages(2), "one of two pages was tried, one of one was not");
    let other = Buffer::with_slots(home, &mut more[..], Order::PAGE);
    fill(&other, 2);
    other.evict(ALL, Evict::COPY, Context::INTERRUPT).unwrap();
    let context = RefusalReason::Store(StoreError::Context);
    assert_eq!(counted(home.stats()), [(backlog, 2), (context, 1)]);
}

/// Rule: the same for what was made cached already, in one run with the block that was refused.
#[test]
fn what_is_staged_and_not_tried_is_counted() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(16));
    let store = Scripted::new(&far);
    let home = &forebay(Machine::new(&near), &store, &world);
    let mut slots = [const { Slot::EMPTY }; 7]; // orders 2, 1 and 0
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE).with_mode(Caching::WriteCombined);
    fill(&buffer, 1);
    assert_eq!(buffer.evict(pages(4), Evict::COPY, CX).unwrap().copied, pages(4));
    drop(buffer.read().unwrap()); // clean, so that the walk goes on without a method
    store.answer(Script { transfer: Some(StoreError::Backlog), ..Script::default() });
    assert_eq!(buffer.evict(ALL, Evict::TRANSFER, CX).unwrap().refused, pages(2));
    assert_eq!(counted(home.stats()), [(RefusalReason::Store(StoreError::Backlog), 2)]);
    check(&buffer, 1);
}

/// Rule: a store that was not asked is not said to have answered: what comes after a backlog, where only a transfer is
/// permitted, and a call that permits nothing.
#[test]
fn what_is_not_permitted_is_no_answer_of_the_store() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), region::<1>(16, 0));
    let home = &forebay(&near, &far, &world);
    let buffers: [Buffer<_>; 5] = [(); 5].map(|()| Buffer::new(home, order(0)));
    buffers.iter().for_each(|buffer| fill(buffer, 1));
    assert_eq!(buffers[4].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(1)); // no room for another
    assert_eq!(home.reclaim(&buffers, ALL, Evict::TRANSFER, CX).evicted.refused, pages(1));
    let backlog = RefusalReason::Store(StoreError::Backlog);
    assert_eq!(counted(home.stats()), [(backlog, 1)], "the others are not even looked at");
    let evicted = buffers[0].evict(ALL, Evict::empty(), CX).unwrap();
    assert_eq!((evicted.moved() + evicted.refused, evicted.why), (NONE, Some(RefusalReason::NotPermitted)));
    assert_eq!(counted(home.stats()), [(backlog, 1), (RefusalReason::NotPermitted, 1)]);
    for buffer in &buffers {
        check(buffer, 1);
    }
}

/// Rule: the same where other methods are permitted, but not possible in this context.
#[test]
fn what_is_not_possible_is_not_tried_after_a_backlog() {
    for target in [ReclaimTarget::moved, ReclaimTarget::freed] {
        let (world, near, far) = (World::new(Contents::Compared), near(16), region::<1>(16, 0));
        let home = &forebay(&near, &far, &world);
        let buffers: [Buffer<_>; 5] = [(); 5].map(|()| Buffer::new(home, order(0)));
        buffers.iter().for_each(|buffer| fill(buffer, 1));
        assert_eq!(buffers[4].evict(ALL, Evict::TRANSFER, CX).unwrap().transferred, pages(1));
        let report = home.reclaim(&buffers, target(ALL), Evict::ANY, Context::INTERRUPT);
        assert_eq!((report.evicted.refused, report.outcome), (pages(1), Outcome::Nothing));
        let backlog = RefusalReason::Store(StoreError::Backlog);
        assert_eq!(counted(home.stats()), [(backlog, 1)], "the others are not even looked at");
        buffers.iter().for_each(|buffer| check(buffer, 1));
    }
}

/// A hook that refuses the buffer with that number.
struct Refuses(AtomicUsize);

impl<B> EvictHooks<B> for Refuses {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut B>,
        _: Context,
    ) -> Result<(), Busy> {
        if id.0 == self.0.load(Relaxed) { Err(Busy) } else { Ok(()) }
    }
}

/// Rule: a refusal costs its buffer one turn and no more, however many other reclaims there were since: no number of them comes
/// round to that of the refusal.
#[test]
fn a_refusal_is_forgotten() {
    for reclaims in [0, 1, 254, 255, 256, 257, 65_535, 65_536] {
        let home = Forebay::new(WithHooks(near(16), Refuses(AtomicUsize::new(1))), far(16));
        let [refused, other] = [1, 2].map(|id| Buffer::new(&home, order(0)).with_id(BufferId(id)));
        fill(&refused, 1);
        let reclaim = |tile| home.reclaim([tile], pages(1), Evict::TRANSFER, CX).outcome;
        assert_eq!(reclaim(&refused), Outcome::Nothing);
        assert_eq!(counted(home.stats()), [(RefusalReason::Hook, 1)]);
        home.platform().1.0.store(0, Relaxed);
        for _ in 0..reclaims {
            drop(other.write().unwrap());
            assert_eq!(reclaim(&other), Outcome::Reached);
        }
        assert_eq!(reclaim(&refused), Outcome::Reached, "{reclaims} reclaims later");
        check(&refused, 1);
    }
}
