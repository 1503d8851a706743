//! Memory that is split into blocks: the only file where the number of a frame becomes an address.
#![allow(unsafe_code)]

use crate::frames::steps::{self, Access};
use crate::frames::{Buddy, blocks};
use core::fmt;
use core::marker::PhantomData;
use core::num::NonZeroUsize;
use core::ops::{Deref, DerefMut, Range};
use core::ptr::NonNull;
use forebay::{
    Order, OwnedBlock, Pages, Pfn, Refused,
    sync::{Mutex, RawMutex},
};

/// `2^order` pages of ordinary RAM that nothing else reads or writes. It derefs to its bytes.
///
/// One word, and so is an `Option` of it: the address, with the order in bits that alignment leaves free.
///
/// # Invariants
/// Owns `PAGE << order` initialised bytes, aligned to that size, of one `&'static mut [u8]`.
/// `PAGE` is a power of two from 256 to 2 MiB.
pub struct RamBlock<const PAGE: usize>(NonNull<u8>);

const ORDER_BITS: usize = 15;

// SAFETY: it owns its bytes, as a `Box<[u8]>` would.
unsafe impl<const PAGE: usize> Send for RamBlock<PAGE> {}
// SAFETY: a shared reference gives no way to write.
unsafe impl<const PAGE: usize> Sync for RamBlock<PAGE> {}

const _: () = assert!(size_of::<Option<RamBlock<256>>>() == size_of::<usize>());

impl<const PAGE: usize> RamBlock<PAGE> {
    /// # Safety
    /// The invariants of the type hold for these bytes.
    pub(crate) unsafe fn new(at: NonNull<u8>, order: Order) -> Self {
        const {
            assert!(
                PAGE.is_power_of_two() && PAGE >= 256 && PAGE <= 2 << 20,
                "PAGE: a power of two from 256 B to 2 MiB"
            )
        }
        RamBlock(at.map_addr(|a| a | usize::from(order.get())))
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        // A block is not at address 0, which has no order bits either.
        self.0.map_addr(|a| NonZeroUsize::new(a.get() & !ORDER_BITS).unwrap_or(a))
    }
}

impl<const PAGE: usize> Deref for RamBlock<PAGE> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: invariant of the type: the bytes are initialised, owned by this block, and this many.
        unsafe { NonNull::slice_from_raw_parts(self.base(), self.bytes()).as_ref() }
    }
}

impl<const PAGE: usize> DerefMut for RamBlock<PAGE> {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `&mut self` is exclusive.
        unsafe { NonNull::slice_from_raw_parts(self.base(), self.bytes()).as_mut() }
    }
}

impl<const PAGE: usize> OwnedBlock for RamBlock<PAGE> {
    const PAGE: usize = PAGE;

    fn pfn(&self) -> Pfn {
        Pfn(self.base().addr().get() / PAGE)
    }

    fn order(&self) -> Order {
        Order::new((self.0.addr().get() & ORDER_BITS) as u8).unwrap_or(Order::PAGE)
    }

    fn split(self) -> Result<(Self, Self), Self> {
        let Some(order) = self.order().lower() else { return Err(self) };
        let base = self.base();
        // SAFETY: 1. the block is twice as long as this offset, so it stays inside; 2. the halves share no byte,
        // are aligned to their size, and `self`, which owned both, ends here.
        unsafe { Ok((Self::new(base, order), Self::new(base.add(PAGE << order.get()), order))) }
    }

    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let from = self.get(at..).unwrap_or_default();
        copy(from, to)
    }

    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let to = self.get_mut(at..).unwrap_or_default();
        copy(from, to)
    }

    fn zero(&mut self) {
        self.fill(0);
    }
}

/// Copies as much as both have; returns how much.
fn copy(from: &[u8], to: &mut [u8]) -> usize {
    let n = from.len().min(to.len());
    if let (Some(to), Some(from)) = (to.get_mut(..n), from.get(..n)) {
        to.copy_from_slice(from);
    }
    n
}

impl<const PAGE: usize> fmt::Debug for RamBlock<PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?}", self.pfn(), self.order())
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize> defmt::Format for RamBlock<PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}+{}", self.pfn(), self.order());
    }
}

/// Why memory was refused. It is untouched, and handed back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MemoryError {
    /// It has no whole page, once its ends are trimmed to page boundaries.
    NoWholePage,
    /// The metadata slice is too short.
    Metadata {
        /// The number of words that it needs; for a slice that is for several ranges, all of them.
        words: usize,
    },
    /// It overlaps memory that was added before.
    Overlap,
    /// The source has no room for another range.
    TooManyRanges,
    /// There is memory already, and only one range is accepted.
    Already,
    /// More pages than a handle can name.
    TooLarge,
    /// It has no aligned window that is as large as the lobby.
    NoLobby,
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MemoryError::NoWholePage => {
                f.write_str("no whole page in this range: give it more memory, or use smaller pages")
            }
            MemoryError::Metadata { words } => write!(f, "the metadata is too short: give it {words} words"),
            MemoryError::Overlap => {
                f.write_str("the range overlaps one that was added before: give each range once")
            }
            MemoryError::TooManyRanges => {
                f.write_str("too many ranges: raise the number of ranges in the type")
            }
            MemoryError::Already => {
                f.write_str("there is memory already, and only one range is accepted: initialise it once, or use a second store")
            }
            MemoryError::NoLobby => {
                f.write_str("no aligned window for the lobby in this range: give it more memory, or use a smaller lobby")
            }
            MemoryError::TooLarge => {
                f.write_str("more pages than a handle can name: use larger pages or several stores")
            }
        }
    }
}

impl core::error::Error for MemoryError {}

/// Memory and its metadata that were refused.
pub type MemoryRefused = Refused<(&'static mut [u8], &'static mut [usize]), MemoryError>;

/// Words of the caller.
type Lent = &'static mut [usize];

/// Blocks that lie one behind the other.
///
/// # Invariants
/// All `bytes` bytes from the address `at` on belong to blocks that are borrowed as `T` says: shared for `&'b [u8]`,
/// exclusively for `&'b mut [u8]`. During that borrow there are no other references to them.
pub(crate) struct Neighbours<T> {
    at: usize,
    bytes: usize,
    borrowed: PhantomData<T>,
}

impl<'b> Neighbours<&'b [u8]> {
    /// These blocks, if there are any and each begins where the last one ends.
    pub(crate) fn of<const PAGE: usize>(blocks: impl Iterator<Item = &'b RamBlock<PAGE>>) -> Option<Self> {
        Self::lined_up(blocks.map(|block| (block.base().addr().get(), block.bytes())))
    }
}

impl<'b> Neighbours<&'b mut [u8]> {
    /// These blocks, if there are any and each begins where the last one ends.
    pub(crate) fn of_mut<const PAGE: usize>(
        blocks: impl Iterator<Item = &'b mut RamBlock<PAGE>>,
    ) -> Option<Self> {
        Self::lined_up(blocks.map(|block| (block.base().addr().get(), block.bytes())))
    }
}

impl<T> Neighbours<T> {
    /// Each with its address and length.
    fn lined_up(mut blocks: impl Iterator<Item = (usize, usize)>) -> Option<Self> {
        let (at, first) = blocks.next()?;
        let mut bytes = first;
        for (next, more) in blocks {
            if at.checked_add(bytes) != Some(next) {
                return None;
            }
            bytes += more;
        }
        Some(Neighbours { at, bytes, borrowed: PhantomData })
    }
}

/// One range of RAM and its numbers.
///
/// # Invariants
/// `base` is the first byte of the frames, all of which lie in one `&'static mut [u8]`. (Without frames it is arbitrary.)
struct Span<const PAGE: usize> {
    base: NonNull<u8>,
    frames: Range<usize>,
}

impl<const PAGE: usize> Span<PAGE> {
    /// First byte and end.
    fn addresses(&self) -> Range<usize> {
        self.frames.start * PAGE..self.frames.end * PAGE
    }

    /// The number of a block's first page in this range, if all of the block lies in it.
    fn index(&self, block: &RamBlock<PAGE>) -> Option<usize> {
        let index = block.pfn().0.checked_sub(self.frames.start)?;
        let pages = self.frames.len().checked_sub(index)?;
        (block.order().pages().get() <= pages).then_some(index)
    }

    /// The bytes of neighbours, if they lie in this range.
    fn reach<T>(&self, all: &Neighbours<T>) -> Option<NonNull<[u8]>> {
        let range = self.addresses();
        if !range.contains(&all.at) || range.end - all.at < all.bytes {
            return None;
        }
        // The pointer comes from the range, not from a block: only so may it reach over several blocks.
        let at = self.base.map_addr(|_| NonZeroUsize::new(all.at).unwrap_or(self.base.addr()));
        Some(NonNull::slice_from_raw_parts(at, all.bytes))
    }

    /// # Safety
    /// The block lies in the range, aligned, and nothing else owns a byte of it.
    unsafe fn block_at(&self, pfn: Pfn, order: Order) -> RamBlock<PAGE> {
        // SAFETY: the caller's promise; `base` is the first frame of the range, from a `&'static mut [u8]`.
        unsafe { RamBlock::new(self.base.add((pfn.0 - self.frames.start) * PAGE), order) }
    }
}

/// A range of RAM and its free frames.
///
/// # Invariants
/// Each frame is free in `buddy`, or in one [`RamBlock`]. Every `RamBlock` whose address lies in the range was cut from it. Frames
/// that were added stay.
struct Memory {
    /// `None` until memory is added.
    base: Option<NonNull<u8>>,
    buddy: Buddy<Lent>,
}

// SAFETY: it owns the frames that are free.
unsafe impl Send for Memory {}

/// One range of RAM that blocks are cut from. Its lock is held for a few dozen instructions at a time.
pub(crate) struct RamRange<L, const PAGE: usize>(Mutex<L, Memory>);

impl<L: RawMutex, const PAGE: usize> RamRange<L, PAGE> {
    /// Without memory.
    pub(crate) const fn new() -> Self {
        RamRange(Mutex::new(Memory { base: None, buddy: Buddy::without(&mut [] as Lent) }))
    }

    /// Words for `bytes` bytes.
    pub(crate) const fn words(bytes: usize) -> usize {
        Buddy::<Lent>::words(bytes / PAGE)
    }

    /// The number of pages that these give, with ragged ends trimmed.
    pub(crate) fn check(&self, memory: &[u8], meta: &[usize]) -> Result<usize, MemoryError> {
        if self.0.lock(|m| m.base.is_some()) {
            return Err(MemoryError::Already);
        }
        let skip = memory.as_ptr().align_offset(PAGE);
        let pages = memory.len().checked_sub(skip).map_or(0, |n| n / PAGE);
        if pages == 0 {
            return Err(MemoryError::NoWholePage);
        }
        let words = Buddy::<Lent>::words(pages);
        if meta.len() < words { Err(MemoryError::Metadata { words }) } else { Ok(pages) }
    }

    /// Adds the memory, all of it free. Returns its pages. Superfluous metadata is ignored. Linear, but not under the lock.
    pub(crate) fn init(
        &self,
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<Pages, MemoryRefused> {
        let pages = match self.check(memory, meta) {
            Ok(pages) => pages,
            Err(why) => return Err(Refused { item: (memory, meta), why }),
        };
        let skip = memory.as_ptr().align_offset(PAGE);
        let base = NonNull::from(memory.get_mut(skip..).unwrap_or_default()).cast::<u8>();
        // From here on only this caller fills it.
        let is_ours = self.0.lock(|m| {
            let was = m.base;
            m.base = was.or(Some(base));
            was.is_none()
        });
        if !is_ours {
            return Err(Refused { item: (memory, meta), why: MemoryError::Already });
        }
        let words = meta.get_mut(..Buddy::<Lent>::words(pages)).unwrap_or_default(); // checked above
        let first = base.addr().get() / PAGE;
        let frames = first..first + pages;
        let buddy = Buddy::new(frames.clone(), words);
        self.0.lock(|m| m.buddy = buddy);
        steps::put_run(&mut { self }, frames);
        Ok(Pages::new(pages))
    }

    pub(crate) fn pages(&self) -> Pages {
        Pages::new(self.span().frames.len())
    }

    pub(crate) fn free(&self) -> Pages {
        self.0.lock(|m| m.buddy.free())
    }

    /// Whether a block of that order is free.
    pub(crate) fn has(&self, order: Order) -> bool {
        steps::has(&mut { self }, order)
    }

    /// Pages of the largest free block.
    pub(crate) fn largest(&self) -> Pages {
        steps::largest(&mut { self }).map_or(Pages::ZERO, Order::pages)
    }

    /// The least that was ever free.
    pub(crate) fn lowest(&self) -> Pages {
        self.0.lock(|m| m.buddy.lowest())
    }

    /// Pages in all blocks of that order, free or not.
    pub(crate) fn pages_in(&self, order: Order) -> Pages {
        Pages::new(blocks(&self.span().frames, order.get()).len() << order.get())
    }

    /// First byte and end.
    pub(crate) fn addresses(&self) -> Range<usize> {
        self.span().addresses()
    }

    /// The number of the first page of a block in this range.
    pub(crate) fn index(&self, block: &RamBlock<PAGE>) -> Option<usize> {
        self.span().index(block)
    }

    /// A block, if there is one. O(orders · log pages), but short under the lock.
    pub(crate) fn cut(&self, order: Order) -> Option<RamBlock<PAGE>> {
        let pfn = steps::take(&mut { self }, order)?;
        // SAFETY: the frames were free, so by the invariant of `Memory` nothing else owns them; they lie in the range.
        Some(unsafe { self.span().block_at(pfn, order) })
    }

    /// Frees a block; hands back one that was not cut from this range. As long as [`cut`](RamRange::cut).
    pub(crate) fn put(&self, block: RamBlock<PAGE>) -> Result<(), RamBlock<PAGE>> {
        if self.index(&block).is_none() {
            return Err(block);
        }
        steps::put(&mut { self }, block.pfn(), block.order());
        Ok(())
    }

    /// One block from two neighbours of this range.
    pub(crate) fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        let (span, order) = (self.span(), left.order());
        let (Some(_), Some(_), Some(joined)) =
            (span.index(&left), span.index(&right), Order::new(order.get() + 1))
        else {
            return Err((left, right));
        };
        let next = left.pfn().0 + order.pages().get() == right.pfn().0;
        if right.order() != order || !next || left.pfn().0 % joined.pages().get() != 0 || joined > Order::TEN
        {
            return Err((left, right));
        }
        // SAFETY: both halves belong to this range and are consumed; together they are `joined`, and aligned. (The pointer
        // comes from the range, not from a half: only so may it reach over both.)
        Ok(unsafe { span.block_at(left.pfn(), joined) })
    }

    /// The bytes of neighbours that were all cut from this range.
    pub(crate) fn view<'b>(&self, all: &Neighbours<&'b [u8]>) -> Option<&'b [u8]> {
        let bytes = self.span().reach(all)?;
        // SAFETY: invariant of `Neighbours`: shared, for that long. By that of `RamBlock` the bytes are initialised and
        // `'static`, and by that of `Memory` the blocks were cut from this range, whose pointer reaches over all of them.
        Some(unsafe { bytes.as_ref() })
    }

    /// The same, to write.
    pub(crate) fn view_mut<'b>(&self, all: Neighbours<&'b mut [u8]>) -> Option<&'b mut [u8]> {
        let mut bytes = self.span().reach(&all)?;
        // SAFETY: as above, and exclusively; `all` ends here, so there is no second one.
        Some(unsafe { bytes.as_mut() })
    }

    /// Whether neighbours lie in this range.
    pub(crate) fn reaches<T>(&self, all: &Neighbours<T>) -> bool {
        self.span().reach(all).is_some()
    }

    /// The memory. It never changes once it is added.
    fn span(&self) -> Span<PAGE> {
        let (base, frames) = self.0.lock(|m| (m.base, m.buddy.frames()));
        Span { base: base.unwrap_or(NonNull::dangling()), frames }
    }
}

impl<L: RawMutex, const PAGE: usize> Access for &RamRange<L, PAGE> {
    type Words = Lent;
    fn step<R>(&mut self, f: impl FnOnce(&mut Buddy<Lent>) -> R) -> R {
        self.0.lock(|m| f(&mut m.buddy))
    }
}
