//! The usual source: a buddy over ranges of RAM.

use super::memory::{Ranges, Which};
use super::neighbours::Neighbours;
use super::{MemoryError, MemoryRefused, RamBlock};
use core::fmt;
use core::ptr::NonNull;
use forebay::{
    AllocError, AllocRequest, BufferId, Context, FrameSource, Order, Pages, Refused, Zones,
    port::{LinearMap, Supply},
    sync::RawMutex,
};

/// A source over up to `RANGES` ranges of plain RAM, of any size and alignment; pages of `PAGE` bytes.
///
/// The frame number of a block is its address divided by `PAGE`: memory is used where it is mapped. Each range has its own
/// metadata, about two bits a page. Blocks are naturally aligned, of orders 0 to 10, and never cross from one range into the
/// next, even if the two touch. A memory map with holes is one range: [`add_span`](Ram::add_span).
///
/// It is a [`LinearMap`] too: with `WithLinear(&ram, &ram)`, a buffer whose blocks are neighbours in one range is one slice.
///
/// With a `LOBBY`, a size in bytes, an aligned window of that size in the first memory that is added is the lobby
/// ([`FrameSource::LOBBY`]): zone 1, and one of the ranges. Make it as large as the largest buffer, a power of two of pages. Each of
/// the two parts of the memory beside it is a range of its own, so 3 `RANGES` lose nothing; with 2, the shorter part is not used.
///
/// # Complexity
/// Allocating and freeing: O(ranges + orders), whatever the size of the memory. The block of each order up to 6 that was freed last is
/// kept as it is, and given out first: one lock section. On 32 bits, any other block takes a few short ones instead of a long one. Where
/// nothing else is left, kept blocks are joined, a lock section for each.
pub struct Ram<L, const PAGE: usize, const RANGES: usize = 1, const LOBBY: usize = 0>(
    Ranges<L, PAGE, RANGES>,
);

impl<L: RawMutex, const PAGE: usize, const RANGES: usize, const LOBBY: usize> Ram<L, PAGE, RANGES, LOBBY> {
    /// A source without memory.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        const {
            let is_window = LOBBY.is_power_of_two() && LOBBY >= PAGE && LOBBY <= PAGE << Order::TEN.get();
            assert!(LOBBY == 0 || is_window, "LOBBY: 0, or a power of two of pages, at most 1024");
            assert!(LOBBY == 0 || RANGES > 1, "a lobby is a range of its own: RANGES is at least 2");
        }
        Ram(Ranges::new())
    }

    /// Words of metadata for a range of `bytes` bytes: about 272 bytes for each 1,024 pages, begun ones included.
    pub const fn metadata_words(bytes: usize) -> usize {
        Self::span_words(bytes, 1) + 2 * Self::LOBBY_WORDS
    }

    /// Words of metadata for a [span](Ram::add_span) of `bytes` bytes, holes included, with memory in at most `pieces` pieces that do
    /// not touch.
    pub const fn span_words(bytes: usize, pieces: usize) -> usize {
        Ranges::<L, PAGE, RANGES>::words(bytes, pieces)
    }

    /// Words for a lobby, which the part beside it needs too at most.
    const LOBBY_WORDS: usize = if LOBBY == 0 { 0 } else { Self::span_words(LOBBY, 1) };
    /// The range that is the lobby, if there is one, and the others.
    const OTHERS: Which = 0..if LOBBY > 0 { RANGES - 1 } else { RANGES };
    const LOBBY_RANGE: Which = Self::OTHERS.end..RANGES;

    /// Adds memory, as a range of its own. Returns how many bytes of it are usable. Ragged ends are trimmed.
    ///
    /// The bytes are not touched. Blocks have them as they are: a pool zeroes what it gives.
    ///
    /// # Errors
    /// [`MemoryError`]; memory and metadata are handed back. (Of two calls at once that both bring the lobby, one hands back the
    /// lobby's part only.)
    ///
    /// # Context
    /// For start-up: linear in the metadata, but not under the lock.
    pub fn add(&self, memory: &'static mut [u8], meta: &'static mut [usize]) -> Result<usize, MemoryRefused> {
        if self.needs_lobby() {
            return self.add_around(memory, meta);
        }
        self.0.add(&Self::OTHERS, memory, meta).map(|pages| pages.get() * PAGE)
    }

    /// Registers address space that has holes, such as a memory map: one range, whose memory is added afterwards, in pieces, by
    /// [`add_piece`](Ram::add_piece). Pieces that touch are one, in whatever order they are added: blocks lie across.
    ///
    /// `span` is dereferenced only where memory was added. [`span_words`](Ram::span_words) says how many words of metadata it needs.
    /// A lobby does not lie in a span.
    ///
    /// ```
    /// # use forebay::sync::SpinRawMutex; use forebay_backends::Ram; use std::ptr::NonNull;
    /// # let map: &'static mut [u8] = vec![0; 64 << 10].leak();
    /// type Frames = Ram<SpinRawMutex, 4096>;
    /// let ram = Frames::new();
    /// let (span, meta) = (NonNull::from(&mut *map), vec![0; Frames::span_words(64 << 10, 2)].leak());
    /// // SAFETY: all pieces below are parts of one slice, which `span` was made of.
    /// unsafe { ram.add_span(span, meta) }.expect("a new range");
    /// let (low, rest) = map.split_at_mut(20 << 10);
    /// let (_hole, high) = rest.split_at_mut(8 << 10);
    /// ram.add_piece(high).expect("a piece of the span");
    /// ram.add_piece(low).expect("a piece of the span");
    /// ```
    ///
    /// # Safety
    /// All memory that is ever added in the span is in one allocation (see [`core::ptr`]), which the pointer may be used to reach. No
    /// other source has a byte of the span.
    ///
    /// # Errors
    /// [`MemoryError`]; the metadata is handed back.
    ///
    /// # Context
    /// For start-up: linear in the metadata, but not under the lock.
    #[expect(unsafe_code, reason = "the caller promises that memory of different slices is one allocation")]
    pub unsafe fn add_span(
        &self,
        span: NonNull<[u8]>,
        meta: &'static mut [usize],
    ) -> Result<(), Refused<&'static mut [usize], MemoryError>> {
        // SAFETY: the caller's promise.
        unsafe { self.0.add_span(&Self::OTHERS, span, meta) }
    }

    /// Adds memory to the [span](Ram::add_span) in which it lies. Returns how many bytes of it are usable: the whole pages.
    ///
    /// # Errors
    /// [`MemoryError`]; the memory is handed back.
    ///
    /// # Context
    /// For start-up, or later. Linear, with a lock section for each block that it makes.
    pub fn add_piece(
        &self,
        memory: &'static mut [u8],
    ) -> Result<usize, Refused<&'static mut [u8], MemoryError>> {
        self.0.add_piece(memory).map(|pages| pages.get() * PAGE)
    }

    /// Whether the next memory that is added brings the lobby.
    fn needs_lobby(&self) -> bool {
        LOBBY > 0 && !self.0.has_memory(&Self::LOBBY_RANGE)
    }

    /// Adds a window of the memory as the lobby, and the parts beside it to the other ranges, the longer one first.
    fn add_around(
        &self,
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<usize, MemoryRefused> {
        if let Err(why) = Self::check_lobby(memory, meta) {
            return Err(Refused { item: (memory, meta), why });
        }
        let (for_lobby, meta) = meta.split_at_mut_checked(Self::LOBBY_WORDS).unwrap_or_default(); // checked before
        let (before, rest) = memory.split_at_mut_checked(window_skip(memory, LOBBY)).unwrap_or_default();
        let (window, after) = rest.split_at_mut_checked(LOBBY).unwrap_or_default();
        let mut pages = self.0.add(&Self::LOBBY_RANGE, window, for_lobby)?;
        let (longer, shorter) = if before.len() > after.len() { (before, after) } else { (after, before) };
        let words = meta.len().saturating_sub(Self::LOBBY_WORDS);
        let (for_longer, for_shorter) = meta.split_at_mut_checked(words).unwrap_or_default();
        for (part, meta) in [(longer, for_longer), (shorter, for_shorter)] {
            pages += self.0.add(&Self::OTHERS, part, meta).unwrap_or(Pages::ZERO); // no whole page, or no range is left for it
        }
        Ok(pages.get() * PAGE)
    }

    /// Checks whether [`add`](Ram::add) would accept these; nothing changes.
    ///
    /// # Errors
    /// As `add`.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        if self.needs_lobby() {
            Self::check_lobby(memory, meta)
        } else {
            self.0.check(&Self::OTHERS, memory, meta)
        }
    }

    /// Whether the memory has a window for the lobby, and the metadata is enough.
    fn check_lobby(memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let words = Self::metadata_words(memory.len());
        if window_skip(memory, LOBBY).checked_add(LOBBY).is_none_or(|end| end > memory.len()) {
            return Err(MemoryError::NoLobby);
        }
        if meta.len() < words { Err(MemoryError::Metadata { words }) } else { Ok(()) }
    }

    /// The ranges in these zones.
    const fn in_zones(zones: Zones) -> Which {
        let first = if zones.contains(Zones::of(0)) { 0 } else { Self::OTHERS.end };
        let end = if zones.contains(Zones::of(1)) { RANGES } else { Self::OTHERS.end };
        first..end
    }

    /// The same for an allocation, which asks for zone 0 where there is no other one.
    const fn may_have(zones: Zones) -> Which {
        if LOBBY == 0 { Self::OTHERS } else { Self::in_zones(zones) }
    }

    /// Pages that are free.
    pub fn unused(&self) -> Pages {
        self.0.free(&(0..RANGES))
    }

    /// Whether a block of that order is free. O(ranges).
    pub(crate) fn has(&self, order: Order) -> bool {
        self.0.has(&(0..RANGES), order)
    }

    /// Pages of the largest free block. O(ranges).
    pub fn largest_free(&self) -> Pages {
        self.0.largest(&(0..RANGES))
    }

    /// The least that was ever free, the sum over the ranges: memory that was never needed. O(ranges).
    pub fn lowest_unused(&self) -> Pages {
        self.0.lowest(&(0..RANGES))
    }

    /// All pages.
    pub fn total(&self) -> Pages {
        self.0.total(&(0..RANGES))
    }
}

/// Bytes before the first multiple of the window's size.
fn window_skip(memory: &[u8], window: usize) -> usize {
    memory.as_ptr().align_offset(window.max(1))
}

impl<L: RawMutex, const PAGE: usize, const RANGES: usize, const LOBBY: usize> FrameSource
    for Ram<L, PAGE, RANGES, LOBBY>
{
    type Block = RamBlock<PAGE>;
    type RawMutex = L;

    const ZONES: u8 = if LOBBY > 0 { 2 } else { 1 };
    const LOBBY: Zones = if LOBBY > 0 { Zones::of(1) } else { Zones::empty() };

    #[inline]
    fn allocate(&self, request: AllocRequest, _: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.0.take(&Self::may_have(request.zones), request.order).ok_or(AllocError::Exhausted)
    }

    /// Up to 16, of orders up to 5: what lies in one word of the metadata.
    fn allocate_more(
        &self,
        request: AllocRequest,
        more: &mut [Option<RamBlock<PAGE>>],
        _: Context,
    ) -> Result<RamBlock<PAGE>, AllocError> {
        self.0.take_more(&Self::may_have(request.zones), request.order, more).ok_or(AllocError::Exhausted)
    }

    /// All of it is known. O(ranges).
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.0.supply(&Self::in_zones(request.zones), request.order)
    }

    /// Zone 1 is the lobby.
    fn zone(&self, block: &RamBlock<PAGE>) -> u8 {
        u8::from(LOBBY > 0 && self.0.has_block(&Self::LOBBY_RANGE, block))
    }

    /// Not what lies in the lobby.
    fn is_poolable(&self, block: &RamBlock<PAGE>) -> bool {
        self.zone(block) == 0
    }

    /// A block of another source is leaked.
    fn free(&self, block: RamBlock<PAGE>) {
        let _ = self.0.put(block);
    }

    fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        self.0.join(left, right)
    }
}

impl<L: RawMutex, const PAGE: usize, const RANGES: usize, const LOBBY: usize> LinearMap<RamBlock<PAGE>, ()>
    for Ram<L, PAGE, RANGES, LOBBY>
{
    /// The blocks are neighbours in one range of RAM; nothing is mapped for it, in any context.
    fn contiguous<'b>(
        &'b self,
        _: BufferId,
        (): (),
        blocks: impl Iterator<Item = &'b RamBlock<PAGE>>,
        _: Context,
    ) -> Option<&'b [u8]> {
        self.0.view(&Neighbours::of(blocks)?)
    }

    fn contiguous_mut<'b>(
        &'b self,
        _: BufferId,
        (): (),
        blocks: impl Iterator<Item = &'b mut RamBlock<PAGE>>,
        _: Context,
    ) -> Option<&'b mut [u8]> {
        self.0.view_mut(Neighbours::of_mut(blocks)?)
    }
}

impl<L: RawMutex, const PAGE: usize, const RANGES: usize, const LOBBY: usize> fmt::Debug
    for Ram<L, PAGE, RANGES, LOBBY>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ram({} of {} pages of {PAGE} bytes free)", self.unused(), self.total())
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, const PAGE: usize, const RANGES: usize, const LOBBY: usize> defmt::Format
    for Ram<L, PAGE, RANGES, LOBBY>
{
    fn format(&self, f: defmt::Formatter<'_>) {
        let (free, total) = (self.unused().get(), self.total().get());
        defmt::write!(f, "Ram({=usize} of {=usize} pages of {=usize} bytes free)", free, total, PAGE);
    }
}
