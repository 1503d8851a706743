//! What every eviction policy does.

use super::Rng;
use forebay::port::{EvictionPolicy, Selected};
use std::collections::BTreeSet;

/// All rules, for a policy that is empty, and knows numbers below `numbers`. It is empty at the end.
///
/// # Panics
/// If one is broken.
pub fn suite(policy: &dyn EvictionPolicy, numbers: usize) {
    nothing_is_selected_of_nothing(policy, numbers);
    a_victim_is_in(policy, numbers);
    a_victim_stays_the_victim(policy);
    everyone_has_a_turn(policy, numbers);
    what_is_not_used_leaves_before_what_is(policy, numbers);
    other_numbers_change_nothing(policy, numbers);
}

/// The next victim.
///
/// # Panics
/// If there is none after two looks at each of `len` buffers.
#[track_caller]
fn victim(policy: &dyn EvictionPolicy, len: usize) -> usize {
    for _ in 0..=2 * len {
        match policy.select() {
            Selected::Victim(number) => return number,
            Selected::GoesOn => {}
            Selected::Nothing => panic!("{len} are in, and none is selected"),
        }
    }
    panic!("no victim among {len} in two rounds")
}

fn empty(policy: &dyn EvictionPolicy, numbers: usize) {
    (0..numbers).for_each(|number| policy.remove(number));
    assert_eq!(policy.select(), Selected::Nothing);
}

fn nothing_is_selected_of_nothing(policy: &dyn EvictionPolicy, numbers: usize) {
    assert_eq!(policy.select(), Selected::Nothing);
    policy.accessed(0);
    policy.remove(numbers - 1);
    assert_eq!(policy.select(), Selected::Nothing, "none of them was in");
    policy.add(0);
    policy.remove(0);
    assert_eq!(policy.select(), Selected::Nothing);
}

/// Whatever is called, a victim is one that is in; and there is one as long as some are.
fn a_victim_is_in(policy: &dyn EvictionPolicy, numbers: usize) {
    let (mut rng, mut is_in) = (Rng::new(7), BTreeSet::new());
    for _ in 0..200 * numbers {
        let number = rng.next() as usize % numbers;
        match rng.next() % 5 {
            0 | 1 => {
                policy.add(number);
                is_in.insert(number);
            }
            2 => {
                policy.remove(number);
                is_in.remove(&number);
            }
            3 => policy.accessed(number),
            _ if is_in.is_empty() => assert_eq!(policy.select(), Selected::Nothing),
            _ => {
                let victim = victim(policy, is_in.len());
                assert!(is_in.contains(&victim), "{victim} is not in");
                if rng.next() % 2 == 0 {
                    policy.remove(victim);
                    is_in.remove(&victim);
                }
            }
        }
    }
    empty(policy, numbers);
}

/// Until it leaves or is used: the rest of a buffer leaves before another one.
fn a_victim_stays_the_victim(policy: &dyn EvictionPolicy) {
    (0..4).for_each(|number| policy.add(number));
    let first = victim(policy, 4);
    assert_eq!([victim(policy, 4), victim(policy, 4)], [first; 2]);
    policy.accessed(first);
    let second = victim(policy, 4);
    assert_ne!(second, first, "it was used");
    policy.remove(second);
    assert_ne!(victim(policy, 3), second, "it left");
    empty(policy, 4);
}

/// If all of them refuse, each was asked within four times as many calls as are in.
fn everyone_has_a_turn(policy: &dyn EvictionPolicy, numbers: usize) {
    for used in [false, true] {
        (0..numbers).for_each(|number| policy.add(number));
        (0..numbers).filter(|number| used && number % 3 > 0).for_each(|number| policy.accessed(number));
        for round in 0..3 {
            let mut asked = BTreeSet::new();
            for _ in 0..4 * numbers {
                if let Selected::Victim(number) = policy.select() {
                    asked.insert(number);
                    policy.accessed(number);
                }
            }
            assert_eq!(asked.len(), numbers, "round {round}; used: {used}");
        }
        empty(policy, numbers);
    }
}

/// Of buffers that came together, those that were used since are not the first quarter to leave.
fn what_is_not_used_leaves_before_what_is(policy: &dyn EvictionPolicy, numbers: usize) {
    (0..numbers).for_each(|number| policy.add(number));
    (0..numbers).step_by(2).for_each(|number| policy.accessed(number));
    for left in 0..numbers / 4 {
        let victim = victim(policy, numbers - left);
        assert!(victim % 2 == 1, "{victim} was used, and left before one that was not");
        policy.remove(victim);
    }
    empty(policy, numbers);
}

fn other_numbers_change_nothing(policy: &dyn EvictionPolicy, numbers: usize) {
    policy.add(1);
    for number in [usize::MAX, usize::MAX - 1, u32::MAX as usize, numbers + 1000] {
        policy.add(number);
        policy.accessed(number);
        assert_eq!(victim(policy, 2), 1);
        policy.remove(number);
    }
    empty(policy, numbers);
}
