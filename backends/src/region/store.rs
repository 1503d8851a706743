//! The region as a store.

use super::table::{Asked, Found, StoredAt, Table, Transferred, Waiting};
use crate::ram::{KeepsStored, MemoryError, MemoryRefused, RamBlock, RamRange};
use core::fmt;
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, Settled, Space, StoreIds},
    sync::{Mutex, RawMutex},
};

/// A store over one range of RAM that is slower and larger than the pool's; pages of `PAGE` bytes, the same as the blocks'.
///
/// A transfer reserves room and puts the block into a table; an interrupt may do it. Until the block is written out
/// ([`write_out`](Region::write_out), [`settle`](BackingStore::settle)) nothing counts as freed, and taking it back copies nothing and
/// cancels the write-out, half copied or not. At most `N` transferred blocks wait at a time. One more is refused with
/// [`StoreError::Backlog`], which is not [`StoreError::Full`] (no room to reserve) and not [`StoreError::Busy`] (its bytes are in
/// flight this moment).
///
/// Since room is reserved at the transfer, writing out never fails for lack of it.
///
/// Room that another call is moving counts as taken: in a region that is nearly full, [`StoreError::Full`] may be returned a moment
/// before there is room, and [`space`](BackingStore::space) is no picture of one moment.
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
/// Everything but copying: O(orders · log pages) for the room; nothing is searched. A block of an order that was written out or
/// taken back before finds its room ready, unless room is short: O(1). A lock is held for a few dozen instructions at a time.
pub struct Region<L, B, const PAGE: usize, const N: usize> {
    pub(super) memory: RamRange<L, PAGE>,
    pub(super) table: Mutex<L, Table<B, PAGE, N>>,
    id: StoreId,
}

/// The usual region: it takes blocks of plain RAM.
pub type RamRegion<L, const PAGE: usize, const N: usize> = Region<L, RamBlock<PAGE>, PAGE, N>;

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> Region<L, B, PAGE, N> {
    /// A region without memory.
    pub const fn new(id: StoreId) -> Self {
        const { assert!(B::PAGE == PAGE, "the region's pages are as large as the blocks'") }
        Region { memory: RamRange::new(), table: Mutex::new(Table::new()), id }
    }

    /// Words of metadata for a range of `bytes` bytes: about four bits a page.
    pub const fn metadata_words(bytes: usize) -> usize {
        RamRange::<L, PAGE>::words_with_stored(bytes)
    }

    /// Adds the memory. Returns how many bytes of it are usable. Ragged ends are trimmed. The bytes are not touched before contents
    /// are written out to them.
    ///
    /// # Errors
    /// [`MemoryError`]; memory and metadata are handed back.
    ///
    /// # Context
    /// For start-up: linear in the metadata.
    pub fn init(
        &self,
        memory: &'static mut [u8],
        meta: &'static mut [usize],
    ) -> Result<usize, MemoryRefused> {
        if let Err(why) = self.check(memory, meta) {
            return Err(Refused { item: (memory, meta), why });
        }
        let pages = self.memory.init(memory, meta, KeepsStored::Yes)?;
        Ok(pages.get() * PAGE)
    }

    /// Checks whether [`init`](Region::init) would accept these; nothing changes.
    ///
    /// # Errors
    /// As `init`.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let pages = self.memory.check(memory, meta, KeepsStored::Yes)?;
        match pages.checked_mul(N + 1) {
            Some(values) if values <= Handle::VALUES => Ok(()),
            _ => Err(MemoryError::TooLarge),
        }
    }

    /// All pages.
    pub fn total(&self) -> Pages {
        self.memory.pages()
    }

    /// Pages that were transferred and are not written out yet.
    pub fn pending(&self) -> Pages {
        self.table.lock(|t| t.pending())
    }

    /// Room for `2^order` pages; the room of free entries, if there is no other.
    fn room(&self, order: Order) -> Result<RamBlock<PAGE>, StoreError> {
        if order > Order::TEN || order.pages() > self.memory.pages() {
            return Err(self.no_room(order));
        }
        loop {
            if let Some(room) = self.memory.cut(order) {
                return Ok(room);
            }
            match orders().find_map(|order| self.table.lock(|t| t.take_room(order))) {
                Some(room) => self.free(room),
                None => return Err(self.no_room(order)),
            }
        }
    }

    fn no_room(&self, order: Order) -> StoreError {
        let none = self.memory.free() == Pages::ZERO || order == Order::PAGE;
        if none { StoreError::Full } else { StoreError::TooLarge }
    }

    pub(super) fn free(&self, room: RamBlock<PAGE>) {
        let _ = self.memory.put(room); // it was cut from there
    }

    /// The room has stored contents now.
    pub(super) fn keep(&self, room: RamBlock<PAGE>) {
        let _ = self.memory.mark_stored(room); // it was cut from there
    }

    /// A free entry and room of that order, where none is ready.
    #[cold]
    fn entry_and_room(&self, order: Order) -> Result<(usize, RamBlock<PAGE>), StoreError> {
        let room = match self.room(order) {
            Err(StoreError::TooLarge) => return Err(StoreError::Full), // transfers don't split
            other => other?,
        };
        if let Some(entry) = self.table.lock(|t| t.take_free()) {
            return Ok((entry, room));
        }
        let ready = orders().find_map(|order| self.table.lock(|t| t.take_ready(order)));
        let entry = ready.map(|(entry, other)| {
            self.free(other);
            entry
        });
        match entry {
            Some(entry) => Ok((entry, room)),
            None => {
                self.free(room);
                Err(StoreError::Backlog)
            }
        }
    }

    /// The block of an entry has left: its room is ready for the next one, as long as no more than a sixteenth of the region is
    /// ready. The rest joins its neighbours, so that no large room is missing for small ones.
    pub(super) fn keep_ready(&self, entry: usize, room: RamBlock<PAGE>) {
        let most = self.most_ready();
        if let Err(room) = self.table.lock(|t| t.put_ready(entry, room, most)) {
            self.free(room);
        }
    }

    /// Makes room of that order ready for the next block: if it may be kept, and as much as may be kept is free besides. (While
    /// it moves into an entry no other call finds it, so it must not be the last.)
    pub(super) fn make_ready(&self, order: Order) {
        let (ready, _) = self.table.lock(|t| t.spare());
        let (most, more) = (self.most_ready(), order.pages());
        if ready + more > most || self.memory.free() < most + more {
            return;
        }
        let Some(room) = self.memory.cut(order) else { return };
        if let Err(room) = self.table.lock(|t| t.stock(room, most)) {
            self.free(room);
        }
    }

    /// Pages of room that free entries may keep.
    fn most_ready(&self) -> Pages {
        Pages::new(self.memory.pages().get() / 16)
    }

    fn handle(&self, room: &RamBlock<PAGE>, order: Order, entry: usize) -> Option<Handle> {
        Handle::new(self.id, order, self.memory.index(room)? * (N + 1) + entry)
    }

    /// Splits the value of a handle: what it says of the table, and the page.
    fn place(&self, handle: &Handle) -> Result<(StoredAt, usize), StoreError> {
        if handle.store() != self.id {
            return Err(StoreError::WrongStore);
        }
        let (page, entry) = (handle.value() / (N + 1), handle.value() % (N + 1));
        let room = self.memory.pfn(page).ok_or(StoreError::NotStored)?;
        Ok((StoredAt { entry, room, order: handle.order() }, page))
    }

    /// The page of what is stored under a handle.
    fn stored(&self, handle: &Handle) -> Result<usize, StoreError> {
        let (place, page) = self.place(handle)?;
        match self.table.lock(|t| t.find(place)) {
            Found::Transferred => Err(StoreError::WrongKind),
            Found::Out => Err(StoreError::Busy),
            Found::Elsewhere(_) if self.memory.is_stored(page, place.order) => Ok(page),
            // It may be that, read by another call meanwhile.
            Found::Elsewhere(returned) if self.table.lock(|t| t.lent_since(returned)) => {
                Err(StoreError::Busy)
            }
            Found::Elsewhere(_) | Found::Foreign => Err(StoreError::NotStored),
        }
    }

    /// The transferred block under a handle; `what` is noted for one that is in flight. `None`: neither.
    fn transferred(&self, handle: &Handle, what: Asked) -> Result<Option<B>, StoreError> {
        let (place, _) = self.place(handle)?;
        match self.table.lock(|t| t.take_adopted(place, what)) {
            Transferred::Back(Waiting { from, to, .. }) => {
                self.keep_ready(place.entry, to);
                Ok(Some(from))
            }
            Transferred::Out => Err(StoreError::Busy),
            Transferred::Not => Ok(None),
        }
    }
}

fn orders() -> impl Iterator<Item = Order> {
    (0..=Order::TEN.get()).filter_map(Order::new)
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> BackingStore<B>
    for Region<L, B, PAGE, N>
{
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        let adopts = Capabilities::TRANSFER | Capabilities::TAKE_BACK;
        let copies = Capabilities::COPY | Capabilities::SPLIT;
        if N > 0 { adopts | copies } else { copies }
    }

    fn space(&self) -> Space {
        let (ready, transfers) = self.table.lock(|t| t.spare());
        Space { pages: self.memory.free() + ready, transfers: transfers }
    }

    /// [`StoreError::Full`] and [`StoreError::Backlog`] as the type says.
    fn transfer(&self, block: B, _: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        if N == 0 {
            return Err(Refused { item: block, why: StoreError::Unsupported });
        }
        let order = block.order();
        // Room is reserved now, so that writing out can't fail for lack of it.
        let (entry, to) = match self.table.lock(|t| t.take_ready(order)) {
            Some(ready) => ready,
            None => match self.entry_and_room(order) {
                Ok(found) => found,
                Err(why) => return Err(Refused { item: block, why }),
            },
        };
        let Some(handle) = self.handle(&to, order, entry) else {
            self.keep_ready(entry, to);
            return Err(Refused { item: block, why: StoreError::Full }); // `check` sees to it that there is one
        };
        self.table.lock(|t| t.adopt(entry, Waiting { from: block, to, at: 0 }));
        Ok(handle)
    }

    fn take_back(&self, handle: Handle, _: Context) -> Result<B, Refused<Handle, StoreError>> {
        let why = match self.transferred(&handle, Asked::Back) {
            Ok(Some(block)) => return Ok(block),
            Ok(None) => self.stored(&handle).map_or_else(|why| why, |_| StoreError::WrongKind),
            Err(why) => why,
        };
        Err(Refused { item: handle, why })
    }

    fn save(&self, block: &B, order: Order, _: Option<Charge>, cx: Context) -> Result<Handle, StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        if order > block.order() {
            return Err(StoreError::TooLarge);
        }
        let mut room = Room::new(self, self.room(order)?, AtEnd::Free);
        let wanted = room.block.as_ref().map_or(0, |to| to.len());
        let copied = room.block.as_mut().map_or(0, |to| block.read_at(0, to));
        match room.block.as_ref().and_then(|to| self.handle(to, order, N)) {
            Some(handle) if copied == wanted => {
                room.at_end = AtEnd::Store;
                Ok(handle)
            }
            _ => Err(StoreError::Io), // a block that gave less than it has: nothing of it is kept
        }
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        let page = self.stored(handle)?;
        self.table.lock(|t| t.lend()); // before it can't be found: who looks for it meanwhile hears that it is busy
        let Some(from) = self.memory.take_stored(page, handle.order()) else {
            self.table.lock(|t| t.give_back());
            return Err(StoreError::Busy);
        };
        let room = Room::new(self, from, AtEnd::Return);
        let bytes = room.block.as_deref().unwrap_or_default();
        let copied = block.write_at(at.get().saturating_mul(PAGE), bytes);
        if copied == bytes.len() { Ok(()) } else { Err(StoreError::TooLarge) }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let page = match self.stored(&handle) {
            Ok(page) => page,
            Err(why) => return Err(Refused { item: handle, why }),
        };
        match self.memory.take_stored(page, handle.order()).map(OwnedBlock::split) {
            Some(Ok((lower, upper))) => {
                let order = lower.order();
                let both = self.handle(&lower, order, N).zip(self.handle(&upper, order, N));
                self.keep(lower);
                self.keep(upper);
                both.ok_or(Refused { item: handle, why: StoreError::Io }) // every page has a number
            }
            Some(Err(page)) => {
                self.keep(page);
                Err(Refused { item: handle, why: StoreError::TooLarge })
            }
            None => Err(Refused { item: handle, why: StoreError::Busy }),
        }
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        let why = match self.transferred(&handle, Asked::Drop) {
            Ok(None) => match self.stored(&handle) {
                Ok(page) => match self.memory.take_stored(page, handle.order()) {
                    Some(room) => {
                        self.free(room);
                        return Ok(None);
                    }
                    None => StoreError::Busy,
                },
                Err(why) => why,
            },
            Ok(transferred) => return Ok(transferred),
            Err(StoreError::Busy) => return Ok(None), // it is freed when the engine is done with it
            Err(why) => why,
        };
        Err(Refused { item: handle, why })
    }

    /// Writes out with the CPU where `cx` permits what takes so long; else it only counts.
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let mut settled = Settled::default();
        if cx.contains(Context::MAY_BLOCK) && budget > Pages::ZERO {
            let mut freed = Pages::ZERO;
            let done = self.write_out_bytes(budget.get().saturating_mul(PAGE), &mut |block: B| {
                freed += block.order().pages();
                owner(block);
            });
            settled.written = Pages::new(done.bytes.div_ceil(PAGE));
            settled.freed = freed;
            settled.error = done.stuck.then_some(StoreError::Io);
        }
        settled.pending = self.pending();
        settled
    }
}

/// Room of the region that is in use outside of the lock; it is returned even if the block's own code panics.
struct Room<'r, L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> {
    region: &'r Region<L, B, PAGE, N>,
    block: Option<RamBlock<PAGE>>,
    at_end: AtEnd,
}

enum AtEnd {
    /// It has stored contents now.
    Store,
    /// It has stored contents that were lent.
    Return,
    /// It is free.
    Free,
}

impl<'r, L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> Room<'r, L, B, PAGE, N> {
    fn new(region: &'r Region<L, B, PAGE, N>, block: RamBlock<PAGE>, at_end: AtEnd) -> Self {
        Room { region, block: Some(block), at_end }
    }
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> Drop for Room<'_, L, B, PAGE, N> {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        match self.at_end {
            AtEnd::Store => self.region.keep(block),
            AtEnd::Return => {
                self.region.keep(block);
                self.region.table.lock(|t| t.give_back());
            }
            AtEnd::Free => self.region.free(block),
        }
    }
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> fmt::Debug for Region<L, B, PAGE, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let space = self.space();
        f.debug_struct("Region")
            .field("id", &self.id)
            .field("total", &self.total())
            .field("free", &space.pages)
            .field("pending", &self.pending())
            .field("transfers", &space.transfers)
            .finish()
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize> defmt::Format for Region<L, B, PAGE, N> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let (space, total) = (self.space(), self.total().get());
        defmt::write!(f, "Region({}, {=usize} of {=usize} pages free, ", self.id, space.pages.get(), total);
        defmt::write!(
            f,
            "{=usize} pending, room for {=usize} blocks)",
            self.pending().get(),
            space.transfers
        );
    }
}
