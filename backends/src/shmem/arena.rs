//! The arena: one memfd, its mappings, and the owner of each page.

use super::block::{ArenaBlock, Contents};
use super::builder::{Builder, TakeBack, Unmap};
use super::copies::Copies;
use super::folio::FolioScan;
use super::headroom::{Claim, Headroom};
use super::host::HostReport;
use super::ledger::{Ledger, Limit, Need, Resident};
use super::lock::OsLock;
use super::pin::Pin;
use super::process::Process;
use super::sys::{self, Mapping, Populate};
use super::usage::Usage;
use core::fmt;
use core::ops::Range;
use core::ptr::NonNull;
use forebay::{
    AllocError, AllocRequest, Context, FrameSource, Order, OwnedBlock, Pages, Pfn, StoreError, StoreId,
    port::Supply,
    sync::{Mutex, RawMutex},
};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::vec::Vec;

/// Memory that is shmem from the beginning: a source and the store for its own blocks at once. Pages of `PAGE` bytes, a power of two
/// from 4 KiB to 2 MiB.
///
/// It is a large, sparse memfd, mapped once or several times. A transferred block stays where it is: its owner changes, and the
/// next settle removes it from the page tables, so that Linux can swap it out. Taking it back copies nothing. Without swap the
/// data stays in RAM, owned by the store: then the budget of the program ([`Builder::limit`]) gets room, not the machine.
///
/// The kernel works in huge pages, so the arena works in **chunks** of one: stored pages count as reclaimable once nothing of
/// their chunk is resident and a [`settle`](forebay::BackingStore::settle) has unmapped it; until then they are pending. Taking back
/// a page populates its chunk, and makes its neighbours pending again. Freed and discarded pages are zeroed when they are given
/// out again, and their memory goes back to the system at the next settle, if nothing else of the chunk is in use; until then
/// it is held.
///
/// A block has the bytes that its pages had, until [`zero`](OwnedBlock::zero), which a pool calls before it gives one out, unless
/// the kernel has just zeroed it.
///
/// ```
/// use forebay::{Buffer, Context, Evict, Forebay, Order, Pages};
/// use forebay_backends::shmem::Arena;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let arena = Arena::builder(64 << 20).limit(Pages::new(1024)).create()?; // 4 MiB of it may be in use at a time
/// let home = Forebay::new(&arena, &arena); // source and store
/// let unit = Buffer::new(&home, Order::new(9).unwrap()); // 2 MiB
/// unit.write()?.write_at(0, b"guest");
///
/// // A reclaim settles at its end, so the transferred block is unmapped then.
/// let report = home.reclaim(&[&unit], Pages::new(512), Evict::TRANSFER, Context::THREAD);
/// assert_eq!(report.evicted.transferred, Pages::new(512));
/// assert_eq!(arena.usage().stored(), Pages::new(512));
///
/// let mut text = [0; 5];
/// unit.read()?.read_at(0, &mut text); // taken back: the same pages
/// assert_eq!(&text, b"guest");
/// # Ok(())
/// # }
/// ```
///
/// # Who else sees the memory
/// Every holder of the descriptor ([`AsFd`]) can read and write all of it. Tell the arena about blocks that a device or another
/// process can reach ([`export`](Arena::export)). After a fork the child has no mappings and no rights: every call there answers
/// `Unavailable`, and dropping the arena there changes nothing in the parent.
///
/// # Head-room
/// Before it populates a chunk, the arena asks how much the process may still take (control groups v1 and v2, the machine), and
/// answers `NoHeadroom` where it sees that this is too little. That is a look, not a promise: another process may take the memory
/// first, and then Linux kills a process instead of returning an error.
///
/// # Context
/// `transfer`, `discard` and `free` make no system call. What has to populate a chunk, and `settle`, need
/// [`Context::MAY_BLOCK`]. Complexity: O(orders · log pages), and O(pages / 64) for a block, under the lock.
///
/// Dropping it gives its memory back to the system, unless blocks still exist: then its mappings stay. Mappings and descriptors
/// of other processes stay too.
pub struct Arena<const PAGE: usize = 4096, L: RawMutex = OsLock> {
    pub(super) ledger: Mutex<L, Ledger>,
    pub(super) memfd: OwnedFd,
    /// Where the arena begins in the memfd.
    pub(super) offset: u64,
    /// Where blocks have their addresses. Its frames are those of the ledger.
    pub(super) mapping: Mapping,
    /// More mappings of the same pages.
    pub(super) aliases: Vec<Mapping>,
    pub(super) chunk_bytes: usize,
    pub(super) process: Process,
    pub(super) id: StoreId,
    pub(super) headroom: Headroom,
    pub(super) scan: Option<FolioScan>,
    pub(super) host: HostReport,
    pub(super) unmap: Unmap,
    pub(super) taking_back: TakeBack,
    /// Of a pinned arena: what of `mapping` is locked.
    pub(super) pin: Option<Pin>,
}

impl Arena {
    /// An arena of `bytes` bytes of address space, rounded up to whole chunks. They take no memory before blocks are given out, so
    /// a large space keeps stored pages and resident pages in different chunks.
    pub const fn builder(bytes: u64) -> Builder {
        Builder::new(bytes)
    }
}

impl<const PAGE: usize, L: RawMutex> Arena<PAGE, L> {
    /// What the machine offers, what it lacks, and what an administrator may do about it.
    pub fn host_report(&self) -> &HostReport {
        &self.host
    }

    /// How much of it is used for what. Zero in a child after a fork.
    pub fn usage(&self) -> Usage {
        if self.is_here() { self.ledger.lock(|l| Usage::of(l)) } else { Usage::default() }
    }

    /// Pages of blocks that exist.
    pub fn resident(&self) -> Pages {
        self.usage().resident
    }

    /// Pages under handles: transferred or copied.
    pub fn stored(&self) -> Pages {
        self.usage().stored()
    }

    /// Pages of address space without an owner.
    pub fn unused(&self) -> Pages {
        self.usage().free
    }

    /// Pages of address space.
    pub fn total(&self) -> Pages {
        self.usage().total
    }

    /// Bytes of a chunk: what is populated, unmapped and dropped as one.
    pub fn chunk_bytes(&self) -> usize {
        self.chunk_bytes
    }

    /// Bytes of memory that the whole memfd takes, in RAM or in swap: a system call.
    ///
    /// # Errors
    /// Only those that a seccomp filter makes.
    pub fn memory_bytes(&self) -> std::io::Result<u64> {
        Ok(rustix::fs::fstat(&self.memfd)?.st_blocks as u64 * 512)
    }

    /// A store for blocks of any other memory, which are copied into this arena. Its store number must differ from the arena's if
    /// both are used together.
    pub fn copies(&self, id: StoreId) -> Copies<'_, PAGE, L> {
        Copies::new(self, id)
    }

    /// A mapping: the first byte and the length. Reading and writing it is as unsafe as any memory that others use; a guest may
    /// receive it. It stays mapped as long as the arena lives. `None` if there are fewer mappings.
    pub fn mapping(&self, number: usize) -> Option<NonNull<[u8]>> {
        if !self.is_here() {
            return None; // it is not mapped in a child
        }
        let mapping = core::iter::once(&self.mapping).chain(&self.aliases).nth(number)?;
        Some(NonNull::slice_from_raw_parts(mapping.base(), mapping.bytes()))
    }

    /// Where a block begins in the memfd, in bytes. `None` if it belongs to another arena.
    pub fn offset(&self, block: &ArenaBlock<PAGE>) -> Option<u64> {
        let index =
            self.knows(block).then(|| self.ledger.lock(|l| l.index(block.pfn(), block.order())))??;
        Some(self.offset + (index * PAGE) as u64)
    }

    /// Tells the arena that a device or another process can reach this block from now on. Returns where it begins in the memfd.
    /// The block may be transferred, taken back and split as before. Once it is freed or discarded, its pages are retired for ever,
    /// since a late write could still come: their memory is dropped with that of their chunk, and they are never given out again,
    /// nor pooled. While another process has them mapped, the kernel has to unmap them there too before it swaps them out.
    /// `None`, and nothing is noted, if the block belongs to another arena.
    pub fn export(&self, block: &ArenaBlock<PAGE>) -> Option<u64> {
        let offset = self.offset(block)?;
        self.ledger.lock(|l| l.export(block.pfn(), block.order()));
        Some(offset)
    }

    /// Takes an [export](Arena::export) back: nothing reaches the block but its owner any more. Its pages are given out again once it is
    /// freed. A write of a device that comes later is then a write to the bytes of another owner, so first make sure that the device
    /// is done. Returns whether the block belongs to this arena.
    pub fn unexport(&self, block: &ArenaBlock<PAGE>) -> bool {
        let is_ours = self.knows(block);
        if is_ours {
            self.ledger.lock(|l| l.unexport(block.pfn(), block.order()));
        }
        is_ours
    }

    /// The block of that order at `offset` bytes from the start of the arena, populated as one of [`allocate`](FrameSource::allocate):
    /// for memory whose place matters, such as that of a guest.
    ///
    /// # Errors
    /// [`AllocError::Never`]: no such block lies there. [`Exhausted`](AllocError::Exhausted): a part of it is in use, or the chunk
    /// can't be populated in this context. Others as for `allocate`.
    ///
    /// # Context
    /// As `allocate`.
    pub fn allocate_at(
        &self,
        offset: u64,
        order: Order,
        cx: Context,
    ) -> Result<ArenaBlock<PAGE>, AllocError> {
        if !self.is_here() {
            return Err(AllocError::Unavailable);
        }
        let index = usize::try_from(offset / PAGE as u64).ok().filter(|_| offset % PAGE as u64 == 0);
        let index = index.ok_or(AllocError::Never)?;
        let pages = self.ledger.lock(|l| {
            let pfn = l.pfn(index).ok_or(AllocError::Never)?;
            l.reserve_at(pfn, order, Limit::Held)
        })?;
        self.populated(pages, cx)
    }

    /// Changes the [limit](Builder::limit). What is above a new one stays; nothing comes back before as much was transferred.
    pub fn set_limit(&self, pages: Pages) {
        if self.is_here() {
            self.ledger.lock(|l| l.set_limit(pages));
        }
    }

    /// Whether this is the process that made it.
    pub(super) fn is_here(&self) -> bool {
        Process::is_here(self.process.bits())
    }

    /// Whether a block belongs to this arena.
    pub(super) fn knows(&self, block: &ArenaBlock<PAGE>) -> bool {
        self.is_here()
            && block.is_here()
            && self.ledger.lock(|l| l.index(block.pfn(), block.order()).is_some())
    }

    /// A fresh block, populated.
    pub(super) fn take(
        &self,
        order: Order,
        limit: Limit,
        cx: Context,
    ) -> Result<ArenaBlock<PAGE>, AllocError> {
        if !self.is_here() {
            return Err(AllocError::Unavailable);
        }
        let pages = self.ledger.lock(|l| l.reserve(order, limit))?;
        self.populated(pages, cx)
    }

    /// The block of reserved pages. What can't be populated is free again.
    fn populated(&self, pages: Resident, cx: Context) -> Result<ArenaBlock<PAGE>, AllocError> {
        let why = match self.populate_chunks(pages.pfn, pages.order, cx) {
            Ok(()) => return Ok(self.block(pages)),
            Err(StoreError::Context) => AllocError::Exhausted, // of what can be had without waiting
            Err(StoreError::NoHeadroom) => AllocError::NoHeadroom,
            Err(_) => AllocError::Failed,
        };
        self.ledger.lock(|l| l.release(pages));
        Err(why)
    }

    /// Populates the chunks of a reserved block, as far as needed; in a pinned arena they are locked by that.
    ///
    /// # Errors
    /// `Context`, `NoHeadroom`, or `Io`. What was populated stays.
    pub(super) fn populate_chunks(&self, pfn: Pfn, order: Order, cx: Context) -> Result<(), StoreError> {
        let mapping = &self.mapping;
        for chunk in self.ledger.lock(|l| l.chunks_of(pfn, order)) {
            let range = self.bytes_of(&(chunk..chunk + 1));
            let how = match self.ledger.lock(|l| l.need(chunk)) {
                Need::Nothing => continue,
                _ if !cx.contains(Context::MAY_BLOCK) => return Err(StoreError::Context),
                Need::Memory => Populate::New,
                Need::Mapping => Populate::Back,
            };
            self.pin(&range)?;
            let _until_it_is_there = self.claim(&range, how).ok_or(StoreError::NoHeadroom)?;
            if let Err(why) = mapping.populate(range.clone(), how) {
                self.ledger.lock(|l| l.touched(chunk));
                return Err(if why == Errno::NOMEM { StoreError::NoHeadroom } else { StoreError::Io });
            }
            let folio = match how {
                Populate::New => self.scan.as_ref().and_then(|scan| scan.kind(mapping, range)),
                Populate::Back => None,
            };
            self.ledger.lock(|l| l.populated(chunk, folio));
        }
        Ok(())
    }

    /// Head-room for populating a chunk, as far as it can be known. Memory that is resident already needs none.
    pub(super) fn claim(&self, range: &Range<usize>, how: Populate) -> Option<Claim> {
        self.headroom.claim(range.len()).or_else(|| match how {
            Populate::New => None,
            Populate::Back => match range.len() - self.mapping.in_memory(range.clone()) {
                0 => Some(Claim::none()),
                missing => self.headroom.claim(missing),
            },
        })
    }

    /// Where chunks are in a mapping.
    pub(super) fn bytes_of(&self, chunks: &Range<usize>) -> Range<usize> {
        chunks.start * self.chunk_bytes..chunks.end * self.chunk_bytes
    }

    /// Drops the memory of chunks.
    pub(super) fn punch(&self, chunks: &Range<usize>) -> Result<(), Errno> {
        let bytes = self.bytes_of(chunks);
        sys::punch(self.memfd.as_fd(), self.offset + bytes.start as u64..self.offset + bytes.end as u64)
    }
}

impl<const PAGE: usize, L: RawMutex> FrameSource for Arena<PAGE, L> {
    type Block = ArenaBlock<PAGE>;
    type RawMutex = L;

    /// Without the right to block, only if the next block lies in a chunk that is mapped.
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<ArenaBlock<PAGE>, AllocError> {
        self.take(request.order, Limit::Held, cx)
    }

    /// An exported block is returned to the arena, which retires it.
    fn is_poolable(&self, block: &ArenaBlock<PAGE>) -> bool {
        self.is_here() && !self.ledger.lock(|l| l.is_exported(block.pfn(), block.order()))
    }

    /// The kernel zeroes pages that had no owner before.
    fn is_zeroed(&self, block: &ArenaBlock<PAGE>) -> bool {
        block.contents() == Contents::Fresh
    }

    /// A block of another arena is leaked; in a child after a fork every block is.
    fn free(&self, block: ArenaBlock<PAGE>) {
        if self.knows(&block) {
            // Others may have written it, whatever the block says.
            let pages = Resident { contents: Contents::Any, ..block.into_resident() };
            self.ledger.lock(|l| l.release(pages));
        }
    }

    /// Free is what the limit leaves. Without a limit it is unknown: stored pages are still pages of the arena, and the memory
    /// of the machine is not the arena's. Exported pages that were dropped are gone for ever.
    fn supply(&self, request: &AllocRequest) -> Supply {
        let Usage { total, limit, resident, retired, .. } = self.usage();
        let pages = request.order.pages().get();
        Supply {
            free: (limit < total).then(|| limit - resident),
            // A block that is free may lack memory, which depends on what the caller may do.
            ready: (!self.ledger.lock(|l| l.has(request.order))).then_some(false),
            ever: Some(Pages::new(limit.min(total - retired).get() / pages * pages)),
        }
    }

    fn join(
        &self,
        left: ArenaBlock<PAGE>,
        right: ArenaBlock<PAGE>,
    ) -> Result<ArenaBlock<PAGE>, (ArenaBlock<PAGE>, ArenaBlock<PAGE>)> {
        if !self.knows(&left) || !self.knows(&right) {
            return Err((left, right));
        }
        let (left, right) = (left.into_resident(), right.into_resident());
        match self.ledger.lock(|l| l.join(left, right)) {
            Ok(pages) => Ok(self.block(pages)),
            Err((left, right)) => Err((self.block(left), self.block(right))),
        }
    }
}

impl<const PAGE: usize, L: RawMutex> AsFd for Arena<PAGE, L> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memfd.as_fd()
    }
}

impl<const PAGE: usize, L: RawMutex> fmt::Debug for Arena<PAGE, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_here() {
            true => write!(f, "Arena({:?}, {})", self.id, self.usage()),
            false => write!(f, "Arena({:?}, of another process)", self.id),
        }
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize, L: RawMutex> defmt::Format for Arena<PAGE, L> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self.is_here() {
            true => defmt::write!(f, "Arena({}, {})", self.id, self.usage()),
            false => defmt::write!(f, "Arena({}, of another process)", self.id),
        }
    }
}

#[cfg(test)]
mod tests;
