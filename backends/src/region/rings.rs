//! Which pages of the region are free, and which belong together: numbers only, no addresses.
//!
//! Stored contents are a *ring* of pages that may lie anywhere, so free room is a count and can't be fragmented. A ring is named
//! by its first page, its *head*.
//!
//! Free pages are a stack of *extents*: pages that lie one behind the other. Where the first extent is long enough, room is
//! cut off it, and is *straight*. Otherwise only the head is taken; the other pages are promised by count, and taken when
//! bytes are written to them, up to eight at a time. Either way it is O(1). The words of the pages do not describe the first
//! extent: pages that are taken from it and come back to it touch no link.

use bitflags::bitflags;
use forebay::{Order, StoreError};

/// The words of the caller, one for each page.
pub(super) type Words = &'static mut [usize];

/// A word has the number of the next page, the order of the ring plus one if the page is a head, and flags.
const LINK_BITS: u32 = usize::BITS - 8;
const LINK: usize = (1 << LINK_BITS) - 1;
/// No page.
const NONE: usize = LINK;
const ORDER: usize = 15 << LINK_BITS;
/// Of the first page of a free extent: it is longer than a page, and the next word is its length.
const MANY: usize = 1 << (LINK_BITS + 4);
/// Of a head: the ring is in use outside of the lock.
const LENT: usize = 1 << (LINK_BITS + 4);
/// All pages of the ring are taken; without it, only the head is.
const FULL: usize = LENT << 1;
/// The contents are complete.
const VALID: usize = LENT << 2;
/// The pages lie one behind the other, in order: no link is followed.
const STRAIGHT: usize = LENT << 3;

/// How far a walk over a ring has come, and what is known of the ring. It is at a run: pages of the ring that lie one behind the
/// other. `page` below is the first of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    pub(super) head: usize,
    /// The number of pages in the ring before the run, and in it.
    pub(super) before: u16,
    pub(super) run: u16,
    shape: Shape,
}

bitflags! {
    /// The order of a ring and how its pages lie, in one word.
    #[derive(Clone, Copy, Debug)]
    struct Shape: u32 {
        const ORDER = 15;
        /// All pages of the ring are taken. Without it, those that are taken end with the run.
        const FULL = 16;
        /// The pages lie one behind the other, in order.
        const STRAIGHT = 32;
    }
}

impl Walk {
    pub(super) fn order(&self) -> Order {
        Order::new((self.shape & Shape::ORDER).bits() as u8).unwrap_or(Order::MAX) // four bits are an order
    }

    pub(super) fn is_straight(&self) -> bool {
        self.shape.contains(Shape::STRAIGHT)
    }

    fn is_full(&self) -> bool {
        self.shape.contains(Shape::FULL)
    }

    fn pages(&self) -> usize {
        self.order().pages().get()
    }

    /// The last page of the run.
    fn last(&self, page: usize) -> usize {
        page + usize::from(self.run) - 1
    }

    fn taken(&self) -> usize {
        if self.is_full() { self.pages() } else { usize::from(self.before) + usize::from(self.run) }
    }
}

/// What a lent ring is wanted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To read its contents, which must be complete.
    Contents,
    /// To write over what it has, or to free it.
    Room,
}

/// What a ring has when it is no longer in use.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// What it had before.
    Same,
    /// It has complete contents.
    Stored,
    /// Room without contents.
    Reserved,
    /// Nothing: it is freed.
    Nothing,
}

/// # Invariants
/// 1. Each page is in a free extent or in one ring.
/// 2. Free pages are `space` and those that are promised to rings, so what was promised is there.
/// 3. Of each ring that is lent there is one `Walk`.
/// 4. Only the word of a head has an order, so a forged number is found out.
/// 5. Without a first extent there is no other, and `top` is behind all pages.
pub(super) struct Rings {
    words: Words,
    /// The first page of the first free extent, and its length; zero without one.
    top: usize,
    length: usize,
    /// The first page of the extent behind it. Its word and the words of those behind it have their lengths.
    below: usize,
    /// Free pages that are promised to no ring.
    space: usize,
    /// The least that `space` ever was.
    lowest: usize,
}

impl Rings {
    /// All pages are free. Linear.
    pub(super) fn new(words: Words) -> Self {
        words.fill(0);
        let pages = words.len();
        let top = if pages > 0 { 0 } else { NONE };
        Rings { words, top, length: pages, below: NONE, space: pages, lowest: pages }
    }

    /// Pages that a new ring may have.
    pub(super) fn space(&self) -> usize {
        self.space
    }

    /// The least that [`space`](Rings::space) ever was.
    pub(super) fn lowest_space(&self) -> usize {
        self.lowest
    }

    /// Whether there is room for `2^order` pages.
    pub(super) fn fits(&self, order: Order) -> bool {
        order.pages().get() <= self.space && order <= Order::TEN
    }

    /// Room for `2^order` pages, which [fit](Rings::fits), lent: the head now, the others when they are needed. The walk is at the
    /// head.
    #[inline(always)] // a transfer is short
    pub(super) fn reserve(&mut self, order: Order) -> Walk {
        let pages = order.pages().get();
        self.space -= pages;
        self.lowest = self.lowest.min(self.space);
        let head = self.top;
        let (run, full) = if self.length >= pages { (pages, Shape::FULL) } else { (1, Shape::empty()) };
        self.cut_off(run);
        self.set(head, head | head_bits(order) | LENT);
        let shape = shape(order) | full | Shape::STRAIGHT;
        Walk { head, before: 0, run: run as u16, shape }
    }

    /// Lends a ring of that order. The walk is at the head.
    pub(super) fn lend(&mut self, head: usize, order: Order, wanted: Wanted) -> Result<Walk, StoreError> {
        let word = self.ring(head, order)?;
        // Without contents it is new, or being written over: this handle is not the one that has it.
        if word & VALID == 0 && (wanted == Wanted::Contents || word & LENT != 0) {
            return Err(StoreError::NotStored);
        }
        if word & LENT != 0 {
            return Err(StoreError::Busy);
        }
        let keeps = if wanted == Wanted::Contents { word } else { word & !VALID };
        self.set(head, keeps | LENT);
        let (full, straight) = (word & FULL != 0, word & STRAIGHT != 0);
        let run = if full && straight { order.pages().get() as u16 } else { 1 };
        let mut shape = shape(order);
        shape.set(Shape::FULL, full);
        shape.set(Shape::STRAIGHT, straight);
        Ok(Walk { head, before: 0, run, shape })
    }

    /// Whether complete contents of that order begin there; `Busy` while they are lent.
    pub(super) fn is_stored(&self, head: usize, order: Order) -> Result<(), StoreError> {
        match self.ring(head, order)? {
            word if word & VALID == 0 => Err(StoreError::NotStored),
            word if word & LENT != 0 => Err(StoreError::Busy),
            _ => Ok(()),
        }
    }

    /// Moves on to the pages behind the run, which are taken now if they were only promised: as many as lie one behind the other, eight
    /// at most. Does nothing at the end. Returns the first page of the run.
    #[inline(never)]
    pub(super) fn advance(&mut self, at: &mut Walk, page: usize) -> usize {
        let (behind, last) = (at.before + at.run, at.last(page));
        let left = at.pages().saturating_sub(behind.into());
        if left == 0 {
            return page;
        }
        let (mut last, mut first, mut run) = (last, page, 0);
        while run < left.min(8) {
            let next = if at.is_full() { self.link(last) } else { self.top };
            if next != last + 1 {
                if run > 0 {
                    break;
                }
                at.shape.set(Shape::STRAIGHT, at.is_straight() && at.is_full());
            }
            if !at.is_full() {
                self.cut_off(1);
                self.set_link(last, next);
                self.set(next, at.head);
            }
            if run == 0 {
                first = next;
            }
            last = next;
            run += 1;
        }
        at.shape.set(Shape::FULL, at.is_full() || run == left);
        (at.before, at.run) = (behind, run as u16);
        first
    }

    /// A lent ring is not lent any more.
    #[inline]
    pub(super) fn give_back(&mut self, at: &Walk, page: usize, left: Left) {
        match left {
            Left::Nothing => self.release(at),
            left => self.keep(at, page, left),
        }
    }

    /// One that is not full keeps its head, and what is behind it is promised again.
    #[inline(never)] // to free it is short
    fn keep(&mut self, at: &Walk, page: usize, left: Left) {
        let Some(&word) = self.words.get(at.head) else { return };
        let (second, more) = (self.link(at.head), at.taken() - 1);
        if !at.is_full() && more > 0 {
            if at.is_straight() {
                self.push(at.head + 1, more);
            } else {
                self.push_chain(second, at.last(page));
            }
        }
        let flags = match left {
            Left::Same => word & VALID,
            Left::Stored if at.is_full() => VALID,
            Left::Stored | Left::Reserved | Left::Nothing => 0,
        };
        let full = if at.is_full() { FULL } else { 0 };
        let straight = if at.is_straight() || !at.is_full() { STRAIGHT } else { 0 };
        let link = if at.is_full() { second } else { at.head };
        self.set(at.head, link | head_bits(at.order()) | flags | full | straight);
    }

    /// Frees a lent ring, all pages at once. If they lie in order, they stay so.
    fn release(&mut self, at: &Walk) {
        self.space += at.pages();
        if at.is_straight() {
            self.set(at.head, 0); // it has no order any more
            self.push(at.head, at.taken());
        } else {
            self.push_chain(self.link(at.head), at.head); // the walk from the second page on ends with the head
        }
    }

    /// Cuts a lent ring of stored contents into two, stored and not lent. Unless they lie in order, `middle` is the last page of the
    /// lower half, `last` of the upper. Returns the head of the upper half.
    pub(super) fn cut(&mut self, at: Walk, half: Order, middle: usize, last: usize) -> usize {
        let straight = if at.is_straight() { STRAIGHT } else { 0 };
        let flags = head_bits(half) | FULL | VALID | straight;
        if at.is_straight() {
            let upper = at.head + half.pages().get();
            self.set(at.head, at.head | flags);
            self.set(upper, upper | flags);
            return upper;
        }
        let upper = self.link(middle);
        self.set_link(middle, at.head);
        self.set_link(last, upper);
        self.set(at.head, self.link(at.head) | flags);
        self.set(upper, self.link(upper) | flags);
        upper
    }

    /// The page behind one, in its ring or in the stack.
    pub(super) fn link(&self, page: usize) -> usize {
        self.words.get(page).map_or(NONE, |word| word & LINK)
    }

    /// The word of the head of a ring of that order.
    fn ring(&self, head: usize, order: Order) -> Result<usize, StoreError> {
        let word = self.words.get(head).filter(|word| **word & ORDER == head_bits(order));
        word.copied().ok_or(StoreError::NotStored)
    }

    /// Takes pages off the front of the first free extent, which has that many.
    #[inline(always)]
    fn cut_off(&mut self, pages: usize) {
        self.top += pages;
        self.length -= pages;
        if self.length == 0 {
            self.pop();
        }
    }

    /// The extent behind the first one is the first.
    #[inline(never)]
    fn pop(&mut self) {
        self.top = self.below;
        let word = self.words.get(self.top).copied();
        self.below = self.link(self.top);
        self.length = match word {
            Some(word) if word & MANY != 0 => self.words.get(self.top + 1).map_or(1, |length| *length),
            Some(_) => 1,
            None => 0,
        };
    }

    /// Makes pages that lie one behind the other free: a part of the first extent, if they lie before or behind it, else a new first one.
    fn push(&mut self, page: usize, pages: usize) {
        if page + pages == self.top {
            self.top = page;
        } else if page != self.top + self.length {
            return self.push_apart(page, pages);
        }
        self.length += pages;
    }

    /// Makes pages that lie one behind the other the first free extent.
    #[inline(never)]
    fn push_apart(&mut self, page: usize, pages: usize) {
        self.put_down();
        self.top = page;
        self.length = pages;
    }

    /// Makes the pages from one to another free, which are linked in any order.
    #[inline(never)]
    fn push_chain(&mut self, first: usize, last: usize) {
        self.put_down();
        self.set(last, self.below);
        self.below = first;
        self.pop();
    }

    /// The first extent is described by the words of its pages, as the others. The caller makes another one the first.
    fn put_down(&mut self) {
        if self.length == 0 {
            return;
        }
        let many = if self.length > 1 { MANY } else { 0 };
        self.set(self.top, self.below | many);
        if self.length > 1 {
            self.set(self.top + 1, self.length);
        }
        self.below = self.top;
    }

    fn set_link(&mut self, page: usize, to: usize) {
        if let Some(word) = self.words.get_mut(page) {
            *word = *word & !LINK | to;
        }
    }

    fn set(&mut self, page: usize, to: usize) {
        if let Some(word) = self.words.get_mut(page) {
            *word = to;
        }
    }
}

fn shape(order: Order) -> Shape {
    Shape::from_bits_retain(u32::from(order.get()))
}

const fn head_bits(order: Order) -> usize {
    (order.get() as usize + 1) << LINK_BITS
}

#[cfg(test)]
mod tests;
