//! The region's memory: the only file of the region where the number of a page becomes an address.
#![allow(unsafe_code)]

use super::rings::{Left, Rings, Walk, Wanted, Words};
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use forebay::{Order, StoreError};

/// Memory that begins with `bytes` bytes of pages, cut into these and the `words` words behind them. `None` if it is too short, or
/// does not begin at a multiple of a word.
pub(super) fn with_words_behind(
    memory: &'static mut [u8],
    bytes: usize,
    words: usize,
) -> Option<(&'static mut [u8], Words)> {
    let (memory, behind) = memory.split_at_mut_checked(bytes)?;
    // SAFETY: every pattern of bits is a word.
    let (before, behind, _) = unsafe { behind.align_to_mut::<usize>() };
    if before.is_empty() { Some((memory, behind.get_mut(..words)?)) } else { None }
}

/// Room for `2^order` pages, and a walk over it that stands at a run: pages that lie one behind the other.
///
/// # Invariants
/// Its ring is lent to it alone. The run's pages belong to the ring, and lie from `at` on in the memory that made this.
pub(super) struct Room<const PAGE: usize> {
    at: NonNull<u8>,
    walk: Walk,
}

// SAFETY: by its invariants nothing else reaches the bytes of its run.
unsafe impl<const PAGE: usize> Send for Room<PAGE> {}
// SAFETY: a shared reference gives no way to write.
unsafe impl<const PAGE: usize> Sync for Room<PAGE> {}

impl<const PAGE: usize> Room<PAGE> {
    pub(super) fn order(&self) -> Order {
        self.walk.order()
    }

    /// The number of its first page: what a handle names.
    pub(super) fn head(&self) -> usize {
        self.walk.head
    }

    /// Whether its pages lie one behind the other, in order.
    pub(super) fn is_straight(&self) -> bool {
        self.walk.is_straight()
    }

    /// The size in bytes of all of it.
    pub(super) fn len(&self) -> usize {
        PAGE << self.walk.order().get()
    }

    /// The bytes of the contents that lie in the run.
    pub(super) fn reach(&self) -> Range<usize> {
        let before = usize::from(self.walk.before);
        before * PAGE..(before + usize::from(self.walk.run)) * PAGE
    }

    /// Bytes of the contents, as far as they lie in the run.
    pub(super) fn bytes_mut(&mut self, range: Range<usize>) -> &mut [u8] {
        let mut all = NonNull::slice_from_raw_parts(self.at, usize::from(self.walk.run) * PAGE);
        let inside = self.inside(range);
        // SAFETY: by the invariants these bytes are in one `&'static mut [u8]`, and nothing else reaches them; `&mut self` is
        // exclusive.
        let run = unsafe { all.as_mut() };
        run.get_mut(inside).unwrap_or_default()
    }

    /// A range of the contents, from the start of the run.
    fn inside(&self, range: Range<usize>) -> Range<usize> {
        let Range { start, end } = self.reach();
        range.start.clamp(start, end) - start..range.end.clamp(start, end) - start
    }
}

impl<const PAGE: usize> fmt::Debug for Room<PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "page {}+{:?}", self.walk.head, self.walk.order())
    }
}

/// Memory by the page.
///
/// # Invariants
/// `base` is the first of as many pages as `rings` has, all in one `&'static mut [u8]`. Only a
/// [`Room`] reaches their bytes, and each ring that is lent has one.
pub(super) struct Memory<const PAGE: usize> {
    base: NonNull<u8>,
    rings: Rings,
    pages: usize,
    /// The checksum of each page with contents, if they are kept.
    sums: Words,
}

// SAFETY: it owns its bytes, but for those of the rooms that it lent.
unsafe impl<const PAGE: usize> Send for Memory<PAGE> {}

impl<const PAGE: usize> Memory<PAGE> {
    /// Whole pages, all free. The first words, one for each page, are for the rings, the others for checksums. Linear in the words.
    pub(super) fn new(memory: &'static mut [u8], words: Words) -> Self {
        let pages = words.len().min(memory.len() / PAGE);
        let (words, sums) = words.split_at_mut_checked(pages).unwrap_or_default();
        Memory { base: NonNull::from(memory).cast(), rings: Rings::new(words), pages, sums }
    }

    /// All pages.
    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    /// Pages that are neither used nor promised.
    pub(super) fn space(&self) -> usize {
        self.rings.space()
    }

    /// The least that this ever was.
    pub(super) fn lowest_space(&self) -> usize {
        self.rings.lowest_space()
    }

    /// Whether this memory made that room.
    pub(super) fn made(&self, room: &Room<PAGE>) -> bool {
        let first = self.base.addr().get();
        (first..first + self.pages * PAGE).contains(&room.at.addr().get())
    }

    /// Whether there is room for `2^order` pages.
    pub(super) fn fits(&self, order: Order) -> bool {
        self.rings.fits(order)
    }

    /// New room, without contents, which [fits](Memory::fits).
    #[inline(always)] // a transfer is short
    pub(super) fn reserve(&mut self, order: Order) -> Room<PAGE> {
        let walk = self.rings.reserve(order);
        self.room(walk)
    }

    /// The room of that order whose head is there.
    pub(super) fn lend(
        &mut self,
        head: usize,
        order: Order,
        wanted: Wanted,
    ) -> Result<Room<PAGE>, StoreError> {
        self.rings.lend(head, order, wanted).map(|walk| self.room(walk))
    }

    /// Whether complete contents of that order begin there; `Busy` while they are lent.
    pub(super) fn is_stored(&self, head: usize, order: Order) -> Result<(), StoreError> {
        self.rings.is_stored(head, order)
    }

    /// Moves a room on to the run behind its own.
    pub(super) fn advance(&mut self, room: &mut Room<PAGE>) {
        let page = self.page(room);
        let next = self.rings.advance(&mut room.walk, page);
        room.at = self.address(next);
    }

    /// Takes back a room that is no longer in use, and keeps it or frees it.
    pub(super) fn give_back(&mut self, room: Room<PAGE>, left: Left) {
        self.rings.give_back(&room.walk, self.page(&room), left);
    }

    /// Cuts a room with contents into two: see [`Rings::cut`].
    pub(super) fn cut(&mut self, room: Room<PAGE>, half: Order, middle: usize, last: usize) -> usize {
        self.rings.cut(room.walk, half, middle, last)
    }

    /// The page behind one.
    pub(super) fn link(&self, page: usize) -> usize {
        self.rings.link(page)
    }

    /// The checksum of a page, as a word.
    pub(super) fn sum(&mut self, page: usize) -> Option<&mut usize> {
        self.sums.get_mut(page)
    }

    fn room(&self, walk: Walk) -> Room<PAGE> {
        Room { at: self.address(walk.head), walk }
    }

    /// The first page of a room's run.
    fn page(&self, room: &Room<PAGE>) -> usize {
        room.at.addr().get().wrapping_sub(self.base.addr().get()) / PAGE
    }

    /// The first byte of a page of a ring.
    fn address(&self, page: usize) -> NonNull<u8> {
        debug_assert!(page < self.pages);
        // SAFETY: the pages of rings are numbers below `pages`, and the memory at `base` has `pages` pages.
        unsafe { self.base.add(page * PAGE) }
    }
}
