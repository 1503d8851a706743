//! A buddy that keeps the block of each small order that was freed last as it is: the next one of that order needs no split, and
//! no join was made for it.

use super::{Buddy, Words};
use forebay::{Order, Pages, Pfn};

/// Orders of which a block is kept. Larger ones would cost blocks of the largest orders.
const KEPT: usize = 7;
/// Places for them: a power of two.
const PLACES: usize = 8;

/// See the module.
///
/// # Invariant
/// A block that is kept is free, and in none of the buddy's trees.
#[derive(Debug)]
pub(crate) struct Recent<W> {
    buddy: Buddy<W>,
    /// First frames.
    kept: [usize; PLACES],
    /// A bit for each order of which one is kept.
    orders: usize,
}

impl<W: Words> Recent<W> {
    pub(crate) const fn new(buddy: Buddy<W>) -> Self {
        Recent { buddy, kept: [0; PLACES], orders: 0 }
    }

    /// The buddy without the blocks that are kept: how much there is, not what.
    pub(crate) fn buddy(&mut self) -> &mut Buddy<W> {
        &mut self.buddy
    }

    pub(crate) fn into_words(self) -> W {
        self.buddy.into_words()
    }

    /// Takes the block of that order that is kept.
    #[inline]
    pub(crate) fn take_kept(&mut self, order: Order) -> Option<Pfn> {
        let n = usize::from(order.get());
        if self.orders >> n & 1 == 0 {
            return None;
        }
        let pfn = self.kept[n % PLACES];
        self.orders ^= 1 << n;
        self.buddy.took(1 << n);
        Some(Pfn(pfn))
    }

    /// Keeps a block of this range, none of whose frames is free, if there is place for one of its order. Returns whether there was.
    #[inline]
    pub(crate) fn keep(&mut self, pfn: Pfn, order: Order) -> bool {
        let n = usize::from(order.get());
        let is_kept = n < KEPT && self.orders >> n & 1 == 0;
        if is_kept {
            self.orders |= 1 << n;
            self.buddy.free += 1 << n;
            self.kept[n % PLACES] = pfn.0;
        }
        is_kept
    }

    /// Joins one of the blocks that are kept with its buddies. Returns whether there was one: then try again, under another lock.
    /// O(orders).
    pub(crate) fn join(&mut self) -> bool {
        if self.orders == 0 {
            return false;
        }
        let n = self.orders.trailing_zeros() as usize;
        if self.buddy.insert(self.kept[n % PLACES], n) {
            self.orders ^= 1 << n;
            self.buddy.free -= 1 << n; // it was counted twice
        }
        true
    }

    /// Whether there is a block of that order, kept or not. One may be kept in parts, so [`join`](Recent::join) and ask again.
    pub(crate) fn has(&mut self, order: Order) -> bool {
        self.buddy.has(order) || self.orders >> order.get() != 0
    }

    /// The largest order of which there is a block, after all that is kept is joined.
    pub(crate) fn largest(&mut self) -> Option<Order> {
        self.buddy.largest()
    }

    /// All free pages.
    pub(crate) fn free(&self) -> Pages {
        self.buddy.free()
    }
}
