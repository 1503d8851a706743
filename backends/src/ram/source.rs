//! The usual source: a buddy over ranges of RAM.

use super::{MemoryError, MemoryRefused, Neighbours, RamBlock, RamRange};
use core::fmt;
use core::ops::Range;
use forebay::{
    AllocError, AllocRequest, BufferId, Context, FrameSource, Pages, Refused, Zones,
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
/// # Complexity
/// Allocating and freeing: O(ranges + orders · log pages). A lock is held for a few dozen instructions at a time, whatever the
/// size of the memory.
pub struct Ram<L, const PAGE: usize, const RANGES: usize = 2>([RamRange<L, PAGE>; RANGES]);

impl<L: RawMutex, const PAGE: usize, const RANGES: usize> Ram<L, PAGE, RANGES> {
    /// A source without memory.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        Ram([const { RamRange::new() }; RANGES])
    }

    /// Words of metadata for a range of `bytes` bytes: two bits a page and a little, so below 0.1 % of a large range where
    /// pages have 512 bytes or more. A small range needs more: at least a word for each order that fits.
    pub const fn metadata_words(bytes: usize) -> usize {
        RamRange::<L, PAGE>::words(bytes)
    }

    /// Adds a range of memory. Returns how many bytes of it are usable. Ragged ends are trimmed.
    ///
    /// The bytes are not touched. Blocks have them as they are: a pool zeroes what it gives.
    ///
    /// # Errors
    /// [`MemoryError`]; memory and metadata are handed back.
    ///
    /// # Context
    /// For start-up: linear in the metadata.
    pub fn add(&self, memory: &'static mut [u8], meta: &'static mut [usize]) -> Result<usize, MemoryRefused> {
        let mut refused = match self.check(memory, meta) {
            Ok(()) => Refused { item: (memory, meta), why: MemoryError::TooManyRanges },
            Err(why) => return Err(Refused { item: (memory, meta), why }),
        };
        for range in &self.0 {
            let (memory, meta) = refused.item;
            match range.init(memory, meta) {
                Ok(pages) => return Ok(pages.get() * PAGE),
                Err(taken) => refused = Refused { item: taken.item, why: MemoryError::TooManyRanges },
            }
        }
        Err(refused)
    }

    /// Checks whether [`add`](Ram::add) would accept these; nothing changes.
    ///
    /// # Errors
    /// As `add`.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let mut fits = Err(MemoryError::TooManyRanges);
        for range in &self.0 {
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

    /// Pages that are free.
    pub fn unused(&self) -> Pages {
        self.0.iter().map(RamRange::free).sum()
    }

    /// All pages.
    pub fn total(&self) -> Pages {
        self.0.iter().map(RamRange::pages).sum()
    }
}

/// Whether a slice shares a byte with a range of addresses.
pub(crate) fn overlap(addresses: &Range<usize>, memory: &[u8]) -> bool {
    let other = memory.as_ptr_range();
    addresses.start < other.end.addr() && other.start.addr() < addresses.end
}

impl<L: RawMutex, const PAGE: usize, const RANGES: usize> FrameSource for Ram<L, PAGE, RANGES> {
    type Block = RamBlock<PAGE>;
    type RawMutex = L;

    fn allocate(&self, request: AllocRequest, _: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.0.iter().find_map(|range| range.cut(request.order)).ok_or(AllocError::Exhausted)
    }

    /// All of it is known. There is one zone. O(ranges · log pages).
    fn supply(&self, request: &AllocRequest) -> Supply {
        if !request.zones.contains(Zones::of(0)) {
            return Supply { free: Some(Pages::ZERO), ready: Some(false), ever: Some(Pages::ZERO) };
        }
        Supply {
            free: Some(self.unused()),
            ready: Some(self.0.iter().any(|range| range.has(request.order))),
            ever: Some(self.0.iter().map(|range| range.pages_in(request.order)).sum()),
        }
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

impl<L: RawMutex, const PAGE: usize, const RANGES: usize> LinearMap<RamBlock<PAGE>, ()>
    for Ram<L, PAGE, RANGES>
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

impl<L: RawMutex, const PAGE: usize, const RANGES: usize> fmt::Debug for Ram<L, PAGE, RANGES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ram({} of {} pages of {PAGE} bytes free)", self.unused(), self.total())
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, const PAGE: usize, const RANGES: usize> defmt::Format for Ram<L, PAGE, RANGES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (free, total) = (self.unused().get(), self.total().get());
        defmt::write!(f, "Ram({=usize} of {=usize} pages of {=usize} bytes free)", free, total, PAGE);
    }
}
