//! A walk over candidates, from where the last one with the same hand ended.

use crate::buffer::Class;
use crate::reclaim::candidates::Candidates;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How far a walk has come in its rounds over the candidates.
pub(super) struct Scan {
    /// The place of the next candidate.
    at: usize,
    /// How many candidates there are.
    len: usize,
    /// How many are left to be passed.
    left: usize,
    /// Where the hand is when none is left: how many were passed by all walks with that hand.
    end: usize,
}

impl Scan {
    /// From where this hand is, over `left` of `len` candidates.
    pub(super) fn begin(hand: &AtomicUsize, len: usize, left: usize) -> Self {
        let passed = hand.load(Relaxed);
        Scan { at: passed.checked_rem(len).unwrap_or(0), len, left, end: passed.wrapping_add(left) }
    }

    /// Goes on to the next candidate that may have something of that class. `None` if none is left.
    pub(super) fn find<C: Candidates + ?Sized>(&mut self, over: &C, class: Class) -> Option<usize> {
        while self.left > 0 {
            let end = self.len.min(self.at.saturating_add(self.left));
            let found = over.find_candidate(class, self.at..end);
            self.pass(found.unwrap_or(end) - self.at);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Goes on behind so many candidates.
    pub(super) fn pass(&mut self, candidates: usize) {
        self.left -= candidates;
        self.at += candidates;
        if self.at == self.len {
            self.at = 0;
        }
    }

    /// One round more over all candidates.
    pub(super) fn again(&mut self) {
        (self.left, self.end) = (self.left + self.len, self.end.wrapping_add(self.len));
    }

    /// The next walk goes on from here.
    pub(super) fn end(&self, hand: &AtomicUsize) {
        hand.store(self.end.wrapping_sub(self.left), Relaxed);
    }
}
