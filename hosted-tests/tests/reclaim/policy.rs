//! An eviction policy, and reclaims that ask it.

use forebay::port::{EvictionPolicy, Selected};
use forebay::reclaim::{ByPolicy, Follow, Link, S3Fifo};
use hosted_tests::conformance::policy::suite;
use hosted_tests::kit::*;
use proptest::prelude::*;
use std::collections::VecDeque;

type Policy<const N: usize> = S3Fifo<SpinRawMutex, [Link; N]>;

/// Rule: S3-FIFO keeps the contract of the port, with few buffers and with many.
#[test]
fn s3_fifo_is_a_policy() {
    suite(&Policy::<5>::new([Link::NONE; 5]), 5);
    suite(&Policy::<300>::new([Link::NONE; 300]), 300);
    suite(&&Policy::<64>::new([Link::NONE; 64]), 64);
}

/// The same queues, told as the paper tells them.
#[derive(Default, Debug)]
struct Model {
    small: VecDeque<(usize, bool)>,
    main: VecDeque<(usize, bool)>,
    ghosts: VecDeque<usize>,
    victim: Option<usize>,
    passed: usize,
}

impl Model {
    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    fn find(&mut self, number: usize) -> Option<&mut (usize, bool)> {
        self.small.iter_mut().chain(&mut self.main).find(|(n, _)| *n == number)
    }

    fn add(&mut self, number: usize) {
        if self.find(number).is_some() {
            return;
        }
        let ghost = self.ghosts.iter().position(|n| *n == number);
        match ghost.and_then(|at| self.ghosts.remove(at)) {
            Some(_) => self.main.push_back((number, false)),
            None => self.small.push_back((number, false)),
        }
        self.passed = 0;
    }

    fn remove(&mut self, number: usize) {
        if self.find(number).is_none() {
            return;
        }
        if self.small.iter().any(|(n, _)| *n == number) && self.victim == Some(number) {
            self.ghosts.push_back(number);
        }
        self.small.retain(|(n, _)| *n != number);
        self.main.retain(|(n, _)| *n != number);
        if self.ghosts.len() > self.len() / 2 {
            self.ghosts.pop_front();
        }
        self.passed = 0;
    }

    fn select(&mut self) -> Selected {
        let due = 10 * self.small.len() >= self.len() || self.passed >= self.main.len();
        let is_small = due && !self.small.is_empty();
        let queue = if is_small { &mut self.small } else { &mut self.main };
        match queue.front().copied() {
            None => Selected::Nothing,
            Some((number, false)) => {
                self.victim = Some(number);
                Selected::Victim(number)
            }
            Some((number, true)) => {
                queue.pop_front();
                self.main.push_back((number, false));
                self.passed += 1;
                Selected::GoesOn
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: the queues through the caller's links are the queues of the model, whatever is called.
    #[test]
    fn links_are_queues(ops in prop::collection::vec((0..5_u8, 0..24_usize), 1..300)) {
        let (policy, mut model) = (Policy::<24>::new([Link::NONE; 24]), Model::default());
        for (op, number) in ops {
            match op {
                0 => (policy.add(number), model.add(number)),
                1 => (policy.remove(number), model.remove(number)),
                2 => (policy.accessed(number), model.find(number).map_or((), |(_, used)| *used = true)),
                _ => {
                    let (own, told) = (policy.select(), model.select());
                    prop_assert_eq!(own, told);
                    if let (Selected::Victim(victim), 3) = (own, op) {
                        policy.remove(victim);
                        model.remove(victim);
                    }
                    ((), ())
                }
            };
        }
    }
}

/// Rule: what was used leaves after what was not, by a guard or by a touch; a buffer with a guard is passed, and the next one
/// leaves; purged and dropped buffers are forgotten; every byte comes back.
#[test]
fn a_reclaim_asks_the_policy() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let policy = Policy::<8>::new([Link::NONE; 8]);
    let buffers: [_; 8] = std::array::from_fn(|n| {
        Buffer::with_slots(home, Follow::new([Slot::EMPTY], &policy, n), Order::PAGE)
    });
    let resident = |n: usize| buffers[n].residency().unwrap().resident > NONE;
    let reclaim = |n| home.reclaim(ByPolicy::new(&buffers, &policy), pages(n), Evict::COPY, CX);
    buffers.iter().zip(0..).for_each(|(buffer, seed)| fill(buffer, seed));
    check(&buffers[0], 0);
    buffers[1].touch();
    let guard = buffers[2].read().unwrap();
    assert_eq!(reclaim(1).evicted.copied, pages(1));
    assert!([0, 1, 2].into_iter().all(resident) && !resident(3), "3 is the oldest that was not used");
    assert_eq!(home.transfer(ByPolicy::new(&buffers, &policy), pages(1)), pages(1));
    assert!(!resident(4));
    drop(guard);
    buffers[5].purge(CX).unwrap();
    assert_eq!(reclaim(1).evicted.copied, pages(1));
    assert!(!resident(6) && resident(7), "5 is not in any more");
    assert_eq!(reclaim(8).evicted.moved(), pages(4), "all that is left");
    assert_eq!((reclaim(1).outcome, policy.select()), (Outcome::Nothing, Selected::Nothing));
    [0, 1, 2, 3, 4, 6, 7].into_iter().for_each(|n| check(&buffers[n], n as u8));
    drop(buffers);
    assert_eq!(policy.select(), Selected::Nothing, "a dropped buffer is not in");
    all_returned(&world, &near, &far);
}

/// Rule: where nothing may leave, a reclaim over a policy ends, having asked each once; then what may leave does.
#[test]
fn all_in_use() {
    let (world, near, far) = (World::new(Contents::Compared), near(64), far(64));
    let home = &forebay(&near, &far, &world);
    let policy = Policy::<40>::new([Link::NONE; 40]);
    let buffers: [_; 40] = std::array::from_fn(|n| {
        Buffer::with_slots(home, Follow::new([Slot::EMPTY], &policy, n), Order::PAGE)
    });
    buffers.iter().for_each(|buffer| fill(buffer, 3));
    let mut guards: Vec<_> = buffers.iter().map(|buffer| buffer.read().ok()).collect();
    let reclaim = || home.reclaim(ByPolicy::new(&buffers, &policy), pages(1), Evict::COPY, CX).outcome;
    assert_eq!(reclaim(), Outcome::Nothing);
    for n in [39, 0, 20] {
        guards[n] = None;
        assert_eq!(reclaim(), Outcome::Reached, "{n} is free");
        assert_eq!(buffers[n].residency().unwrap().resident, NONE);
    }
    drop(guards);
    drop(buffers);
    all_returned(&world, &near, &far);
}

/// Rule: purging comes first by a policy too, and costs what is needed nothing; the owner is told.
#[test]
fn purges_come_first() {
    let (world, near, far) = (World::new(Contents::Compared), near(16), far(32));
    let home = &forebay(&near, &far, &world);
    let policy = Policy::<4>::new([Link::NONE; 4]);
    let buffers: [_; 4] = std::array::from_fn(|n| {
        Buffer::with_slots(home, Follow::new([Slot::EMPTY], &policy, n), Order::PAGE)
    });
    buffers.iter().for_each(|buffer| fill(buffer, 9));
    assert_eq!(buffers[3].set_purgeable(true), Ok(true));
    let report = home.reclaim(ByPolicy::new(&buffers, &policy), pages(1), Evict::ANY | Evict::PURGE, CX);
    assert_eq!((report.evicted.purged, report.evicted.moved()), (pages(1), pages(1)));
    assert_eq!(buffers[3].set_purgeable(false), Ok(false));
    buffers.iter().take(3).for_each(|buffer| check(buffer, 9));
    drop(buffers);
    all_returned(&world, &near, &far);
}
