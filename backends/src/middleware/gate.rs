//! A store that can be closed for some time.

use crate::ram::RamBlock;
use crate::region::{Region, RegionBacked};
use core::fmt;
use forebay::frame::Charge;
use forebay::port::{Capabilities, Rooms, Settled, Space, StoreIds};
use forebay::sync::{Mutex, RawMutex};
use forebay::{BackingStore, Busy, Context, Handle, Order, OwnedBlock, Pages, Refused, StoreError};

/// A gate in front of a store whose memory can't be reached for some time: while flash is written, and external RAM is on the same bus;
/// while a memory controller sleeps.
///
/// While it is closed, what copies is refused with [`StoreError::Busy`]: a buffer whose contents were written out is
/// [`AccessError::Busy`](forebay::AccessError::Busy), "try again later", and nothing is written out. What moves no bytes goes on, also in
/// an interrupt: a transfer, taking a block back, discarding. So **the metadata of the store must lie in memory that stays within reach**:
/// use [`RamForebay::init_apart`](crate::RamForebay::init_apart), or [`Region::init`].
///
/// Before you close it, make room, and take guards of the buffers that you need meanwhile: guards stay valid. Nothing is written out while
/// it is closed: `make_room`, `read` and `write` of a `RamForebay` then evict clean buffers, transfer others, and fail with `Exhausted` or
/// `Busy`; [`write_out`](crate::RamForebay::write_out) returns 0; and in a report [`Settled::error`] is [`StoreError::Busy`].
/// [`is_closed`](Gate::is_closed) tells that from a lack of memory. That it opens is not told by
/// [`released`](forebay::port::EvictHooks::released): who drops the [`Closed`] wakes those that wait.
///
/// A DMA controller that writes out does not come through the gate ([`Region::write_out`]): wait for its end before you close it, and start
/// no job before it opens.
///
/// ```
/// use forebay::{AccessError, sync::SpinRawMutex};
/// use forebay_backends::{Gate, RamBuffer, RamForebay, RamRegion};
///
/// type Lock = SpinRawMutex; // firmware: the feature `critical-section`
/// type Slow = Gate<Lock, RamRegion<Lock, 512, 16>>;
/// type Ram = RamForebay<Lock, 512, 16, 0, 2, Slow>;
///
/// static RAM: Ram = Ram::with_store(Gate::new(RamRegion::new(forebay::StoreId::DEFAULT)));
/// static TILES: [RamBuffer<Lock, 512, 16, 0, 2, Slow>; 2] = [RAM.buffer::<4096>(), RAM.buffer::<4096>()];
///
/// # fn main() -> Result<(), AccessError> {
/// # let (sram, psram) = (vec![0; 32 << 10].leak(), vec![0; 64 << 10].leak());
/// let meta = vec![0; Ram::metadata_words_apart(32 << 10, 64 << 10)].leak(); // firmware: a static
/// RAM.init_apart(sram, psram, meta).expect("unused memory");
/// TILES[0].write()?.fill(7);
/// RAM.transfer(&TILES, 4096);
/// RAM.write_out(4096);
///
/// let closed = RAM.store().close()?; // `Busy` if some context copies at this moment
/// assert!(matches!(TILES[0].read(), Err(AccessError::Busy))); // stored
/// TILES[1].write()?.fill(8); // resident: as always
/// // ... write the flash ...
/// drop(closed); // and open again
/// assert!(TILES[0].read()?.iter().all(|byte| *byte == 7));
/// # Ok(())
/// # }
/// ```
///
/// `init`, which places metadata behind the pages of the slow RAM, does not compile:
///
/// ```compile_fail
/// # use forebay_backends::{Gate, RamForebay, RamRegion};
/// # type Lock = forebay::sync::SpinRawMutex;
/// # type Ram = RamForebay<Lock, 512, 16, 0, 2, Gate<Lock, RamRegion<Lock, 512, 16>>>;
/// static RAM: Ram = Ram::with_store(Gate::new(RamRegion::new(forebay::StoreId::DEFAULT)));
/// # let (sram, psram, meta) = (vec![0; 32 << 10].leak(), vec![0; 64 << 10].leak(), vec![0; 512].leak());
/// RAM.init(sram, psram, meta).expect("unused memory");
/// ```
pub struct Gate<L, S> {
    inner: S,
    state: Mutex<L, State>,
}

#[derive(Clone, Copy)]
enum State {
    /// This many calls copy.
    Open(u32),
    Closed,
}

/// A gate that is closed; dropping this opens it.
#[must_use = "dropping it opens the gate"]
pub struct Closed<'g, L: RawMutex, S>(&'g Gate<L, S>);

impl<L: RawMutex, S> Drop for Closed<'_, L, S> {
    fn drop(&mut self) {
        self.0.state.lock(|state| *state = State::Open(0));
    }
}

impl<L: RawMutex, S> Gate<L, S> {
    /// Around a store; open.
    pub const fn new(inner: S) -> Self {
        Gate { inner, state: Mutex::new(State::Open(0)) }
    }

    /// The store inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Closes it, until the result is dropped. If that is forgotten ([`core::mem::forget`]), it stays closed for ever.
    ///
    /// # Errors
    /// [`Busy`]: another context copies at this moment, or has closed it. Try again; nothing waits here.
    ///
    /// # Context
    /// O(1), also in an interrupt.
    pub fn close(&self) -> Result<Closed<'_, L, S>, Busy> {
        self.state.lock(|state| match state {
            State::Open(0) => {
                *state = State::Closed;
                Ok(Closed(self))
            }
            _ => Err(Busy),
        })
    }

    /// Whether it is closed now.
    pub fn is_closed(&self) -> bool {
        self.state.lock(|state| matches!(state, State::Closed))
    }

    /// Lets a call that copies through, until the result is dropped.
    fn enter(&self) -> Result<Inside<'_, L>, StoreError> {
        self.state.lock(|state| match state {
            State::Open(inside) => {
                *inside += 1;
                Ok(Inside(&self.state))
            }
            State::Closed => Err(StoreError::Busy),
        })
    }
}

/// A call that copies; the gate can't be closed meanwhile. A panic ends it too.
struct Inside<'g, L: RawMutex>(&'g Mutex<L, State>);

impl<L: RawMutex> Drop for Inside<'_, L> {
    fn drop(&mut self) {
        self.0.lock(|state| {
            if let State::Open(inside) = state {
                *inside -= 1;
            }
        });
    }
}

impl<B: OwnedBlock, L: RawMutex, S: BackingStore<B>> BackingStore<B> for Gate<L, S> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }
    fn save(
        &self,
        block: &B,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        let _inside = self.enter()?;
        self.inner.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        let _inside = self.enter()?;
        self.inner.load(handle, block, at, cx)
    }
    fn transfer(&self, block: B, payer: Option<Charge>) -> Result<Handle, Refused<B, StoreError>> {
        self.inner.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        self.inner.take_back(handle, cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.inner.split(handle)
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn rooms(&self) -> Option<&dyn Rooms<B>> {
        self.inner.rooms().map(|_| self as &dyn Rooms<B>)
    }
    /// While the gate is closed, the store inside is asked with a budget of zero and in [`Context::INTERRUPT`], so a region only counts.
    /// The error is [`StoreError::Busy`].
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(B)) -> Settled {
        let inside = self.enter();
        let (budget, cx) = if inside.is_ok() { (budget, cx) } else { (Pages::ZERO, Context::INTERRUPT) };
        let mut settled = self.inner.settle(budget, cx, owner);
        settled.error = settled.error.or(inside.err());
        settled
    }
}

impl<B: OwnedBlock, L: RawMutex, S: BackingStore<B>> Rooms<B> for Gate<L, S> {
    fn reserve(&self, order: Order) -> Result<Handle, StoreError> {
        self.inner.rooms().ok_or(StoreError::Unsupported)?.reserve(order)
    }
    fn transfer_into(&self, room: Handle, block: B) -> Result<Handle, Refused<(Handle, B), StoreError>> {
        match self.inner.rooms() {
            Some(rooms) => rooms.transfer_into(room, block),
            None => Err(Refused { item: (room, block), why: StoreError::Unsupported }),
        }
    }
    fn save_into(&self, room: &Handle, block: &B, cx: Context) -> Result<(), StoreError> {
        let _inside = self.enter()?;
        self.inner.rooms().ok_or(StoreError::Unsupported)?.save_into(room, block, cx)
    }
    fn take_back_from(
        &self,
        handle: Handle,
        cx: Context,
    ) -> Result<(Handle, B), Refused<Handle, StoreError>> {
        match self.inner.rooms() {
            Some(rooms) => rooms.take_back_from(handle, cx),
            None => Err(Refused { item: handle, why: StoreError::Unsupported }),
        }
    }
}

impl<L, K, S, const PAGE: usize, const N: usize> RegionBacked<L, PAGE, N> for Gate<K, S>
where
    L: RawMutex,
    K: RawMutex,
    S: RegionBacked<L, PAGE, N>,
{
    type Checksum = S::Checksum;
    const META_IN_SLOW: bool = false;
    fn region(&self) -> &Region<L, RamBlock<PAGE>, PAGE, N, S::Checksum> {
        self.inner.region()
    }
    /// Nothing while the gate is closed.
    fn write_out_now(&self, max_bytes: usize, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> usize {
        self.enter().map_or(0, |_inside| self.inner.write_out_now(max_bytes, owner))
    }
}

impl<L: RawMutex, S: fmt::Debug> fmt::Debug for Gate<L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("inner", &self.inner).field("closed", &self.is_closed()).finish()
    }
}

impl<L: RawMutex, S> fmt::Debug for Closed<'_, L, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closed").finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, S: defmt::Format> defmt::Format for Gate<L, S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Gate({}, closed: {=bool})", self.inner, self.is_closed());
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, S> defmt::Format for Closed<'_, L, S> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Closed");
    }
}
