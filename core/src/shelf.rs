//! Where a pool keeps its blocks: places, and the shelves that they make.

use crate::{Mode, Order, Pages, Platform, Pooled, Zone};

/// Room for one block on a shelf, and what was taken from it.
#[derive(Debug)]
pub struct Place<P: Platform> {
    content: Content<P>,
    hits: u32,
    /// Only in the first place of a shelf.
    misses: u32,
}

#[derive(Debug)]
enum Content<P: Platform> {
    Empty,
    Ready(Pooled<P>),
    /// Empty, but kept for a block that may come back.
    Reserved,
}

impl<P: Platform> Place<P> {
    /// Nothing in it.
    pub const EMPTY: Self = Place { content: Content::Empty, hits: 0, misses: 0 };

    fn take_and_leave(&mut self, next: Content<P>) -> Option<Pooled<P>> {
        match core::mem::replace(&mut self.content, next) {
            Content::Ready(block) => Some(block),
            other => {
                self.content = other;
                None
            }
        }
    }

    fn ready(&self) -> Option<&Pooled<P>> {
        match &self.content {
            Content::Ready(block) => Some(block),
            _ => None,
        }
    }
}

#[cfg(feature = "defmt")]
impl<P: Platform> defmt::Format for Place<P> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match &self.content {
            Content::Empty => defmt::write!(f, "empty"),
            Content::Ready(block) => defmt::write!(f, "{}", block),
            Content::Reserved => defmt::write!(f, "reserved"),
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
    const PER_ORDER: usize = P::Mode::COUNT * P::ZONES as usize;

    /// The number of its shelf. `None` if the platform has more modes or zones than it says: they would be on shelves of
    /// another order.
    fn number(&self) -> Option<usize> {
        Self::number_of(self.order, self.mode.index(), self.zone)
    }

    fn number_of(order: Order, mode: usize, zone: Zone) -> Option<usize> {
        let there_is = mode < P::Mode::COUNT && zone.get() < P::ZONES;
        let (order, zone) = (usize::from(order.get()), usize::from(zone.get()));
        there_is.then(|| order * Self::PER_ORDER + mode * usize::from(P::ZONES) + zone)
    }

    /// Pages of a block on the shelf with that number.
    fn pages(number: usize) -> Pages {
        let order = number.checked_div(Self::PER_ORDER).and_then(|order| u8::try_from(order).ok());
        order.and_then(Order::new).map_or(Pages::ZERO, Order::pages)
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

/// All shelves of a pool: `depth` places for each kind.
///
/// # Invariants
/// `ready` is the sum of the pages of all blocks that are ready.
#[derive(Debug)]
pub(crate) struct Shelves<M: ?Sized> {
    depth: usize,
    ready: Pages,
    /// Where trimming goes on: a step of the round over all places.
    next: usize,
    places: M,
}

impl<M> Shelves<M> {
    pub(crate) const fn new(depth: usize, places: M) -> Self {
        Shelves { depth, ready: Pages::ZERO, next: 0, places }
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
            if let Some(block) = place.take_and_leave(Content::Empty) {
                place.hits = place.hits.saturating_add(1);
                self.ready -= kind.order.pages();
                return Some(block);
            }
        }
        if let Some(first) = shelf.first_mut() {
            first.misses = first.misses.saturating_add(1);
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
        match shelf.iter_mut().find(|place| matches!(place.content, Content::Empty)) {
            Some(place) => {
                self.ready += kind.order.pages();
                place.content = Content::Ready(block);
                Ok(())
            }
            None => Err(block),
        }
    }

    /// The next step of the round over all places, which comes by each kind before it comes by the same one again. The
    /// block that was there, if any, with its place kept for it. `None` if there are no places.
    pub(crate) fn step<P: Platform>(&mut self) -> Option<Step<P>>
    where
        M: Places<P>,
    {
        let places = self.places.as_mut();
        let kinds = places.len().checked_div(self.depth).filter(|kinds| *kinds > 0)?;
        let at = self.next % (kinds * self.depth);
        self.next = at + 1;
        let kind = at % kinds;
        let index = kind * self.depth + at / kinds;
        let block = places.get_mut(index)?.take_and_leave(Content::Reserved);
        let pages = if block.is_some() { Kind::<P>::pages(kind) } else { Pages::ZERO };
        self.ready -= pages;
        Some(Step { index, block, pages })
    }

    /// Ends a step that found a block: with it, if it has to stay.
    pub(crate) fn end_step<P: Platform>(&mut self, index: usize, pages: Pages, stays: Option<Pooled<P>>)
    where
        M: Places<P>,
    {
        if let Some(place) = self.places.as_mut().get_mut(index) {
            place.content = match stays {
                Some(block) => {
                    self.ready += pages;
                    Content::Ready(block)
                }
                None => Content::Empty,
            };
        }
    }

    /// How many steps a round has.
    pub(crate) fn round<P: Platform>(&self) -> usize
    where
        M: Places<P>,
    {
        self.places.as_ref().len()
    }

    /// What a shelf went through.
    pub(crate) fn stats<P: Platform>(&self, order: Order, mode: usize, zone: Zone) -> Option<ShelfStats>
    where
        M: Places<P>,
    {
        let first = Kind::<P>::number_of(order, mode, zone)?.checked_mul(self.depth)?;
        let shelf = self.places.as_ref().get(first..first.checked_add(self.depth)?)?;
        Some(ShelfStats {
            ready: shelf.iter().filter(|place| place.ready().is_some()).count(),
            hits: shelf.iter().map(|place| place.hits).fold(0, u32::saturating_add),
            misses: shelf.first()?.misses,
        })
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

/// One step of a round.
pub(crate) struct Step<P: Platform> {
    pub(crate) index: usize,
    pub(crate) block: Option<Pooled<P>>,
    /// Of the block, if there is one.
    pub(crate) pages: Pages,
}
