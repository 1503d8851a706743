//! The store: takes contents, as a copy or with the block that holds them.

use crate::{Charge, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreIds};
use bitflags::bitflags;
use core::fmt;

/// Why a store did not do what it was asked. Nothing changed, and what was handed in is with the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError {
    /// It never does this.
    Unsupported,
    /// No room, or no memory was given to it yet. Something else has to leave first.
    Full,
    /// There is room, but the fixed number of adopted blocks is reached. Settle, or write out, then try again.
    Backlog,
    /// Only a smaller piece would fit. The one answer that leads to splitting.
    TooLarge,
    /// It would exceed the store's own limit on what is in use: evict something, then try again.
    Limit,
    /// It would, as far as the store can see it, need more memory than the machine has, or the group of processes that it
    /// runs in may have.
    NoHeadroom,
    /// Not now: the contents are under way, or the memory can't be reached for a moment. Try again later.
    Busy,
    /// The context does not permit what would have to be done.
    Context,
    /// The handle is of another store.
    WrongStore,
    /// The handle is of this store, but nothing is stored under it.
    NotStored,
    /// What is stored is still a block that was handed over, or no longer one: use the other way back.
    OtherWay,
    /// Two stores that are used together have the same [`StoreId`](crate::StoreId).
    SameId,
    /// The medium failed.
    Io,
    /// The store can't be used from here, for good: it belongs to another process (after a fork).
    Unavailable,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreError::Unsupported => "the store never does this: see its capabilities",
            StoreError::Full => {
                "the store is full: discard something, give it more memory, or add a store behind it"
            }
            StoreError::Backlog => "too many blocks wait to be written out: settle the store, then try again",
            StoreError::TooLarge => "the store takes only smaller pieces: split the block",
            StoreError::Limit => {
                "the store's own limit on what is in use is reached: reclaim, then try again"
            }
            StoreError::NoHeadroom => {
                "the machine, or its control group, has no memory for it: free some, or raise the limit"
            }
            StoreError::Busy => "under way or out of reach for a moment: try again later",
            StoreError::Context => "not allowed in this context: call it from a thread",
            StoreError::WrongStore => "the handle belongs to another store",
            StoreError::NotStored => "nothing is stored under this handle",
            StoreError::OtherWay => {
                "stored in another way: a block that was handed over is taken back, a copy is loaded"
            }
            StoreError::SameId => "two stores have the same id: give each its own StoreId",
            StoreError::Io => "the store's medium failed",
            StoreError::Unavailable => "the store belongs to another process: make one in this process",
        })
    }
}

impl core::error::Error for StoreError {}

bitflags! {
    /// What a store can do at all.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Capabilities: u16 {
        /// [`transfer`](BackingStore::transfer): takes the block itself.
        const TRANSFER = 1;
        /// [`take_back`](BackingStore::take_back): gives the same block back.
        const TAKE_BACK = 2;
        /// [`load`](BackingStore::load): alone, if the store only has what was there from the beginning.
        const LOAD = 32;
        /// [`save`](BackingStore::save), and `load`.
        const COPY = 4 | 32;
        /// [`split`](BackingStore::split): one handle becomes two.
        const SPLIT = 8;
        /// Copying starts I/O, so it needs [`Context::MAY_IO`].
        const NEEDS_IO = 16;
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Capabilities {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Capabilities({=u16:b})", self.bits());
    }
}

/// How much a store could still take. A hint: others may take it first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Space {
    /// Pages that fit, in blocks of any size.
    pub pages: Pages,
    /// Blocks that it would adopt before it has to be settled; `usize::MAX`: all there are.
    pub adoptions: usize,
}

impl Space {
    /// So much.
    pub const fn new(pages: Pages, adoptions: usize) -> Space {
        Space { pages, adoptions }
    }
}

/// What [`BackingStore::settle`] did, and the state of everything in the store after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Settled {
    /// How much of the budget this call used: pages written out, also of blocks that are not finished; rounded up.
    pub written: Pages,
    /// Written out to their end by this call, their frames given home.
    pub freed: Pages,
    /// The system can reclaim these by itself.
    pub reclaimable: Pages,
    /// Accepted, and neither freed nor reclaimable yet. What fails to settle stays here and is tried again.
    pub pending: Pages,
    /// Dropped, but held by neighbours that are not.
    pub held: Pages,
    /// The first thing that went wrong; no count above is less true for it.
    pub error: Option<StoreError>,
}

/// Where contents go, and come back from.
///
/// | phase | the block is | the contents are | counted as |
/// | --- | --- | --- | --- |
/// | resident | the buffer's | in the block | |
/// | after [`transfer`](BackingStore::transfer) | **the store's** | in the block | pending |
/// | after [`settle`](BackingStore::settle) | home, or reclaimable by the system | in the store | freed or reclaimable |
/// | after [`take_back`](BackingStore::take_back) | the buffer's again | in the block | |
/// | after [`save`](BackingStore::save) | the buffer's, who sends it home | in both | freed once it is home |
/// | after [`load`](BackingStore::load) | a fresh one of the buffer's | in both, until `discard` | |
///
/// **Transfer is the commit point.** What a store accepted never comes back as an error. Everything that can
/// fail happens before a block changes hands.
///
/// Safe to implement; `forbid(unsafe_code)` fits a store. Only [`ids`](BackingStore::ids) and
/// [`discard`](BackingStore::discard) are required: a store says by
/// [`capabilities`](BackingStore::capabilities) what else it does. Every method may be called from several
/// threads, and `transfer`, `take_back` and `discard` from an interrupt: those are O(1) or close to it, never
/// block, and allocate nothing.
///
/// A block comes and goes in the plain mode, with its contents as the CPU sees them; no device can reach it. Where caches are
/// not coherent, a store that has a device copy cleans what that will read, and invalidates what it wrote, itself.
///
/// forebay holds no lock of its own during any of these calls. After: TTM's `ttm_backup.c` (back up, copy
/// back, drop, bytes available), the contract of the proposed `shmem_insert_folio()`, and what both lack: a
/// free way back, splitting, an explicit settle.
pub trait BackingStore<B: OwnedBlock> {
    /// The stores whose handles this one knows: itself, or its tiers.
    fn ids(&self) -> StoreIds;

    /// Drops what is stored. Returns the block if it is still the one that was handed over: the caller sends
    /// it home. Always succeeds for what is stored here, even while the contents are under way.
    ///
    /// # Errors
    /// The handle comes back if nothing is stored under it: [`StoreError::WrongStore`], [`StoreError::NotStored`] (or
    /// [`StoreError::Busy`] where a store can't tell at the moment).
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>>;

    /// Whether the handle came from here. O(1).
    fn owns(&self, handle: &Handle) -> bool {
        self.ids().contains(handle.store())
    }

    /// What this store can do at all. Constant.
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }

    /// What it could take now: a hint, and O(1).
    fn space(&self) -> Space {
        Space::default()
    }

    /// How much room discarding this would give. O(1). Nothing where copies are there anyway, as in flash or in a file:
    /// then a buffer keeps them even if the store is full.
    fn room_of(&self, handle: &Handle) -> Pages {
        handle.pages()
    }

    /// Copies the first `2^order` pages of `block` in; `order` is at most the block's.
    ///
    /// It may be **short**: the order of the handle says how much it took, from the start of the block. A store
    /// that fails in the middle keeps the largest power of two that it got and drops the rest (TTM's native
    /// order backup reports the same as `nr_backed`).
    ///
    /// Linear in what it copies. Needs [`Context::MAY_BLOCK`], and [`Context::MAY_IO`] if the store says so.
    ///
    /// # Errors
    /// Nothing is stored. [`StoreError::TooLarge`]: try a smaller order (or `order` is above the block's).
    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        let _ = (block, order, cx);
        Err(StoreError::Unsupported)
    }

    /// Copies everything stored under `handle` into `block`, beginning at page `at`. The handle stays valid.
    ///
    /// Restartable: an error in the middle loses nothing, since the handle is only borrowed. Linear in what it
    /// copies. Two at once for one handle: one may be told [`StoreError::Busy`].
    ///
    /// # Errors
    /// The bytes of `block` may be half written. [`StoreError::TooLarge`]: it does not fit behind `at`.
    /// [`StoreError::OtherWay`]: it is a block that was handed over;
    /// take it back.
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        let _ = (handle, block, at, cx);
        Err(StoreError::Unsupported)
    }

    /// Takes the block itself: never blocks, copies nothing, allocates nothing.
    ///
    /// # Errors
    /// The block comes back unharmed: same frames, order, mode and bytes. Copy it, keep it, or try again.
    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        Err(Refused::new(block, StoreError::Unsupported))
    }

    /// [`save`](BackingStore::save), and whoever `charge` names pays for the copy, not the caller. Called instead of it if the
    /// buffer keeps charges ([`Charged`](crate::Charged)). A store that keeps no accounts of its own need not know.
    ///
    /// # Errors
    /// As there. A quota of theirs that is used up is [`StoreError::Full`].
    fn save_for(&self, charge: Charge, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        let _ = charge;
        self.save(block, order, cx)
    }

    /// [`transfer`](BackingStore::transfer), and whoever `charge` names goes on paying for the block.
    ///
    /// # Errors
    /// As there. A quota of theirs that is used up is [`StoreError::Full`].
    fn transfer_for(&self, charge: Charge, block: B) -> Result<Handle, Refused<B, StoreError>> {
        let _ = charge;
        self.transfer(block)
    }

    /// The same block, if the store still has it. Copies nothing, needs no memory, cancels a write-out. In
    /// [`Context::INTERRUPT`] it does not wait for anything.
    ///
    /// # Errors
    /// The handle comes back. [`StoreError::OtherWay`]: only a copy is left; load it. [`StoreError::Busy`]: it
    /// is under way this moment, and the store makes it wait for you; try again. [`StoreError::Context`]: it would
    /// have to wait.
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let _ = cx;
        Err(Refused::new(handle, StoreError::Unsupported))
    }

    /// Two handles, for the lower and the upper half of what is stored, so that each can come back by itself.
    ///
    /// # Errors
    /// The handle comes back if it is a single page, or if this can't be split now.
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        Err(Refused::new(handle, StoreError::Unsupported))
    }

    /// Moves on what was handed over: pending, then reclaimable, then freed.
    ///
    /// Making pages reclaimable (unmapping, flushing) is done for all that is pending. Writing out is bounded by
    /// `budget` pages and happens only where `cx` permits: a budget of zero just flushes and counts. Frames that
    /// became free go to `home`. Called once at the end of a shrink, outside every lock; call it again for more.
    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(B)) -> Settled {
        let _ = (budget, cx, home);
        Settled::default()
    }
}

impl<B: OwnedBlock, S: BackingStore<B> + ?Sized> BackingStore<B> for &S {
    fn ids(&self) -> StoreIds {
        (**self).ids()
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        (**self).discard(handle)
    }
    fn owns(&self, handle: &Handle) -> bool {
        (**self).owns(handle)
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
    fn space(&self) -> Space {
        (**self).space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        (**self).room_of(handle)
    }
    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        (**self).save(block, order, cx)
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        (**self).load(handle, block, at, cx)
    }
    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        (**self).transfer(block)
    }
    fn save_for(&self, charge: Charge, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        (**self).save_for(charge, block, order, cx)
    }
    fn transfer_for(&self, charge: Charge, block: B) -> Result<Handle, Refused<B, StoreError>> {
        (**self).transfer_for(charge, block)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        (**self).take_back(handle, cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        (**self).split(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(B)) -> Settled {
        (**self).settle(budget, cx, home)
    }
}
