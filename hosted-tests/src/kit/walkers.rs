//! What tests of the reclaimer share: tiles, how often a lock is taken, a machine with two zones, a store that settles as a
//! test says.

use super::*;
use crate::memory;
use forebay_backends::RamBlock;
use std::cell::Cell;

/// Tiles of one block, each filled by its number; so lately used.
pub fn tiles<const N: usize, H: Home + Copy>(home: H, order: Order) -> [Buffer<H>; N] {
    let tiles = std::array::from_fn(|i| Buffer::new(home, order).with_id(BufferId(i)));
    for (i, tile) in tiles.iter().enumerate() {
        fill(tile, i as u8);
    }
    tiles
}

/// They have what [`tiles`] gave them.
#[track_caller]
pub fn check_all<H: Home>(tiles: &[Buffer<H>]) {
    for (i, tile) in tiles.iter().enumerate() {
        check(tile, i as u8);
    }
}

/// A buffer that never gives anything: it is empty.
pub fn stone<H: Home>(home: H) -> Buffer<H> {
    Buffer::new(home, Order::PAGE)
}

thread_local! {
    /// How often this thread took a [`Loud`] lock.
    pub static TAKEN: Cell<usize> = const { Cell::new(0) };
}

/// A lock that counts in [`TAKEN`].
#[derive(Debug)]
pub struct Loud(SpinRawMutex);

// SAFETY: it is the other lock, and a number of this thread's.
unsafe impl RawMutex for Loud {
    const INIT: Self = Loud(SpinRawMutex::INIT);
    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        TAKEN.set(TAKEN.get() + 1);
        self.0.lock(f)
    }
}

/// How often this thread took a [`Loud`] lock meanwhile.
pub fn sections<R>(f: impl FnOnce() -> R) -> (R, usize) {
    let before = TAKEN.get();
    let result = f();
    (result, TAKEN.get() - before)
}

/// A source whose buffers have [`Loud`] locks, and that does not say how much is free.
#[derive(Debug)]
pub struct LoudRam<'n>(pub &'n Near);

impl FrameSource for LoudRam<'_> {
    type Block = RamBlock<PAGE>;
    type RawMutex = Loud;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.0.allocate(request, cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.0.free(block);
    }
    fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        self.0.join(left, right)
    }
}

/// The lower of [`TwoZones`].
pub const LOW: u8 = 0;
/// The higher one.
pub const HIGH: u8 = 1;

/// Two zones, the low one first, and blocks of four pages at most.
#[derive(Debug)]
pub struct TwoZones {
    /// The memory of [`LOW`].
    pub low: Near,
    /// The memory of [`HIGH`].
    pub high: Near,
    /// Where the low one begins and ends.
    frames: std::ops::Range<usize>,
}

impl TwoZones {
    /// With `low` pages in the first zone, and `high` in the second.
    pub fn new(low: usize, high: usize) -> Self {
        let memory = memory::leak(low * PAGE, 0);
        let first = memory.as_ptr().addr() / PAGE;
        let source = Near::new();
        source.add(memory, memory::words(Near::metadata_words(low * PAGE))).expect("good memory");
        TwoZones { low: source, high: near(high), frames: first..first + low }
    }

    fn of(&self, zone: u8) -> &Near {
        if zone == LOW { &self.low } else { &self.high }
    }
}

impl FrameSource for TwoZones {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    const ZONES: u8 = 2;
    const MAX_ORDER: Order = Order::new(2).expect("an order");
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        let mut zones = [LOW, HIGH].into_iter().filter(|zone| request.zones.contains(Zones::of(*zone)));
        zones
            .find_map(|zone| self.of(zone).allocate(AllocRequest::new(request.order), cx).ok())
            .ok_or(AllocError::Exhausted)
    }
    fn zone(&self, block: &RamBlock<PAGE>) -> u8 {
        if self.frames.contains(&block.pfn().0) { LOW } else { HIGH }
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        let zones = [LOW, HIGH].into_iter().filter(|zone| request.zones.contains(Zones::of(*zone)));
        together(zones.map(|zone| self.of(zone).supply(&request.within(Zones::ALL))))
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.of(self.zone(&block)).free(block);
    }
    fn join(
        &self,
        left: RamBlock<PAGE>,
        right: RamBlock<PAGE>,
    ) -> Result<RamBlock<PAGE>, (RamBlock<PAGE>, RamBlock<PAGE>)> {
        self.of(self.zone(&left)).join(left, right)
    }
}

/// What becomes of a settle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settling {
    /// The result of the store within.
    Honest,
    /// The medium fails; nothing is written out.
    Fails,
    /// The medium fails near the end of each block, so that all of it is written again the next time.
    FailsLate,
    /// It says that it wrote, every time, and did not.
    Lies,
}

/// A store that settles as a test says, at most a hundred times, and counts it.
#[derive(Debug)]
pub struct Settles<S> {
    /// The store within.
    pub inner: S,
    /// What becomes of the next one.
    pub how: Cell<Settling>,
    /// How many there were since [`times`](Settles::times) was called.
    pub times: Cell<usize>,
}

impl<S> Settles<S> {
    /// An honest one, so far.
    pub fn new(inner: S) -> Self {
        Settles { inner, how: Cell::new(Settling::Honest), times: Cell::new(0) }
    }

    /// How often since the last time.
    pub fn times(&self) -> usize {
        self.times.take()
    }
}

impl<S: BackingStore<RamBlock<PAGE>>> BackingStore<RamBlock<PAGE>> for Settles<S> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn save(
        &self,
        block: &RamBlock<PAGE>,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        self.inner.save(block, order, payer, cx)
    }
    fn load(
        &self,
        handle: &Handle,
        block: &mut RamBlock<PAGE>,
        at: Pages,
        cx: Context,
    ) -> Result<(), StoreError> {
        self.inner.load(handle, block, at, cx)
    }
    fn transfer(
        &self,
        block: RamBlock<PAGE>,
        payer: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        self.inner.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<RamBlock<PAGE>, Refused<Handle, StoreError>> {
        self.inner.take_back(handle, cx)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.inner.split(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(RamBlock<PAGE>)) -> Settled {
        self.times.set(self.times.get() + 1);
        assert!(self.times.get() <= 100, "it settles for ever");
        let how = self.how.get();
        let honest = how == Settling::Honest;
        let mut settled = self.inner.settle(if honest { budget } else { NONE }, cx, owner);
        if !honest {
            settled.error = (how != Settling::Lies).then_some(StoreError::Io);
            let writes = how != Settling::Fails && cx.contains(Context::MAY_BLOCK);
            settled.written = if writes { Pages::new(budget.get().min(settled.pending.get())) } else { NONE };
        }
        settled
    }
}
