//! What an exact LRU and an ideal memory make of a trace: pages come when they are touched, and one leaves when there is
//! no room.

use super::trace::{Touch, Trace};
use serde::Serialize;
use std::collections::BTreeSet;

/// Which page leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// The one that was not touched for the longest time.
    Lru,
    /// The one that will not be touched for the longest time (Belady 1966): nothing that fetches pages when they are
    /// touched has more hits. It knows the future, so it is there to be compared with.
    Ideal,
}

/// What became of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Outcome {
    /// Accesses whose page was in memory.
    pub hits: usize,
    /// Accesses that were a page's first, and so no hit.
    pub cold_misses: usize,
    /// Accesses whose page had left.
    pub other_misses: usize,
    /// Pages that left memory.
    pub evictions: usize,
    /// Of those, the pages that had not changed since they came, so that nothing had to be written. A page's first stay
    /// always changes it.
    pub clean_evictions: usize,
}

impl Outcome {
    /// All accesses.
    pub fn accesses(&self) -> usize {
        self.hits + self.cold_misses + self.other_misses
    }

    /// The share of accesses that were hits.
    pub fn hit_rate(&self) -> f64 {
        self.hits as f64 / self.accesses().max(1) as f64
    }
}

/// The result of a trace with `memory` pages of memory. O(n log n) in its accesses.
///
/// # Panics
/// Without memory.
pub fn simulate(trace: &Trace, memory: usize, policy: Policy) -> Outcome {
    assert!(memory > 0, "a page must be somewhere to be touched");
    let worth = match policy {
        Policy::Lru => (0..trace.len()).collect(),
        Policy::Ideal => nearness(trace),
    };
    let mut pages = vec![Page::default(); trace.pages()];
    let mut resident = BTreeSet::new(); // the least worth first
    let mut outcome = Outcome::default();
    for (access, worth) in trace.accesses().iter().zip(worth) {
        let page = pages[access.page as usize];
        let dirty = match page.stay {
            Stay::Never => {
                outcome.cold_misses += 1;
                true
            }
            Stay::Away => {
                outcome.other_misses += 1;
                access.touch == Touch::Write
            }
            Stay::Here { dirty } => {
                outcome.hits += 1;
                resident.remove(&(page.worth, access.page));
                dirty || access.touch == Touch::Write
            }
        };
        if resident.len() == memory
            && let Some((_, victim)) = resident.pop_first()
        {
            let stay = std::mem::replace(&mut pages[victim as usize].stay, Stay::Away);
            outcome.evictions += 1;
            outcome.clean_evictions += usize::from(stay == Stay::Here { dirty: false });
        }
        pages[access.page as usize] = Page { stay: Stay::Here { dirty }, worth };
        resident.insert((worth, access.page));
    }
    outcome
}

/// The least memory, in pages, with which an ideal memory has at least `hits` hits. The caller knows that `enough` pages have them:
/// exact LRU has, for example. More memory never has fewer hits, so a bisection finds the least.
pub fn least_ideal(trace: &Trace, hits: usize, enough: usize) -> usize {
    let (mut low, mut high) = (1, enough);
    while low < high {
        let middle = low.midpoint(high);
        match simulate(trace, middle, Policy::Ideal).hits >= hits {
            true => high = middle,
            false => low = middle + 1,
        }
    }
    high
}

/// For each access, how near the next one of the same page is: 0 if there is none.
fn nearness(trace: &Trace) -> Vec<usize> {
    let mut next = vec![None; trace.pages()];
    let mut near = vec![0; trace.len()];
    for (now, access) in trace.accesses().iter().enumerate().rev() {
        if let Some(then) = next[access.page as usize].replace(now) {
            near[now] = trace.len() - then;
        }
    }
    near
}

#[derive(Clone, Copy, Default)]
struct Page {
    stay: Stay,
    /// What it was worth when it was touched last.
    worth: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stay {
    #[default]
    Never,
    Away,
    Here {
        dirty: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::super::curve::Curve;
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn trace(accesses: &[(u8, bool)]) -> Trace {
        let words: Vec<String> = accesses
            .iter()
            .map(|(page, writes)| format!("{}{page}", if *writes { "w" } else { "" }))
            .collect();
        Trace::parse(words.join(" ").as_bytes()).unwrap()
    }

    /// LRU as it is usually told: a list, the last one used in front.
    fn naive(trace: &Trace, memory: usize) -> usize {
        let (mut list, mut hits) = (vec![], 0);
        for access in trace.accesses() {
            let here = list.iter().position(|page| *page == access.page);
            here.map(|at| list.remove(at));
            hits += usize::from(here.is_some());
            list.insert(0, access.page);
            list.truncate(memory);
        }
        hits
    }

    /// The most hits of all that may be done.
    fn best(trace: &[u32], here: u32, memory: usize, known: &mut HashMap<(usize, u32), usize>) -> usize {
        let Some((page, rest)) = trace.split_first() else { return 0 };
        let with = here | 1 << page;
        if with == here {
            return 1 + best(rest, here, memory, known);
        }
        if here.count_ones() < memory as u32 {
            return best(rest, with, memory, known);
        }
        if let Some(hits) = known.get(&(trace.len(), here)) {
            return *hits;
        }
        let victims = (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| here & bit != 0);
        let hits = victims.map(|victim| best(rest, with & !victim, memory, known)).max().unwrap();
        known.insert((trace.len(), here), hits);
        hits
    }

    proptest! {
        /// Rule: stack distances, the simulation and a plain list agree on LRU for every size; the ideal memory has the
        /// most hits that any choice of victims can have; the memory that a number of hits needs is the least that has them.
        #[test]
        fn all_ways_agree(accesses in prop::collection::vec((0..9u8, any::<bool>()), 1..40)) {
            let trace = trace(&accesses);
            let curve = Curve::of(&trace);
            let pages: Vec<u32> = trace.accesses().iter().map(|access| access.page).collect();
            let mut ideal_hits = vec![];
            for memory in 1..=trace.pages() + 1 {
                let lru = simulate(&trace, memory, Policy::Lru);
                prop_assert_eq!(lru.hits, naive(&trace, memory));
                prop_assert_eq!(lru.hits, curve.hits(memory));
                let ideal = simulate(&trace, memory, Policy::Ideal);
                prop_assert_eq!(ideal.hits, best(&pages, 0, memory, &mut HashMap::new()));
                prop_assert!(ideal.hits >= lru.hits);
                for outcome in [lru, ideal] {
                    let misses = outcome.cold_misses + outcome.other_misses;
                    prop_assert_eq!(outcome.accesses(), trace.len());
                    prop_assert_eq!(outcome.cold_misses, trace.pages());
                    prop_assert_eq!(outcome.evictions, misses - memory.min(trace.pages()));
                    prop_assert!(outcome.clean_evictions <= outcome.other_misses);
                }
                ideal_hits.push(ideal.hits);
            }
            for hits in 1..=trace.len() {
                let lru = (1..=trace.pages()).find(|memory| curve.hits(*memory) >= hits);
                prop_assert_eq!(curve.least(hits), lru);
                let ideal = ideal_hits.iter().position(|has| *has >= hits).map(|at| at + 1);
                prop_assert_eq!(lru.map(|enough| least_ideal(&trace, hits, enough)), ideal);
            }
        }
    }

    /// Rule: the example of Belady's paper on anomalies; a page is clean if it did not change since it came back.
    #[test]
    fn known_outcomes() {
        let trace = Trace::parse(b"1 2 3 4 1 2 5 1 2 3 4 5").unwrap();
        assert_eq!(simulate(&trace, 3, Policy::Lru).hits, 2);
        assert_eq!(simulate(&trace, 3, Policy::Ideal).hits, 5);
        let trace = Trace::parse(b"1 2 1 2 w1 2 1").unwrap();
        let outcome = simulate(&trace, 1, Policy::Lru);
        assert_eq!((outcome.evictions, outcome.clean_evictions), (6, 3)); // 1 and 2 are new, and 1 is written once
    }
}
