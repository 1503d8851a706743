//! The store: takes contents, as a copy or with the block that holds them.

use crate::frame::{Charge, Context, Order, Pages, Refused};
use crate::port::{Handle, OwnedBlock, Rooms, StoreIds};
#[cfg(feature = "alloc")]
use alloc::sync::Arc;
use bitflags::bitflags;
use core::fmt;

/// Why a store did not do what it was asked. Nothing changed, and what was handed in is with the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StoreError {
    /// The store never does this.
    Unsupported,
    /// No room, or the store has no memory yet. Other contents have to leave first.
    Full,
    /// There is room, but the number of transferred blocks is at its limit. Settle, or write out, then try again.
    Backlog,
    /// Only a smaller part fits. This answer alone leads to splitting.
    TooLarge,
    /// The store's own limit on what is in use would be exceeded: evict something, then try again.
    Limit,
    /// It would, as far as the store can see, need more memory than the machine or its control group has.
    NoHeadroom,
    /// Not now: the contents are being moved, or the memory can't be reached for a moment. Try again later.
    Busy,
    /// The context does not permit what would have to be done.
    Context,
    /// The handle belongs to another store.
    WrongStore,
    /// The handle belongs to this store, but nothing is stored under it.
    NotStored,
    /// The contents are still in a transferred block, or no longer in one: use the other way back.
    WrongKind,
    /// Two stores that are used together have the same [`StoreId`](crate::StoreId).
    SameId,
    /// The medium failed.
    Io,
    /// The store can't be used from here, ever: it belongs to another process (after a fork).
    Unavailable,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreError::Unsupported => {
                "the store never does this: use another method (its capabilities say which)"
            }
            StoreError::Full => {
                "the store is full: discard something, give it more memory, or add a store behind it"
            }
            StoreError::Backlog => "too many blocks wait to be written out: settle the store, then try again",
            StoreError::TooLarge => "the store takes only smaller parts: split the block",
            StoreError::Limit => {
                "the store's own limit on what is in use is reached: reclaim, then try again"
            }
            StoreError::NoHeadroom => {
                "the machine, or its control group, has no memory for it: free some, or raise the limit"
            }
            StoreError::Busy => "the contents are being moved, or can't be reached now: try again later",
            StoreError::Context => "not allowed in this context: call it from a thread",
            StoreError::WrongStore => "the handle belongs to another store: use the store that made it",
            StoreError::NotStored => {
                "nothing is stored under this handle: it was taken back or discarded before"
            }
            StoreError::WrongKind => "stored in another way: take a transferred block back, load a copy",
            StoreError::SameId => "two stores have the same id: give each its own StoreId",
            StoreError::Io => "the medium of the store failed: check the device, and restore from elsewhere",
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
        /// [`load`](BackingStore::load). Without `save`, the store only has contents from the beginning.
        const LOAD = 32;
        /// [`save`](BackingStore::save), and `load`.
        const COPY = 4 | 32;
        /// [`split`](BackingStore::split): one handle becomes two.
        const SPLIT = 8;
        /// Copying starts I/O, so it needs [`Context::MAY_IO`].
        const NEEDS_IO = 16;
        /// A load that returns `Ok` has written every byte of the contents: the store compared what was written with what it has.
        /// Without this promise a block is zeroed before each load, so that no old byte of a frame is ever shown.
        const LOADS_ALL = 64;
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
pub struct Space {
    /// Pages that fit, in blocks of any size.
    pub pages: Pages,
    /// Blocks that can be transferred before the store has to be settled; `usize::MAX`: any number.
    pub transfers: usize,
}

impl Space {
    /// Not known: callers try.
    pub const UNKNOWN: Space = Space { pages: Pages::MAX, transfers: usize::MAX };
}

/// What [`BackingStore::settle`] did, and the state of everything in the store after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Settled {
    /// How much of the budget this call used: pages written out, also of blocks that are not finished; rounded up.
    pub written: Pages,
    /// Pages of blocks that this call wrote out completely and returned to their owner.
    pub freed: Pages,
    /// Pages that the system can reclaim by itself.
    pub reclaimable: Pages,
    /// Pages that were accepted and are neither freed nor reclaimable yet. What fails to settle stays here and is tried
    /// again. [`Pages::MAX`] from a store: not counted. Then a [`Forebay`](crate::Forebay) reports what it transferred, and
    /// what did not come back, was not discarded, freed or reported as reclaimable.
    pub pending: Pages,
    /// Pages that were discarded, but whose memory neighbours still hold.
    pub held: Pages,
    /// The first failure. No count above is less true for it.
    pub error: Option<StoreError>,
}

/// Where contents go, and come back from.
///
/// | phase | the block belongs to | the contents are | counted as |
/// | --- | --- | --- | --- |
/// | resident | the buffer | in the block | |
/// | after [`transfer`](BackingStore::transfer) | **the store** | in the block | pending |
/// | after [`settle`](BackingStore::settle) | its source, or the system can reclaim it | in the store | freed or reclaimable |
/// | after [`take_back`](BackingStore::take_back) | the buffer | in the block | |
/// | after [`save`](BackingStore::save) | the buffer, which returns it to its source | in both | freed |
/// | after [`load`](BackingStore::load) | the buffer; a fresh block | in both, until `discard` | |
///
/// **Transfer is the commit point.** What a store accepted never comes back as an error. Everything that can fail happens
/// before a block changes its owner.
///
/// Safe to implement; `forbid(unsafe_code)` fits a store. Only [`ids`](BackingStore::ids) and
/// [`discard`](BackingStore::discard) are required: [`capabilities`](BackingStore::capabilities) says what else the store
/// does. Every method may be called from several threads, and `transfer`, `take_back` and `discard` from an interrupt: those
/// are O(1) or close to it, never block, and allocate nothing. Object safe: `&dyn BackingStore<B>` is a store.
///
/// A block comes and goes in the mode [`CACHED`](crate::frame::Mode::CACHED), with its contents as the CPU sees them; no device
/// can reach it. Where caches are not coherent, a store with a copying device cleans what the device will read, and
/// invalidates what it wrote, by itself.
///
/// forebay holds no lock of its own during these calls. After TTM's `ttm_backup.c` (back up, copy back, drop, bytes
/// available), the contract of the proposed `shmem_insert_folio()`, and what both lack: a way back without copying,
/// splitting, an explicit settle.
pub trait BackingStore<B: OwnedBlock> {
    /// The stores whose handles this one accepts: itself, or its tiers.
    fn ids(&self) -> StoreIds;

    /// Drops stored contents. Returns the block if it is still the transferred one: the caller returns it to its source.
    /// Always succeeds for what is stored here, also while the contents are being moved.
    ///
    /// # Errors
    /// The handle comes back if nothing is stored under it: [`StoreError::WrongStore`], [`StoreError::NotStored`] (or
    /// [`StoreError::Busy`] where a store can't tell at the moment).
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>>;

    /// What this store can do at all. Constant. By default nothing but `discard`.
    fn capabilities(&self) -> Capabilities {
        Capabilities::empty()
    }

    /// What the store could take now: a hint, O(1). A restored buffer keeps its copy while the store has room. By default it
    /// is not known: copies are kept, and `transfer` and `save` are tried.
    fn space(&self) -> Space {
        Space::UNKNOWN
    }

    /// How much room discarding this handle would give. O(1). Nothing where copies take no room, as in flash or in a file:
    /// then a buffer keeps them even if the store is full. By default all of it.
    fn room_of(&self, handle: &Handle) -> Pages {
        handle.order().pages()
    }

    /// Copies the first `2^order` pages of `block`; `order` is at most the block's. `payer` pays for the copy, if the buffer
    /// keeps charges ([`Charged`](crate::buffer::Charged)); a store without accounts ignores it.
    ///
    /// The copy may be **short**: the order of the handle says how much was taken, from the start of the block. A store
    /// that fails in the middle keeps the largest power of two that it got and drops the rest (TTM's native order backup
    /// reports the same as `nr_backed`).
    ///
    /// Linear in what it copies. Needs [`Context::MAY_BLOCK`], and [`Context::MAY_IO`] if the store says so.
    ///
    /// # Errors
    /// Nothing is stored. [`StoreError::TooLarge`]: try a smaller order (or `order` is above the block's). A payer's quota
    /// that is used up is [`StoreError::Full`]. The default is [`StoreError::Unsupported`].
    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        let _ = (block, order, payer, cx);
        Err(StoreError::Unsupported)
    }

    /// Copies everything that is stored under `handle` into `block`, beginning at page `at`. The handle stays valid.
    ///
    /// Restartable: an error in the middle loses nothing, since the handle is only borrowed. Linear in what it copies. Of two
    /// calls at once for one handle, one may be refused with [`StoreError::Busy`].
    ///
    /// # Errors
    /// The bytes of `block` may be half written. [`StoreError::TooLarge`]: the contents do not fit behind `at`.
    /// [`StoreError::WrongKind`]: they are in a transferred block; take it back. The default is
    /// [`StoreError::Unsupported`].
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        let _ = (handle, block, at, cx);
        Err(StoreError::Unsupported)
    }

    /// Takes the block itself: never blocks, copies nothing, allocates nothing. `payer` goes on paying for it, if the buffer
    /// keeps charges.
    ///
    /// # Errors
    /// The block comes back unharmed: same frames, order, mode and bytes. Copy it, keep it, or try again. A payer's quota that
    /// is used up is [`StoreError::Full`]. The default is [`StoreError::Unsupported`].
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        let _ = payer;
        Err(Refused { item: block, why: StoreError::Unsupported })
    }

    /// The same block, if the store still has it. Copies nothing, needs no memory, cancels a write-out. In
    /// [`Context::INTERRUPT`] it does not wait.
    ///
    /// # Errors
    /// The handle comes back. [`StoreError::WrongKind`]: only a copy is left; load it. [`StoreError::Busy`]: it is being moved
    /// this moment, and the store makes it wait for the caller; try again. [`StoreError::Context`]: it would have to wait.
    /// The default is [`StoreError::Unsupported`].
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let _ = cx;
        Err(Refused { item: handle, why: StoreError::Unsupported })
    }

    /// Two handles, for the lower and the upper half of what is stored, so that each half can come back by itself.
    ///
    /// # Errors
    /// The handle comes back if it is a single page, or if this can't be split now. The default is
    /// [`StoreError::Unsupported`].
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::Unsupported })
    }

    /// The store as one that keeps room for resident blocks, if it does. By default it does not; then a lobby
    /// ([`FrameSource::LOBBY`](crate::FrameSource::LOBBY)) is ordinary memory, and nothing is promised.
    fn rooms(&self) -> Option<&dyn Rooms<B>> {
        None
    }

    /// Moves transferred blocks on: from pending to reclaimable, to freed.
    ///
    /// Making pages reclaimable (unmapping, flushing) is done for everything that is pending. Writing out is bounded by
    /// `budget` pages and happens only where `cx` permits: a budget of zero only flushes and counts. Blocks that became free
    /// go to `owner`. Called once at the end of a reclaim, outside every lock; call it again for more.
    ///
    /// The default moves nothing on. For a store that takes blocks it reports that what is pending is not counted, so all that
    /// was transferred counts as [pending](Settled::pending).
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let _ = (budget, cx, owner);
        let takes_blocks = self.capabilities().contains(Capabilities::TRANSFER);
        Settled { pending: if takes_blocks { Pages::MAX } else { Pages::ZERO }, ..Settled::default() }
    }
}

/// Implements [`BackingStore`] for a pointer to a store. One list of methods for all pointers, so none is forgotten.
macro_rules! store_behind {
    ($(#[$attr:meta])* $pointer:ty) => {
        $(#[$attr])*
        impl<B: OwnedBlock, S: BackingStore<B> + ?Sized> BackingStore<B> for $pointer {
            fn ids(&self) -> StoreIds {
                (**self).ids()
            }
            fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
                (**self).discard(handle)
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
            fn save(
                &self,
                block: &B,
                order: Order,
                payer: Option<Charge>,
                cx: Context,
            ) -> Result<Handle, StoreError> {
                (**self).save(block, order, payer, cx)
            }
            fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
                (**self).load(handle, block, at, cx)
            }
            fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
                (**self).transfer(block, payer)
            }
            fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
                (**self).take_back(handle, cx)
            }
            fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
                (**self).split(handle)
            }
            fn rooms(&self) -> Option<&dyn Rooms<B>> {
                (**self).rooms()
            }
            fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
                (**self).settle(budget, cx, owner)
            }
        }
    };
}
store_behind!(&S);
store_behind!(#[cfg(feature = "alloc")] Arc<S>);
