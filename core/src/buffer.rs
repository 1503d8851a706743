//! A buffer: slots that are empty, resident or stored, in any mixture.

use crate::cell::Shared;
use crate::{
    BackingStore, BufferId, Busy, Context, Evict, Evictable, Evicted, Forebay, Mode, Order, OwnedBlock,
    Pages, Platform, Read, Restored, Slot, Slots, StoreError, TakeError, Write,
};
use bitflags::bitflags;
use core::fmt;

/// Why the contents can't be reached now. Nothing is lost by it, and what was restored so far stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PinError {
    /// Somebody else has it, or its contents are under way. Try again later.
    Busy,
    /// There is no block to restore it into. Reclaim, then try again.
    Take(TakeError),
    /// The store did not give the contents back. Try again, or purge the buffer.
    Store(StoreError),
    /// The store gave back something else than it was given. What was there is gone; only
    /// [`purge`](Buffer::purge) makes the buffer usable again.
    Lost,
}

impl From<Busy> for PinError {
    fn from(_: Busy) -> Self {
        PinError::Busy
    }
}

impl fmt::Display for PinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PinError::Busy => Busy.fmt(f),
            PinError::Take(e) => e.fmt(f),
            PinError::Store(e) => e.fmt(f),
            PinError::Lost => f.write_str("the store lost the contents: purge the buffer to use it again"),
        }
    }
}

impl core::error::Error for PinError {}

bitflags! {
    /// What is known of a buffer as a whole.
    #[derive(Clone, Copy)]
    pub(crate) struct Marks: u8 {
        /// Every slot is resident and in the buffer's mode, and the platform's hook ran.
        const READY = 1;
        /// `before_evict` ran, `after_restore` did not yet.
        const UNMAPPED = 2;
        /// There may be copies in the store.
        const COPIES = 4;
        /// The store lost something.
        const LOST = 8;
    }
}

#[derive(Debug)]
pub(crate) struct Inner<T> {
    pub(crate) slots: T,
    pub(crate) marks: Marks,
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bitflags::parser::to_writer(self, f)
    }
}

/// Bytes that live in the pool or in the store of a [`Forebay`], shared by `&`, also with an interrupt.
///
/// `T` is where its slots are: [`new`](Buffer::new) makes a contiguous buffer of one slot, the usual thing on
/// machines without an MMU; [`over`](Buffer::over) one of many, in blocks of whatever orders are to be had.
/// It begins empty and reads as zeros. Nobody ever waits for a buffer: what is in use answers
/// [`Busy`](PinError::Busy). Any mixture of empty, resident and stored slots is an ordinary state, so
/// evicting and restoring may stop after any block, go on later, turn round, or end in
/// [`purge`](Buffer::purge) or drop.
///
/// | call | thread | interrupt | another core at once |
/// | --- | --- | --- | --- |
/// | [`read`](Buffer::read), [`write`](Buffer::write), [`restore`](Buffer::restore) | yes | with [`Context::INTERRUPT`]: what is resident or can be taken back | readers join, else `Busy` |
/// | [`Evictable`], [`evict`](Buffer::evict) | yes | with [`Evict::TRANSFER`] | passed over, or `Busy` |
/// | [`purge`](Buffer::purge) | yes | yes | `Busy` |
///
/// Dropping a buffer drops its contents and gives back its blocks and handles.
pub struct Buffer<'a, P: Platform, S: BackingStore<P::Block>, T: Slots<P> = [Slot<P>; 1]> {
    pub(crate) home: &'a Forebay<P, S>,
    pub(crate) cell: Shared<P::Lock, Inner<T>>,
    pub(crate) unit: Order,
    pub(crate) mode: P::Mode,
    pub(crate) id: BufferId,
}

impl<'a, P: Platform, S: BackingStore<P::Block>> Buffer<'a, P, S> {
    /// One contiguous block of `2^order` pages. Takes no memory before its first use.
    pub const fn new(home: &'a Forebay<P, S>, order: Order) -> Self {
        Self::with_slots([Slot::EMPTY], home, order)
    }
}

impl<'a, 'm, P: Platform, S: BackingStore<P::Block>> Buffer<'a, P, S, &'m mut [Slot<P>]> {
    /// One page for each slot, in blocks as large as the platform gives and the index permits.
    ///
    /// Whatever a leaked buffer left in the slots is lost, as it was already.
    pub fn over(slots: &'m mut [Slot<P>], home: &'a Forebay<P, S>) -> Self {
        slots.fill_with(|| Slot::EMPTY);
        Self::with_slots(slots, home, Order::PAGE)
    }

    /// `2^unit` pages for each slot: the least that a block of this buffer may have. A larger unit needs fewer
    /// slots: a virtual machine with one for each huge page needs a 512th of those for small ones.
    pub const fn with_unit(mut self, unit: Order) -> Self {
        self.unit = unit;
        self
    }
}

impl<'a, P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Buffer<'a, P, S, T> {
    const fn with_slots(slots: T, home: &'a Forebay<P, S>, unit: Order) -> Self {
        let cell = Shared::new(Inner { slots, marks: Marks::empty() });
        Buffer { home, cell, unit, mode: P::Mode::PLAIN, id: BufferId(0) }
    }

    /// The number that the platform's hooks are called with.
    pub const fn with_id(mut self, id: BufferId) -> Self {
        self.id = id;
        self
    }

    /// The caching mode of its blocks while they are resident.
    pub const fn with_mode(mut self, mode: P::Mode) -> Self {
        self.mode = mode;
        self
    }

    /// The number that the platform's hooks are called with.
    pub const fn id(&self) -> BufferId {
        self.id
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
    /// O(1) if everything is resident.
    ///
    /// # Errors
    /// [`PinError`]. What was restored before the error stays resident; the next call goes on from there.
    pub fn read_in(&self, cx: Context) -> Result<Read<'_, P, T>, PinError> {
        let reader = self.cell.read(|inner| self.make_ready(inner, cx))?;
        Ok(Read::new(reader, self.unit))
    }

    /// Holds the contents resident for writing, alone. As [`read_in`](Buffer::read_in), and drops the store's
    /// copies: they are about to be wrong.
    ///
    /// # Errors
    /// [`PinError`], as for reading.
    pub fn write_in(&self, cx: Context) -> Result<Write<'_, P, T>, PinError> {
        let mut held = self.cell.hold()?;
        self.make_ready(&mut held, cx)?;
        self.drop_copies(&mut held);
        Ok(Write::new(held, self.unit))
    }

    /// Brings back about `budget` pages of what is stored, without holding it. Empty slots stay empty. Nothing
    /// to do is `Ok` of nothing.
    ///
    /// # Errors
    /// [`PinError`]. What was restored before the error stays resident.
    pub fn restore(&self, budget: Pages, cx: Context) -> Result<Restored, PinError> {
        let mut held = self.cell.hold()?;
        self.bring_back(&mut held, budget, cx)
    }

    /// Evicts about `budget` pages, lately used or not. Stops at the first whole block past the budget, and as
    /// soon as somebody wants the buffer.
    ///
    /// # Errors
    /// [`Busy`] if a guard is alive or somebody else moves it.
    pub fn evict(&self, budget: Pages, how: Evict, cx: Context) -> Result<Evicted, Busy> {
        let mut held = self.cell.hold()?;
        Ok(self.evict_held(&mut held, budget, how, cx))
    }

    /// For an owner: as [`evict`](Buffer::evict), and can't be busy. With a guard alive this does not compile.
    pub fn evict_now(&mut self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        self.cell.get_mut();
        self.evict(budget, how, cx).unwrap_or_default()
    }

    /// Drops the contents, wherever they are: blocks to the pool, handles to the store. It reads as zeros
    /// afterwards.
    ///
    /// # Errors
    /// [`Busy`], and nothing changed, if a guard is alive or somebody moves it.
    pub fn purge(&self) -> Result<(), Busy> {
        self.clear(&mut *self.cell.hold()?);
        Ok(())
    }

    /// How many pages are resident, and how many are in the store only.
    ///
    /// # Errors
    /// [`Busy`] if somebody holds it exclusively.
    ///
    /// # Context
    /// Looks at every slot.
    pub fn residency(&self) -> Result<Residency, Busy> {
        let reader = self.cell.read(|_| Ok::<(), Busy>(()))?;
        let mut sum = Residency::default();
        let slots = reader.slots.as_ref();
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
            i += slot.span(self.unit);
        }
        Ok(sum)
    }

    /// The store's copies, of resident blocks: dropped.
    fn drop_copies(&self, inner: &mut Inner<T>) {
        if inner.marks.contains(Marks::COPIES) {
            for slot in inner.slots.as_mut() {
                if let Some(copy) = slot.copy.take() {
                    self.home.discard(copy);
                }
            }
            inner.marks.remove(Marks::COPIES);
        }
    }

    fn clear(&self, inner: &mut Inner<T>) {
        for slot in inner.slots.as_mut() {
            if let Some(copy) = slot.copy.take() {
                self.home.discard(copy);
            }
            if let Some(block) = slot.block.take() {
                self.home.give_or_strand(block);
            }
        }
        inner.marks = Marks::empty();
    }
}

/// Where the contents of a buffer are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Residency {
    /// In blocks.
    pub resident: Pages,
    /// Of those, with a copy in the store as well.
    pub clean: Pages,
    /// In the store only.
    pub stored: Pages,
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Evictable for Buffer<'_, P, S, T> {
    fn evict_if_idle(&self, budget: Pages, how: Evict, cx: Context) -> Evicted {
        self.cell
            .hold_if_idle()
            .map_or(Evicted::default(), |mut held| self.evict_held(&mut held, budget, how, cx))
    }
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> Drop for Buffer<'_, P, S, T> {
    fn drop(&mut self) {
        self.cell.get_mut();
        let _ = self.purge(); // can't be busy
    }
}

impl<P: Platform, S: BackingStore<P::Block>, T: Slots<P>> fmt::Debug for Buffer<'_, P, S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("id", &self.id).field("unit", &self.unit).finish_non_exhaustive()
    }
}
