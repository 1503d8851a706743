//! The region as a store.

use super::table::{Found, Table};
use crate::ram::{Memory, PutAway};
use crate::{MemoryError, MemoryRefused, RamBlock};
use core::fmt;
use forebay::{
    BackingStore, Capabilities, Context, Handle, Locked, Order, OwnedBlock, Pages, RawLock, Refused, Settled,
    Space, StoreError, StoreId, StoreIds,
};

/// A store over one range of RAM that is slower and larger than the pool's; pages of `PAGE` bytes, the same as the
/// blocks'.
///
/// Transferring a block makes the region adopt it: it reserves room and puts the block into a table, and that is all;
/// an interrupt may do it. Until it is written out ([`write_out`](Region::write_out), [`settle`](BackingStore::settle))
/// nothing counts as freed, and taking it back is free and cancels the write-out, half copied or not. `N` blocks at
/// most are adopted at a time; one more is refused with [`StoreError::Backlog`], which is not
/// [`StoreError::Full`] (no room to reserve) and not [`StoreError::Busy`] (its bytes are with an engine this moment).
///
/// Since room is reserved at the transfer, writing out never fails for want of it: what was accepted is safe.
///
/// | call | thread | interrupt | another core at once |
/// | --- | --- | --- | --- |
/// | `transfer`, `take_back`, `discard`, `space` | yes | yes | yes |
/// | `save`, `load` | yes | no: linear in the size | yes |
/// | [`write_out`](Region::write_out) with an engine that does not wait | yes | yes | yes, each with an engine of its own |
/// | `settle` | yes | counts only | yes |
///
/// The table of `N` entries is inside the value, so a large region belongs into a `static`. With `N = 0` it only copies.
///
/// # Complexity
/// Everything but copying: O(orders · log pages) for the room, under the lock; nothing is searched.
pub struct Region<L, B, const PAGE: usize, const N: usize> {
    pub(super) table: Locked<L, Table<B, PAGE, N>>,
    id: StoreId,
}

/// The usual region: what it adopts is plain RAM too.
pub type RamRegion<L, const PAGE: usize, const N: usize> = Region<L, RamBlock<PAGE>, PAGE, N>;

impl<L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> Region<L, B, PAGE, N> {
    /// A region without memory.
    pub const fn new(id: StoreId) -> Self {
        const { assert!(B::PAGE == PAGE, "the region's pages are as large as the blocks'") }
        Region { table: Locked::new(Table::new()), id }
    }

    /// Words of metadata for a range of `bytes` bytes: about four bits a page.
    pub const fn metadata_words(bytes: usize) -> usize {
        Memory::<PAGE>::words_with_away(bytes)
    }

    /// Gives it its memory; returns how many bytes of it are usable. Ragged ends are trimmed. The bytes are not
    /// touched before something is written out to them.
    ///
    /// # Errors
    /// [`MemoryError`]; memory and metadata come back.
    ///
    /// # Context
    /// For start-up: linear in the metadata, under the lock.
    pub fn init(
        &self,
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<usize, MemoryRefused> {
        self.table.with(|t| {
            if let Err(why) = check::<B, PAGE, N>(t, memory, meta) {
                return Err(Refused::new((memory, meta), why));
            }
            let memory = t.memory.insert(Memory::new(memory, meta, PutAway::Possible)?);
            Ok(memory.pages().get() * PAGE)
        })
    }

    /// Whether [`init`](Region::init) would accept these; nothing changes.
    ///
    /// # Errors
    /// What it would say.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        self.table.with(|t| check::<B, PAGE, N>(t, memory, meta))
    }

    /// Pages that it has in all.
    pub fn total(&self) -> Pages {
        self.table.with(|t| t.memory.as_ref().map_or(Pages::ZERO, Memory::pages))
    }

    /// Pages adopted and not written out yet.
    pub fn pending(&self) -> Pages {
        self.table.with(|t| t.pending())
    }

    fn find(&self, handle: &Handle) -> Result<Found, StoreError> {
        if handle.store() != self.id {
            return Err(StoreError::WrongStore);
        }
        self.table.with(|t| t.find(handle))
    }
}

fn check<B, const PAGE: usize, const N: usize>(
    table: &Table<B, PAGE, N>,
    memory: &[u8],
    meta: &[usize],
) -> Result<(), MemoryError> {
    if table.memory.is_some() {
        return Err(MemoryError::Already);
    }
    let pages = Memory::<PAGE>::check(memory, meta, PutAway::Possible)?;
    match pages.checked_mul(N + 1) {
        Some(values) if values <= Handle::VALUES => Ok(()),
        _ => Err(MemoryError::TooLarge),
    }
}

impl<L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> BackingStore<B> for Region<L, B, PAGE, N> {
    fn ids(&self) -> StoreIds {
        self.id.only()
    }

    fn capabilities(&self) -> Capabilities {
        let adopts = Capabilities::TRANSFER | Capabilities::TAKE_BACK;
        let copies = Capabilities::COPY | Capabilities::SPLIT;
        if N > 0 { adopts | copies } else { copies }
    }

    fn space(&self) -> Space {
        self.table.with(|t| t.space())
    }

    /// [`StoreError::Full`] and [`StoreError::Backlog`] as the type says.
    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        let order = block.order();
        self.table.with(|t| t.adopt(self.id, block, order))
    }

    fn take_back(&self, handle: Handle, _: Context) -> Result<B, Refused<Handle, StoreError>> {
        if handle.store() != self.id {
            return Err(Refused::new(handle, StoreError::WrongStore));
        }
        self.table.with(|t| match t.find(&handle) {
            Ok(Found::Adopted) => match t.give_up(&handle) {
                Some(block) => Ok(block),
                None => Err(Refused::new(handle, StoreError::NotStored)),
            },
            Ok(Found::Out) => {
                t.ask_back(&handle);
                Err(Refused::new(handle, StoreError::Busy))
            }
            Ok(Found::Stored) => Err(Refused::new(handle, StoreError::OtherWay)),
            Err(why) => Err(Refused::new(handle, why)),
        })
    }

    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        if order > block.order() {
            return Err(StoreError::TooLarge);
        }
        let mut room = Room::new(self, self.table.with(|t| t.reserve(order))?, AtEnd::Free);
        let wanted = room.block.as_ref().map_or(0, |to| to.len());
        let copied = room.block.as_mut().map_or(0, |to| block.copy_out(0, to));
        let handle = self.table.with(|t| t.handle(self.id, room.block.as_ref()?, order, N));
        match handle {
            Some(handle) if copied == wanted => {
                room.at_end = AtEnd::Keep;
                Ok(handle)
            }
            _ => Err(StoreError::Io), // a block that gave less than it has: nothing of it is kept
        }
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        match self.find(handle)? {
            Found::Adopted => return Err(StoreError::OtherWay),
            Found::Out => return Err(StoreError::Busy),
            Found::Stored => {}
        }
        let from = self.table.with(|t| t.lend(handle)).ok_or(StoreError::Busy)?;
        let room = Room::new(self, from, AtEnd::Return);
        let bytes = room.block.as_deref().unwrap_or_default();
        let copied = block.copy_in(at.get().saturating_mul(PAGE), bytes);
        if copied == bytes.len() { Ok(()) } else { Err(StoreError::TooLarge) }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let why = match self.find(&handle) {
            Ok(Found::Stored) => {
                return self.table.with(|t| match t.borrow(&handle).map(OwnedBlock::split) {
                    Some(Ok((lower, upper))) => {
                        let order = lower.order();
                        let both =
                            t.handle(self.id, &lower, order, N).zip(t.handle(self.id, &upper, order, N));
                        t.keep(lower);
                        t.keep(upper);
                        both.ok_or(Refused::new(handle, StoreError::Io)) // every page has a number
                    }
                    Some(Err(page)) => {
                        t.keep(page);
                        Err(Refused::new(handle, StoreError::TooLarge))
                    }
                    None => Err(Refused::new(handle, StoreError::Busy)),
                });
            }
            Ok(Found::Adopted) => StoreError::OtherWay,
            Ok(Found::Out) => StoreError::Busy,
            Err(why) => why,
        };
        Err(Refused::new(handle, why))
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        if handle.store() != self.id {
            return Err(Refused::new(handle, StoreError::WrongStore));
        }
        self.table.with(|t| match t.find(&handle) {
            Ok(Found::Adopted) => Ok(t.give_up(&handle)),
            Ok(Found::Out) => {
                t.drop_out(&handle); // the block goes home when the engine is done with it
                Ok(None)
            }
            Ok(Found::Stored) => {
                if let Some(to) = t.borrow(&handle) {
                    t.unreserve(to);
                }
                Ok(None)
            }
            Err(why) => Err(Refused::new(handle, why)),
        })
    }

    /// Writes out with the CPU where `cx` permits to take that long; else it only counts.
    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(B)) -> Settled {
        let mut settled = Settled::default();
        if cx.contains(Context::MAY_BLOCK) && budget > Pages::ZERO {
            let mut freed = Pages::ZERO;
            let done = self.write_out_bytes(budget.get().saturating_mul(PAGE), &mut |block: B| {
                freed += block.pages();
                home(block);
            });
            settled.written = Pages::new(done.bytes.div_ceil(PAGE));
            settled.freed = freed;
            settled.error = done.stuck.then_some(StoreError::Io);
        }
        settled.pending = self.pending();
        settled
    }
}

/// Room of the region that is in use outside the lock; it goes back even if a block's own code panics.
struct Room<'r, L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> {
    region: &'r Region<L, B, PAGE, N>,
    block: Option<RamBlock<PAGE>>,
    at_end: AtEnd,
}

enum AtEnd {
    /// It becomes stored contents.
    Keep,
    /// It is stored contents that were lent.
    Return,
    /// It is free.
    Free,
}

impl<'r, L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> Room<'r, L, B, PAGE, N> {
    fn new(region: &'r Region<L, B, PAGE, N>, block: RamBlock<PAGE>, at_end: AtEnd) -> Self {
        Room { region, block: Some(block), at_end }
    }
}

impl<L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> Drop for Room<'_, L, B, PAGE, N> {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        self.region.table.with(|t| match self.at_end {
            AtEnd::Keep => t.keep(block),
            AtEnd::Return => t.give_back(block),
            AtEnd::Free => t.unreserve(block),
        });
    }
}

impl<L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> fmt::Debug for Region<L, B, PAGE, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = self.space();
        f.debug_struct("Region")
            .field("id", &self.id)
            .field("total", &self.total())
            .field("free", &space.pages)
            .field("pending", &self.pending())
            .field("adoptions", &space.adoptions)
            .finish()
    }
}

#[cfg(feature = "defmt")]
impl<L: RawLock, B: OwnedBlock, const PAGE: usize, const N: usize> defmt::Format for Region<L, B, PAGE, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (space, total) = (self.space(), self.total().get());
        defmt::write!(f, "Region({}, {=usize} of {=usize} pages free, ", self.id, space.pages.get(), total);
        defmt::write!(
            f,
            "{=usize} pending, room for {=usize} blocks)",
            self.pending().get(),
            space.adoptions
        );
    }
}
