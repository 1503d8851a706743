//! What a reclaim walks over, and one pass over it.

use crate::step::{Pass, Step};
use crate::{Class, Evict, Evicted, Pages};

/// How many candidates a pass for clean ones looks at: those that were used lately stay, and take the time of others.
const CLEAN_LOOKS: usize = 32;

/// What a backlog of the store means to a walk that has no other way out than transfers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backlog {
    /// It goes on, with what is clean.
    Passed,
    /// It ends: the store is settled, and another one follows.
    Ends,
}

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

/// The buffers that a reclaim walks over: a reference to a slice or an array of them, or to whatever has one; of references
/// if need be. Or such a slice with a [`Roster`](crate::Roster) ([`Roster::of`](crate::Roster::of)), where a walk costs what it finds.
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

/// How far a walk over candidates has come.
pub(crate) struct Tour {
    /// The seat that is next.
    pub(crate) hand: usize,
    /// So many seats to go.
    pub(crate) left: usize,
}

impl<E: Evictable> Candidates<'_, E> {
    /// Goes on with a tour until so much left, or it is over. Returns what left, and whether a backlog ended it; after another
    /// backlog it goes on without transfers. The hand stays at the last one, which may have more to give.
    ///
    /// A second-chance clock (Corbató 1968), if the tour is of two rounds. What is clean and not lately used is looked for among
    /// a few only.
    pub(crate) fn walk(self, tour: &mut Tour, mut step: Step, backlog: Backlog) -> (Evicted, Backlog) {
        let len = self.buffers.len();
        let mut looks = if step.pass == Pass::Clean { CLEAN_LOOKS } else { usize::MAX };
        let mut sum = Evicted::default();
        while tour.left > 0 && looks > 0 && step.budget > Pages::ZERO {
            tour.hand = if tour.hand < len { tour.hand } else { 0 };
            let end = len.min(tour.hand.saturating_add(tour.left));
            let found = match self.roster {
                Some(roster) => roster.next(step.class(), tour.hand, end),
                None => Some(tour.hand),
            };
            tour.pass(found.unwrap_or(end) - tour.hand);
            let Some(buffer) = found.and_then(|at| self.buffers.get(at)) else { continue };
            let moved = buffer.evict_if_idle(step);
            step.budget -= moved.moved();
            sum += moved;
            if moved.backlogs > 0 {
                step.how.remove(Evict::TRANSFER);
                if backlog == Backlog::Ends && (step.how - Evict::PURGE).is_empty() {
                    return (sum, Backlog::Ends);
                }
            }
            looks -= 1;
            if step.budget > Pages::ZERO {
                tour.pass(1);
            }
        }
        (sum, Backlog::Passed)
    }
}

impl Tour {
    fn pass(&mut self, seats: usize) {
        (self.hand, self.left) = (self.hand + seats, self.left - seats);
    }
}

impl<E> Clone for Candidates<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Candidates<'_, E> {}

impl<'h, E: Evictable, B: AsRef<[E]> + ?Sized> From<&'h B> for Candidates<'h, E> {
    fn from(buffers: &'h B) -> Self {
        Candidates { buffers: buffers.as_ref(), roster: None }
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
