//! A buddy allocator of frame numbers, one step at a time.
//!
//! One bit for each naturally aligned block in the range, for each order, says whether it is free as a block of that order. That is at most two bits a page, and the summaries above them. The lowest
//! address is used first, which keeps the high ones whole; neighbours join whatever the order in which they come
//! back.
//!
//! Here are the steps, none of which has a loop. What they make up is in [`steps`](super::steps).

use super::bitmap::{self, Bit};
use super::steps::Plan;
use super::{ORDERS, Words, blocks};
use core::ops::Range;
use forebay::Pages;

/// How many insertions may be pending at a time. A call without a slot completes another insertion first.
const SLOTS: usize = 2;

/// Free frames of one range.
///
/// # Invariants
/// After each step: 1. A frame is free in at most one place, the bitmap or a slot. 2. Every free block is found: all summary bits
/// above a word that is not zero are set, up to `orders`, or a pending insertion is about to set them. 3. When nothing is
/// pending, two free buddies below the largest order are one larger free block.
///
/// A summary bit may be set though its word is zero. A search that finds it clears it.
#[derive(Debug)]
pub(crate) struct Buddy<W> {
    pub(super) words: W,
    pub(super) frames: Range<usize>,
    /// Where the words of each order begin.
    starts: [u32; ORDERS],
    /// A bit for each order: the last summary.
    orders: u16,
    free: Pages,
    /// Pages that were never free since all were added.
    most_used: Pages,
    pending: [Pending; SLOTS],
}

/// A free block that is being inserted into the bitmap. Two words, which a step compares and replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Pending {
    pfn: usize,
    /// Its order, what is kept of it, the level of summaries that its next bit belongs to; a byte each.
    how: u32,
}

impl Pending {
    /// An empty slot.
    const NONE: Self = Pending { pfn: 0, how: u32::MAX };
    const ALL: u8 = u8::MAX;

    const fn new(pfn: usize, order: u8, kept: u8, level: u8) -> Self {
        Pending { pfn, how: u32::from_le_bytes([order, kept, level, 0]) }
    }

    /// A block that is all free.
    pub(crate) const fn whole(pfn: usize, order: u8) -> Self {
        Self::new(pfn, order, Self::ALL, 0)
    }

    /// A block that is split: its first `2^kept` pages are allocated.
    pub(crate) const fn cut(pfn: usize, order: u8, kept: u8) -> Self {
        Self::new(pfn, order, kept, 0)
    }

    /// First page and order of the part that is inserted next: all of it, or its upper half.
    pub(crate) const fn next(self) -> (usize, u8) {
        let [order, kept, ..] = self.how.to_le_bytes();
        if kept == Self::ALL {
            (self.pfn, order)
        } else {
            (self.pfn + (1 << order >> 1), order.saturating_sub(1))
        }
    }

    /// The level of summaries that its next bit belongs to.
    pub(crate) const fn level(self) -> u8 {
        let [_, _, level, _] = self.how.to_le_bytes();
        level
    }

    /// The same, a level higher.
    pub(crate) const fn climbed(self) -> Self {
        let [order, kept, level, _] = self.how.to_le_bytes();
        Self::new(self.pfn, order, kept, level.saturating_add(1))
    }

    /// What is left of it, once its next part is inserted.
    pub(crate) const fn rest(self) -> Self {
        let [order, kept, ..] = self.how.to_le_bytes();
        let order = order.saturating_sub(1);
        if kept < order { Self::cut(self.pfn, order, kept) } else { Self::NONE }
    }

    pub(crate) const fn is_none(self) -> bool {
        self.how == Self::NONE.how
    }
}

/// What a search for a block begins with.
pub(crate) enum Search {
    /// There may be one of these orders, a bit for each.
    Orders(u16),
    /// None in the bitmap, but this insertion is pending.
    Pending(usize, Pending),
    /// None.
    Nothing,
}

/// How a claim ended.
pub(crate) enum Claim {
    /// Another call took the block.
    Lost,
    /// There is no slot for the rest of the block.
    NoSlot,
    /// Allocated: the slot of the rest of the block, and the word after it.
    Ours(usize, usize),
}

/// What a step did with a pending insertion.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    /// Another call has come further with it, and goes on.
    Overtaken,
    /// The block was joined with its buddy.
    Joined,
    /// The bit is set. Its word before: if that was not zero, all bits above are set too, or will be.
    Set(usize),
}

impl<W: Words> Buddy<W> {
    /// Words that a range of `pages` pages needs at most, wherever it lies.
    pub(crate) const fn words(pages: usize) -> usize {
        let mut sum = 0;
        let mut order = 0;
        while order < ORDERS {
            sum += bitmap::summed_words(pages >> order);
            order += 1;
        }
        sum
    }

    /// No frame is free yet. `words` must have at least [`Buddy::words`] words, or some frames are never free.
    pub(crate) fn new(frames: Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        let mut buddy = Self::without(words);
        let mut next = 0;
        for (order, start) in (0..).zip(&mut buddy.starts) {
            *start = u32::try_from(next).unwrap_or(u32::MAX);
            next += bitmap::summed_words(blocks(&frames, order).len());
        }
        buddy.frames = frames;
        buddy
    }

    /// No frames at all.
    pub(crate) const fn without(words: W) -> Self {
        Buddy {
            words,
            frames: 0..0,
            starts: [0; ORDERS],
            orders: 0,
            free: Pages::ZERO,
            most_used: Pages::ZERO,
            pending: [Pending::NONE; SLOTS],
        }
    }

    pub(crate) fn frames(&self) -> Range<usize> {
        self.frames.clone()
    }

    /// All free pages, pending or not.
    pub(crate) fn free(&self) -> Pages {
        self.free
    }

    /// The least that was ever free.
    pub(crate) fn lowest(&self) -> Pages {
        Pages::new(self.frames.len()) - self.most_used
    }

    /// Where a block of these orders may be, a bit for each.
    pub(crate) fn seek(&self, orders: u16) -> Search {
        let there = self.orders & orders;
        if there != 0 { Search::Orders(there) } else { self.any_pending() }
    }

    pub(crate) fn any_pending(&self) -> Search {
        let mut slots = (0..).zip(&self.pending);
        slots
            .find(|(_, pending)| !pending.is_none())
            .map_or(Search::Nothing, |(slot, pending)| Search::Pending(slot, *pending))
    }

    /// Where the words of an order begin.
    pub(crate) fn start(&self, order: u8) -> usize {
        self.starts.get(usize::from(order)).map_or(usize::MAX, |start| *start as usize)
    }

    pub(crate) fn word(&self, word: usize) -> usize {
        self.words.as_ref().get(word).copied().unwrap_or_default()
    }

    /// Takes the free block with this bit, except for the part `left`.
    pub(crate) fn claim(&mut self, bit: Bit, left: Pending, wanted: Pages) -> Claim {
        if !bit.is_set(self.words.as_ref()) {
            return Claim::Lost;
        }
        let mut slot = SLOTS;
        if !left.is_none() {
            match self.insert(left) {
                Some(free) => slot = free,
                None => return Claim::NoSlot,
            }
        }
        self.free -= wanted;
        self.most_used = self.most_used.max(Pages::new(self.frames.len()) - self.free);
        Claim::Ours(slot, bit.clear(self.words.as_mut()))
    }

    /// Frees a block: its insertion is pending now. `None`: there is no slot for it.
    pub(crate) fn release(&mut self, block: Pending, pages: Pages) -> Option<usize> {
        let slot = self.insert(block)?;
        self.free += pages;
        Some(slot)
    }

    fn insert(&mut self, block: Pending) -> Option<usize> {
        let slot = self.pending.iter().position(|pending| pending.is_none())?;
        *self.pending.get_mut(slot)? = block;
        Some(slot)
    }

    /// Sets the next bit of a pending insertion, or joins the block with its buddy.
    pub(crate) fn advance(&mut self, slot: usize, plan: &Plan) -> Advance {
        let words = self.words.as_mut();
        match self.pending.get_mut(slot) {
            Some(pending) if *pending == plan.now => {
                if plan.buddy.is_set(words) {
                    plan.buddy.clear(words);
                    *pending = plan.joined;
                    return Advance::Joined;
                }
                let was = plan.bit.set(words);
                *pending = if was == 0 { plan.climbed } else { plan.rest };
                Advance::Set(was)
            }
            _ => Advance::Overtaken,
        }
    }

    /// The same for the last summary: the order has blocks.
    pub(crate) fn advance_order(&mut self, slot: usize, now: Pending, order: u8) -> Advance {
        match self.pending.get_mut(slot) {
            Some(pending) if *pending == now => {
                self.orders |= 1 << order;
                *pending = now.rest();
                Advance::Set(usize::MAX)
            }
            _ => Advance::Overtaken,
        }
    }

    /// Clears the bit above a word, if the word is zero. Returns the word of the bit.
    pub(crate) fn lower(&mut self, word: usize, above: Bit) -> usize {
        if self.word(word) == 0 { above.clear(self.words.as_mut()) } else { usize::MAX }
    }

    /// Clears the bit of an order, if its last word is zero.
    pub(crate) fn lower_order(&mut self, word: usize, order: u8) {
        if self.word(word) == 0 {
            self.orders &= !(1 << order);
        }
    }
}
