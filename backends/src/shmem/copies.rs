//! Copies of other memory, kept in an arena.

use super::ledger::Limit;
use super::{Arena, ArenaBlock};
use core::fmt;
use forebay::{
    AllocError, BackingStore, Context, FrameSource, Handle, Order, OwnedBlock, Pages, Refused, StoreError,
    StoreId,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
    sync::RawMutex,
};

/// A store that copies blocks of any kind, with pages of `PAGE` bytes, into an [`Arena`], through the arena's mapping: so copies
/// consist of huge pages where there are any, which `write(2)` would not do.
///
/// For memory that is not shmem, and so can't be transferred. Copying needs memory, a chunk at a time, and head-room for it
/// ([`StoreError::NoHeadroom`]); the arena's limit on resident pages does not apply. A settle unmaps the copies, so that the system
/// can reclaim them; its counts are those of the whole arena.
///
/// [`Arena::copies`] makes one. It is three words.
pub struct Copies<'a, const PAGE: usize, L: RawMutex> {
    arena: &'a Arena<PAGE, L>,
    /// Settled too.
    source: Option<&'a Arena<PAGE, L>>,
    id: StoreId,
}

impl<const PAGE: usize, L: RawMutex> fmt::Debug for Copies<'_, PAGE, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copies").field("id", &self.id).field("arena", &self.arena).finish()
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize, L: RawMutex> defmt::Format for Copies<'_, PAGE, L> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Copies({}, {})", self.id, self.arena);
    }
}

/// Bytes that are copied at once, on the stack: memory that others may write is never behind a reference.
const PIECE: usize = 4096;

impl<'a, const PAGE: usize, L: RawMutex> Copies<'a, PAGE, L> {
    pub(super) const fn new(arena: &'a Arena<PAGE, L>, id: StoreId) -> Self {
        Copies { arena, source: None, id }
    }

    /// Settles another arena too, from which the blocks come: the memory of those that were copied and freed goes back to the system only
    /// by that. Its [held](Settled::held) pages are counted, and its errors reported.
    #[must_use]
    pub const fn settling(mut self, source: &'a Arena<PAGE, L>) -> Self {
        self.source = Some(source);
        self
    }

    /// The arena with the copies.
    pub const fn arena(&self) -> &'a Arena<PAGE, L> {
        self.arena
    }

    /// Room for a copy.
    fn room(&self, order: Order, cx: Context) -> Result<Room<'a, PAGE, L>, StoreError> {
        match self.arena.take(order, Limit::Ignored, cx) {
            Ok(block) => Ok(Room { arena: self.arena, block: Some(block), at_end: AtEnd::Release }),
            Err(AllocError::NoHeadroom) => Err(StoreError::NoHeadroom),
            Err(AllocError::Unavailable) => Err(StoreError::Unavailable),
            Err(AllocError::Failed) => Err(StoreError::Io),
            Err(_) if order > Order::PAGE && self.arena.unused() > Pages::ZERO => Err(StoreError::TooLarge),
            Err(_) => Err(StoreError::Full),
        }
    }
}

/// Pages of the arena while they are copied to or from; they are returned even if the block's own code panics.
struct Room<'a, const PAGE: usize, L: RawMutex> {
    arena: &'a Arena<PAGE, L>,
    block: Option<ArenaBlock<PAGE>>,
    at_end: AtEnd,
}

enum AtEnd {
    /// To no owner.
    Release,
    /// To the store: they were lent.
    Return,
}

impl<const PAGE: usize, L: RawMutex> Room<'_, PAGE, L> {
    /// Fills it with the start of a block. Returns whether the block has as many bytes.
    fn fill_from(&mut self, from: &impl OwnedBlock) -> bool {
        self.block.as_mut().is_some_and(|to| copy(from, to, to.bytes(), 0))
    }

    /// Its contents are stored from now on.
    fn keep(mut self, id: StoreId) -> Result<Handle, StoreError> {
        let block = self.block.take().ok_or(StoreError::Full)?; // it is there until the end
        self.arena.mark_stored(block, id).map_err(|refused| {
            self.block = Some(refused.item);
            refused.why
        })
    }
}

impl<const PAGE: usize, L: RawMutex> Drop for Room<'_, PAGE, L> {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        match self.at_end {
            AtEnd::Release => self.arena.free(block),
            AtEnd::Return => self.arena.ledger.lock(|l| l.give_back(block.into_resident())),
        }
    }
}

/// Copies the first `bytes` bytes of `from` to `at` in `to`. Returns whether both are that long.
fn copy(from: &impl OwnedBlock, to: &mut impl OwnedBlock, bytes: usize, at: usize) -> bool {
    let mut piece = [0; PIECE];
    (0..bytes).step_by(PIECE).all(|done| {
        let Some(piece) = piece.get_mut(..(bytes - done).min(PIECE)) else { return false };
        let to_at = at.saturating_add(done);
        from.read_at(done, piece) == piece.len() && to.write_at(to_at, piece) == piece.len()
    })
}

impl<const PAGE: usize, L: RawMutex, B: OwnedBlock> BackingStore<B> for Copies<'_, PAGE, L> {
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::COPY | Capabilities::LOADS_ALL | Capabilities::SPLIT
    }

    fn space(&self) -> Space {
        Space { pages: self.arena.unused(), transfers: 0 }
    }

    fn save(&self, block: &B, order: Order, _: Option<Charge>, cx: Context) -> Result<Handle, StoreError> {
        const { assert!(B::PAGE == PAGE, "the arena's pages are as large as the blocks'") }
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        if order > block.order() {
            return Err(StoreError::TooLarge);
        }
        let mut room = self.room(order, cx)?;
        if room.fill_from(block) {
            room.keep(self.id)
        } else {
            Err(StoreError::Io) // a block that gave less than it has: nothing of it is kept
        }
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        const { assert!(B::PAGE == PAGE, "the arena's pages are as large as the blocks'") }
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        let (pfn, order) = self.arena.name(handle, self.id)?;
        // While it is read it is not stored, so even a forged handle gives no second block of it.
        let lent = self.arena.ledger.lock(|l| l.lend(pfn, order))?;
        let room = Room { arena: self.arena, block: Some(self.arena.block(lent)), at_end: AtEnd::Return };
        self.arena.populate_chunks(pfn, order, cx)?;
        let at = at.get().saturating_mul(PAGE);
        match room.block.as_ref().is_some_and(|from| copy(from, block, from.bytes(), at)) {
            true => Ok(()),
            false => Err(StoreError::TooLarge),
        }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.arena.halve(handle, self.id)
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        let dropped = self.arena.find(&handle, self.id).and_then(|(pfn, order)| {
            self.arena.ledger.lock(|l| l.discard(pfn, order)).then_some(()).ok_or(StoreError::NotStored)
        });
        dropped.map(|()| None).map_err(|why| Refused { item: handle, why })
    }

    fn settle(&self, _: Pages, cx: Context, _: &mut dyn FnMut(B)) -> Settled {
        let mut settled = self.arena.flush(cx);
        if let Some(source) = self.source {
            let of_source = source.flush(cx);
            settled.held += of_source.held;
            settled.error = settled.error.or(of_source.error);
        }
        settled
    }
}
