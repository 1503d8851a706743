//! Buffers: slots that are empty, resident or stored, in any mixture. Uses every folder but `reclaim`.

mod attach;
mod cell;
mod contents;
mod evict;
mod guard;
mod lobby;
mod mapping;
mod one_block;
mod purge;
mod request;
mod restore;
mod side_tables;
mod slot;
mod write_back;

pub use attach::AttachError;
pub use evict::Evictable;
#[doc(hidden)]
pub use evict::Moved;
pub(crate) use evict::possible;
pub use guard::{Access, Exclusive, Guard, ReadGuard, Shared, WriteGuard};
#[doc(hidden)]
pub use request::Class;
pub use request::EvictRequest;
pub(crate) use request::Phase;
pub use side_tables::{Addressed, Charged, OneSlot, Slots, TooShort};
pub(crate) use side_tables::{Sealed, SideTables};
pub use slot::Slot;

use crate::buffer::cell::{Entered, Held, Owner, Reference, SharedCell};
use crate::buffer::contents::{Changing, Contents, EmptySlots, Marks};
use crate::buffer::slot::span_at;
use crate::forebay::{Forebay, Home};
use crate::frame::{BufferId, Busy, Context, Evict, Mode, Order, Pages, Zones};
use crate::port::{BackingStore, EvictHooks, OwnedBlock, Platform};
use crate::stats::{AccessError, Evicted, Restored};
use core::fmt;

/// The raw mutex, the mode and the contents of a buffer with slots `T`, named by the type of the slots only, so that a buffer
/// is covariant in its handle.
type RawMutexOf<T> = <<T as Slots>::Platform as Platform>::RawMutex;
type ModeOf<T> = <<T as Slots>::Platform as Platform>::Mode;
/// Exclusive use of a buffer.
type HeldOf<'b, H, T> = Held<'b, RawMutexOf<T>, Contents<T>, OwnerOf<H>>;

/// Bytes that live in blocks or in the store of a [`Forebay`], shared by `&`, also with an interrupt.
///
/// `H` is the handle to the forebay ([`Home`]): `&'static`, `&'a`, or (feature `alloc`) an `Arc`. `T` is where its slots lie
/// ([`Slots`]): [`new`](Buffer::new) makes a contiguous buffer of one slot, the usual thing on machines without an MMU;
/// [`with_slots`](Buffer::with_slots) one of many slots, in blocks of whatever orders are free.
///
/// A buffer begins empty and reads as zeros. No context waits for a buffer: one that is in use answers
/// [`Busy`](AccessError::Busy). Any mixture of empty, resident and stored slots is an ordinary state, so evicting and
/// restoring may stop after any block, go on later, turn round, or end in [`purge`](Buffer::purge) or drop.
///
/// | call | thread | interrupt | another core at once |
/// | --- | --- | --- | --- |
/// | [`read`](Buffer::read), [`write`](Buffer::write), [`restore`](Buffer::restore), [`populate`](Buffer::populate) | yes | with [`Context::INTERRUPT`]: what is resident or can be taken back | readers join, else `Busy` |
/// | [`Evictable`], [`evict`](Buffer::evict) | yes | with [`Evict::TRANSFER`] | skipped, or `Busy` |
/// | [`purge`](Buffer::purge), [`discard_copies`](Buffer::discard_copies) | yes | yes | `Busy` |
///
/// Dropping a buffer drops its contents, returns its blocks and discards its handles.
pub struct Buffer<H: Home, T: Slots<Platform = H::Platform> = [Slot<<H as Home>::Platform>; 1]> {
    cell: SharedCell<RawMutexOf<T>, Contents<T>, OwnerOf<H>>,
    unit: Order,
    mode: ModeOf<T>,
    zones: Zones,
}

/// Where a buffer belongs, and its number there.
#[derive(Debug)]
pub(crate) struct OwnerOf<H> {
    home: H,
    id: BufferId,
}

impl<H: Home> Owner for OwnerOf<H> {
    fn released(&self) {
        self.home.forebay().platform().hooks().released(self.id);
    }
}

impl<H: Home> Buffer<H> {
    /// One contiguous block of `2^order` pages. Takes no memory before its first use.
    pub const fn new(home: H, order: Order) -> Self {
        Self::from_empty(home, [Slot::EMPTY], order)
    }
}

impl<H: Home, const N: usize> Buffer<H, [Slot<H::Platform>; N]> {
    /// `N` slots of `2^unit` pages inside the buffer itself: for statics.
    pub const fn inline(home: H, unit: Order) -> Self {
        Self::from_empty(home, [const { Slot::EMPTY }; N], unit)
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> Buffer<H, T> {
    /// `2^unit` pages for each of these slots: the smallest block that this buffer may have. Larger blocks cover several slots.
    /// A larger unit needs fewer slots: a virtual machine with a slot for each huge page needs a 512th of those for small
    /// pages.
    ///
    /// What a leaked buffer left in the slots or in their side tables is lost, as it was before.
    pub fn with_slots(home: H, mut slots: T, unit: Order) -> Self {
        let SideTables { slots: bare, addresses, charges } = slots.side_tables();
        bare.fill_with(|| Slot::EMPTY);
        addresses.fill(None);
        charges.fill(None);
        Self::from_empty(home, slots, unit)
    }

    const fn from_empty(home: H, slots: T, unit: Order) -> Self {
        let cell = SharedCell::new(Contents::new(slots), OwnerOf { home, id: BufferId(0) });
        Buffer { cell, unit, mode: <ModeOf<T> as Mode>::CACHED, zones: Zones::ALL }
    }

    /// The number that hooks and accounting receive. Only while the buffer is empty; later it changes nothing.
    pub const fn with_id(mut self, id: BufferId) -> Self {
        if self.is_unused() {
            self.cell.owner.id = id;
        }
        self
    }

    /// The caching mode of its blocks while they are resident. Only while the buffer is empty; later it changes nothing.
    pub const fn with_mode(mut self, mode: H::Mode) -> Self {
        if self.is_unused() {
            self.mode = mode;
        }
        self
    }

    /// Where its blocks may lie; anywhere by default. A block that is taken back comes back to where it was. Only while the
    /// buffer is empty; later it changes nothing.
    pub const fn with_zones(mut self, zones: Zones) -> Self {
        if self.is_unused() {
            self.zones = zones;
        }
        self
    }

    const fn is_unused(&mut self) -> bool {
        let advice = Marks::PURGEABLE.union(Marks::PURGED);
        self.cell.get_mut().marks.difference(advice).is_empty()
    }

    /// The number that hooks and accounting receive.
    pub const fn id(&self) -> BufferId {
        self.cell.owner.id
    }

    pub(crate) fn forebay(&self) -> &Forebay<H::Platform, H::Store> {
        self.cell.owner.home.forebay()
    }

    pub(crate) fn platform(&self) -> &H::Platform {
        self.forebay().platform()
    }

    /// [`read_in`](Buffer::read_in) a thread.
    ///
    /// # Errors
    /// As there.
    pub fn read(&self) -> Result<ReadGuard<'_, H, T>, AccessError> {
        self.read_in(Context::THREAD)
    }

    /// [`write_in`](Buffer::write_in) a thread.
    ///
    /// # Errors
    /// As there.
    pub fn write(&self) -> Result<WriteGuard<'_, H, T>, AccessError> {
        self.write_in(Context::THREAD)
    }

    /// Holds the contents resident for reading; any number of readers at a time. Restores what is stored and populates what is
    /// empty. Copies are kept while the store has room: a buffer that was only read is evicted again without copying.
    ///
    /// O(1) if everything is resident, else linear in the slots and in what is copied.
    ///
    /// # Errors
    /// [`AccessError`]. What was restored before the error stays resident; the next call goes on from there.
    pub fn read_in(&self, cx: Context) -> Result<ReadGuard<'_, H, T>, AccessError> {
        let reader = match self.cell.enter()? {
            Entered::Reader(reader) => {
                reader.slots.accessed();
                reader
            }
            Entered::Held(mut held) => {
                held.slots.accessed();
                self.make_ready(&mut held, cx)?;
                held.downgrade()
            }
        };
        Ok(Guard::new(self, reader))
    }

    /// Holds the contents resident for writing, alone. As [`read_in`](Buffer::read_in), and discards the store's copies, which
    /// are about to be wrong; in a lobby they stay, as room.
    ///
    /// # Errors
    /// [`AccessError`], as for reading. In a lobby, new contents need room in the store too: [`StoreError::Full`](crate::StoreError::Full).
    pub fn write_in(&self, cx: Context) -> Result<WriteGuard<'_, H, T>, AccessError> {
        let mut held = self.cell.hold_to_use()?;
        held.slots.accessed();
        self.make_ready(&mut held, cx)?;
        self.drop_copies(&mut held, Copies::All);
        held.marks.remove(Marks::PURGED); // it has contents again
        Ok(Guard::new(self, held))
    }

    /// Says that the buffer was used without a guard, as a page fault or a device tells: it has a second chance, and a
    /// policy that [follows](crate::reclaim::Follow) it hears of it. For what is not resident it changes nothing that matters. An
    /// accessed bit of an MMU is better asked when a reclaim looks at the buffer:
    /// [`EvictHooks::second_chance`].
    ///
    /// # Context
    /// O(1), also in an interrupt. A buffer that is held exclusively is in use anyway.
    pub fn touch(&self) {
        let _ = self.cell.inspect(|contents| contents.slots.accessed());
        self.cell.set_reference(Reference::Used);
    }

    /// Brings back about `budget` pages of what is stored, without holding the buffer; empty slots stay empty. It stops at the
    /// first whole block past the budget. The next call goes on where this one ended (TTM keeps a snapshot for that; here the
    /// slots are the progress).
    ///
    /// What came back is resident whatever [`Restored::why`] says; the rest is stored as before. The call that reaches the end
    /// changes everything that is resident to the buffer's mode, with one flush, and maps it, if it may block. Until then
    /// blocks may be in the mode `CACHED`, and the next guard changes them.
    ///
    /// # Context
    /// With [`Context::INTERRUPT`] only what can be taken back, O(1) for each block; else linear in what is copied.
    #[must_use = "it says why something did not come back"]
    pub fn restore(&self, budget: Pages, cx: Context) -> Restored {
        self.restore_in_steps(EmptySlots::Leave, budget, cx)
    }

    /// As [`restore`](Buffer::restore), and then gives zeroed blocks to empty slots.
    ///
    /// # Context
    /// As `restore`; zeroing counts as copying.
    #[must_use = "it says why something is not resident"]
    pub fn populate(&self, budget: Pages, cx: Context) -> Restored {
        self.restore_in_steps(EmptySlots::Populate, budget, cx)
    }

    /// Evicts about `budget` pages, whether used lately or not. Stops at the first whole block past the budget, and as soon as
    /// another context wants the buffer. The next call goes on where this one ended.
    ///
    /// # Errors
    /// [`Busy`] if a guard is alive or another context moves the contents.
    ///
    /// # Context
    /// O(1) if nothing is resident, and for each block that is transferred or clean; linear in what is copied. No lock is held
    /// while anything moves. (TTM's `ttm_pool_backup`, which can't go on once it stopped.)
    pub fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy> {
        let mut held = self.cell.hold()?;
        let goes = budget > Pages::ZERO && held.marks.contains(Marks::BLOCKS);
        if Self::ONE_BLOCK && !how.contains(Evict::PURGE) {
            return Ok(if goes { self.evict_by(&mut held, how, cx) } else { Evicted::NONE });
        }
        let (request, mut sum) = (EvictRequest::new(budget, how, cx), Evicted::default());
        if Self::ONE_BLOCK {
            self.evict_one(&mut held, &request, &mut sum);
        } else {
            self.evict_held(&mut held, &request, &mut sum);
        }
        Ok(sum)
    }

    /// For an owner: as [`evict`](Buffer::evict), and can't be busy. With a guard alive this does not compile.
    pub fn evict_mut(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        self.cell.forgive();
        self.evict(budget, how, cx).unwrap_or_default()
    }

    /// Discards the store's copies of what is resident, as far as that gives room there
    /// ([`room_of`](BackingStore::room_of)). Returns the pages of the copies. The next eviction has to copy them again. Not those of
    /// blocks in a lobby, which need the room.
    ///
    /// # Errors
    /// [`Busy`] if a guard is alive or another context moves the contents.
    ///
    /// # Context
    /// O(1) if nothing is clean, else linear in the slots.
    pub fn discard_copies(&self) -> Result<Pages, Busy> {
        Ok(self.drop_copies(&mut *self.cell.hold()?, Copies::ThatTakeRoom))
    }

    /// Where the contents are. It is no use of the buffer.
    ///
    /// # Errors
    /// [`Busy`] if another context holds it exclusively.
    ///
    /// # Context
    /// Looks at every slot; meanwhile other contexts receive `Busy`.
    pub fn residency(&self) -> Result<Residency, Busy> {
        self.cell.inspect(|contents| {
            let mut sum = Residency::default();
            let slots = contents.slots.slots();
            let mut i = 0;
            while let Some(slot) = slots.get(i) {
                match (&slot.block, &slot.copy) {
                    (Some(block), copy) => {
                        sum.resident += block.order().pages();
                        if copy.is_some() && !Self::is_stale(contents) {
                            sum.clean += block.order().pages();
                        }
                    }
                    (None, Some(copy)) => sum.stored += copy.order().pages(),
                    (None, None) => {}
                }
                i += span_at(slots, i, self.unit);
            }
            sum
        })
    }

    /// Runs the hook before anything moves, unless it ran already.
    fn before_evict(&self, contents: &mut Contents<T>, cx: Context) -> Result<(), Busy> {
        if contents.marks.contains(Marks::BLOCKS) && !contents.marks.contains(Marks::UNMAPPED) {
            let slots = contents.slots.slots_mut().iter_mut();
            let mut blocks = slots.filter_map(|slot| slot.block.as_mut()).map(|block| &mut block.block);
            self.platform().hooks().before_evict(self.id(), &mut blocks, cx)?;
            contents.marks.insert(Marks::UNMAPPED);
        }
        Ok(())
    }

    /// Discards the store's copies of resident blocks. Returns their pages.
    fn drop_copies(&self, contents: &mut Contents<T>, which: Copies) -> Pages {
        let mut sum = Pages::ZERO;
        let stale = Self::is_stale(contents);
        if !contents.marks.contains(Marks::CLEAN) && !stale {
            return sum;
        }
        let (mut i, mut kept) = (0, Marks::empty());
        let changing = Changing::new(contents);
        let slots = changing.0.slots.slots_mut();
        while let Some(slot) = slots.get(i) {
            let span = span_at(slots, i, self.unit);
            let block = slot.block.as_ref().filter(|_| slot.copy.is_some());
            if block.is_some_and(|block| self.is_in_lobby(block)) {
                kept |= if which == Copies::All || stale { Marks::STALE } else { Marks::CLEAN };
            } else if block.is_some() {
                let copies = slots.iter().skip(i).take(span).filter_map(|part| part.copy.as_ref());
                let room: Pages = copies.map(|copy| self.forebay().store().room_of(copy)).sum();
                if which == Copies::ThatTakeRoom && room == Pages::ZERO && !stale {
                    kept |= Marks::CLEAN;
                } else {
                    for copy in slots.iter_mut().skip(i).take(span).filter_map(|part| part.copy.take()) {
                        sum += copy.order().pages();
                        self.forebay().discard(copy);
                    }
                }
            }
            i += span;
        }
        changing.done();
        contents.marks.remove(Marks::CLEAN | Marks::STALE);
        contents.marks.insert(kept);
        sum
    }
}

/// Which copies of resident blocks are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    All,
    /// Not those that take no room, as in flash.
    ThatTakeRoom,
}

/// Where the contents of a buffer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Residency {
    /// Pages in blocks.
    pub resident: Pages,
    /// Of those, pages with a copy in the store as well.
    pub clean: Pages,
    /// Pages in the store only, also those that were transferred and still wait.
    pub stored: Pages,
}

impl<H: Home, T: Slots<Platform = H::Platform>> Drop for Buffer<H, T> {
    /// The context is unknown, so the hook receives the poorest; its refusal can't be honoured here.
    fn drop(&mut self) {
        self.cell.forgive();
        if let Ok(mut held) = self.cell.hold() {
            let (pool, cx) = (self.forebay().pool(), Context::INTERRUPT);
            let _ = self.before_evict(&mut held, cx);
            let from_store = self.clear(&mut held, cx, |block| pool.put(block, cx));
            self.forebay().count(|stats| stats.evicted.purged_from_store += from_store);
            for slot in held.slots.slots_mut() {
                if let Some(stuck) = slot.block.take() {
                    self.forebay().leak(stuck.order().pages());
                }
                if let Some(room) = slot.copy.take() {
                    self.forebay().discard(room);
                }
            }
            self.uncharge(&mut held);
            held.marks = Marks::empty(); // so that no index lists it
        }
    }
}

impl<H: Home, T: Slots<Platform = H::Platform>> fmt::Debug for Buffer<H, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("id", &self.id())
            .field("unit", &self.unit)
            .field("residency", &self.residency())
            .finish_non_exhaustive()
    }
}

/// O(1), as it is formatted inside the logger, which may mask interrupts meanwhile. [`residency`](Buffer::residency) says where
/// the contents are.
#[cfg(feature = "defmt")]
impl<H: Home, T: Slots<Platform = H::Platform>> defmt::Format for Buffer<H, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Buffer({=usize}, unit {})", self.id().0, self.unit);
    }
}
