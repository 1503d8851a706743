//! How an arena is made.

use super::block::Contents;
use super::folio::{Folio, FolioScan};
use super::headroom::Headroom;
use super::host::{Features, HostReport, HugePages};
use super::ledger::{Ledger, Limit};
use super::lock::OsLock;
use super::pin::Pin;
use super::process::Process;
use super::sys::{self, Huge, Mapping, Populate};
use super::{Arena, CreateError, Mapped};
use core::ops::Range;
use forebay::{
    Handle, Order, Pages, StoreId,
    sync::{Mutex, RawMutex},
};
use std::os::fd::AsFd;
use std::vec::Vec;

/// When a settle unmaps stored pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Unmap {
    /// Always: a stale pointer can't reach transferred pages, and the kernel may swap them out as soon as it can.
    #[default]
    Always,
    /// Only if there was swap when the arena was made. Otherwise unmapping frees nothing, and costs a tenth of copying where pages
    /// are small; stored pages stay pending then.
    WithSwap,
}

/// What taking back does about pages that were unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TakeBack {
    /// It populates their chunk, so that a lack of memory is an error.
    #[default]
    Populate,
    /// Nothing: the kernel maps each page when it is touched, and a lack of memory is a signal then. For a pager that never touches its
    /// own mapping: it gives the pages to a guest. Taking back makes no system call, also where a chunk is not mapped, and so is
    /// possible in every context. A settle leaves the chunk alone as long as it is resident.
    OnTouch,
}

/// The settings of an arena.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Builder {
    bytes: u64,
    limit: Option<Pages>,
    mappings: usize,
    chunk: Option<usize>,
    id: StoreId,
    unmap: Unmap,
    pinning: Pinning,
    taking_back: TakeBack,
}

/// Whether an arena is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Pinning {
    None,
    Pinned,
}

impl Builder {
    pub(super) const fn new(bytes: u64) -> Builder {
        Builder {
            bytes,
            limit: None,
            mappings: 1,
            chunk: None,
            id: StoreId::DEFAULT,
            unmap: Unmap::Always,
            pinning: Pinning::None,
            taking_back: TakeBack::Populate,
        }
    }

    /// The most pages that blocks may have together: beyond it the answer is `Limit`, for a fresh block and for one that is taken
    /// back, until something is transferred. No limit by default. Less than the largest block that is used is useless, as that
    /// block is always refused.
    ///
    /// Discarding is not subject to the limit.
    #[must_use]
    pub const fn limit(mut self, pages: Pages) -> Builder {
        self.limit = Some(pages);
        self
    }

    /// The number of mappings; one by default. A pager needs two: one for the guest, one of its own. A settle unmaps from all of
    /// them.
    #[must_use]
    pub const fn mappings(mut self, count: usize) -> Builder {
        self.mappings = count;
        self
    }

    /// Bytes of a chunk: a power of two, whole pages. By default a huge page of the machine, which fits the kernel; less is right
    /// where there are no huge pages, and finer: an arena with less asks for none. Below 64 KiB, populating or reading one chunk
    /// maps resident neighbours too (Linux faults around a read: `fault_around_bytes`): the kernel can reclaim them nevertheless,
    /// but a stale pointer may reach transferred pages.
    #[must_use]
    pub const fn chunk(mut self, bytes: usize) -> Builder {
        self.chunk = Some(bytes);
        self
    }

    /// Its number as a store.
    #[must_use]
    pub const fn id(mut self, id: StoreId) -> Builder {
        self.id = id;
        self
    }

    /// When a settle unmaps stored pages.
    #[must_use]
    pub const fn unmap(mut self, when: Unmap) -> Builder {
        self.unmap = when;
        self
    }

    /// Locks what belongs to the pool into RAM: Linux swaps out stored pages only, and idle blocks never, as in Linux's own TTM
    /// pools. Without it, an idle block is swapped out as readily as a stored one.
    ///
    /// The process needs the right to lock as many bytes as the arena ever uses (`RLIMIT_MEMLOCK`, or `CAP_IPC_LOCK`): beyond it,
    /// what needs a new chunk is refused with `NoHeadroom`. A chunk that has one page of the pool is locked as a whole. Only the first
    /// mapping is locked: what other mappings touch is locked by it nevertheless, as long as it is resident there.
    #[must_use]
    pub const fn pinned(mut self) -> Builder {
        self.pinning = Pinning::Pinned;
        self
    }

    /// What taking back does about pages that were unmapped.
    #[must_use]
    pub const fn take_back(mut self, how: TakeBack) -> Builder {
        self.taking_back = how;
        self
    }

    /// An arena with pages of 4 KiB and the usual lock.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is left behind.
    pub fn create(&self) -> Result<Arena, CreateError> {
        self.create_as::<4096, OsLock>()
    }

    /// An arena with pages of `PAGE` bytes, whatever the kernel's are, and a raw mutex of your choice.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is left behind.
    pub fn create_as<const PAGE: usize, L: RawMutex>(&self) -> Result<Arena<PAGE, L>, CreateError> {
        let process = Process::this().map_err(CreateError::fork)?;
        // First: the other descriptors make an arena better, but without this one there is none.
        let (memfd, noexec) = sys::create().map_err(CreateError::memfd)?;
        let headroom = Headroom::probe();
        let mut host = HostReport::probe(&headroom, Features::empty(), HugePages::Unknown);
        let chunk = self.chunk_bytes::<PAGE>(&host)?;
        let bytes = usize::try_from(self.bytes).ok().and_then(|bytes| bytes.checked_next_multiple_of(chunk));
        let bytes = bytes.filter(|bytes| bytes / PAGE < Handle::VALUES).ok_or(CreateError::TooLarge)?;
        if bytes == 0 || self.mappings == 0 {
            return Err(CreateError::Empty);
        }
        sys::lengthen(memfd.as_fd(), bytes as u64).map_err(CreateError::memfd)?;
        sys::seal(memfd.as_fd()).map_err(CreateError::seal)?;
        host.features.set(Features::NOEXEC_SEAL, noexec);
        let align = chunk.max(PAGE << 10); // so that a block of the largest order is aligned where its address is
        let map =
            |_| Mapping::map(memfd.as_fd(), 0, bytes, align).map_err(|why| CreateError::map(bytes, why));
        let mappings = (0..self.mappings).map(map).collect::<Result<Vec<_>, _>>()?;
        self.finish(Made {
            memfd,
            offset: 0,
            mappings,
            chunk,
            contents: Contents::Fresh,
            process,
            headroom,
            host,
        })
    }

    /// An arena over an existing memfd and its mappings. The size given to [`Arena::builder`] and the number of mappings are
    /// ignored. What the memfd contains is lost at the first settle, if not before. The memfd is sealed, so its size and its seals are
    /// fixed.
    ///
    /// # Errors
    /// [`CreateError`]; the descriptor is closed, and the mappings are as before except for their advice.
    pub fn create_over<const PAGE: usize, L: RawMutex>(
        &self,
        mapped: Mapped,
    ) -> Result<Arena<PAGE, L>, CreateError> {
        let process = Process::this().map_err(CreateError::fork)?;
        let headroom = Headroom::probe();
        let host = HostReport::probe(&headroom, Features::empty(), HugePages::Unknown);
        let chunk = self.chunk_bytes::<PAGE>(&host)?;
        let Mapped { memfd, offset, mappings } = mapped;
        let bytes = mappings.iter().map(Mapping::bytes).min().unwrap_or(0) / chunk * chunk;
        if bytes == 0 {
            return Err(CreateError::Empty);
        }
        if bytes / PAGE >= Handle::VALUES {
            return Err(CreateError::TooLarge);
        }
        let starts = mappings.iter().map(|mapping| mapping.base().addr().get() as u64);
        if starts.chain([offset]).any(|start| start % chunk as u64 != 0) {
            return Err(CreateError::Misaligned { chunk });
        }
        let end = offset.checked_add(bytes as u64).ok_or(CreateError::TooLarge)?;
        let check = || sys::check(memfd.as_fd(), end).map_err(|why| CreateError::NotShmem(why.into()));
        check()?; // what is of no use is not sealed
        sys::seal(memfd.as_fd()).map_err(CreateError::seal)?;
        check()?; // until now others could change its size and its seals
        self.finish(Made { memfd, offset, mappings, chunk, contents: Contents::Any, process, headroom, host })
    }

    /// As [`create_over`](Builder::create_over), for a memfd whose contents stay: of a program that ended, for example. It is stored in
    /// units of `2^order` pages; the handles come in their order, for [`Buffer::attach_stored`](forebay::Buffer::attach_stored) or
    /// [`take_back`](forebay::BackingStore::take_back). A unit that was never written is zeros, and takes no memory before it is taken
    /// back. Pages behind the last whole unit are free.
    ///
    /// Only what was in the memfd comes back: which unit was which, and copies that other stores had, is for the program to know.
    ///
    /// # Errors
    /// [`CreateError`]; [`Empty`](CreateError::Empty) if there is not one unit.
    pub fn adopt<const PAGE: usize, L: RawMutex>(
        &self,
        mapped: Mapped,
        order: Order,
    ) -> Result<(Arena<PAGE, L>, Vec<Handle>), CreateError> {
        let arena = self.create_over::<PAGE, L>(mapped)?;
        let units = arena.total().get() >> order.get();
        let mut handles = Vec::new();
        handles.try_reserve_exact(units).map_err(|_| CreateError::Metadata)?;
        let store = |n: usize| {
            arena.ledger.lock(|l| {
                let pfn = l.pfn(n << order.get())?;
                let pages = l.reserve_at(pfn, order, Limit::Ignored).ok()?;
                l.chunks_of(pfn, order).for_each(|chunk| l.touched(chunk)); // the mappings may have entries
                Handle::new(self.id, order, l.mark_stored(pages))
            })
        };
        handles.extend((0..units).map_while(store));
        if handles.is_empty() { Err(CreateError::Empty) } else { Ok((arena, handles)) }
    }

    fn chunk_bytes<const PAGE: usize>(&self, host: &HostReport) -> Result<usize, CreateError> {
        let page = rustix::param::page_size();
        // Without huge pages: what one page of the lowest table maps, which is what a huge page would be.
        let usual = host.huge_page_size.unwrap_or(page * page / size_of::<u64>());
        let chunk = self.chunk.unwrap_or(usual).max(if self.chunk.is_none() { PAGE.max(page) } else { 0 });
        let fits =
            chunk.is_power_of_two() && chunk >= PAGE && chunk >= page && chunk / PAGE <= u32::MAX as usize;
        if fits { Ok(chunk) } else { Err(CreateError::Chunk { least: PAGE.max(page) }) }
    }

    fn finish<const PAGE: usize, L: RawMutex>(&self, parts: Made) -> Result<Arena<PAGE, L>, CreateError> {
        let Made { memfd, offset, mappings, chunk, contents, process, headroom, host } = parts;
        let huge = match host.huge_page_size {
            Some(size) if chunk < size => Huge::Unwanted,
            _ => Huge::Wanted,
        };
        mappings.iter().try_for_each(|mapping| mapping.set_up(huge)).map_err(CreateError::advice)?;
        let bytes = mappings.iter().map(Mapping::bytes).min().unwrap_or(0) / chunk * chunk;
        let mut mappings = mappings.into_iter();
        let Some(mapping) = mappings.next() else { return Err(CreateError::Empty) };
        let pin = match self.pinning {
            Pinning::None => None,
            Pinning::Pinned => Some(Pin::new(&mapping, chunk).map_err(CreateError::lock)?),
        };
        let frames = mapping.base().addr().get() / PAGE;
        let frames = frames..frames + bytes / PAGE;
        let limit = self.limit.unwrap_or(Pages::MAX);
        let _until_it_is_there =
            headroom.claim(Ledger::bytes(frames.len(), chunk / PAGE)).ok_or(CreateError::Metadata)?;
        let ledger = Ledger::new(frames, chunk / PAGE, limit, contents).ok_or(CreateError::Metadata)?;
        let arena = Arena {
            ledger: Mutex::new(ledger),
            memfd,
            offset,
            mapping,
            aliases: mappings.collect(),
            chunk_bytes: chunk,
            process,
            id: self.id,
            headroom,
            scan: FolioScan::open(),
            host,
            unmap: self.unmap,
            taking_back: self.taking_back,
            pin,
        };
        Ok(arena.probed(contents))
    }
}

/// A memfd, mapped.
struct Made {
    memfd: std::os::fd::OwnedFd,
    offset: u64,
    mappings: Vec<Mapping>,
    chunk: usize,
    contents: Contents,
    process: Process,
    headroom: Headroom,
    host: HostReport,
}

impl<const PAGE: usize, L: RawMutex> Arena<PAGE, L> {
    /// Looks at the folios that the kernel really gives, in the first chunk, which is a hole again afterwards.
    fn probed(mut self, contents: Contents) -> Self {
        let first: Range<usize> = 0..self.host.huge_page_size.unwrap_or(0).min(self.chunk_bytes);
        self.host.features.set(Features::POPULATE, self.mapping.can_populate());
        let wanted = contents == Contents::Fresh && !first.is_empty();
        let claim = self.headroom.claim(first.len()).filter(|_| wanted);
        if claim.is_none() {
            return self;
        }
        let populated = self.mapping.populate(first.clone(), Populate::New);
        let kind = self.scan.as_ref().and_then(|scan| scan.kind(&self.mapping, first));
        let _ = self.punch(&(0..1)); // if it can't be punched, it is zeros all the same
        self.host.huge_pages = match (populated, kind) {
            (Ok(()), Some(Folio::Huge)) => HugePages::Granted,
            (Ok(()), Some(Folio::Small)) => HugePages::NotGranted,
            _ => HugePages::Unknown,
        };
        self.host.features.set(Features::FOLIO_SCAN, kind.is_some());
        self
    }
}
