//! ARC (Megiddo and Modha, FAST 2003), simulated on a trace: an LRU list of pages that were touched once, another one of pages that
//! were touched more often, and ghosts of both. The ghosts say which list should be longer.

use super::trace::Trace;
use std::collections::{BTreeMap, HashMap};

/// The least recent first.
#[derive(Default)]
struct List {
    by_age: BTreeMap<usize, u32>,
    ages: HashMap<u32, usize>,
}

impl List {
    fn len(&self) -> usize {
        self.by_age.len()
    }

    fn has(&self, page: u32) -> bool {
        self.ages.contains_key(&page)
    }

    fn push(&mut self, page: u32, now: usize) {
        self.by_age.insert(now, page);
        self.ages.insert(page, now);
    }

    fn remove(&mut self, page: u32) -> bool {
        let age = self.ages.remove(&page);
        age.is_some_and(|age| self.by_age.remove(&age).is_some())
    }

    fn pop(&mut self) -> Option<u32> {
        let (_, page) = self.by_age.pop_first()?;
        self.ages.remove(&page);
        Some(page)
    }
}

#[derive(Default)]
struct Arc {
    once: List,
    often: List,
    once_ghosts: List,
    often_ghosts: List,
    /// How many pages `once` should have.
    wanted: usize,
}

impl Arc {
    /// Evicts a page, which is a ghost then.
    fn replace(&mut self, is_ghost_of_often: bool, now: usize) {
        let len = self.once.len();
        let from_once = len > 0 && (len > self.wanted || is_ghost_of_often && len == self.wanted);
        let (list, ghosts) = match from_once || self.often.len() == 0 {
            true => (&mut self.once, &mut self.once_ghosts),
            false => (&mut self.often, &mut self.often_ghosts),
        };
        if let Some(page) = list.pop() {
            ghosts.push(page, now);
        }
    }

    /// Whether the page was in memory.
    fn touch(&mut self, page: u32, memory: usize, now: usize) -> bool {
        if self.once.remove(page) || self.often.remove(page) {
            self.often.push(page, now);
            return true;
        }
        let [once, often] = [&self.once_ghosts, &self.often_ghosts].map(|ghosts| ghosts.len().max(1));
        if self.once_ghosts.has(page) {
            self.wanted = (self.wanted + (often / once).max(1)).min(memory);
            self.replace(false, now);
            self.once_ghosts.remove(page);
            self.often.push(page, now);
        } else if self.often_ghosts.has(page) {
            self.wanted = self.wanted.saturating_sub((once / often).max(1));
            self.replace(true, now);
            self.often_ghosts.remove(page);
            self.often.push(page, now);
        } else {
            let all = self.once.len() + self.often.len() + self.once_ghosts.len() + self.often_ghosts.len();
            if self.once.len() + self.once_ghosts.len() == memory {
                match self.once.len() < memory {
                    true => {
                        self.once_ghosts.pop();
                        self.replace(false, now);
                    }
                    false => _ = self.once.pop(),
                }
            } else if all >= memory {
                if all >= 2 * memory {
                    self.often_ghosts.pop();
                }
                self.replace(false, now);
            }
            self.once.push(page, now);
        }
        false
    }
}

/// The number of hits with `memory` pages of memory.
pub fn hits(trace: &Trace, memory: usize) -> usize {
    let mut arc = Arc::default();
    let accesses = trace.accesses().iter().enumerate();
    accesses.filter(|(now, access)| arc.touch(access.page, memory, *now)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a page is a hit if it is in memory, which never has more pages than its size; a walk over all pages does not evict
    /// those that are used again and again, as it would with LRU.
    #[test]
    fn known_outcomes() {
        let of = |text: &str, memory| hits(&Trace::parse(text.as_bytes()).unwrap(), memory);
        assert_eq!([of("1 1 1", 1), of("1 2 1 2", 1), of("1 2 3 1 2 3", 3)], [2, 0, 3]);
        let walk: String = (10..40).map(|page| format!("{page} ")).collect();
        assert_eq!(of(&format!("1 2 1 2 {walk} 1 2"), 4), 4);
        let mut arc = Arc::default();
        for now in 0..2000 {
            arc.touch((now * now % 37) as u32, 8, now);
            assert!(arc.once.len() + arc.often.len() <= 8);
        }
    }
}
