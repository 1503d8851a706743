//! The region as a store.

use super::checksum::Checksum;
use super::rings::{Left, Wanted};
use super::room::{Memory, Room, with_words_behind};
use super::table::{Asked, StoredAt, Table, Transferred};
use crate::ram::{MemoryError, MemoryRefused, RamBlock};
use core::fmt;
use core::marker::PhantomData;
use core::mem::replace;
use forebay::{
    BackingStore, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, Rooms, Settled, Space, StoreIds},
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
/// **Room is a number of pages.** Contents may lie in pages anywhere, so the region can't be fragmented: what fits by count fits.
/// Where pages lie in order, which is always so in a program with one size of buffers, contents are one piece; else up to
/// eight pages that lie one behind the other are a part of a write-out of their own.
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
/// For memory that may change its bytes, `C` is a [`Checksum`]: contents that come back wrong are [`StoreError::Io`] then. `()` has none.
///
/// # Complexity
/// O(1) but for copying, which takes a short lock section for each part that lies in order; `split` is linear in the pages. Nothing is searched.
pub struct Region<L, B, const PAGE: usize, const N: usize, C = ()> {
    pub(super) books: Mutex<L, Books<B, PAGE, N>>,
    id: StoreId,
    checksum: PhantomData<fn() -> C>,
}

/// Everything behind the lock.
pub(super) struct Books<B, const PAGE: usize, const N: usize> {
    /// None before it was added.
    pub(super) memory: Option<Memory<PAGE>>,
    pub(super) table: Table<B, PAGE, N>,
    /// Pages of blocks that were with an engine that was reset.
    pub(super) lost: Pages,
    /// Some call has begun to add memory.
    claimed: Claimed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Claimed {
    No,
    Yes,
}

/// The usual region: it takes blocks of plain RAM.
pub type RamRegion<L, const PAGE: usize, const N: usize> = Region<L, RamBlock<PAGE>, PAGE, N>;

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> Region<L, B, PAGE, N, C> {
    /// A region without memory.
    pub const fn new(id: StoreId) -> Self {
        const { assert!(B::PAGE == PAGE, "the region's pages are as large as the blocks'") }
        let books = Books { memory: None, table: Table::new(), lost: Pages::ZERO, claimed: Claimed::No };
        Region { books: Mutex::new(books), id, checksum: PhantomData }
    }

    /// Words of metadata for each page: its link, and its checksum.
    const WORDS: usize = if C::KEPT { 2 } else { 1 };

    /// Words of metadata for a range of `bytes` bytes: one for each page, two with a [`Checksum`].
    pub const fn metadata_words(bytes: usize) -> usize {
        bytes / PAGE * Self::WORDS
    }

    /// Adds the memory. Returns how many bytes of it are usable. Ragged ends are trimmed. The bytes are not touched before contents
    /// are written out to them.
    ///
    /// A transfer reads and writes a few words of the metadata. It may lie in fast memory, or behind the pages themselves
    /// ([`init_within`](Region::init_within)).
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
        let pages = match self.check(memory, meta).and_then(|()| self.claim(memory)) {
            Ok(pages) => pages,
            Err(why) => return Err(Refused { item: (memory, meta), why }),
        };
        let whole = memory.get_mut(skip::<PAGE>(memory)..).unwrap_or_default();
        Ok(self.add(whole, meta.get_mut(..pages * Self::WORDS).unwrap_or_default()))
    }

    /// As [`init`](Region::init), with the metadata behind the pages, in the same memory: no fast memory is needed for it. A word
    /// for each page is not usable. Not for memory that may change its bytes: a wrong link mixes up contents, and worse. With a
    /// [`Checksum`] this does not compile.
    ///
    /// # Errors
    /// [`MemoryError`]; the memory is handed back.
    ///
    /// # Context
    /// As [`init`](Region::init). A transfer then touches the memory itself, so it must be within reach at that moment.
    pub fn init_within(
        &self,
        memory: &'static mut [u8],
    ) -> Result<usize, Refused<&'static mut [u8], MemoryError>> {
        const { assert!(!C::KEPT, "memory that needs checksums is no place for metadata: use `init`") }
        let pages = match self.check_within(memory).and_then(|pages| self.claim(memory).map(|_| pages)) {
            Ok(pages) => pages,
            Err(why) => return Err(Refused { item: memory, why }),
        };
        let whole = memory.get_mut(skip::<PAGE>(memory)..).unwrap_or_default();
        let (pages, words) = with_words_behind(whole, pages * PAGE, pages * Self::WORDS).unwrap_or_default(); // checked above
        Ok(self.add(pages, words))
    }

    /// Checks whether [`init`](Region::init) would accept these; nothing changes.
    ///
    /// # Errors
    /// As `init`.
    pub fn check(&self, memory: &[u8], meta: &[usize]) -> Result<(), MemoryError> {
        let words = self.check_pages(whole_pages::<PAGE>(memory))? * Self::WORDS;
        if meta.len() < words { Err(MemoryError::Metadata { words }) } else { Ok(()) }
    }

    /// Checks whether [`init_within`](Region::init_within) would accept it. Returns its pages.
    pub(crate) fn check_within(&self, memory: &[u8]) -> Result<usize, MemoryError> {
        let bytes = memory.len().saturating_sub(skip::<PAGE>(memory));
        self.check_pages(bytes / (PAGE + Self::WORDS * size_of::<usize>()))
    }

    fn check_pages(&self, pages: usize) -> Result<usize, MemoryError> {
        if self.books.lock(|books| books.claimed) == Claimed::Yes {
            return Err(MemoryError::Already);
        }
        match pages.checked_mul(N + 1) {
            Some(0) => Err(MemoryError::NoWholePage),
            Some(values) if values <= Handle::VALUES => Ok(pages),
            _ => Err(MemoryError::TooLarge),
        }
    }

    /// From here on only this caller adds memory. Returns its whole pages.
    fn claim(&self, memory: &[u8]) -> Result<usize, MemoryError> {
        match self.books.lock(|books| replace(&mut books.claimed, Claimed::Yes)) {
            Claimed::No => Ok(whole_pages::<PAGE>(memory)),
            Claimed::Yes => Err(MemoryError::Already),
        }
    }

    fn add(&self, pages: &'static mut [u8], words: &'static mut [usize]) -> usize {
        let memory = Memory::new(pages, words);
        let bytes = memory.pages() * PAGE;
        self.books.lock(|books| books.memory = Some(memory));
        bytes
    }

    /// All pages.
    pub fn total(&self) -> Pages {
        Pages::new(self.books.lock(|books| books.memory.as_ref().map_or(0, Memory::pages)))
    }

    /// The least that was ever free: room that was never needed. (The largest free room is what
    /// [`space`](BackingStore::space) says: room can't be fragmented.)
    pub fn lowest_space(&self) -> Pages {
        Pages::new(self.books.lock(|books| books.memory.as_ref().map_or(0, Memory::lowest_space)))
    }

    /// Pages that were transferred and are not written out yet.
    pub fn pending(&self) -> Pages {
        self.books.lock(|books| books.table.pending())
    }

    /// Moves a room on to the run with byte `at`, which lies in the present run or at its end.
    pub(super) fn reach(&self, room: &mut Room<PAGE>, at: usize) {
        if at >= room.reach().end {
            self.books.lock(|books| books.memory.as_mut().map(|memory| memory.advance(room)));
        }
    }

    /// Calls `copy` for each run of a room, from the start on, with the offset of its bytes. Returns whether each copied all.
    fn copy_all(&self, room: &mut Room<PAGE>, mut copy: impl FnMut(usize, &mut [u8]) -> usize) -> bool {
        let (mut at, len) = (0, room.len());
        while at < len {
            self.reach(room, at);
            let end = room.reach().end;
            if end <= at || copy(at, room.bytes_mut(at..end)) != end - at {
                return false;
            }
            at = end;
        }
        true
    }

    /// Copies a block into a room, which is kept then.
    pub(super) fn fill(&self, mut lent: Lent<'_, L, B, PAGE, N, C>, block: &B) -> Result<(), StoreError> {
        let all = lent.room.as_mut().is_some_and(|room| self.copy_all(room, |at, to| block.read_at(at, to)));
        let all = all && lent.room.as_ref().is_some_and(|room| self.keep_sums(room, block));
        if !all {
            return Err(StoreError::Io); // a block that gave less than it has: nothing of it is kept
        }
        lent.at_end = Left::Stored;
        Ok(())
    }

    pub(super) fn handle(&self, head: usize, order: Order, entry: usize) -> Option<Handle> {
        Handle::new(self.id, order, head * (N + 1) + entry)
    }

    /// Whether a handle is one of this store.
    pub(super) fn check_id(&self, handle: &Handle) -> Result<(), StoreError> {
        if handle.store() == self.id { Ok(()) } else { Err(StoreError::WrongStore) }
    }

    /// Lends what is stored under a handle.
    fn lend(&self, handle: &Handle, at_end: Left) -> Result<Lent<'_, L, B, PAGE, N, C>, StoreError> {
        self.check_id(handle)?;
        let place = StoredAt::of(handle, N);
        let room = self.books.lock(|books| {
            if books.table.is_transferred(place) {
                let is_out = books.table.is_out(place.entry, place.head);
                return Err(if is_out { StoreError::Busy } else { StoreError::WrongKind });
            }
            books.lend(place.head, place.order, Wanted::Contents)
        })?;
        Ok(Lent::new(self, room, at_end))
    }
}

/// Bytes before the first whole page.
fn skip<const PAGE: usize>(memory: &[u8]) -> usize {
    memory.as_ptr().align_offset(PAGE)
}

fn whole_pages<const PAGE: usize>(memory: &[u8]) -> usize {
    memory.len().saturating_sub(skip::<PAGE>(memory)) / PAGE
}

impl<B: OwnedBlock, const PAGE: usize, const N: usize> Books<B, PAGE, N> {
    /// A block waits in that entry, to be written out to that room.
    pub(super) fn adopt(
        &mut self,
        entry: usize,
        from: B,
        to: Room<PAGE>,
        handle: impl FnOnce(usize, usize) -> Option<Handle>,
    ) -> Result<Handle, Refused<B, StoreError>> {
        match handle(to.head(), entry) {
            Some(handle) => {
                self.table.adopt(entry, from, to);
                Ok(handle)
            }
            // Not reached: `check` sees to it that each page and entry has a number. Entry and room would stay in use.
            None => Err(Refused { item: from, why: StoreError::Full }),
        }
    }

    /// Takes the transferred block of that place, or notes what is asked of it. `room` says what becomes of its room.
    pub(super) fn take(&mut self, handle: &Handle, what: Asked, room: Left) -> Transferred<B> {
        let memory = &mut self.memory;
        self.table.take_adopted(StoredAt::of(handle, N), what, |to| {
            if let Some(memory) = memory {
                memory.give_back(to, room);
            }
        })
    }

    /// The transferred block of that place. `room` says what becomes of its room.
    pub(super) fn take_back(&mut self, handle: &Handle, room: Left) -> Result<B, StoreError> {
        match self.take(handle, Asked::Back, room) {
            Transferred::Back(block) => Ok(block),
            Transferred::Out => Err(StoreError::Busy),
            Transferred::Not => self.is_stored(StoredAt::of(handle, N)).and(Err(StoreError::WrongKind)),
        }
    }

    fn discard(&mut self, handle: &Handle) -> Result<Option<B>, StoreError> {
        match self.take(handle, Asked::Drop, Left::Nothing) {
            Transferred::Back(block) => Ok(Some(block)),
            Transferred::Out => Ok(None), // it is freed when the engine is done with it
            Transferred::Not => {
                let StoredAt { head, order, .. } = StoredAt::of(handle, N);
                let room = self.lend(head, order, Wanted::Room)?;
                self.give_back(room, Left::Nothing);
                Ok(None)
            }
        }
    }

    /// New room, without contents.
    #[inline(never)] // only a transfer has to be short
    pub(super) fn reserve(&mut self, order: Order) -> Result<Room<PAGE>, StoreError> {
        let memory = self.memory.as_mut().ok_or(StoreError::Full)?;
        match memory.fits(order) {
            true => Ok(memory.reserve(order)),
            false if memory.space() == 0 => Err(StoreError::Full),
            false => Err(StoreError::TooLarge),
        }
    }

    /// Whether complete contents lie there; `Busy` while they are lent.
    fn is_stored(&self, place: StoredAt) -> Result<(), StoreError> {
        let memory = self.memory.as_ref().ok_or(StoreError::NotStored)?;
        memory.is_stored(place.head, place.order)
    }

    /// The room of that order whose head is there.
    pub(super) fn lend(
        &mut self,
        head: usize,
        order: Order,
        wanted: Wanted,
    ) -> Result<Room<PAGE>, StoreError> {
        self.memory.as_mut().ok_or(StoreError::NotStored)?.lend(head, order, wanted)
    }

    /// Takes back a room that is no longer in use, and keeps it or frees it.
    pub(super) fn give_back(&mut self, room: Room<PAGE>, left: Left) {
        if let Some(memory) = &mut self.memory {
            memory.give_back(room, left);
        }
    }

    /// Whether this memory made that room.
    pub(super) fn made(&self, room: &Room<PAGE>) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.made(room))
    }

    /// The page behind one.
    pub(super) fn link(&self, page: usize) -> usize {
        self.memory.as_ref().map_or(page, |memory| memory.link(page))
    }
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> BackingStore<B>
    for Region<L, B, PAGE, N, C>
{
    fn ids(&self) -> StoreIds {
        self.id.into()
    }

    fn capabilities(&self) -> Capabilities {
        let adopts = Capabilities::TRANSFER | Capabilities::TAKE_BACK;
        let copies = Capabilities::COPY | Capabilities::SPLIT | Capabilities::LOADS_ALL;
        if N > 0 { adopts | copies } else { copies }
    }

    fn space(&self) -> Space {
        let (pages, transfers) =
            self.books.lock(|books| (books.memory.as_ref().map_or(0, Memory::space), books.table.free()));
        Space { pages: Pages::new(pages), transfers }
    }

    /// [`StoreError::Full`] and [`StoreError::Backlog`] as the type says.
    fn transfer(&self, block: B, _: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        if N == 0 {
            return Err(Refused { item: block, why: StoreError::Unsupported });
        }
        let order = block.order();
        // Room is reserved now, so that writing out can't fail for lack of it.
        self.books.lock(|books| {
            let Some(memory) = books.memory.as_mut().filter(|memory| memory.fits(order)) else {
                return Err(Refused { item: block, why: StoreError::Full }); // transfers don't split
            };
            let Some(entry) = books.table.take_free() else {
                return Err(Refused { item: block, why: StoreError::Backlog });
            };
            let to = memory.reserve(order);
            books.adopt(entry, block, to, |head, entry| self.handle(head, order, entry))
        })
    }

    fn take_back(&self, handle: Handle, _: Context) -> Result<B, Refused<Handle, StoreError>> {
        let block = self
            .check_id(&handle)
            .and_then(|()| self.books.lock(|books| books.take_back(&handle, Left::Nothing)));
        block.map_err(|why| Refused { item: handle, why })
    }

    fn save(&self, block: &B, order: Order, _: Option<Charge>, cx: Context) -> Result<Handle, StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        if order > block.order() {
            return Err(StoreError::TooLarge);
        }
        let room = self.books.lock(|books| books.reserve(order))?;
        let handle = self.handle(room.head(), order, N);
        self.fill(Lent::new(self, room, Left::Nothing), block)?;
        handle.ok_or(StoreError::Full) // `check` sees to it that there is one
    }

    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        let mut lent = self.lend(handle, Left::Same)?;
        let first = at.get().saturating_mul(PAGE);
        let copy = |at, from: &mut [u8]| block.write_at(first.saturating_add(at), from);
        let all = lent.room.as_mut().is_some_and(|room| self.copy_all(room, copy));
        if !all {
            return Err(StoreError::TooLarge);
        }
        let right = lent.room.as_ref().is_some_and(|room| self.has_sums(room, block, first));
        if right { Ok(()) } else { Err(StoreError::Io) }
    }

    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        let mut lent = match self.lend(&handle, Left::Same) {
            Ok(lent) => lent,
            Err(why) => return Err(Refused { item: handle, why }),
        };
        let half = handle.order().lower();
        let Some((half, room)) = half.and_then(|half| Some((half, lent.room.take()?))) else {
            return Err(Refused { item: handle, why: StoreError::TooLarge });
        };
        let behind = |page, steps| (0..steps).fold(page, |page, _| self.books.lock(|books| books.link(page)));
        let (head, steps) = (room.head(), if room.is_straight() { 0 } else { half.pages().get() });
        let middle = behind(head, steps.saturating_sub(1));
        let last = behind(middle, steps);
        let upper = self.books.lock(|books| Some(books.memory.as_mut()?.cut(room, half, middle, last)));
        let both = upper.and_then(|upper| self.handle(head, half, N).zip(self.handle(upper, half, N)));
        both.ok_or(Refused { item: handle, why: StoreError::Io }) // every page has a number
    }

    fn rooms(&self) -> Option<&dyn Rooms<B>> {
        Some(self)
    }

    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        let block = self.check_id(&handle).and_then(|()| self.books.lock(|books| books.discard(&handle)));
        block.map_err(|why| Refused { item: handle, why })
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

/// Room that is in use outside of the lock; it goes back even if the block's own code panics.
pub(super) struct Lent<'r, L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> {
    region: &'r Region<L, B, PAGE, N, C>,
    room: Option<Room<PAGE>>,
    at_end: Left,
}

impl<'r, L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum>
    Lent<'r, L, B, PAGE, N, C>
{
    pub(super) fn new(region: &'r Region<L, B, PAGE, N, C>, room: Room<PAGE>, at_end: Left) -> Self {
        Lent { region, room: Some(room), at_end }
    }
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> Drop
    for Lent<'_, L, B, PAGE, N, C>
{
    fn drop(&mut self) {
        let Some(room) = self.room.take() else { return };
        self.region.books.lock(|books| books.give_back(room, self.at_end));
    }
}

impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> fmt::Debug
    for Region<L, B, PAGE, N, C>
{
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
impl<L: RawMutex, B: OwnedBlock, const PAGE: usize, const N: usize, C: Checksum> defmt::Format
    for Region<L, B, PAGE, N, C>
{
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
