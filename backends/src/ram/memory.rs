//! Ranges of RAM that are split into blocks: the only file where the number of a frame becomes an address.
#![allow(unsafe_code)]

use super::neighbours::Neighbours;
use super::{MemoryError, MemoryRefused, RamBlock};
use crate::frames::{Buddy, PieceError, Recent, SEVERAL, SHORT_SECTIONS};
use core::num::NonZeroUsize;
use core::ops::Range;
use core::ptr::NonNull;
use forebay::{
    Order, OwnedBlock, Pages, Pfn, Refused,
    port::Supply,
    sync::{Mutex, RawMutex},
};

/// Words of the caller.
type Lent = &'static mut [usize];

/// Some address space and its numbers.
///
/// # Invariants
/// `base` is the first byte of the frames. All memory that was added lies in one allocation, which `base` may be used to reach.
#[derive(Clone)]
struct Span<const PAGE: usize> {
    base: NonNull<u8>,
    frames: Range<usize>,
}

// SAFETY: a pointer and numbers. What it points to is owned by the frames that are free, and by the blocks.
unsafe impl<const PAGE: usize> Send for Span<PAGE> {}

impl<const PAGE: usize> Span<PAGE> {
    /// The whole pages in these bytes, if there are any.
    fn of(bytes: NonNull<[u8]>) -> Option<Self> {
        let start = bytes.cast::<u8>();
        let skip = start.align_offset(PAGE);
        let pages = bytes.len().checked_sub(skip)? / PAGE;
        let base = start.map_addr(|at| at.checked_add(skip).unwrap_or(at));
        let first = base.addr().get() / PAGE;
        (pages > 0).then_some(Span { base, frames: first..first + pages })
    }

    /// First byte and end.
    fn addresses(&self) -> Range<usize> {
        self.frames.start * PAGE..self.frames.end * PAGE
    }

    /// Whether all of a block lies in it.
    fn has(&self, pfn: Pfn, order: Order) -> bool {
        pfn.0 >= self.frames.start && pfn.0 + order.pages().get() <= self.frames.end
    }

    /// The bytes of neighbours, if they lie in it.
    fn reach<T>(&self, all: &Neighbours<T>) -> Option<NonNull<[u8]>> {
        let range = self.addresses();
        if !range.contains(&all.at) || range.end - all.at < all.bytes {
            return None;
        }
        // The pointer comes from the span, not from a block: only so may it reach over several blocks.
        Some(NonNull::slice_from_raw_parts(self.at(all.at), all.bytes))
    }

    /// That address in the allocation. An address that is zero is no memory of a span.
    fn at(&self, address: usize) -> NonNull<u8> {
        self.base.map_addr(|base| NonZeroUsize::new(address).unwrap_or(base))
    }

    /// # Safety
    /// The block lies in memory that was added, aligned, and nothing else owns a byte of it.
    unsafe fn block_at(&self, pfn: Pfn, order: Order) -> RamBlock<PAGE> {
        let at = self.base.as_ptr().with_addr(pfn.0 * PAGE);
        // SAFETY: the caller's promise; by the invariant the pointer may be used for all of these bytes. Memory is not at address 0.
        unsafe { RamBlock::new(NonNull::new_unchecked(at), order) }
    }
}

/// A span and its free frames.
///
/// # Invariants
/// Each frame that was added is free in `free`, or in one [`RamBlock`]. Every `RamBlock` whose address lies in the span was split off
/// it. Frames that were added stay.
struct Memory<const PAGE: usize> {
    span: Span<PAGE>,
    free: Recent<Lent>,
}

/// Up to `N` ranges of RAM behind one lock. Each operation is one lock section; with [`SHORT_SECTIONS`], one that needs the trees has
/// more. One that finds nothing joins the blocks that were freed lately, one by one, and tries again.
pub(crate) struct Ranges<L, const PAGE: usize, const N: usize>(Mutex<L, [Option<Memory<PAGE>>; N]>);

/// What a search found under one lock.
enum Found<T> {
    /// A chunk of that range, from which the next section takes.
    Chunk(usize, usize),
    /// What was taken in the same section; nothing if a block was only split.
    Taken(Option<T>),
}

/// Which of the ranges.
pub(crate) type Which = Range<usize>;

impl<L: RawMutex, const PAGE: usize, const N: usize> Ranges<L, PAGE, N> {
    /// Without memory.
    pub(crate) const fn new() -> Self {
        Ranges(Mutex::new([const { None }; N]))
    }

    /// Words for `bytes` bytes of memory in `pieces` pieces that do not touch.
    pub(crate) const fn words(bytes: usize, pieces: usize) -> usize {
        Buddy::<Lent>::words(bytes / PAGE, pieces)
    }

    /// Takes a block. O(ranges + orders).
    #[inline(never)] // so that the caller has it in a register
    pub(crate) fn take(&self, which: &Which, order: Order) -> Option<RamBlock<PAGE>> {
        let which = &which.clone(); // read before the lock, so that it is a constant if all callers pass one
        let block = self.each(which, |m| {
            let pfn = match m.free.take_kept(order) {
                None if !SHORT_SECTIONS => m.free.buddy().take(order)?,
                kept => kept?,
            };
            // SAFETY: the frames were free, so by the invariant of `Memory` nothing else owns them, and they were added.
            Some(unsafe { m.span.block_at(pfn, order) })
        });
        if block.is_some() { block } else { self.take_other(which, order) }
    }

    /// Takes a block that is not kept.
    #[inline(never)] // so that the way to one that is kept is short
    fn take_other(&self, which: &Which, order: Order) -> Option<RamBlock<PAGE>> {
        self.take_found(which, order, |m, chunk| {
            let pfn = m.free.buddy().take_from(chunk, order)?;
            // SAFETY: as above.
            Some(unsafe { m.span.block_at(pfn, order) })
        })
    }

    /// Takes a block, and fills places of `more` with others that are found with it. As [`take`](Ranges::take).
    pub(crate) fn take_more(
        &self,
        which: &Which,
        order: Order,
        more: &mut [Option<RamBlock<PAGE>>],
    ) -> Option<RamBlock<PAGE>> {
        // A power of two, and no more than the bits of half a word.
        let count = 1 << (more.len() + 1).ilog2().min(usize::BITS.ilog2() - 1);
        if count == 1 || usize::from(order.get()) > SEVERAL {
            return self.take(which, order);
        }
        let (run, span) = self.take_found(which, order, |m, chunk| {
            Some((m.free.buddy().take_several(chunk, order, count)?, m.span.clone()))
        })?;
        // SAFETY: as above.
        let mut blocks = run.map(|pfn| unsafe { span.block_at(pfn, order) });
        let first = blocks.next();
        more.iter_mut().zip(blocks).for_each(|(place, block)| *place = Some(block));
        first
    }

    /// Finds a chunk and takes from it, until that gives something or there is none. Where cores are slow, these are two lock sections.
    #[inline]
    fn take_found<T>(
        &self,
        which: &Which,
        order: Order,
        mut take: impl FnMut(&mut Memory<PAGE>, usize) -> Option<T>,
    ) -> Option<T> {
        loop {
            let found = self.0.lock(|all| {
                let mut ranges = all.get_mut(which.clone())?.iter_mut().zip(which.clone());
                ranges.find_map(|(m, n)| {
                    let m = m.as_mut()?;
                    let chunk = m.free.buddy().find(order)?;
                    Some(if SHORT_SECTIONS { Found::Chunk(n, chunk) } else { Found::Taken(take(m, chunk)) })
                })
            });
            let taken = match found {
                Some(Found::Taken(taken)) => taken,
                Some(Found::Chunk(n, chunk)) => self.0.lock(|all| take(all.get_mut(n)?.as_mut()?, chunk)),
                None if self.join_one(which) => None,
                None => return None,
            };
            if taken.is_some() {
                return taken;
            }
        }
    }

    /// Joins one block that was freed lately with its buddies. Returns whether there was one.
    #[inline(never)]
    fn join_one(&self, which: &Which) -> bool {
        self.any(which, |m| m.free.join())
    }

    /// Whether that holds for one of the ranges, under one lock.
    fn any(&self, which: &Which, f: impl Fn(&mut Memory<PAGE>) -> bool) -> bool {
        self.each(which, |m| f(m).then_some(())).is_some()
    }

    /// The first value that is found in one of the ranges, under one lock.
    fn each<T>(&self, which: &Which, f: impl FnMut(&mut Memory<PAGE>) -> Option<T>) -> Option<T> {
        self.0.lock(|all| all.get_mut(which.clone())?.iter_mut().flatten().find_map(f))
    }

    /// The span in which a block lies.
    fn span_of(&self, block: &RamBlock<PAGE>) -> Option<Span<PAGE>> {
        let (pfn, order) = (block.pfn(), block.order());
        self.each(&(0..N), |m| m.span.has(pfn, order).then(|| m.span.clone()))
    }

    /// Frees a block. O(ranges + orders).
    ///
    /// # Errors
    /// The block, if it lies in none of the ranges.
    pub(crate) fn put(&self, block: RamBlock<PAGE>) -> Result<(), RamBlock<PAGE>> {
        let (pfn, order) = (block.pfn(), block.order());
        let put = self.each(&(0..N), |m| {
            m.span.has(pfn, order).then(|| {
                let kept = m.free.keep(pfn, order);
                kept || (!SHORT_SECTIONS && m.free.buddy().put(pfn, order))
            })
        });
        match put {
            Some(true) => Ok(()),
            Some(false) => {
                self.join_in(pfn, order);
                Ok(())
            }
            None => Err(block),
        }
    }

    /// Joins a block of one of the ranges with its buddies.
    #[inline(never)] // so that the way to keep one is short
    fn join_in(&self, pfn: Pfn, order: Order) {
        let step = |m: &mut Memory<PAGE>| m.span.has(pfn, order).then(|| m.free.buddy().put(pfn, order));
        while self.each(&(0..N), step) == Some(false) {}
    }

    /// Whether a block lies in one of these ranges.
    pub(crate) fn has_block(&self, which: &Which, block: &RamBlock<PAGE>) -> bool {
        let (pfn, order) = (block.pfn(), block.order());
        self.any(which, |m| m.span.has(pfn, order))
    }

    /// Joins two halves, lower first.
    ///
    /// # Errors
    /// Both, if they are no halves of one block of one range.
    pub(crate) fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        let order = left.order();
        let (Some(span), Some(joined)) = (self.span_of(&left), Order::new(order.get() + 1)) else {
            return Err((left, right));
        };
        let is_next = left.pfn().0 + order.pages().get() == right.pfn().0;
        let is_half = is_next && right.order() == order && left.pfn().0 % joined.pages().get() == 0;
        if !is_half || joined > Order::TEN || !span.has(right.pfn(), order) {
            return Err((left, right));
        }
        // SAFETY: both halves belong to this span and are consumed; together they are `joined`, and aligned. (The pointer
        // comes from the span, not from a half: only so may it reach over both.)
        Ok(unsafe { span.block_at(left.pfn(), joined) })
    }

    /// Pages that are free.
    pub(crate) fn free(&self, which: &Which) -> Pages {
        self.sum(which, |m| m.free.free())
    }

    /// The least that was ever free, the sum over the ranges.
    pub(crate) fn lowest(&self, which: &Which) -> Pages {
        self.sum(which, |m| m.free.buddy().lowest())
    }

    /// All pages.
    pub(crate) fn total(&self, which: &Which) -> Pages {
        self.sum(which, |m| m.free.buddy().total())
    }

    fn sum(&self, which: &Which, mut f: impl FnMut(&mut Memory<PAGE>) -> Pages) -> Pages {
        let mut sum = Pages::ZERO;
        self.each(which, |m| -> Option<()> {
            sum += f(m);
            None
        });
        sum
    }

    /// Whether a block of that order is free. Joins as [`take`](Ranges::take).
    pub(crate) fn has(&self, which: &Which, order: Order) -> bool {
        while !self.any(which, |m| m.free.has(order)) {
            if !self.join_one(which) {
                return false;
            }
        }
        true
    }

    /// What there is for blocks of that order. Joins as [`take`](Ranges::take).
    pub(crate) fn supply(&self, which: &Which, order: Order) -> Supply {
        let (mut free, mut ever) = (Pages::ZERO, Pages::ZERO);
        self.each(which, |m| -> Option<()> {
            free += m.free.free();
            ever += m.free.buddy().pages_in(order);
            None
        });
        Supply { free: Some(free), ready: Some(self.has(which, order)), ever: Some(ever) }
    }

    /// Pages of the largest free block.
    pub(crate) fn largest(&self, which: &Which) -> Pages {
        while self.join_one(which) {}
        let mut largest = Pages::ZERO;
        self.each(which, |m| -> Option<()> {
            largest = largest.max(m.free.largest().map_or(Pages::ZERO, Order::pages));
            None
        });
        largest
    }

    /// Whether a range of these has memory.
    pub(crate) fn has_memory(&self, which: &Which) -> bool {
        self.each(which, |_| Some(())).is_some()
    }

    /// Whether [`add`](Ranges::add) would accept these.
    pub(crate) fn check(&self, which: &Which, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let span = Span::<PAGE>::of(NonNull::from(memory)).ok_or(MemoryError::NoWholePage)?;
        self.check_span(which, &span, meta)
    }

    /// Whether there is place for another range, no other one has a page of it, and the metadata is enough for one piece.
    fn check_span(&self, which: &Which, span: &Span<PAGE>, meta: &[usize]) -> Result<(), MemoryError> {
        let words = Buddy::<Lent>::words(span.frames.len(), 1);
        self.0.lock(|all| Self::place_for(all, which, span).map(|_| ()))?;
        if meta.len() < words { Err(MemoryError::Metadata { words }) } else { Ok(()) }
    }

    /// The first of these ranges that has no memory, if no other one has a page of the span.
    fn place_for<'a>(
        all: &'a mut [Option<Memory<PAGE>>],
        which: &Which,
        span: &Span<PAGE>,
    ) -> Result<&'a mut Option<Memory<PAGE>>, MemoryError> {
        let (first, end) = (span.frames.start, span.frames.end);
        if all.iter().flatten().any(|m| m.span.frames.start < end && first < m.span.frames.end) {
            return Err(MemoryError::Overlap);
        }
        let mut these = all.get_mut(which.clone()).unwrap_or_default().iter_mut();
        these.find(|place| place.is_none()).ok_or(MemoryError::TooManyRanges)
    }

    /// Adds memory, all of it free, as a range of its own: the first of these that has no memory. Returns its pages. Linear, but not
    /// under the lock.
    pub(crate) fn add(
        &self,
        which: &Which,
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<Pages, MemoryRefused> {
        let Some(span) = Span::of(NonNull::from(&mut *memory)) else {
            return Err(Refused { item: (memory, meta), why: MemoryError::NoWholePage });
        };
        let pages = Pages::new(span.frames.len());
        match self.place(which, span, meta, Buddy::whole) {
            Ok(()) => Ok(pages),
            Err(Refused { item: meta, why }) => Err(Refused { item: (memory, meta), why }),
        }
    }

    /// Address space whose memory is added later, by [`add_piece`](Ranges::add_piece). The metadata beyond what it needs for one piece
    /// is for more of them.
    ///
    /// # Safety
    /// All memory that is added in it is in one allocation, which `bytes` may be used to reach, and no other source has a byte of it.
    pub(crate) unsafe fn add_span(
        &self,
        which: &Which,
        bytes: NonNull<[u8]>,
        meta: &'static mut [usize],
    ) -> Result<(), Refused<Lent, MemoryError>> {
        match Span::of(bytes) {
            Some(span) => self.place(which, span, meta, Buddy::new),
            None => Err(Refused { item: meta, why: MemoryError::NoWholePage }),
        }
    }

    /// Makes a span one of these ranges.
    fn place(
        &self,
        which: &Which,
        span: Span<PAGE>,
        meta: Lent,
        make: fn(&Range<usize>, Lent) -> Buddy<Lent>,
    ) -> Result<(), Refused<Lent, MemoryError>> {
        if let Err(why) = self.check_span(which, &span, meta) {
            return Err(Refused { item: meta, why });
        }
        let free = Recent::new(make(&span.frames, meta));
        let refused = self.0.lock(|all| match Self::place_for(all, which, &span) {
            Ok(place) => {
                *place = Some(Memory { span, free });
                None
            }
            Err(why) => Some((free, why)), // another thread was faster
        });
        match refused {
            None => Ok(()),
            Some((free, why)) => Err(Refused { item: free.into_words(), why }),
        }
    }

    /// Adds memory to the span that has all its pages. Returns its pages. A lock section for each block.
    pub(crate) fn add_piece(
        &self,
        memory: &'static mut [u8],
    ) -> Result<Pages, Refused<&'static mut [u8], MemoryError>> {
        let Some(Span { mut frames, .. }) = Span::<PAGE>::of(NonNull::from(&mut *memory)) else {
            return Err(Refused { item: memory, why: MemoryError::NoWholePage });
        };
        let pages = Pages::new(frames.len());
        let noted = self.0.lock(|all| {
            let mut spans = (0..).zip(all.iter_mut()).filter_map(|(n, m)| Some((n, m.as_mut()?)));
            let (n, m) = spans
                .find(|(_, m)| m.span.frames.start <= frames.start && frames.end <= m.span.frames.end)?;
            Some(m.free.buddy().note(frames.clone()).map(|()| n))
        });
        let why = match noted {
            Some(Ok(n)) => {
                let which = n..n + 1;
                while self.each(&which, |m| m.free.buddy().put_next(&mut frames).then_some(())).is_some() {}
                return Ok(pages);
            }
            Some(Err(PieceError::Full)) => MemoryError::TooManyPieces,
            Some(Err(PieceError::Overlap)) => MemoryError::Overlap,
            None => MemoryError::NoSpan,
        };
        Err(Refused { item: memory, why })
    }

    /// The bytes of neighbours that were all split off one range.
    pub(crate) fn view<'b>(&self, all: &Neighbours<&'b [u8]>) -> Option<&'b [u8]> {
        let bytes = self.each(&(0..N), |m| m.span.reach(all))?;
        // SAFETY: invariant of `Neighbours`: shared, for that long. By that of `RamBlock` the bytes are initialised and
        // `'static`, and by that of `Memory` the blocks were split off this range, whose pointer reaches over all of them.
        Some(unsafe { bytes.as_ref() })
    }

    /// The same, to write.
    pub(crate) fn view_mut<'b>(&self, all: Neighbours<&'b mut [u8]>) -> Option<&'b mut [u8]> {
        let mut bytes = self.each(&(0..N), |m| m.span.reach(&all))?;
        // SAFETY: as above, and exclusively; `all` ends here, so there is no second one.
        Some(unsafe { bytes.as_mut() })
    }
}
