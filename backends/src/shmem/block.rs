//! The arena's block: an address in its mapping, with volatile copies.
#![allow(unsafe_code)]

use super::Arena;
use super::ledger::Resident;
use super::process::Process;
use super::sys::Mapping;
use core::fmt;
use core::num::NonZeroUsize;
use core::ptr::NonNull;
use forebay::{Order, OwnedBlock, Pfn, sync::RawMutex};

/// `2^order` pages of an [`Arena`], which a guest, a device or another process may write at any time: so there are no references to
/// its bytes, only volatile copies.
///
/// One word, and so is an `Option` of it. Its [`pfn`](OwnedBlock::pfn) is its address in units of `PAGE`; [`Arena::offset`] says where
/// it is in the memfd. The kernel chooses its physical frames; they may change, and are contiguous only within a huge page
/// ([`Folio`](super::Folio)).
///
/// In a child after a fork it has no bytes: copies return 0.
///
/// # Invariants
/// - The address is aligned to the block's size and lies, with all of the block, in the first mapping of an arena of the process
///   in the tag. The low bits, which alignment leaves free, are that tag: order, freshness, process.
/// - That mapping exists as long as the block: the arena's ledger counts its pages as resident, and an arena that is dropped
///   while it counts any leaves its mappings.
pub struct ArenaBlock<const PAGE: usize>(NonNull<u8>);

const ORDER: usize = 15;
const FRESH: usize = 1 << 4;
const PROCESS: u32 = 5;
const TAG: usize = (1 << 12) - 1;

/// Whether a block may have old bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Contents {
    /// Zeros: the pages had no owner since the kernel gave them.
    Fresh,
    /// Arbitrary.
    Any,
}

// SAFETY: it owns its pages, and reaches them by volatile copies from any thread.
unsafe impl<const PAGE: usize> Send for ArenaBlock<PAGE> {}
// SAFETY: a shared reference only reads, volatile.
unsafe impl<const PAGE: usize> Sync for ArenaBlock<PAGE> {}

const _: () = assert!(size_of::<Option<ArenaBlock<4096>>>() == size_of::<usize>());

impl<const PAGE: usize> ArenaBlock<PAGE> {
    /// # Safety
    /// The invariants of the type hold for these pages.
    unsafe fn new(at: NonNull<u8>, pages: &Resident, process: Process) -> Self {
        const {
            assert!(
                PAGE.is_power_of_two() && PAGE > TAG && PAGE <= 2 << 20,
                "PAGE: a power of two from 4 KiB to 2 MiB"
            )
        }
        let fresh = if pages.contents == Contents::Fresh { FRESH } else { 0 };
        let tag = usize::from(pages.order.get()) | fresh | usize::from(process.bits()) << PROCESS;
        ArenaBlock(at.map_addr(|a| a | tag))
    }

    /// Its pages, for the ledger of its arena.
    pub(super) fn into_resident(self) -> Resident {
        Resident { pfn: self.pfn(), order: self.order(), contents: self.contents() }
    }

    /// The first byte.
    fn base(&self) -> NonNull<u8> {
        // A block is not at address 0.
        self.0.map_addr(|a| NonZeroUsize::new(a.get() & !TAG).unwrap_or(a))
    }

    pub(super) fn contents(&self) -> Contents {
        if self.tag() & FRESH != 0 { Contents::Fresh } else { Contents::Any }
    }

    /// Its process, if that is this one.
    pub(super) fn is_here(&self) -> bool {
        Process::is_here((self.tag() >> PROCESS) as u8)
    }

    fn tag(&self) -> usize {
        self.0.addr().get() & TAG
    }

    /// The same pages with another tag for order and contents.
    fn cut(&self, offset: usize, order: Order) -> Self {
        let kept = self.tag() & !ORDER;
        // The offset is below the block's size, so the address stays inside it.
        let at = self.base().as_ptr().wrapping_add(offset);
        let tagged = at.map_addr(|a| a | kept | usize::from(order.get()));
        ArenaBlock(NonNull::new(tagged).unwrap_or(self.0))
    }

    /// How many of `len` bytes from `at` on belong to the block, if they can be reached.
    fn reach(&self, at: usize, len: usize) -> usize {
        if self.is_here() { self.bytes().saturating_sub(at).min(len) } else { 0 }
    }
}

impl<const PAGE: usize> OwnedBlock for ArenaBlock<PAGE> {
    const PAGE: usize = PAGE;

    fn pfn(&self) -> Pfn {
        Pfn(self.base().addr().get() / PAGE)
    }

    fn order(&self) -> Order {
        Order::new((self.tag() & ORDER) as u8).unwrap_or(Order::PAGE)
    }

    fn split(self) -> Result<(Self, Self), Self> {
        let Some(order) = self.order().lower() else { return Err(self) };
        Ok((self.cut(0, order), self.cut(PAGE << order.get(), order)))
    }

    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let n = self.reach(at, to.len());
        let Some(to) = to.get_mut(..n) else { return 0 };
        // SAFETY: `reach` keeps `at + n` inside the block, which is mapped; invariant of the type.
        unsafe { read(self.base().add(if n > 0 { at } else { 0 }), to) }
        n
    }

    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let n = self.reach(at, from.len());
        let Some(from) = from.get(..n) else { return 0 };
        self.0 = self.0.map_addr(|a| NonZeroUsize::new(a.get() & !FRESH).unwrap_or(a));
        // SAFETY: as above.
        unsafe { write(self.base().add(if n > 0 { at } else { 0 }), from) }
        n
    }

    /// Zeroes it whatever the tag says: others may have written it.
    fn zero(&mut self) {
        let mut at = 0;
        while at < self.bytes() {
            match self.write_at(at, &[0; 4096]) {
                0 => return,
                n => at += n,
            }
        }
    }
}

impl<const PAGE: usize, L: RawMutex> Arena<PAGE, L> {
    /// The block of these pages, which the ledger of this arena has given out.
    pub(super) fn block(&self, pages: Resident) -> ArenaBlock<PAGE> {
        let at = pages.pfn.0 * PAGE - self.mapping.base().addr().get();
        // SAFETY: the frames of the ledger are those of the first mapping, an invariant of `Arena`, and it has aligned blocks
        // only. A `Resident` is proof that the ledger counts the pages, and it does so until it gets one for them back.
        unsafe { ArenaBlock::new(self.mapping.base().add(at), &pages, self.process) }
    }
}

impl<const PAGE: usize, L: RawMutex> Drop for Arena<PAGE, L> {
    /// Keeps the last invariant of [`ArenaBlock`]. In a child the mappings do not exist, and something else may be at their
    /// addresses.
    fn drop(&mut self) {
        let child = !Process::is_here(self.process.bits());
        if child || self.ledger.lock(|l| l.sums()).resident > 0 {
            self.mapping.forget();
            self.aliases.iter_mut().for_each(Mapping::forget);
        }
    }
}

/// Words at a time, where `from` is aligned.
///
/// # Safety
/// `to.len()` bytes from `from` on are mapped.
unsafe fn read(from: NonNull<u8>, to: &mut [u8]) {
    let skip = from.as_ptr().align_offset(size_of::<usize>()).min(to.len());
    let (head, rest) = to.split_at_mut(skip);
    let mut words = rest.chunks_exact_mut(size_of::<usize>());
    let mut at = from;
    for byte in head {
        // SAFETY: the caller's promise, here and below; `at` walks over as many bytes as `to` has.
        unsafe {
            *byte = at.read_volatile();
            at = at.add(1);
        }
    }
    for word in &mut words {
        // SAFETY: as above, and `at` is aligned after `skip` bytes.
        unsafe {
            word.copy_from_slice(&at.cast::<usize>().read_volatile().to_ne_bytes());
            at = at.add(size_of::<usize>());
        }
    }
    for byte in words.into_remainder() {
        // SAFETY: as above.
        unsafe {
            *byte = at.read_volatile();
            at = at.add(1);
        }
    }
}

/// # Safety
/// `from.len()` bytes from `to` on are mapped.
unsafe fn write(to: NonNull<u8>, from: &[u8]) {
    let skip = to.as_ptr().align_offset(size_of::<usize>()).min(from.len());
    let (head, rest) = from.split_at(skip);
    let words = rest.chunks_exact(size_of::<usize>());
    let tail = words.remainder();
    let mut at = to;
    for byte in head {
        // SAFETY: the caller's promise, here and below; `at` walks over as many bytes as `from` has.
        unsafe {
            at.write_volatile(*byte);
            at = at.add(1);
        }
    }
    for word in words {
        let mut bytes = [0; size_of::<usize>()];
        bytes.copy_from_slice(word);
        // SAFETY: as above, and `at` is aligned after `skip` bytes.
        unsafe {
            at.cast::<usize>().write_volatile(usize::from_ne_bytes(bytes));
            at = at.add(size_of::<usize>());
        }
    }
    for byte in tail {
        // SAFETY: as above.
        unsafe {
            at.write_volatile(*byte);
            at = at.add(1);
        }
    }
}

impl<const PAGE: usize> fmt::Debug for ArenaBlock<PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}+{:?}", self.pfn(), self.order())
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize> defmt::Format for ArenaBlock<PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{}+{}", self.pfn(), self.order());
    }
}
