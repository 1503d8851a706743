//! Set-up that the tests of the core share: memory, bytes to compare, a machine with caching modes and hooks,
//! a store that answers as a test tells it, and a log of calls.
#![allow(dead_code, reason = "each test uses a part")]

use forebay::*;
use forebay_backends::*;
use hosted_tests::{Watched, World, memory};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const PAGE: usize = 512;
pub(crate) const CX: Context = Context::THREAD;
pub(crate) const ALL: Pages = Pages::MAX;
pub(crate) const NONE: Pages = Pages::ZERO;
/// Each rung alone, and what people combine.
pub(crate) const RUNGS: [Evict; 6] = [
    Evict::TRANSFER,
    Evict::COPY,
    Evict::SPLIT,
    Evict::COPY.union(Evict::SPLIT),
    Evict::TRANSFER.union(Evict::COPY),
    Evict::LADDER,
];

pub(crate) type Near = Ram<Spin, PAGE>;
pub(crate) type Far = RamRegion<Spin, PAGE, 16>;

pub(crate) fn order(n: u8) -> Order {
    Order::new(n).unwrap()
}

pub(crate) fn pages(n: usize) -> Pages {
    Pages::new(n)
}

/// A source of so many pages, from a multiple of 4096 on.
pub(crate) fn near(pages: usize) -> Near {
    let ram = Near::new();
    let bytes = pages * PAGE;
    assert_eq!(ram.add(memory::leak(bytes, 0), memory::words(Near::metadata_words(bytes))).unwrap(), bytes);
    ram
}

/// A region of so many pages, with id 0 and 16 adoptions.
pub(crate) fn far(pages: usize) -> Far {
    far_with_id(pages, 0)
}

pub(crate) fn far_with_id(pages: usize, id: u8) -> Far {
    region(pages, id)
}

pub(crate) fn region<const N: usize>(pages: usize, id: u8) -> RamRegion<Spin, PAGE, N> {
    let region = RamRegion::<Spin, PAGE, N>::new(StoreId::new(id).unwrap());
    let bytes = pages * PAGE;
    let words = RamRegion::<Spin, PAGE, N>::metadata_words(bytes);
    assert_eq!(region.init(memory::leak(bytes, 0), memory::words(words)).unwrap(), bytes);
    region
}

/// A region for blocks of another kind, with id 0 and 16 adoptions.
pub(crate) fn far_of<B: OwnedBlock>(pages: usize) -> Region<Spin, B, PAGE, 16> {
    let region = Region::new(StoreId::DEFAULT);
    let bytes = pages * PAGE;
    let words = Region::<Spin, B, PAGE, 16>::metadata_words(bytes);
    assert_eq!(region.init(memory::leak(bytes, 0), memory::words(words)).unwrap(), bytes);
    region
}

/// For what a callback without a lifetime has to reach.
pub(crate) fn forever<T>(value: T) -> &'static mut T {
    Box::leak(Box::new(value))
}

/// Platform and store, watched, without shelves.
pub(crate) type Home<'w, P, S> = Forebay<Watched<'w, P>, Watched<'w, S>, [Place<Watched<'w, P>>; 0]>;

pub(crate) fn forebay<P: Platform, S: BackingStore<P::Block>>(
    platform: P,
    store: S,
    world: &World,
) -> Home<'_, P, S> {
    Forebay::new(Watched::new(platform, world), Watched::new(store, world), 0)
}

/// Everything is where it was at the beginning.
#[track_caller]
pub(crate) fn all_home(world: &World, near: &Near, far: &Far) {
    world.validate();
    world.assert_empty();
    assert_eq!(near.free(), near.total(), "frames of the source");
    assert_eq!(far.space(), Space::new(far.total(), 16), "room in the region");
}

/// Bytes of which no two pages are alike.
pub(crate) fn pattern(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed).collect()
}

#[track_caller]
pub(crate) fn fill<P, S, T>(buffer: &Buffer<'_, P, S, T>, seed: u8)
where
    P: Platform,
    S: BackingStore<P::Block>,
    T: Slots<P>,
{
    let mut guard = buffer.write().unwrap();
    let bytes = pattern(seed, guard.bytes());
    assert_eq!(guard.copy_in(0, &bytes), bytes.len());
}

#[track_caller]
pub(crate) fn contents<P, S, T>(buffer: &Buffer<'_, P, S, T>) -> Vec<u8>
where
    P: Platform,
    S: BackingStore<P::Block>,
    T: Slots<P>,
{
    let guard = buffer.read().unwrap();
    let mut bytes = vec![0xA5; guard.bytes()];
    assert_eq!(guard.copy_out(0, &mut bytes), bytes.len());
    bytes
}

/// The bytes that `fill` wrote, each of them.
#[track_caller]
pub(crate) fn check<P, S, T>(buffer: &Buffer<'_, P, S, T>, seed: u8)
where
    P: Platform,
    S: BackingStore<P::Block>,
    T: Slots<P>,
{
    let bytes = contents(buffer);
    assert!(bytes == pattern(seed, bytes.len()), "other bytes than were written");
}

pub(crate) fn residency(resident: usize, clean: usize, stored: usize) -> Result<Residency, Busy> {
    let mut sum = Residency::default();
    (sum.resident, sum.clean, sum.stored) = (pages(resident), pages(clean), pages(stored));
    Ok(sum)
}

/// Takes every page that the source has but those with these numbers, counted among the free ones (numbers
/// past the end are nobody's). Unwatched: it is somebody else's memory now.
pub(crate) fn leave(near: &Near, free: impl IntoIterator<Item = usize>) -> Vec<Option<RamBlock<PAGE>>> {
    let mut all: Vec<_> = std::iter::from_fn(|| near.allocate(Order::PAGE, CX).ok()).map(Some).collect();
    all.sort_by_key(|b| b.as_ref().map(OwnedBlock::pfn));
    for n in free {
        if let Some(block) = all.get_mut(n).and_then(Option::take) {
            near.release(block);
        }
    }
    all
}

/// The other side of [`leave`].
pub(crate) fn give_back(near: &Near, hogged: Vec<Option<RamBlock<PAGE>>>) {
    hogged.into_iter().flatten().for_each(|b| near.release(b));
}

/// What was called, in order.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Vec<Event>>);

impl Sink for &Log {
    fn event(&self, event: &Event) {
        self.0.lock().unwrap().push(*event);
    }
}

impl Log {
    /// All since the last time.
    pub(crate) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// How many were like that since the last time.
    pub(crate) fn count(&self, f: impl Fn(&Event) -> bool) -> usize {
        self.take().iter().filter(|e| f(e)).count()
    }
}

/// What a [`Machine`] says no to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum No {
    #[default]
    Never,
    Mode,
    ModeTo(Caching),
    /// Of the block at this frame.
    ModeAt(Pfn),
    Before,
    After,
}

#[derive(Default)]
struct MachineState {
    no: No,
    modes: HashMap<usize, Caching>,
    unmapped: HashSet<usize>,
    hooks: Vec<&'static str>,
}

/// A platform with three caching modes, kept for each frame, and hooks that must come in pairs.
pub(crate) struct Machine<P> {
    pub(crate) inner: P,
    state: Mutex<MachineState>,
}

impl<P> Machine<P> {
    pub(crate) fn new(inner: P) -> Self {
        Machine { inner, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, MachineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // one panic is enough
    }

    /// From now on it refuses this, and only this.
    pub(crate) fn say_no(&self, to: No) {
        self.lock().no = to;
    }

    /// Pages that are in that mode (plain ones are not counted).
    pub(crate) fn in_mode(&self, mode: Caching) -> usize {
        self.lock().modes.values().filter(|m| **m == mode).count()
    }

    /// Hooks that did not refuse, since the last time.
    pub(crate) fn hooks(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.lock().hooks)
    }
}

impl<P: Platform<Mode = ()>> Platform for Machine<P> {
    type Block = P::Block;
    type Lock = P::Lock;
    type Mode = Caching;
    const MAX_ORDER: Order = P::MAX_ORDER;

    fn allocate(&self, order: Order, cx: Context) -> Result<P::Block, OutOfFrames> {
        self.inner.allocate(order, cx)
    }
    fn release(&self, block: P::Block) {
        self.inner.release(block);
    }
    fn available(&self, zones: Zones) -> Option<Pages> {
        self.inner.available(zones)
    }
    fn join(&self, left: P::Block, right: P::Block) -> Result<P::Block, (P::Block, P::Block)> {
        self.inner.join(left, right)
    }
    fn set_mode(
        &self,
        block: &mut P::Block,
        from: Caching,
        to: Caching,
        _: Context,
    ) -> Result<(), ModeRefused> {
        let mut s = self.lock();
        if [No::Mode, No::ModeTo(to), No::ModeAt(block.pfn())].contains(&s.no) {
            return Err(ModeRefused);
        }
        for n in block.pfn().get()..block.pfn().get() + block.pages().get() {
            let was = s.modes.insert(n, to).unwrap_or(Caching::WriteBack);
            assert_eq!(was, from, "frame {n:x} was in another mode than forebay believes");
        }
        Ok(())
    }
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        _: Caching,
        blocks: impl Iterator<Item = &'b P::Block>,
        cx: Context,
    ) -> Option<&'b [u8]>
    where
        P::Block: 'b,
    {
        self.inner.contiguous(id, (), blocks, cx)
    }
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        _: Caching,
        blocks: impl Iterator<Item = &'b mut P::Block>,
        cx: Context,
    ) -> Option<&'b mut [u8]>
    where
        P::Block: 'b,
    {
        self.inner.contiguous_mut(id, (), blocks, cx)
    }
    fn before_evict(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        let mut s = self.lock();
        if s.no == No::Before {
            return Err(Busy);
        }
        assert!(s.unmapped.insert(id.0), "before_evict twice for {id:?}, without after_restore between");
        s.hooks.push("before");
        Ok(())
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        let mut s = self.lock();
        if s.no == No::After {
            return Err(Busy);
        }
        assert!(s.unmapped.remove(&id.0), "after_restore for {id:?}, without before_evict");
        s.hooks.push("after");
        Ok(())
    }
}

/// What a [`Scripted`] store answers instead of asking the real one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) transfer: Option<StoreError>,
    pub(crate) take_back: Option<StoreError>,
    pub(crate) save: Option<StoreError>,
    pub(crate) load: Option<StoreError>,
    pub(crate) split: Option<StoreError>,
    /// A save of more than this is too large.
    pub(crate) largest: Order,
    /// A save of more than a page takes half.
    pub(crate) short: bool,
    /// Taking back brings half of the block only; the other half waits in [`Scripted::stolen`].
    pub(crate) steals: bool,
    pub(crate) without: Capabilities,
    pub(crate) with: Capabilities,
}

impl Default for Script {
    fn default() -> Self {
        Script {
            transfer: None,
            take_back: None,
            save: None,
            load: None,
            split: None,
            largest: Order::MAX,
            short: false,
            steals: false,
            without: Capabilities::empty(),
            with: Capabilities::empty(),
        }
    }
}

pub(crate) struct Scripted<S, B> {
    pub(crate) inner: S,
    script: Mutex<Script>,
    stolen: Mutex<Vec<B>>,
}

impl<S, B> Scripted<S, B> {
    pub(crate) fn new(inner: S) -> Self {
        Scripted { inner, script: Mutex::default(), stolen: Mutex::default() }
    }

    /// From now on it answers like that.
    pub(crate) fn answer(&self, script: Script) {
        *self.script.lock().unwrap() = script;
    }

    fn script(&self) -> Script {
        *self.script.lock().unwrap()
    }

    pub(crate) fn stolen(&self) -> Vec<B> {
        std::mem::take(&mut *self.stolen.lock().unwrap())
    }
}

impl<B: OwnedBlock, S: BackingStore<B>> BackingStore<B> for Scripted<S, B> {
    fn ids(&self) -> StoreIds {
        self.inner.ids()
    }
    fn capabilities(&self) -> Capabilities {
        let s = self.script();
        (self.inner.capabilities() - s.without) | s.with
    }
    fn space(&self) -> Space {
        self.inner.space()
    }
    fn room_of(&self, handle: &Handle) -> Pages {
        self.inner.room_of(handle)
    }
    fn discard(&self, handle: Handle) -> Result<Option<B>, Refused<Handle, StoreError>> {
        self.inner.discard(handle)
    }
    fn save(&self, block: &B, order: Order, cx: Context) -> Result<Handle, StoreError> {
        let s = self.script();
        match s.save {
            Some(why) => Err(why),
            None if order > s.largest => Err(StoreError::TooLarge),
            None if s.short => self.inner.save(block, order.lower().unwrap_or(order), cx),
            None => self.inner.save(block, order, cx),
        }
    }
    fn load(&self, handle: &Handle, block: &mut B, at: Pages, cx: Context) -> Result<(), StoreError> {
        match self.script().load {
            Some(why) => Err(why),
            None => self.inner.load(handle, block, at, cx),
        }
    }
    fn transfer(&self, block: B) -> Result<Handle, Refused<B, StoreError>> {
        match self.script().transfer {
            Some(why) => Err(Refused::new(block, why)),
            None => self.inner.transfer(block),
        }
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<B, Refused<Handle, StoreError>> {
        let s = self.script();
        if let Some(why) = s.take_back {
            return Err(Refused::new(handle, why));
        }
        let block = self.inner.take_back(handle, cx)?;
        if !s.steals {
            return Ok(block);
        }
        let (lower, upper) = block.split().unwrap_or_else(|_| panic!("it can't be split"));
        self.stolen.lock().unwrap().push(upper);
        Ok(lower)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        match self.script().split {
            Some(why) => Err(Refused::new(handle, why)),
            None => self.inner.split(handle),
        }
    }
    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(B)) -> Settled {
        self.inner.settle(budget, cx, home)
    }
}

/// A block of which no piece is smaller than two pages.
pub(crate) struct Stiff(RamBlock<PAGE>);

impl OwnedBlock for Stiff {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        if self.order() < order(2) {
            return Err(self);
        }
        self.0.split().map(|(lower, upper)| (Stiff(lower), Stiff(upper))).map_err(Stiff)
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.copy_out(at, to)
    }
    fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.copy_in(at, from)
    }
}

pub(crate) struct StiffRam {
    pub(crate) ram: Near,
    pub(crate) joins: bool,
}

impl Platform for StiffRam {
    type Block = Stiff;
    type Lock = Spin;
    type Mode = ();
    fn allocate(&self, order: Order, cx: Context) -> Result<Stiff, OutOfFrames> {
        self.ram.allocate(order, cx).map(Stiff)
    }
    fn release(&self, block: Stiff) {
        self.ram.release(block.0);
    }
    fn available(&self, zones: Zones) -> Option<Pages> {
        self.ram.available(zones)
    }
    fn join(&self, left: Stiff, right: Stiff) -> Result<Stiff, (Stiff, Stiff)> {
        if !self.joins {
            return Err((left, right));
        }
        self.ram.join(left.0, right.0).map(Stiff).map_err(|(l, r)| (Stiff(l), Stiff(r)))
    }
}

thread_local! {
    /// What another thread does while somebody looks at a [`Seen`], once; in a known order.
    pub(crate) static MEANWHILE: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
    /// How often somebody looked at a [`Seen`].
    pub(crate) static LOOKS: Cell<usize> = const { Cell::new(0) };
}

/// A block that notices when somebody looks how large it is.
pub(crate) struct Seen(RamBlock<PAGE>);

impl OwnedBlock for Seen {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        LOOKS.set(LOOKS.get() + 1);
        if let Some(meanwhile) = MEANWHILE.take() {
            meanwhile();
        }
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        self.0.split().map(|(lower, upper)| (Seen(lower), Seen(upper))).map_err(Seen)
    }
    fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.copy_out(at, to)
    }
    fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.copy_in(at, from)
    }
}

/// Where [`Seen`]s come from.
pub(crate) struct SeenRam(pub(crate) Near);

impl Platform for SeenRam {
    type Block = Seen;
    type Lock = Spin;
    type Mode = ();
    fn allocate(&self, order: Order, cx: Context) -> Result<Seen, OutOfFrames> {
        self.0.allocate(order, cx).map(Seen)
    }
    fn release(&self, block: Seen) {
        self.0.release(block.0);
    }
}
