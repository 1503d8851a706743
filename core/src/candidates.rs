//! What a reclaim walks over, one candidate at a time.

use crate::walk::{Pass, Step};
use crate::{Class, Evicted};

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
