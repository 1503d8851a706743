//! Where a pool keeps its blocks: places, and the shelves that they make.

use crate::{Mode, Order, Pages, Platform, Pooled, Zone, Zones};
use core::ops::Range;

/// Room for one block on a shelf, and what was taken from it.
#[derive(Debug)]
pub struct Place<P: Platform> {
    block: Option<Pooled<P>>,
    hits: u32,
    misses: Misses,
}

impl<P: Platform> Place<P> {
    /// Nothing in it.
    pub const EMPTY: Self = Place { block: None, hits: 0, misses: Misses(0) };

    fn is_free(&self) -> bool {
        self.block.is_none() && !self.misses.is_kept()
    }
}

/// How often a shelf was found empty, which only its first place counts; and, in the lowest bit, whether the place is kept
/// for a block that may come back. Both in one word, since there are many places.
#[derive(Clone, Copy, Debug)]
struct Misses(u32);

impl Misses {
    const KEPT: u32 = 1;

    fn is_kept(self) -> bool {
        self.0 & Self::KEPT != 0
    }

    fn keep(&mut self) {
        self.0 |= Self::KEPT;
    }

    fn let_go(&mut self) {
        self.0 &= !Self::KEPT;
    }

    fn count(&mut self) {
        self.0 = self.0.checked_add(2).unwrap_or(self.0);
    }

    fn get(self) -> u32 {
        self.0 >> 1
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform> defmt::Format for Place<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match &self.block {
            Some(block) => defmt::write!(f, "{}", block),
            None if self.misses.is_kept() => defmt::write!(f, "kept"),
            None => defmt::write!(f, "empty"),
        }
    }
}

/// Where a pool keeps its places: `[Place; N]` or `[Place]`.
pub trait Places<P: Platform>: AsMut<[Place<P>]> + AsRef<[Place<P>]> {}
impl<P: Platform, M: AsMut<[Place<P>]> + AsRef<[Place<P>]> + ?Sized> Places<P> for M {}

/// What the blocks of one shelf have in common.
pub(crate) struct Kind<P: Platform> {
    pub(crate) order: Order,
    pub(crate) mode: P::Mode,
    pub(crate) zone: Zone,
}

impl<P: Platform> Kind<P> {
    /// How many there are for each order.
    const PER_ORDER: usize = P::Mode::COUNT * Self::ZONES;
    const ZONES: usize = P::ZONES as usize;

    /// The number of its shelf. `None` if the platform has more modes or zones than it says: they would be on shelves of
    /// another order.
    pub(crate) fn number(&self) -> Option<usize> {
        let there_is = self.mode.index() < P::Mode::COUNT && self.zone.get() < P::ZONES;
        let (order, zone) = (usize::from(self.order.get()), usize::from(self.zone.get()));
        there_is.then(|| order * Self::PER_ORDER + self.mode.index() * Self::ZONES + zone)
    }

    /// Order, mode and zone of the shelf with that number: the other way round.
    fn of_number(number: usize) -> Option<(Order, usize, Zone)> {
        let order = u8::try_from(number.checked_div(Self::PER_ORDER)?).ok().and_then(Order::new)?;
        let zone = u8::try_from(number.checked_rem(Self::ZONES)?).ok().and_then(Zone::new)?;
        Some((order, number % Self::PER_ORDER / Self::ZONES, zone))
    }
}

/// What one shelf went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ShelfStats {
    /// Blocks that are ready now.
    pub ready: usize,
    /// Blocks that were taken from it.
    pub hits: u32,
    /// How often somebody found it empty.
    pub misses: u32,
}

/// A shelf of a pool, and what it went through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Shelf {
    /// Of its blocks.
    pub order: Order,
    /// The number of their mode ([`Mode::index`]).
    pub mode: usize,
    /// Where they are.
    pub zone: Zone,
    /// What it went through.
    pub stats: ShelfStats,
}

impl Shelf {
    /// Pages that are ready on it.
    pub fn ready(&self) -> Pages {
        Pages::new(self.stats.ready.saturating_mul(self.order.pages().get()))
    }
}

/// How the places of a pool are shelves: `depth` places for each, one shelf behind the other by the number of their kind.
///
/// # Invariant
/// `end` is a multiple of `depth`, and no more than there are places.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    depth: usize,
    end: usize,
}

impl Layout {
    pub(crate) const fn new(depth: usize, places: usize) -> Layout {
        Layout { depth, end: if depth == 0 { 0 } else { places - places % depth } }
    }

    /// The places of the shelf with that number. Nothing, if there is none.
    pub(crate) const fn places(self, number: usize) -> Option<Range<usize>> {
        let first = number.wrapping_mul(self.depth); // no shelf has a number for which it wraps, with that many places
        if first < self.end { Some(first..first + self.depth) } else { None }
    }

    /// How many shelves there are.
    pub(crate) fn shelves(self) -> usize {
        self.end.checked_div(self.depth).unwrap_or(0)
    }
}

/// All shelves of a pool: `depth` places for each kind.
///
/// # Invariants
/// `ready` is the sum of the pages of all blocks that are ready: it can't wrap, as there are not so many frames.
#[derive(Debug)]
pub(crate) struct Shelves<M: ?Sized> {
    ready: Pages,
    /// Where the next round over all places begins.
    next: usize,
    places: M,
}

impl<M> Shelves<M> {
    pub(crate) const fn new(places: M) -> Self {
        Shelves { ready: Pages::ZERO, next: 0, places }
    }
}

impl<M: ?Sized> Shelves<M> {
    /// Pages of blocks that are ready.
    pub(crate) fn ready(&self) -> Pages {
        self.ready
    }

    /// The block of so many pages that is in that place.
    pub(crate) fn take<P: Platform>(&mut self, place: usize, pages: Pages) -> Option<Pooled<P>>
    where
        M: Places<P>,
    {
        let place = self.places.as_mut().get_mut(place)?;
        let block = place.block.take()?;
        place.hits = place.hits.saturating_add(1);
        self.ready = Pages::new(self.ready.get().wrapping_sub(pages.get()));
        Some(block)
    }

    /// There was nothing on the shelf that begins there.
    pub(crate) fn missed<P: Platform>(&mut self, first: usize)
    where
        M: Places<P>,
    {
        if let Some(first) = self.places.as_mut().get_mut(first) {
            first.misses.count();
        }
    }

    /// Puts a block of so many pages into that place; hands it back if that is taken.
    pub(crate) fn put<P: Platform>(
        &mut self,
        place: usize,
        pages: Pages,
        block: Pooled<P>,
    ) -> Result<(), Pooled<P>>
    where
        M: Places<P>,
    {
        match self.places.as_mut().get_mut(place) {
            Some(place) if place.is_free() => {
                self.ready = Pages::new(self.ready.get().wrapping_add(pages.get()));
                place.block = Some(block);
                Ok(())
            }
            _ => Err(block),
        }
    }

    /// A round over the places in these zones, from where the last one ended. O(zones).
    pub(crate) fn begin_round<P: Platform>(&self, layout: Layout, zones: Zones) -> Round {
        let (kinds, of_zones) = (layout.shelves(), Kind::<P>::ZONES.max(1));
        let in_zone = |zone: Zone| kinds / of_zones + usize::from(usize::from(zone.get()) < kinds % of_zones);
        let shelves: usize = zones.below(P::ZONES).map(in_zone).sum();
        Round { layout, zones, next: self.next, left: shelves * layout.depth }
    }

    /// The next round goes on from there.
    pub(crate) fn end_round(&mut self, round: &Round) {
        self.next = round.next;
    }

    /// The next step of a round, which comes by every kind before it comes by the same one again. The block that was there,
    /// if any; its place is kept for it until [`end_step`](Shelves::end_step). O(zones).
    pub(crate) fn step<P: Platform>(&mut self, round: &mut Round) -> Option<Leaving<P>>
    where
        M: Places<P>,
    {
        round.left = round.left.saturating_sub(1);
        let (kinds, depth) = (round.layout.shelves(), round.layout.depth);
        // Neighbouring kinds are of different zones; where the round begins anew a zone may be left out.
        for _ in 0..2 * Kind::<P>::ZONES {
            let at = round.next.checked_rem(round.layout.end)?;
            round.next = at + 1;
            let (kind, row) = (at.checked_rem(kinds)?, at.checked_div(kinds)?);
            let (order, mode, zone) = Kind::<P>::of_number(kind)?;
            if round.zones.contains(zone) {
                let index = kind * depth + row;
                let place = self.places.as_mut().get_mut(index)?;
                let block = place.block.take()?;
                place.misses.keep();
                self.ready -= order.pages();
                return Some(Leaving { index, mode, pages: order.pages(), block: Some(block) });
            }
        }
        None
    }

    /// Ends a step that found a block: it is back on its shelf if it is there still.
    pub(crate) fn end_step<P: Platform>(&mut self, step: Leaving<P>)
    where
        M: Places<P>,
    {
        if let Some(place) = self.places.as_mut().get_mut(step.index) {
            place.misses.let_go();
            if step.block.is_some() {
                self.ready += step.pages;
                place.block = step.block;
            }
        }
    }

    /// What the shelf with that number went through. O(depth).
    pub(crate) fn shelf<P: Platform>(&self, layout: Layout, number: usize) -> Option<Shelf>
    where
        M: Places<P>,
    {
        let (order, mode, zone) = Kind::<P>::of_number(number)?;
        let shelf = self.places.as_ref().get(layout.places(number)?)?;
        let stats = ShelfStats {
            ready: shelf.iter().filter(|place| place.block.is_some()).count(),
            hits: shelf.iter().map(|place| place.hits).fold(0, u32::saturating_add),
            misses: shelf.first()?.misses.get(),
        };
        Some(Shelf { order, mode, zone, stats })
    }
}

/// Once over the places in some zones. Others that trim meanwhile have their own, so that nobody makes anybody miss a place.
pub(crate) struct Round {
    layout: Layout,
    zones: Zones,
    next: usize,
    /// How many steps there are at most.
    left: usize,
}

impl Round {
    pub(crate) fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// A block on its way home from its place.
pub(crate) struct Leaving<P: Platform> {
    index: usize,
    /// The mode of its shelf.
    pub(crate) mode: usize,
    pub(crate) pages: Pages,
    /// `None`: it went, or is in the platform's hands.
    pub(crate) block: Option<Pooled<P>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule: a count that is full stays full, and is no mark.
    #[test]
    fn misses_saturate() {
        for kept in [false, true] {
            let mut misses = Misses(u32::MAX - 3);
            if kept {
                misses.keep();
            }
            for _ in 0..3 {
                misses.count();
                assert_eq!((misses.get(), misses.is_kept()), (u32::MAX >> 1, kept));
            }
            misses.let_go();
            assert_eq!((misses.get(), misses.is_kept()), (u32::MAX >> 1, false));
        }
    }
}
