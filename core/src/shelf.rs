//! Where a pool keeps its blocks: places, and the shelves that they make.

use crate::{Mode, Order, Pages, Platform, Pooled, Zone, Zones};

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

/// All shelves of a pool: `depth` places for each kind.
///
/// # Invariants
/// `ready` is the sum of the pages of all blocks that are ready.
#[derive(Debug)]
pub(crate) struct Shelves<M: ?Sized> {
    depth: usize,
    ready: Pages,
    /// The zone that trimming goes on with.
    zone: u8,
    /// Where it goes on in each zone: a step of the round over the places there. One for each zone, so that who trims one
    /// zone does not make another pass over a kind.
    hands: [u32; Zone::COUNT],
    places: M,
}

impl<M> Shelves<M> {
    pub(crate) const fn new(depth: usize, places: M) -> Self {
        Shelves { depth, ready: Pages::ZERO, zone: 0, hands: [0; Zone::COUNT], places }
    }
}

impl<M: ?Sized> Shelves<M> {
    /// Pages of blocks that are ready.
    pub(crate) fn ready(&self) -> Pages {
        self.ready
    }

    /// A block of that kind. O(depth).
    pub(crate) fn take<P: Platform>(&mut self, kind: &Kind<P>) -> Option<Pooled<P>>
    where
        M: Places<P>,
    {
        let shelf = shelf_mut(&mut self.places, self.depth, kind.number()?)?;
        for place in &mut *shelf {
            if let Some(block) = place.block.take() {
                place.hits = place.hits.saturating_add(1);
                self.ready -= kind.order.pages();
                return Some(block);
            }
        }
        if let Some(first) = shelf.first_mut() {
            first.misses.count();
        }
        None
    }

    /// Puts a block on its shelf; hands it back if that is full. O(depth).
    pub(crate) fn put<P: Platform>(&mut self, kind: &Kind<P>, block: Pooled<P>) -> Result<(), Pooled<P>>
    where
        M: Places<P>,
    {
        let shelf = kind.number().and_then(|number| shelf_mut(&mut self.places, self.depth, number));
        let shelf = shelf.unwrap_or_default();
        match shelf.iter_mut().find(|place| place.is_free()) {
            Some(place) => {
                self.ready += kind.order.pages();
                place.block = Some(block);
                Ok(())
            }
            None => Err(block),
        }
    }

    /// The next step of the round over the places in these zones: zone by zone, and in each it comes by every kind before it
    /// comes by the same one again. The block that was there, if any; its place is kept for it until
    /// [`end_step`](Shelves::end_step). O(zones).
    pub(crate) fn step<P: Platform>(&mut self, zones: Zones) -> Option<Leaving<P>>
    where
        M: Places<P>,
    {
        let kinds = self.kinds_in_a_zone::<P>();
        let zone = zones.below(P::ZONES).find(|zone| zone.get() >= self.zone);
        let zone = zone.or_else(|| zones.below(P::ZONES).next())?;
        self.zone = zone.get() + 1;
        let hand = self.hands.get_mut(usize::from(zone.get()))?;
        let at = (*hand as usize).checked_rem(kinds * self.depth)?;
        *hand = u32::try_from(at + 1).unwrap_or(0);
        let kind = at % kinds * Kind::<P>::ZONES + usize::from(zone.get());
        let (order, mode, _) = Kind::<P>::of_number(kind)?;
        let row = at / kinds;
        let place = shelf_mut(&mut self.places, self.depth, kind)?.get_mut(row)?;
        let block = place.block.take()?;
        place.misses.keep();
        self.ready -= order.pages();
        Some(Leaving { index: kind * self.depth + row, mode, pages: order.pages(), block: Some(block) })
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

    /// How many steps a round over the places in these zones has. O(zones).
    pub(crate) fn round<P: Platform>(&self, zones: Zones) -> usize
    where
        M: Places<P>,
    {
        self.kinds_in_a_zone::<P>() * self.depth * zones.below(P::ZONES).count()
    }

    /// How many shelves there are.
    pub(crate) fn kinds<P: Platform>(&self) -> usize
    where
        M: Places<P>,
    {
        self.places.as_ref().len().checked_div(self.depth).unwrap_or(0)
    }

    /// In the first zones one more than in the last ones, if the places end among those.
    fn kinds_in_a_zone<P: Platform>(&self) -> usize
    where
        M: Places<P>,
    {
        self.kinds::<P>().div_ceil(Kind::<P>::ZONES.max(1))
    }

    /// What the shelf with that number went through. O(depth).
    pub(crate) fn shelf<P: Platform>(&self, number: usize) -> Option<Shelf>
    where
        M: Places<P>,
    {
        let (order, mode, zone) = Kind::<P>::of_number(number)?;
        let first = number.checked_mul(self.depth)?;
        let shelf = self.places.as_ref().get(first..first.checked_add(self.depth)?)?;
        let stats = ShelfStats {
            ready: shelf.iter().filter(|place| place.block.is_some()).count(),
            hits: shelf.iter().map(|place| place.hits).fold(0, u32::saturating_add),
            misses: shelf.first()?.misses.get(),
        };
        Some(Shelf { order, mode, zone, stats })
    }
}

fn shelf_mut<P: Platform, M: Places<P> + ?Sized>(
    places: &mut M,
    depth: usize,
    number: usize,
) -> Option<&mut [Place<P>]> {
    let first = number.checked_mul(depth)?;
    places.as_mut().get_mut(first..first.checked_add(depth)?)
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
