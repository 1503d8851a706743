//! What a reclaim walks over, and one pass over it.

use crate::step::{Pass, Step};
use crate::{Class, Evict, Evicted};

/// How many candidates a pass for clean ones looks at: those that were used lately stay, and take the time of others.
const CLEAN_LOOKS: usize = 32;

/// Something that can give up pages: a buffer of any shape, or a place for one.
pub trait Evictable {
    /// Takes that step, unless this is in use, was used since the last one (then the next one may), or has nothing that the
    /// step is about. O(1) then. It ends at the first whole block past the budget, and as soon as somebody wants the buffer.
    fn evict_if_idle(&self, step: Step) -> Evicted;
}

impl<E: Evictable + ?Sized> Evictable for &E {
    fn evict_if_idle(&self, step: Step) -> Evicted {
        (**self).evict_if_idle(step)
    }
}

/// The buffers that a reclaim walks over: a slice or an array of them, of references if need be; or one with a
/// [`Roster`](crate::Roster) ([`Roster::of`](crate::Roster::of)), where a walk costs what it finds.
pub struct Candidates<'h, E> {
    pub(crate) buffers: &'h [E],
    pub(crate) roster: Option<&'h dyn Seats>,
}

/// A roster, whatever its lock and its words.
pub(crate) trait Seats {
    /// The first of `from..end` that is of that class, or perhaps is.
    fn next(&self, class: Class, from: usize, end: usize) -> Option<usize>;

    /// Where a pass goes on.
    fn hand(&self, pass: Pass) -> usize;

    /// Where it goes on next time.
    fn set_hand(&self, pass: Pass, at: usize);
}

impl<E: Evictable> Candidates<'_, E> {
    /// One pass: from where the hand is, until so much left, or each candidate had its turn. Returns what left, and where the
    /// hand stays: at the last one, which may have more to give. After a backlog it goes on without transfers.
    ///
    /// A second-chance clock (Corbató 1968) in two rounds. Purges need no second chance and one round, unless there is nothing
    /// else to do; what is clean and not lately used is looked for among a few only.
    pub(crate) fn walk(self, mut hand: usize, mut step: Step, rounds: usize) -> (Evicted, usize) {
        let (want, len) = (step.budget, self.buffers.len());
        let mut looks = if step.pass == Pass::Clean { CLEAN_LOOKS } else { usize::MAX };
        let mut left = len.saturating_mul(rounds); // so many seats to go
        let mut sum = Evicted::default();
        while left > 0 && looks > 0 && sum.moved() < want {
            hand = if hand < len { hand } else { 0 };
            let end = len.min(hand.saturating_add(left));
            let found = match self.roster {
                Some(roster) => roster.next(step.class(), hand, end),
                None => Some(hand),
            };
            let passed = found.unwrap_or(end) - hand;
            (hand, left) = (hand + passed, left - passed);
            let Some(buffer) = found.and_then(|at| self.buffers.get(at)) else { continue };
            step.budget = want - sum.moved();
            let moved = buffer.evict_if_idle(step);
            sum += moved;
            if moved.backlogs > 0 {
                step.how.remove(Evict::TRANSFER);
            }
            looks -= 1;
            if sum.moved() < want {
                (hand, left) = (hand + 1, left - 1);
            }
        }
        (sum, hand)
    }
}

impl<E> Clone for Candidates<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Candidates<'_, E> {}

impl<'h, E: Evictable> From<&'h [E]> for Candidates<'h, E> {
    fn from(buffers: &'h [E]) -> Self {
        Candidates { buffers, roster: None }
    }
}

impl<'h, E: Evictable, const N: usize> From<&'h [E; N]> for Candidates<'h, E> {
    fn from(buffers: &'h [E; N]) -> Self {
        Candidates { buffers, roster: None }
    }
}

impl<E> core::fmt::Debug for Candidates<'_, E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Candidates")
            .field("buffers", &self.buffers.len())
            .field("listed", &self.roster.is_some())
            .finish()
    }
}

#[cfg(feature = "defmt")]
impl<E> defmt::Format for Candidates<'_, E> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Candidates({=usize}, listed: {=bool})", self.buffers.len(), self.roster.is_some());
    }
}
