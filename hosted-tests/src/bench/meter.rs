//! Durations of batches, kept by workload and allocator.

use super::row::CostRow;
use super::subject::Subject;
use forebay::Order;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Instant;

/// What a batch belongs to.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Key {
    /// The id of the workload.
    pub workload: String,
    /// The order of all blocks.
    pub order: u8,
    /// Threads at once.
    pub threads: usize,
    /// Whether several threads may use it.
    pub locked: bool,
    /// The allocator.
    pub who: String,
    /// Buffers in all, where that matters.
    pub buffers: Option<usize>,
}

impl Key {
    /// Of one thread, and of an allocator that several may use.
    pub fn new(workload: &str, order: Order, who: &str) -> Key {
        let order = order.get();
        Key { workload: workload.into(), order, threads: 1, locked: true, who: who.into(), buffers: None }
    }
}

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often all allocators have their turn.
    pub rounds: usize,
    /// Rounds before that, which do not count.
    pub warm_up: usize,
    /// Batches of each workload in a round.
    pub batches: usize,
    /// Operations of a batch.
    pub ops: usize,
    /// Operations of a batch of W2, which has as many batches as its blocks need.
    pub bulk: usize,
}

/// Measures batches of operations.
pub trait Meter {
    /// How much to do.
    fn pace(&self) -> Pace;
    /// Whether the next batches count.
    fn counts_from_now(&mut self, round: usize);
    /// Runs a batch, which is `ops` operations.
    fn batch(&mut self, key: &Key, ops: usize, body: &mut dyn FnMut());
    /// Where durations go that are measured without it, by several threads. `None` if it measures no time.
    fn durations(&mut self) -> Option<&mut Durations>;
    /// The allocators that are measured for these: also one that does nothing, if what a loop costs by itself does not count.
    fn subjects(&self, all: &[Subject]) -> Vec<Subject>;
}

/// Nanoseconds of an operation in each batch.
#[derive(Debug, Default)]
pub struct Durations {
    keys: Vec<(Key, Vec<f64>)>,
    places: HashMap<Key, usize>,
}

impl Durations {
    /// Another batch.
    pub fn add(&mut self, key: &Key, ns_per_op: f64) {
        let place = self.place(key);
        self.keys[place].1.push(ns_per_op);
    }

    /// Where the batches of a key are. It gets a place when it is first asked for.
    fn place(&mut self, key: &Key) -> usize {
        if let Some(place) = self.places.get(key) {
            return *place;
        }
        self.keys.push((key.clone(), vec![]));
        self.places.insert(key.clone(), self.keys.len() - 1);
        self.keys.len() - 1
    }

    /// A row for each key with a batch, in the order in which they were first asked for.
    pub fn rows(self) -> Vec<CostRow> {
        let row = |(key, mut all): (Key, Vec<f64>)| {
            all.sort_by(f64::total_cmp);
            let Key { workload, order, threads, locked, who, buffers } = key;
            let [ns_per_op, p99_ns] = [0.5, 0.99].map(|share| tenth(percentile(&all, share)));
            CostRow {
                workload,
                order,
                threads,
                locked,
                who,
                ns_per_op,
                p99_ns,
                instructions: None,
                buffers,
                note: None,
            }
        };
        self.keys.into_iter().filter(|(_, all)| !all.is_empty()).map(row).collect()
    }
}

/// Of sorted values, of which there is one at least.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * share).round() as usize]
}

/// More digits mean nothing.
fn tenth(ns: f64) -> f64 {
    (10.0 * ns).round() / 10.0
}

/// Measures time.
#[derive(Debug)]
pub struct Stopwatch {
    pace: Pace,
    counts: bool,
    /// What was measured.
    pub durations: Durations,
}

impl Stopwatch {
    /// Nothing is measured yet.
    pub fn new(pace: Pace) -> Self {
        Stopwatch { pace, counts: false, durations: Durations::default() }
    }
}

impl Meter for Stopwatch {
    fn pace(&self) -> Pace {
        self.pace
    }

    fn counts_from_now(&mut self, round: usize) {
        self.counts = round >= self.pace.warm_up;
    }

    fn batch(&mut self, key: &Key, ops: usize, body: &mut dyn FnMut()) {
        let begin = Instant::now();
        body();
        let ns = begin.elapsed().as_nanos() as f64;
        self.durations.place(key); // the order of rows is that of the first round
        if self.counts {
            self.durations.add(key, ns / ops.max(1) as f64);
        }
    }

    fn durations(&mut self) -> Option<&mut Durations> {
        Some(&mut self.durations)
    }

    fn subjects(&self, all: &[Subject]) -> Vec<Subject> {
        all.to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a row has the median and the 99th percentile of its own batches; what warms up does not count.
    #[test]
    fn percentiles() {
        let key = |who: &str| Key::new("W1", Order::PAGE, who);
        let mut durations = Durations::default();
        for n in (1..=101).rev() {
            durations.add(&key("a"), f64::from(n));
            durations.add(&key("b"), 1000.0);
        }
        let rows = durations.rows();
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].who.as_str(), rows[0].ns_per_op, rows[0].p99_ns), ("a", 51.0, 100.0));
        assert_eq!((rows[1].who.as_str(), rows[1].ns_per_op, rows[1].p99_ns), ("b", 1000.0, 1000.0));

        let pace = Pace { rounds: 2, warm_up: 1, batches: 1, ops: 1, bulk: 1 };
        let mut watch = Stopwatch::new(pace);
        for round in 0..3 {
            watch.counts_from_now(round);
            watch.batch(&key("a"), 1, &mut || {});
        }
        assert_eq!(watch.durations.keys[0].1.len(), 2);
    }
}
