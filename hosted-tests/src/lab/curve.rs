//! The hit rate of exact LRU for every size of memory, in one pass.
//!
//! LRU is a stack algorithm (Mattson and others, 1970): a memory of `n` pages holds the `n` pages that were touched last.
//! So an access is a hit if fewer than `n` other pages were touched since its page was, and how many those were does not
//! depend on `n`.

use super::trace::Trace;

/// How many accesses are hits, by the pages of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Curve {
    /// At `n`, the hits with `n` pages.
    hits: Vec<usize>,
}

impl Curve {
    /// Of this trace. O(n log n) in its accesses.
    pub fn of(trace: &Trace) -> Curve {
        let mut last = vec![None; trace.pages()];
        let mut latest = Marks::new(trace.len()); // a mark where a page was touched last
        let mut hits = vec![0; trace.pages() + 1];
        for (now, access) in trace.accesses().iter().enumerate() {
            if let Some(then) = last[access.page as usize].replace(now) {
                let between = latest.below(now) - latest.below(then + 1);
                hits[between + 1] += 1;
                latest.add(then, -1);
            }
            latest.add(now, 1);
        }
        for n in 1..hits.len() {
            hits[n] += hits[n - 1];
        }
        Curve { hits }
    }

    /// The number of hits with `memory` pages of memory.
    pub fn hits(&self, memory: usize) -> usize {
        self.hits[memory.min(self.hits.len() - 1)]
    }

    /// The least memory, in pages, with which there are at least `hits` hits; `None` if no memory is enough.
    pub fn least(&self, hits: usize) -> Option<usize> {
        let memory = self.hits.partition_point(|has| *has < hits);
        (memory < self.hits.len()).then_some(memory)
    }
}

/// Numbers in a row, and the sum of those below any place, both in O(log n) (Fenwick 1994).
struct Marks {
    sums: Vec<i32>,
}

impl Marks {
    fn new(len: usize) -> Marks {
        Marks { sums: vec![0; len + 1] }
    }

    fn add(&mut self, at: usize, change: i32) {
        let mut i = at + 1;
        while i < self.sums.len() {
            self.sums[i] += change;
            i += i & i.wrapping_neg();
        }
    }

    fn below(&self, at: usize) -> usize {
        let (mut sum, mut i) = (0, at);
        while i > 0 {
            sum += self.sums[i];
            i &= i - 1;
        }
        sum as usize // marks are never negative
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a page is found again if there is room for it and for all that was touched since.
    #[test]
    fn known_curves() {
        for (text, hits) in [
            ("0", &[0, 0][..]),
            ("5 5 w5", &[0, 2]),
            ("1 2 3 1 2 3", &[0, 0, 0, 3]), // a circle: nothing, then all
            ("1 2 3 3 2 1", &[0, 1, 2, 3]), // there and back
            ("1 2 3 4 1 2 5 1 2 3 4 5", &[0, 0, 0, 2, 4, 7]), // Belady's anomaly is FIFO's, not LRU's
        ] {
            let curve = Curve::of(&Trace::parse(text.as_bytes()).unwrap());
            assert_eq!(curve.hits, hits, "{text}");
            assert_eq!(curve.hits(1000), *hits.last().unwrap());
        }
        let curve = Curve::of(&Trace::parse(b"1 2 3 3 2 1").unwrap());
        assert_eq!([0, 1, 2, 3, 4].map(|hits| curve.least(hits)), [Some(0), Some(1), Some(2), Some(3), None]);
    }
}
