//! The usual source: a buddy over ranges of RAM.

use super::{MemoryError, MemoryRefused, Neighbours, RamBlock, RamRange};
use core::fmt;
use core::ops::Range;
use forebay::{
    AllocError, AllocRequest, BufferId, Context, FrameSource, Order, Pages, Refused, Zones,
    port::{LinearMap, Supply},
    sync::RawMutex,
};

/// A source over up to `RANGES` ranges of plain RAM, of any size and alignment; pages of `PAGE` bytes.
///
/// The frame number of a block is its address divided by `PAGE`: memory is used where it is mapped. Each range has its own
/// metadata, about two bits a page. Blocks are naturally aligned, of orders 0 to 10, and never cross from one range into the
/// next, even if the two touch.
///
/// It is a [`LinearMap`] too: with `WithLinear(&ram, &ram)`, a buffer whose blocks are neighbours in one range is one slice.
///
/// With a `LOBBY`, a size in bytes, an aligned window of that size in the first memory that is added is the lobby
/// ([`FrameSource::LOBBY`]): zone 1, and one of the ranges. Make it as large as the largest buffer, a power of two of pages. Each of
/// the two parts of the memory beside it is a range of its own, so 3 `RANGES` lose nothing; with 2, the shorter part is not used.
///
/// # Complexity
/// Allocating and freeing: O(ranges + orders · log pages). A lock is held for a few dozen instructions at a time, whatever the
/// size of the memory.
pub struct Ram<L, const PAGE: usize, const RANGES: usize = 2, const LOBBY: usize = 0>(
    [RamRange<L, PAGE>; RANGES],
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
        Ram([const { RamRange::new() }; RANGES])
    }

    /// Words of metadata for a range of `bytes` bytes: two bits a page and a little, so below 0.1 % of a large range where
    /// pages have 512 bytes or more. A small range needs more: at least a word for each order that fits.
    pub const fn metadata_words(bytes: usize) -> usize {
        RamRange::<L, PAGE>::words(bytes) + 2 * Self::LOBBY_WORDS
    }

    /// Words for a lobby, which the part beside it needs too at most.
    const LOBBY_WORDS: usize = if LOBBY == 0 { 0 } else { RamRange::<L, PAGE>::words(LOBBY) };

    /// The range that is the lobby, if there is one, and the others.
    fn ranges(&self) -> (Option<&RamRange<L, PAGE>>, &[RamRange<L, PAGE>]) {
        match self.0.split_last() {
            Some((lobby, others)) if LOBBY > 0 => (Some(lobby), others),
            _ => (None, &self.0),
        }
    }

    /// Adds a range of memory. Returns how many bytes of it are usable. Ragged ends are trimmed.
    ///
    /// The bytes are not touched. Blocks have them as they are: a pool zeroes what it gives.
    ///
    /// # Errors
    /// [`MemoryError`]; memory and metadata are handed back. (Of two calls at once that both bring the lobby, one hands back the
    /// lobby's part only.)
    ///
    /// # Context
    /// For start-up: linear in the metadata.
    pub fn add(&self, memory: &'static mut [u8], meta: &'static mut [usize]) -> Result<usize, MemoryRefused> {
        if let Err(why) = self.check(memory, meta) {
            return Err(Refused { item: (memory, meta), why });
        }
        match self.ranges() {
            (Some(lobby), others) if lobby.pages() == Pages::ZERO => {
                Self::add_around(lobby, others, memory, meta)
            }
            (_, others) => Self::add_to(others, memory, meta),
        }
    }

    /// Adds memory to the first range that has none.
    fn add_to(
        ranges: &[RamRange<L, PAGE>],
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<usize, MemoryRefused> {
        let mut refused = Refused { item: (memory, meta), why: MemoryError::TooManyRanges };
        for range in ranges {
            let (memory, meta) = refused.item;
            match range.init(memory, meta) {
                Ok(pages) => return Ok(pages.get() * PAGE),
                Err(taken) => refused = Refused { item: taken.item, why: MemoryError::TooManyRanges },
            }
        }
        Err(refused)
    }

    /// Adds a window of the memory as the lobby, and the parts beside it to the other ranges, the longer one first.
    fn add_around(
        lobby: &RamRange<L, PAGE>,
        others: &[RamRange<L, PAGE>],
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<usize, MemoryRefused> {
        let (for_lobby, meta) = meta.split_at_mut_checked(Self::LOBBY_WORDS).unwrap_or_default(); // checked before
        let (before, rest) = memory.split_at_mut_checked(window_skip(memory, LOBBY)).unwrap_or_default();
        let (window, after) = rest.split_at_mut_checked(LOBBY).unwrap_or_default();
        let mut bytes = lobby.init(window, for_lobby)?.get() * PAGE;
        let (longer, shorter) = if before.len() > after.len() { (before, after) } else { (after, before) };
        let words = meta.len().saturating_sub(Self::LOBBY_WORDS);
        let (for_longer, for_shorter) = meta.split_at_mut_checked(words).unwrap_or_default();
        for (part, meta) in [(longer, for_longer), (shorter, for_shorter)] {
            bytes += Self::add_to(others, part, meta).unwrap_or(0); // no whole page, or no range is left for it
        }
        Ok(bytes)
    }

    /// Checks whether [`add`](Ram::add) would accept these; nothing changes.
    ///
    /// # Errors
    /// As `add`.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let (lobby, others) = self.ranges();
        if lobby.is_some_and(|lobby| lobby.pages() == Pages::ZERO) {
            let words = Self::metadata_words(memory.len());
            if window_skip(memory, LOBBY).checked_add(LOBBY).is_none_or(|end| end > memory.len()) {
                return Err(MemoryError::NoLobby);
            }
            return if meta.len() < words { Err(MemoryError::Metadata { words }) } else { Ok(()) };
        }
        if lobby.is_some_and(|lobby| overlap(&lobby.addresses(), memory)) {
            return Err(MemoryError::Overlap);
        }
        let mut fits = Err(MemoryError::TooManyRanges);
        for range in others {
            match range.check(memory, meta) {
                Err(MemoryError::Already) if overlap(&range.addresses(), memory) => {
                    return Err(MemoryError::Overlap);
                }
                Err(MemoryError::Already) => {}
                other => fits = other.map(|_| ()),
            }
        }
        fits
    }

    /// The ranges in these zones.
    fn in_zones(&self, zones: Zones) -> &[RamRange<L, PAGE>] {
        let others = if LOBBY > 0 { RANGES - 1 } else { RANGES };
        let first = if zones.contains(Zones::of(0)) { 0 } else { others };
        let end = if zones.contains(Zones::of(1)) { RANGES } else { others };
        self.0.get(first..end).unwrap_or_default()
    }

    /// Pages that are free.
    pub fn unused(&self) -> Pages {
        self.0.iter().map(RamRange::free).sum()
    }

    /// Whether a block of that order is free. O(ranges).
    pub(crate) fn has(&self, order: Order) -> bool {
        self.0.iter().any(|range| range.has(order))
    }

    /// Pages of the largest free block. O(ranges).
    pub fn largest_free(&self) -> Pages {
        self.0.iter().map(RamRange::largest).max().unwrap_or(Pages::ZERO)
    }

    /// The least that was ever free, the sum over the ranges: memory that was never needed. O(ranges).
    pub fn lowest_unused(&self) -> Pages {
        self.0.iter().map(RamRange::lowest).sum()
    }

    /// All pages.
    pub fn total(&self) -> Pages {
        self.0.iter().map(RamRange::pages).sum()
    }
}

/// Bytes before the first multiple of the window's size.
fn window_skip(memory: &[u8], window: usize) -> usize {
    memory.as_ptr().align_offset(window.max(1))
}

/// Whether a slice shares a byte with a range of addresses.
pub(crate) fn overlap(addresses: &Range<usize>, memory: &[u8]) -> bool {
    let other = memory.as_ptr_range();
    addresses.start < other.end.addr() && other.start.addr() < addresses.end
}

impl<L: RawMutex, const PAGE: usize, const RANGES: usize, const LOBBY: usize> FrameSource
    for Ram<L, PAGE, RANGES, LOBBY>
{
    type Block = RamBlock<PAGE>;
    type RawMutex = L;

    const ZONES: u8 = if LOBBY > 0 { 2 } else { 1 };
    const LOBBY: Zones = if LOBBY > 0 { Zones::of(1) } else { Zones::empty() };

    fn allocate(&self, request: AllocRequest, _: Context) -> Result<RamBlock<PAGE>, AllocError> {
        let ranges = if LOBBY > 0 { self.in_zones(request.zones) } else { &self.0 };
        ranges.iter().find_map(|range| range.cut(request.order)).ok_or(AllocError::Exhausted)
    }

    /// All of it is known. O(ranges · log pages).
    fn supply(&self, request: &AllocRequest) -> Supply {
        let (mut free, mut ready, mut ever) = (Pages::ZERO, false, Pages::ZERO);
        for range in self.in_zones(request.zones) {
            free += range.free();
            ready |= range.has(request.order);
            ever += range.pages_in(request.order);
        }
        Supply { free: Some(free), ready: Some(ready), ever: Some(ever) }
    }

    /// Zone 1 is the lobby.
    fn zone(&self, block: &RamBlock<PAGE>) -> u8 {
        let (lobby, _) = self.ranges();
        u8::from(lobby.is_some_and(|lobby| lobby.index(block).is_some()))
    }

    /// Not what lies in the lobby.
    fn is_poolable(&self, block: &RamBlock<PAGE>) -> bool {
        self.zone(block) == 0
    }

    /// A block of another source is leaked.
    fn free(&self, block: RamBlock<PAGE>) {
        let mut block = block;
        for range in &self.0 {
            block = match range.put(block) {
                Ok(()) => return,
                Err(other) => other,
            };
        }
    }

    fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        match self.0.iter().find(|range| range.index(&left).is_some()) {
            Some(range) => range.join(left, right),
            None => Err((left, right)),
        }
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
        let all = Neighbours::of(blocks)?;
        self.0.iter().find_map(|range| range.view(&all))
    }

    fn contiguous_mut<'b>(
        &'b self,
        _: BufferId,
        (): (),
        blocks: impl Iterator<Item = &'b mut RamBlock<PAGE>>,
        _: Context,
    ) -> Option<&'b mut [u8]> {
        let all = Neighbours::of_mut(blocks)?;
        self.0.iter().find(|range| range.reaches(&all)).and_then(|range| range.view_mut(all))
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
