//! A buddy allocator of frame numbers, one step at a time.
//!
//! One bit for each naturally aligned block that lies wholly in the range, for each order, says whether it is
//! free as a block of that order. That is at most two bits a page, and the summaries above them. The lowest
//! address is used first, which keeps the high ones whole; neighbours join whatever the order in which they come
//! back.
//!
//! Here are the steps, none of which has a loop. What they make up is in [`steps`](super::steps).

use super::bitmap::{self, Bit};
use super::steps::Plan;
use super::{ORDERS, Words, blocks};
use core::ops::Range;
use forebay::Pages;

/// How many blocks may be loose at a time. Whoever finds no seat helps somebody to give up his.
const SEATS: usize = 2;

/// Free frames of one range.
///
/// # Invariants
/// After each step: 1. A frame is free in at most one place, a bit or a seat. 2. What is free is found: from each word that
/// is not zero all bits above are set up to `orders`, or one of the blocks in the seats is about to set them.
/// 3. When no block is loose, two free buddies below the largest order are one larger free block.
///
/// A bit of a summary may be set though its word is zero. Whoever comes by clears it.
#[derive(Debug)]
pub(crate) struct Buddy<W> {
    pub(super) words: W,
    pub(super) frames: Range<usize>,
    /// Where the words of each order begin.
    starts: [u32; ORDERS],
    /// A bit for each order: the last summary.
    orders: u16,
    free: Pages,
    loose: [Loose; SEATS],
}

/// A free block on its way into the bitmap. Two words, which a step compares and replaces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Loose {
    pfn: usize,
    /// Its order, what is kept of it, the level of summaries that its next bit belongs to; a byte each.
    how: u32,
}

impl Loose {
    /// An empty seat.
    const NONE: Self = Loose { pfn: 0, how: u32::MAX };
    const ALL: u8 = u8::MAX;

    const fn new(pfn: usize, order: u8, kept: u8, level: u8) -> Self {
        Loose { pfn, how: u32::from_le_bytes([order, kept, level, 0]) }
    }

    /// A block that is all free.
    pub(crate) const fn whole(pfn: usize, order: u8) -> Self {
        Self::new(pfn, order, Self::ALL, 0)
    }

    /// A block that is cut: its first `2^kept` pages are somebody's.
    pub(crate) const fn cut(pfn: usize, order: u8, kept: u8) -> Self {
        Self::new(pfn, order, kept, 0)
    }

    /// First page and order of what is put in next: all of it, or its upper half.
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

    /// What is left of it, once its next part is in.
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
pub(crate) enum Sought {
    /// There may be one of these orders, a bit for each.
    Orders(u16),
    /// None in the bitmap, but this is not in it yet.
    Loose(usize, Loose),
    /// None.
    Nothing,
}

/// How a claim ended.
pub(crate) enum Claim {
    /// Somebody else was quicker.
    Lost,
    /// There is no seat for what would be left of it.
    IndexFull,
    /// Ours. The seat of what is left of it, and what is left of its word.
    Ours(usize, usize),
}

/// What a step made of something loose.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advance {
    /// Somebody else has come further with it, and goes on.
    Gone,
    /// It was joined with its buddy.
    Joined,
    /// The bit is set, in a word that was this before. If that was not zero, all above are set, too, or will be.
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

    /// None of `frames` free yet. `words` must be [`Buddy::words`] long at least, or some will be missing.
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
            loose: [Loose::NONE; SEATS],
        }
    }

    pub(crate) fn frames(&self) -> Range<usize> {
        self.frames.clone()
    }

    /// All that are free, loose or not.
    pub(crate) fn free(&self) -> Pages {
        self.free
    }

    /// Where there may be a block of these orders, a bit for each.
    pub(crate) fn seek(&self, orders: u16) -> Sought {
        let there = self.orders & orders;
        if there != 0 { Sought::Orders(there) } else { self.any_loose() }
    }

    pub(crate) fn any_loose(&self) -> Sought {
        let mut seats = (0..).zip(&self.loose);
        seats
            .find(|(_, loose)| !loose.is_none())
            .map_or(Sought::Nothing, |(seat, loose)| Sought::Loose(seat, *loose))
    }

    /// Where the words of an order begin.
    pub(crate) fn start(&self, order: u8) -> usize {
        self.starts.get(usize::from(order)).map_or(usize::MAX, |start| *start as usize)
    }

    pub(crate) fn word(&self, word: usize) -> usize {
        self.words.as_ref().get(word).copied().unwrap_or_default()
    }

    /// Takes the free block whose bit that is, but for what is `left` of it.
    pub(crate) fn claim(&mut self, bit: Bit, left: Loose, wanted: Pages) -> Claim {
        if !bit.is_set(self.words.as_ref()) {
            return Claim::Lost;
        }
        let mut seat = SEATS;
        if !left.is_none() {
            match self.sit(left) {
                Some(free) => seat = free,
                None => return Claim::IndexFull,
            }
        }
        self.free -= wanted;
        Claim::Ours(seat, bit.clear(self.words.as_mut()))
    }

    /// Frees a block: it is loose now. `None`: there is no seat for it.
    pub(crate) fn release(&mut self, block: Loose, pages: Pages) -> Option<usize> {
        let seat = self.sit(block)?;
        self.free += pages;
        Some(seat)
    }

    fn sit(&mut self, block: Loose) -> Option<usize> {
        let seat = self.loose.iter().position(|loose| loose.is_none())?;
        *self.loose.get_mut(seat)? = block;
        Some(seat)
    }

    /// Puts the next bit of what is in a seat into the bitmap, or joins it with its buddy.
    pub(crate) fn advance(&mut self, seat: usize, plan: &Plan) -> Advance {
        let words = self.words.as_mut();
        match self.loose.get_mut(seat) {
            Some(loose) if *loose == plan.now => {
                if plan.buddy.is_set(words) {
                    plan.buddy.clear(words);
                    *loose = plan.joined;
                    return Advance::Joined;
                }
                let was = plan.bit.set(words);
                *loose = if was == 0 { plan.climbed } else { plan.rest };
                Advance::Set(was)
            }
            _ => Advance::Gone,
        }
    }

    /// The same above all words: the order has blocks.
    pub(crate) fn advance_order(&mut self, seat: usize, now: Loose, order: u8) -> Advance {
        match self.loose.get_mut(seat) {
            Some(loose) if *loose == now => {
                self.orders |= 1 << order;
                *loose = now.rest();
                Advance::Set(usize::MAX)
            }
            _ => Advance::Gone,
        }
    }

    /// Clears the bit above a word, if that is zero; what the bit's word is then.
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
