//! The usual source: a buddy over pieces of RAM.

use super::{MemoryError, MemoryRefused, Neighbours, Piece, PutAway, RamBlock};
use core::fmt;
use core::ops::Range;
use forebay::{
    AllocError, AllocRequest, BufferId, Context, FrameSource, Pages, Refused, Zones, port::LinearMap,
    sync::RawMutex,
};

/// A source over up to `PIECES` pieces of plain RAM, of any size and alignment; pages of `PAGE` bytes.
///
/// The frame number of a block is its address divided by `PAGE`: memory is used where it is mapped. Each piece
/// brings the metadata for it, about two bits a page. Blocks are naturally aligned, of orders 0 to 10, and never
/// reach from one piece into the next, even if the two touch.
///
/// A buffer whose blocks are neighbours in one piece is one slice ([`Platform::contiguous`]).
///
/// One caching mode, no hooks: wrap it to add some.
///
/// # Complexity
/// Allocating and releasing: O(pieces + orders · log pages). A lock is held for a few dozen instructions at a time, whatever
/// the size of the memory.
pub struct Ram<L, const PAGE: usize, const PIECES: usize = 2>([Piece<L, PAGE>; PIECES]);

impl<L: RawMutex, const PAGE: usize, const PIECES: usize> Ram<L, PAGE, PIECES> {
    /// A source without memory.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        Ram([const { Piece::new() }; PIECES])
    }

    /// Words of metadata for a piece of `bytes` bytes: two bits a page and a little, so below 0.1 % of a large
    /// piece where pages have 512 bytes or more. A small piece needs more: a word at least for each order that fits.
    pub const fn metadata_words(bytes: usize) -> usize {
        Piece::<L, PAGE>::words(bytes)
    }

    /// Adds a piece of memory; returns how many bytes of it are usable. Ragged ends are trimmed.
    ///
    /// The bytes are not touched. They are handed out as they are: a pool wipes what it gives.
    ///
    /// # Errors
    /// [`MemoryError`]; memory and metadata come back.
    ///
    /// # Context
    /// For start-up: linear in the metadata.
    pub fn add(&self, memory: &'static mut [u8], meta: &'static mut [usize]) -> Result<usize, MemoryRefused> {
        let mut refused = match self.check(memory, meta) {
            Ok(()) => Refused::new((memory, meta), MemoryError::TooManyPieces),
            Err(why) => return Err(Refused::new((memory, meta), why)),
        };
        for piece in &self.0 {
            let (memory, meta) = refused.item;
            match piece.init(memory, meta, PutAway::Never) {
                Ok(pages) => return Ok(pages.get() * PAGE),
                Err(taken) => refused = Refused::new(taken.item, MemoryError::TooManyPieces),
            }
        }
        Err(refused)
    }

    /// Whether [`add`](Ram::add) would accept these; nothing changes.
    ///
    /// # Errors
    /// What it would say.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let mut fits = Err(MemoryError::TooManyPieces);
        for piece in &self.0 {
            match piece.check(memory, meta, PutAway::Never) {
                Err(MemoryError::Already) if overlap(&piece.addresses(), memory) => {
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
        self.0.iter().map(Piece::free).sum()
    }

    /// Pages that there are.
    pub fn total(&self) -> Pages {
        self.0.iter().map(Piece::pages).sum()
    }
}

/// Whether a slice shares a byte with a range of addresses.
pub(crate) fn overlap(addresses: &Range<usize>, memory: &[u8]) -> bool {
    let other = memory.as_ptr_range();
    addresses.start < other.end.addr() && other.start.addr() < addresses.end
}

impl<L: RawMutex, const PAGE: usize, const PIECES: usize> FrameSource for Ram<L, PAGE, PIECES> {
    type Block = RamBlock<PAGE>;
    type RawMutex = L;

    fn allocate(&self, request: AllocRequest, _: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.0.iter().find_map(|piece| piece.cut(request.order)).ok_or(AllocError::Exhausted)
    }

    /// Always known: it counts them.
    fn free_pages(&self, _: Zones) -> Option<Pages> {
        Some(self.unused())
    }

    /// A block of another source is leaked, never mixed in.
    fn free(&self, block: RamBlock<PAGE>) {
        let mut block = block;
        for piece in &self.0 {
            block = match piece.put(block) {
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
        match self.0.iter().find(|piece| piece.index(&left).is_some()) {
            Some(piece) => piece.join(left, right),
            None => Err((left, right)),
        }
    }
}

impl<L: RawMutex, const PAGE: usize, const PIECES: usize> LinearMap<RamBlock<PAGE>, ()>
    for Ram<L, PAGE, PIECES>
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
        self.0.iter().find_map(|piece| piece.view(&all))
    }

    fn contiguous_mut<'b>(
        &'b self,
        _: BufferId,
        (): (),
        blocks: impl Iterator<Item = &'b mut RamBlock<PAGE>>,
        _: Context,
    ) -> Option<&'b mut [u8]> {
        let all = Neighbours::of_mut(blocks)?;
        self.0.iter().find(|piece| piece.has(&all)).and_then(|piece| piece.view_mut(all))
    }
}

impl<L: RawMutex, const PAGE: usize, const PIECES: usize> fmt::Debug for Ram<L, PAGE, PIECES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ram({} of {} pages of {PAGE} bytes free)", self.unused(), self.total())
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, const PAGE: usize, const PIECES: usize> defmt::Format for Ram<L, PAGE, PIECES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (free, total) = (self.unused().get(), self.total().get());
        defmt::write!(f, "Ram({=usize} of {=usize} pages of {=usize} bytes free)", free, total, PAGE);
    }
}
