//! A buffer: slots that are empty, resident or stored, in any mixture.

use crate::cell::Shared;
use crate::slot::span_at;
use crate::state::{Empty, Inner, Marks};
use crate::{
    BackingStore, BufferId, Busy, Context, Evict, Evictable, Evicted, Forebay, Mode, Order, OwnedBlock,
    Pages, Parts, PinError, Platform, Pooled, Read, Restored, Slot, Slots, Step, Write, Zones,
};
use core::fmt;

/// Bytes that live in the pool or in the store of a [`Forebay`], shared by `&`, also with an interrupt.
///
/// `T` is where its slots are: [`new`](Buffer::new) makes a contiguous buffer of one slot, the usual thing on
/// machines without an MMU; [`over`](Buffer::over) and [`inline`](Buffer::inline) one of many, in blocks of whatever
/// orders are to be had. It begins empty and reads as zeros. Nobody ever waits for a buffer: what is in use answers
/// [`Busy`](PinError::Busy). Any mixture of empty, resident and stored slots is an ordinary state, so evicting and
/// restoring may stop after any block, go on later, turn round, or end in [`purge`](Buffer::purge) or drop.
///
/// | call | thread | interrupt | another core at once |
/// | --- | --- | --- | --- |
/// | [`read`](Buffer::read), [`write`](Buffer::write), [`restore`](Buffer::restore), [`populate`](Buffer::populate) | yes | with [`Context::INTERRUPT`]: what is resident or can be taken back | readers join, else `Busy` |
/// | [`Evictable`], [`evict`](Buffer::evict) | yes | with [`Evict::TRANSFER`] | passed over, or `Busy` |
/// | [`purge`](Buffer::purge), [`discard`](Buffer::discard) | yes | yes | `Busy` |
///
/// Dropping a buffer drops its contents and gives back its blocks and handles.
pub struct Buffer<'a, P: Platform, S: BackingStore<P::Block>, T: Slots<P> = [Slot<P>; 1]> {
    pub(crate) home: &'a Forebay<P, S>,
    pub(crate) cell: Shared<P::Lock, Inner<P, T>>,
    pub(crate) unit: Order,
    pub(crate) mode: P::Mode,
    pub(crate) zones: Zones,
    pub(crate) id: BufferId,
}

impl<'a, P: Platform, S: BackingStore<P::Block>> Buffer<'a, P, S> {
    /// One contiguous block of `2^order` pages. Takes no memory before its first use.
    pub const fn new(home: &'a Forebay<P, S>, order: Order) -> Self {
        Self::with_slots([Slot::EMPTY], home, order)
    }
}

impl<'a, P: Platform, S: BackingStore<P::Block>, const N: usize> Buffer<'a, P, S, [Slot<P>; N]> {
    /// `N` slots of one page, inside the buffer itself: for statics.
    pub const fn inline(home: &'a Forebay<P, S>) -> Self {
        Self::with_slots([const { Slot::EMPTY }; N], home, Order::PAGE)
    }
}

impl<'a, 'm, P: Platform, S: BackingStore<P::Block>> Buffer<'a, P, S, &'m mut [Slot<P>]> {
    /// One page for each slot, in blocks as large as the platform gives and the index permits.
    ///
    /// Whatever a leaked buffer left in the slots is lost, as it was already.
    pub fn over(slots: &'m mut [Slot<P>], home: &'a Forebay<P, S>) -> Self {
        Self::of(slots, home)
    }
}

impl<'a, P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'a, P, S, T> {
    /// One page for each of these slots, wherever they are and whatever is beside them: [`Addressed`](crate::Addressed)
    /// for what a device uses, [`Charged`](crate::Charged) for what somebody pays for, or both, one around the other.
    ///
    /// Whatever a leaked buffer left in the slots, or beside them, is lost, as it was already.
    pub fn of(mut slots: T, home: &'a Forebay<P, S>) -> Self {
        let Parts { slots: bare, addresses, charges } = slots.parts();
        bare.fill_with(|| Slot::EMPTY);
        addresses.fill(None);
        charges.fill(None);
        Self::with_slots(slots, home, Order::PAGE)
    }

    const fn with_slots(slots: T, home: &'a Forebay<P, S>, unit: Order) -> Self {
        let cell = Shared::new(Inner::new(slots));
        Buffer { home, cell, unit, mode: P::Mode::PLAIN, zones: Zones::ALL, id: BufferId(0) }
    }

    /// `2^unit` pages for each slot: the least that a block of this buffer may have. A larger unit needs fewer
    /// slots: a virtual machine with one for each huge page needs a 512th of those for small ones.
    ///
    /// Only while the buffer is empty; later it changes nothing.
    pub const fn with_unit(mut self, unit: Order) -> Self {
        if self.is_unused() {
            self.unit = unit;
        }
        self
    }

    /// The number that the platform's hooks and its [`charge`](Platform::charge) are called with. Only while the buffer is
    /// empty; later it changes nothing.
    pub const fn with_id(mut self, id: BufferId) -> Self {
        if self.is_unused() {
            self.id = id;
        }
        self
    }

    /// The caching mode of its blocks while they are resident. Only while the buffer is empty; later it changes
    /// nothing.
    pub const fn with_mode(mut self, mode: P::Mode) -> Self {
        if self.is_unused() {
            self.mode = mode;
        }
        self
    }

    /// Where its blocks may be; anywhere if left out. What is taken back comes back to where it was. Only while the
    /// buffer is empty; later it changes nothing.
    pub const fn within(mut self, zones: Zones) -> Self {
        if self.is_unused() {
            self.zones = zones;
        }
        self
    }

    const fn is_unused(&mut self) -> bool {
        self.cell.forgive();
        let advice = Marks::PURGEABLE.union(Marks::PURGED);
        self.cell.get_mut().marks.difference(advice).is_empty()
    }

    /// The number that the platform's hooks and its [`charge`](Platform::charge) are called with.
    pub const fn id(&self) -> BufferId {
        self.id
    }

    /// The least order that a block of this buffer may have: that of one slot.
    pub const fn unit(&self) -> Order {
        self.unit
    }

    /// The caching mode of its blocks while they are resident.
    pub const fn mode(&self) -> P::Mode {
        self.mode
    }

    /// [`read_in`](Buffer::read_in) a thread.
    ///
    /// # Errors
    /// As there.
    pub fn read(&self) -> Result<Read<'_, P, T>, PinError> {
        self.read_in(Context::THREAD)
    }

    /// [`write_in`](Buffer::write_in) a thread.
    ///
    /// # Errors
    /// As there.
    pub fn write(&self) -> Result<Write<'_, P, T>, PinError> {
        self.write_in(Context::THREAD)
    }

    /// Holds the contents resident for reading; readers may be many. Restores what is stored and gives zeroed
    /// blocks to what is empty. Where the store has room it keeps its copies: a buffer that was only read is
    /// evicted again without copying.
    ///
    /// O(1) if everything is resident, else linear in the slots and in what is copied.
    ///
    /// # Errors
    /// [`PinError`]. What was restored before the error stays resident; the next call goes on from there.
    pub fn read_in(&self, cx: Context) -> Result<Read<'_, P, T>, PinError> {
        let reader = self.cell.read(|inner| self.make_ready(inner, cx))?;
        Ok(Read::new(reader, self.home.platform(), self.unit, self.id))
    }

    /// Holds the contents resident for writing, alone. As [`read_in`](Buffer::read_in), and drops the store's
    /// copies: they are about to be wrong.
    ///
    /// # Errors
    /// [`PinError`], as for reading.
    pub fn write_in(&self, cx: Context) -> Result<Write<'_, P, T>, PinError> {
        let mut held = self.cell.hold()?;
        self.make_ready(&mut held, cx)?;
        self.drop_copies(&mut held, Copies::All);
        held.marks.remove(Marks::PURGED); // it has contents again
        Ok(Write::new(held, self.home.platform(), self.unit, self.id))
    }

    /// Brings back about `budget` pages of what is stored, without holding it; empty slots stay empty. It stops at
    /// the first whole block past the budget. The next call goes on where this one ended (TTM keeps a snapshot for
    /// that; here the slots are the progress).
    ///
    /// What came back is resident whatever [`Restored::why`] says; the rest is stored as before. The call that comes to
    /// the end brings all that is resident into the buffer's mode, with one flush, and gives it its addresses, if it may
    /// block; until then blocks may be in the plain one, and the next guard sees to it.
    ///
    /// # Context
    /// With [`Context::INTERRUPT`] only what can be taken back, which is O(1) a block; else linear in what is copied.
    #[must_use = "it says why something did not come back"]
    pub fn restore(&self, budget: Pages, cx: Context) -> Restored {
        self.bring(Empty::Leave, budget, cx)
    }

    /// As [`restore`](Buffer::restore), and then gives zeroed blocks to what is empty.
    ///
    /// # Context
    /// As `restore`; zeroing counts as copying.
    #[must_use = "it says why something is not resident"]
    pub fn populate(&self, budget: Pages, cx: Context) -> Restored {
        self.bring(Empty::Zero, budget, cx)
    }

    /// Evicts about `budget` pages, lately used or not. Stops at the first whole block past the budget, and as
    /// soon as somebody wants the buffer. The next call goes on where this one ended.
    ///
    /// # Errors
    /// [`Busy`] if a guard is alive or somebody else moves it.
    ///
    /// # Context
    /// O(1) if nothing is resident, and for each block that is transferred or clean; linear in what is copied. No lock
    /// is held while anything moves. (TTM's `ttm_pool_backup`, which can't go on once it stopped.)
    pub fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy> {
        let mut held = self.cell.hold()?;
        Ok(self.evict_held(&mut held, &Step::new(budget, how, cx)))
    }

    /// For an owner: as [`evict`](Buffer::evict), and can't be busy. With a guard alive this does not compile.
    pub fn evict_now(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        self.cell.forgive();
        self.evict(budget, how, cx).unwrap_or_default()
    }

    /// Drops the store's copies of what is resident, as far as that makes room there
    /// ([`room_of`](BackingStore::room_of)); returns how many pages those were. The next eviction has to copy them again.
    ///
    /// # Errors
    /// [`Busy`] if a guard is alive or somebody moves it.
    ///
    /// # Context
    /// O(1) if nothing is clean, else linear in the slots.
    pub fn discard(&self) -> Result<Pages, Busy> {
        Ok(self.drop_copies(&mut *self.cell.hold()?, Copies::ThatTakeRoom))
    }

    /// Where the contents are. Counts as no use of the buffer.
    ///
    /// # Errors
    /// [`Busy`] if somebody holds it exclusively.
    ///
    /// # Context
    /// Looks at every slot; meanwhile others are told `Busy`.
    pub fn residency(&self) -> Result<Residency, Busy> {
        self.cell.inspect(|inner| {
            let mut sum = Residency::default();
            let slots = inner.slots.slots();
            let mut i = 0;
            while let Some(slot) = slots.get(i) {
                match (&slot.block, &slot.copy) {
                    (Some(block), copy) => {
                        sum.resident += block.block().pages();
                        if copy.is_some() {
                            sum.clean += block.block().pages();
                        }
                    }
                    (None, Some(copy)) => sum.stored += copy.pages(),
                    (None, None) => {}
                }
                i += span_at(slots, i, self.unit);
            }
            sum
        })
    }

    /// Runs the hook before anything moves, unless it ran already.
    pub(crate) fn unmap(&self, inner: &mut Inner<P, T>, cx: Context) -> Result<(), Busy> {
        if inner.marks.contains(Marks::BLOCKS) && !inner.marks.contains(Marks::UNMAPPED) {
            let blocks = inner.slots.slots_mut().iter_mut().filter_map(|slot| slot.block.as_mut());
            self.home.platform().before_evict_with(self.id, blocks.map(Pooled::block_mut), cx)?;
            inner.marks.insert(Marks::UNMAPPED);
        }
        Ok(())
    }

    /// Drops the store's copies of resident blocks; how many pages those were.
    fn drop_copies(&self, inner: &mut Inner<P, T>, which: Copies) -> Pages {
        let mut sum = Pages::ZERO;
        if !inner.marks.contains(Marks::CLEAN) {
            return sum;
        }
        let marks = inner.marks & (Marks::READY | Marks::LOST);
        inner.marks.remove(Marks::READY);
        inner.marks.insert(Marks::LOST); // as a part would be, if the store panicked now: copies without the first
        let slots = inner.slots.slots_mut();
        let (mut i, mut kept) = (0, Marks::empty());
        while let Some(slot) = slots.get(i) {
            let span = span_at(slots, i, self.unit);
            if slot.block.is_some() && slot.copy.is_some() {
                let copies = slots.iter().skip(i).take(span).filter_map(|part| part.copy.as_ref());
                let room: Pages = copies.map(|copy| self.home.store.room_of(copy)).sum();
                if which == Copies::ThatTakeRoom && room == Pages::ZERO {
                    kept = Marks::CLEAN;
                } else {
                    for copy in slots.iter_mut().skip(i).take(span).filter_map(|part| part.copy.take()) {
                        sum += copy.pages();
                        self.home.discard(copy);
                    }
                }
            }
            i += span;
        }
        inner.marks.remove(Marks::CLEAN | Marks::LOST);
        inner.marks.insert(marks | kept);
        sum
    }
}

/// Which copies of resident blocks are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copies {
    All,
    /// Not those that are there anyway, as in flash.
    ThatTakeRoom,
}

/// Where the contents of a buffer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Residency {
    /// In blocks.
    pub resident: Pages,
    /// Of those, with a copy in the store as well.
    pub clean: Pages,
    /// In the store only.
    pub stored: Pages,
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Evictable for Buffer<'_, P, S, T> {
    fn evict_if_idle(&self, step: Step) -> Evicted {
        let held = self.cell.hold_if(|idle| step.is_for(idle));
        let Some(mut held) = held else { return Evicted::default() };
        let sum = self.evict_held(&mut held, &step);
        if sum.why.is_some() && sum.backlogs == 0 {
            held.note(|idle| step.was_refused(idle));
        }
        sum
    }
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Drop for Buffer<'_, P, S, T> {
    /// The context is unknown, so the hook is told the poorest; a refusal of it can't be honoured here.
    fn drop(&mut self) {
        self.cell.forgive();
        if let Ok(mut held) = self.cell.hold() {
            let _ = self.unmap(&mut held, Context::INTERRUPT);
            self.clear(&mut held, Context::INTERRUPT, |block| self.home.pool.give(block, Context::INTERRUPT));
            for stuck in held.slots.slots_mut().iter_mut().filter_map(|s| s.block.take()) {
                self.home.strand(stuck.block().pages());
            }
            self.uncharge(&mut held);
            held.marks = Marks::empty(); // so that no roster lists it
        }
    }
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> fmt::Debug for Buffer<'_, P, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer")
            .field("id", &self.id)
            .field("unit", &self.unit)
            .field("residency", &self.residency())
            .finish_non_exhaustive()
    }
}

/// O(1), as it is formatted inside the logger, which may mask interrupts meanwhile: where its contents are, say with
/// [`residency`](Buffer::residency).
#[cfg(feature = "defmt")]
impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> defmt::Format for Buffer<'_, P, S, T> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Buffer({=usize}, unit {})", self.id.0, self.unit);
    }
}
