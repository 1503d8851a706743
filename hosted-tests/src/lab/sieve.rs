//! SIEVE (Zhang and others, NSDI 2024), simulated on a trace: a list in the order in which pages came, a bit for each page that was
//! touched again, and a hand that goes from the oldest page to the newest. It clears the bits that are set, and evicts where none
//! is. A page that comes has no bit, so it leaves soon if nothing touches it again.

use super::trace::Trace;

/// Pages in memory.
struct Sieve {
    /// The oldest first.
    list: Vec<u32>,
    /// The index where the next search begins.
    hand: usize,
    /// Of each page whether it is in memory, and whether it was touched since it came or since the hand passed.
    pages: Vec<Option<Visited>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Visited {
    No,
    Yes,
}

impl Sieve {
    fn evict(&mut self) {
        loop {
            let at = if self.hand < self.list.len() { self.hand } else { 0 };
            let page = self.list[at] as usize;
            if self.pages[page].replace(Visited::No) == Some(Visited::No) {
                self.list.remove(at);
                self.pages[page] = None;
                self.hand = if at < self.list.len() { at } else { 0 }; // not at the page that comes now
                return;
            }
            self.hand = at + 1;
        }
    }

    /// Whether the page was in memory, which has room for `memory` pages, not zero.
    fn touch(&mut self, page: u32, memory: usize) -> bool {
        if let Some(visited) = &mut self.pages[page as usize] {
            *visited = Visited::Yes;
            return true;
        }
        if self.list.len() == memory {
            self.evict();
        }
        self.list.push(page);
        self.pages[page as usize] = Some(Visited::No);
        false
    }
}

/// The number of hits with `memory` pages of memory, not zero. O(n) for each miss, in pages of memory.
pub fn hits(trace: &Trace, memory: usize) -> usize {
    let mut sieve = Sieve { list: vec![], hand: 0, pages: vec![None; trace.pages()] };
    trace.accesses().iter().filter(|access| sieve.touch(access.page, memory)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: the hand passes what was touched again, clears its bit, and stays where it evicted; what comes is behind it, and leaves
    /// before what is touched again and again.
    #[test]
    fn known_outcomes() {
        let of = |text: &str, memory| hits(&Trace::parse(text.as_bytes()).unwrap(), memory);
        assert_eq!([of("1 1 1", 1), of("1 2 1 2", 1), of("1 2 3 1 2 3", 3)], [2, 0, 3]);
        // The hand passes 1, evicts 2, and stays behind it: the next victim is 3, though 1 has no bit any more.
        assert_eq!(of("1 2 3 1 4 5 1", 3), 2);
        assert_eq!(of("1 2 3 1 4 5 3", 3), 1);
        assert_eq!(of("1 2 1 3 4 3", 2), 2, "behind the newest one is the oldest, which is 1");
        let walk: String = (10..40).map(|page| format!("{page} ")).collect();
        assert_eq!(of(&format!("1 2 1 2 {walk} 1 2"), 4), 4, "a walk evicts itself");
    }
}
