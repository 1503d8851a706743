//! A buddy allocator of frame numbers, one step at a time.
//!
//! One bit for each naturally aligned block that lies wholly in the range, for each order, says whether it is
//! free as a block of that order. That is at most two bits a page, and the summaries above them. The lowest
//! address is used first, which keeps the high ones whole; neighbours join whatever the order in which they come
//! back.
//!
//! Here are the steps, none of which has a loop. What they make up is in [`steps`](super::steps).

use super::bitmap::{self, Bit};
use super::steps::{self, Plan};
use super::{ORDERS, Words, blocks};
use core::ops::Range;
use forebay::{Order, Pages, Pfn};

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
    words: W,
    frames: Range<usize>,
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
    NoSeat,
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

    /// All of `frames` free. `words` must be [`Buddy::words`] long at least, or frames are missing.
    pub(crate) fn new(frames: Range<usize>, mut words: W) -> Self {
        words.as_mut().fill(0);
        let mut buddy = Self::without(words);
        let mut next = 0;
        for (order, start) in (0..).zip(&mut buddy.starts) {
            *start = u32::try_from(next).unwrap_or(u32::MAX);
            next += bitmap::summed_words(blocks(&frames, order).len());
        }
        buddy.frames = frames.clone();
        buddy.put_run(frames);
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
                None => return Claim::NoSeat,
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

/// By one who has it for himself.
impl<W: Words> Buddy<W> {
    /// The lowest block among the smallest that are large enough. O(orders · log pages).
    #[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
    pub(crate) fn take(&mut self, order: Order) -> Option<Pfn> {
        steps::take(&mut { self }, order)
    }

    /// Takes back a block of frames of this range that are not free. Joins it with its free buddies. O(orders ·
    /// log pages).
    pub(crate) fn put(&mut self, pfn: Pfn, order: Order) {
        steps::put(&mut { self }, pfn, order);
    }

    /// Takes a run of frames back, none of which is free, in the largest blocks that they make.
    pub(crate) fn put_run(&mut self, run: Range<usize>) {
        let mut at = run.start;
        while at < run.end {
            let fits = (run.end - at).ilog2().min(at.trailing_zeros()).min(ORDERS as u32 - 1);
            let order = Order::new(fits as u8).unwrap_or(Order::PAGE);
            self.put(Pfn::new(at), order);
            at += order.pages().get();
        }
    }

    /// Takes out the frames of a run that are free: the first of them, as long as they follow each other, from `at`
    /// on. An empty run if there is none before `end`. O(orders · log pages) for each free block, and O(orders) for
    /// each frame that is not free.
    #[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
    pub(crate) fn take_run(&mut self, mut at: usize, end: usize) -> Range<usize> {
        while at < end && self.free_block(at).is_none() {
            at += 1;
        }
        let start = at;
        while let Some((k, number)) = self.free_block(at).filter(|_| at < end) {
            let block = number << k..(number + 1) << k;
            steps::remove(&mut { &mut *self }, k, number);
            self.put_run(block.start..at.max(block.start));
            self.put_run(end.min(block.end)..block.end);
            at = block.end.min(end);
        }
        start..at.min(end).max(start)
    }

    /// The order of the free block that a frame is in, and the number of that block.
    #[cfg(any(test, all(feature = "shmem", target_os = "linux")))]
    pub(crate) fn free_block(&self, pfn: usize) -> Option<(u8, usize)> {
        (0..ORDERS as u8).find_map(|k| {
            let (here, number) = (blocks(&self.frames, k), pfn >> k);
            let bit = Bit::new(self.start(k), number.checked_sub(here.start)?);
            (here.contains(&number) && bit.is_set(self.words.as_ref())).then_some((k, number))
        })
    }

    /// Whether a frame of this range is free. O(orders).
    #[cfg(test)]
    pub(crate) fn is_free(&self, pfn: Pfn) -> bool {
        self.free_block(pfn.get()).is_some()
    }
}
#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::{vec, vec::Vec};

    fn buddy(frames: Range<usize>) -> Buddy<Vec<usize>> {
        let words = vec![0; Buddy::<Vec<usize>>::words(frames.len())];
        Buddy::new(frames, words)
    }

    fn order(n: u8) -> Order {
        Order::new(n).unwrap()
    }

    /// Rule: whatever is taken and in whatever order it comes back, the end is the set of free blocks of the start.
    #[test]
    fn everything_back_joins_to_the_same_blocks() {
        for frames in [0..1, 5..6, 0..1024, 3..1029, 1000..1100, 0..4096, 77..5000] {
            let mut b = buddy(frames.clone());
            let before = b.words.to_vec();
            let mut rng = 88_172_645_463_325_252_u64;
            let mut held: Vec<(Pfn, Order)> = Vec::new();
            for _ in 0..2000 {
                rng ^= rng << 13;
                rng ^= rng >> 7;
                rng ^= rng << 17;
                if !rng.is_multiple_of(3) {
                    let o = order((rng >> 8) as u8 % 11);
                    if let Some(pfn) = b.take(o) {
                        assert!(pfn.is_aligned(o) && frames.contains(&pfn.get()));
                        assert!(pfn.get() + o.pages().get() <= frames.end);
                        let mine = pfn.get()..pfn.get() + o.pages().get();
                        assert!(
                            held.iter()
                                .all(|(p, o)| p.get() >= mine.end || p.get() + o.pages().get() <= mine.start)
                        );
                        held.push((pfn, o));
                    }
                } else if !held.is_empty() {
                    let (pfn, o) = held.swap_remove(rng as usize % held.len());
                    b.put(pfn, o);
                }
                let out: Pages = held.iter().map(|(_, o)| o.pages()).sum();
                assert_eq!((out + b.free()).get(), frames.len());
            }
            for (pfn, o) in held.drain(..) {
                b.put(pfn, o);
            }
            assert_eq!(b.words.to_vec(), before, "{frames:?}");
        }
    }

    /// Rule: a part of a block may come home by itself.
    #[test]
    fn halves_come_back_one_by_one() {
        let mut b = buddy(0..16);
        let pfn = b.take(order(4)).unwrap();
        assert_eq!(b.take(Order::PAGE), None);
        for page in [3, 9, 0, 15, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14] {
            b.put(Pfn::new(pfn.get() + page), Order::PAGE);
        }
        assert_eq!(b.take(order(4)), Some(pfn));
    }

    /// Rule: taking out a run takes what is free in it and nothing else, and giving it back makes everything as before.
    #[test]
    fn runs_are_taken_out_and_come_back() {
        for frames in [0..64, 3..1029, 77..5000] {
            let mut b = buddy(frames.clone());
            let held = [b.take(order(2)).unwrap(), b.take(Order::PAGE).unwrap(), b.take(order(3)).unwrap()];
            let (before, free) = (b.words.clone(), b.free());
            for (from, to) in [(frames.start, frames.end), (frames.start + 5, frames.start + 33)] {
                let is_free: Vec<bool> = (from..to).map(|n| b.is_free(Pfn::new(n))).collect();
                let mut runs = Vec::new();
                let mut at = from;
                loop {
                    let run = b.take_run(at, to);
                    if run.is_empty() {
                        break;
                    }
                    at = run.end;
                    runs.push(run);
                }
                let taken: Vec<bool> = (from..to).map(|n| runs.iter().any(|r| r.contains(&n))).collect();
                assert_eq!(taken, is_free);
                assert!((from..to).all(|n| !b.is_free(Pfn::new(n))), "nothing of it is free now");
                let pages: usize = runs.iter().map(Range::len).sum();
                assert_eq!(b.free() + Pages::new(pages), free);
                runs.into_iter().for_each(|run| b.put_run(run));
                assert_eq!((&b.words, b.free()), (&before, free));
            }
            assert!(held.iter().all(|pfn| !b.is_free(*pfn)));
        }
    }

    /// Rule: where frames lie makes no difference, not at the end of the numbers either; no frames are none.
    #[test]
    fn ranges_at_the_ends() {
        for frames in [usize::MAX - 2100..usize::MAX, usize::MAX - 1..usize::MAX, 0..3, 7..7] {
            let mut b = buddy(frames.clone());
            for o in (0..16).filter_map(Order::new) {
                if let Some(pfn) = b.take(o) {
                    assert!(frames.contains(&pfn.get()) && o.pages().get() <= frames.end - pfn.get());
                    b.put(pfn, o);
                }
            }
            assert_eq!(b.free(), Pages::new(frames.len()));
        }
    }

    /// Rule: metadata is at most a twentieth of a per cent of memory at pages of 4 KiB, a tenth at 512 B, and no
    /// more than the `const fn` says.
    #[test]
    fn metadata_is_small() {
        let bytes = |pages| Buddy::<Vec<usize>>::words(pages) * size_of::<usize>();
        assert!(bytes(1 << 20) * 2000 <= (1 << 20) * 4096);
        assert!(bytes(1 << 16) * 1000 <= (1 << 16) * 512);
    }
}
