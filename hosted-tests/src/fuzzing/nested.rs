//! A forebay over a forebay: the inner one has its blocks from the pool of the outer one, and its contents in buffers of it.
//!
//! An allocation inside may so evict outside, and what the inner one has evicted may be evicted once more.

use super::buffers::{AnyBuffer, Guard, pattern};
use super::ops::{Asked, Kind, budget, context, methods, order};
use super::parts::{self, Parts};
use super::platform::SMALL;
use super::trail::{Quiet, Trail};
use super::{Swap, nothing_means_nothing, ram_of};
use crate::{Contents, Watched, World};
use arbitrary::{Arbitrary, Unstructured};
use forebay::{
    AccessError, AllocError, AllocRequest, BackingStore, Buffer, Context, Evict, Evictable, Forebay,
    FrameSource, Handle, Order, OwnedBlock, Pages, Pfn, ReclaimTarget, Refused, Slot, StoreError, StoreId,
    Zones,
    frame::Charge,
    pool::{FreeListArray, PooledBlock},
    port::{Capabilities, Space, StoreIds, WithLists},
    sync::NoopRawMutex,
};
use forebay_backends::{Ram, RamBlock};
use std::array;
use std::cell::Cell;

type Memory = Ram<NoopRawMutex, SMALL, 2>;
type Block = RamBlock<SMALL>;
type Far = Swap<Block, SMALL>;
/// The machine of the outer one, with free lists.
type Machinery<'w> = WithLists<Watched<'w, &'w Memory>, FreeListArray<Watched<'w, &'w Memory>, 5, 2>>;
type Outer<'w> = Forebay<Machinery<'w>, Watched<'w, &'w Far>>;
type Inner<'l, 'w> = Forebay<Watched<'l, &'l Lender<'l, 'w>>, Watched<'l, &'l Shelves<'l, 'w>>>;

/// Buffers that the inner one stores into: each takes one block.
const SHELVES: usize = 10;
/// Operations of one input at most.
const OPERATIONS: usize = 120;

/// A block of the inner one.
struct Lent(PooledBlock<Block, ()>);

impl OwnedBlock for Lent {
    const PAGE: usize = SMALL;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    /// The pool has no way to take back a half.
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// The source of the inner one: the pool of the outer one, which makes room for it.
struct Lender<'l, 'w> {
    outer: &'l Outer<'w>,
    /// What leaves for it.
    candidates: &'l [&'l dyn Evictable],
}

impl FrameSource for Lender<'_, '_> {
    type Block = Lent;
    type RawMutex = NoopRawMutex;
    const MAX_ORDER: Order = match Order::new(2) {
        Some(order) => order,
        None => Order::PAGE,
    };

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Lent, AllocError> {
        let pool = self.outer.pool();
        let taken = pool.take(request, (), cx).or_else(|why| {
            if !request.may_reclaim {
                return Err(why);
            }
            self.outer.reclaim(self.candidates, ReclaimTarget::block(request.order), Evict::ANY, cx);
            pool.take(request, (), cx)
        });
        taken.map(Lent)
    }

    fn free(&self, block: Lent) {
        assert!(self.outer.pool().put(block.0, Context::INTERRUPT).is_ok(), "there is one mode");
    }

    /// The pool zeroes.
    fn is_zeroed(&self, _: &Lent) -> bool {
        true
    }
}

/// The store of the inner one: each handle is the number of a buffer of the outer one.
struct Shelves<'l, 'w> {
    buffers: &'l [Buffer<&'l Outer<'w>>; SHELVES],
    taken: [Cell<Option<Order>>; SHELVES],
    lender: &'l Lender<'l, 'w>,
}

impl Shelves<'_, '_> {
    /// The buffer of a handle.
    fn find(&self, handle: &Handle) -> Result<usize, StoreError> {
        match self.taken.get(handle.value()).map(Cell::get) {
            Some(Some(order)) if order == handle.order() => Ok(handle.value()),
            _ => Err(StoreError::NotStored),
        }
    }

    fn free(&self) -> usize {
        self.taken.iter().filter(|taken| taken.get().is_none()).count()
    }
}

/// What a buffer of the outer one says, for the inner one.
fn why(error: AccessError) -> StoreError {
    match error {
        AccessError::Alloc(_) => StoreError::NoHeadroom,
        AccessError::Context => StoreError::Context,
        error => panic!("a buffer of the store says {error:?}"),
    }
}

impl BackingStore<Lent> for Shelves<'_, '_> {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::COPY
    }
    fn space(&self) -> Space {
        let pages = self.buffers.len().min(self.free()) * 4;
        Space { pages: Pages::new(pages), transfers: 0 }
    }

    fn save(&self, block: &Lent, order: Order, _: Option<Charge>, cx: Context) -> Result<Handle, StoreError> {
        if !cx.contains(Context::MAY_BLOCK) {
            return Err(StoreError::Context);
        }
        let free = self.taken.iter().position(|taken| taken.get().is_none()).ok_or(StoreError::Full)?;
        let shelf = &self.buffers[free];
        let outer = self.lender.outer;
        let from = self.lender.candidates;
        let guard = outer.or_reclaim(from, Pages::new(4), Evict::ANY, cx, || shelf.write_in(cx));
        let mut guard = guard.map_err(why)?;
        let bytes = block.read_at(0, &mut guard[..SMALL << order.get()]);
        assert_eq!(bytes, SMALL << order.get());
        self.taken[free].set(Some(order));
        Handle::new(StoreId::DEFAULT, order, free).ok_or(StoreError::Full)
    }

    fn load(&self, handle: &Handle, block: &mut Lent, at: Pages, cx: Context) -> Result<(), StoreError> {
        let shelf = &self.buffers[self.find(handle)?];
        let (outer, from) = (self.lender.outer, self.lender.candidates);
        let guard =
            outer.or_reclaim(from, Pages::new(4), Evict::ANY, cx, || shelf.read_in(cx)).map_err(why)?;
        let bytes = SMALL << handle.order().get();
        let written = block.write_at(at.get() * SMALL, &guard[..bytes]);
        if written == bytes { Ok(()) } else { Err(StoreError::TooLarge) }
    }

    fn discard(&self, handle: Handle) -> Result<Option<Lent>, Refused<Handle, StoreError>> {
        match self.find(&handle) {
            Err(why) => Err(Refused { item: handle, why }),
            Ok(at) => {
                assert_eq!(self.buffers[at].purge(Context::INTERRUPT), Ok(()));
                self.taken[at].set(None);
                Ok(None)
            }
        }
    }
}

/// Everything that stays as it is during a run.
#[derive(Clone, Debug, Arbitrary)]
struct Machine {
    pages: u8,
    region: u8,
    limit: u8,
}

/// Which of the two forebays is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Arbitrary)]
enum Level {
    Outer,
    Inner,
}

/// One operation. A number is taken modulo the number of buffers, pages or the like.
#[derive(Clone, Copy, Debug, Arbitrary)]
enum Act {
    Read { buffer: u8, cx: u8 },
    Write { buffer: u8, at: u16, len: u16, byte: u8, cx: u8 },
    Evict { buffer: u8, budget: u8, how: u8, cx: u8 },
    Restore { buffer: u8, budget: u8, cx: u8 },
    Populate { buffer: u8, budget: u8, cx: u8 },
    Purge { buffer: u8 },
    DiscardCopies { buffer: u8 },
    Reclaim { level: Level, want: u8, how: u8, cx: u8 },
    Settle { budget: u8, cx: u8 },
    Trim { pages: u8 },
    EvictShelf { shelf: u8, how: u8 },
}

/// Runs the operations that the bytes describe, on both.
///
/// # Panics
/// At the first violation, with the operations so far on standard error.
pub fn nested(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(machine) = bytes.arbitrary::<Machine>() else { return };
    let mut acts: Vec<Act> = Vec::new();
    while !bytes.is_empty() && acts.len() < OPERATIONS {
        let Ok(act) = bytes.arbitrary() else { break };
        acts.push(act);
    }
    parts::with(|parts| on(&machine, &acts, parts));
}

fn on(machine: &Machine, acts: &[Act], mut parts: Parts) {
    let ram = ram_of::<SMALL>(&[16 + usize::from(machine.pages) % 40], 0, &mut parts);
    let total = ram.unused();
    let far = Far::new(StoreId::DEFAULT);
    let bytes = (2 + usize::from(machine.region) % 40) * SMALL;
    let meta = parts.words(Far::metadata_words(bytes));
    far.init(parts.memory(bytes, 0), meta).expect("memory of its own");
    let worlds = [World::new(Contents::Compared), World::new(Contents::Compared)];
    let lists = FreeListArray::with_limit(Pages::new(usize::from(machine.limit) % 16));
    let outer: Outer<'_> =
        Forebay::new(WithLists(Watched::new(&ram, &worlds[0]), lists), Watched::new(&far, &worlds[0]));
    let [one, large] = [order(0), order(3)].map(|order| Buffer::new(&outer, order));
    let many = Buffer::<_, [Slot<_>; 6]>::inline(&outer, Order::PAGE);
    let shelved: [_; SHELVES] = array::from_fn(|_| Buffer::new(&outer, order(2)));
    let mut candidates: Vec<&dyn Evictable> = vec![&one, &large, &many];
    candidates.extend(shelved.iter().map(|shelf| shelf as &dyn Evictable));
    let lender = Lender { outer: &outer, candidates: &candidates };
    let taken = array::from_fn(|_| Cell::new(None));
    let shelves = Shelves { buffers: &shelved, taken, lender: &lender };
    let inner: Inner<'_, '_> =
        Forebay::new(Watched::new(&lender, &worlds[1]), Watched::new(&shelves, &worlds[1]));
    let [small, whole] = [order(1), order(2)].map(|order| Buffer::new(&inner, order));
    let parted = Buffer::<_, [Slot<_>; 8]>::inline(&inner, Order::PAGE);
    let spread = Buffer::with_slots(&inner, Vec::from_iter((0..3).map(|_| Slot::EMPTY)), order(1));
    let buffers: [(Level, &dyn AnyBuffer, usize); 7] = [
        (Level::Outer, &one, 1),
        (Level::Outer, &large, 8),
        (Level::Outer, &many, 6),
        (Level::Inner, &small, 2),
        (Level::Inner, &whole, 4),
        (Level::Inner, &parted, 8),
        (Level::Inner, &spread, 6),
    ];
    let tiles = buffers.map(|(level, buffer, pages)| Tile { level, buffer, model: vec![0; pages * SMALL] });
    let both = Both { outer: &outer, inner: &inner, shelves: &shelves, far: &far, worlds: &worlds, tiles };
    both.run(machine, acts);
    assert_eq!(ram.unused(), total, "frames of the source are missing");
}

/// A buffer of one of the two, and its bytes.
struct Tile<'b> {
    level: Level,
    buffer: &'b dyn AnyBuffer,
    model: Vec<u8>,
}

/// Both, as they run.
struct Both<'b, 'l, 'w> {
    outer: &'b Outer<'w>,
    inner: &'b Inner<'l, 'w>,
    shelves: &'b Shelves<'l, 'w>,
    far: &'b Far,
    worlds: &'b [World; 2],
    tiles: [Tile<'b>; 7],
}

impl Both<'_, '_, '_> {
    fn run(self, machine: &Machine, acts: &[Act]) {
        let mut trail = Trail::new(machine, acts);
        let mut me = Quiet::new(self);
        for act in acts {
            me.act(*act);
            me.check();
            trail.at += 1;
        }
        me.take_down();
    }

    fn act(&mut self, act: Act) {
        let of = |n: u8| usize::from(n) % 7;
        match act {
            Act::Read { buffer, cx } => drop(self.tiles[of(buffer)].read(context(cx))),
            Act::Write { buffer, at, len, byte, cx } => {
                self.tiles[of(buffer)].write(
                    usize::from(at) % 2100,
                    usize::from(len) % 2100,
                    byte,
                    context(cx),
                );
            }
            Act::Evict { buffer, budget: b, how, cx } => {
                let evicted = self.tiles[of(buffer)].buffer.evict(budget(b), methods(how), context(cx));
                assert!(evicted.is_ok(), "no guard is alive");
            }
            Act::Restore { buffer, budget: b, cx } => {
                self.tiles[of(buffer)]
                    .expect(self.tiles[of(buffer)].buffer.restore(budget(b), context(cx)).why);
            }
            Act::Populate { buffer, budget: b, cx } => {
                self.tiles[of(buffer)]
                    .expect(self.tiles[of(buffer)].buffer.populate(budget(b), context(cx)).why);
            }
            Act::Purge { buffer } => {
                assert_eq!(self.tiles[of(buffer)].buffer.purge(Context::THREAD), Ok(()));
                self.tiles[of(buffer)].model.fill(0);
            }
            Act::DiscardCopies { buffer } => assert!(self.tiles[of(buffer)].buffer.discard_copies().is_ok()),
            Act::Reclaim { level, want, how, cx } => self.reclaim(level, Asked::of(want, how, cx)),
            Act::Settle { budget: b, cx } => drop(self.outer.settle(budget(b), context(cx))),
            Act::Trim { pages } => drop(self.outer.pool().trim(Zones::ALL, budget(pages), Context::THREAD)),
            Act::EvictShelf { shelf, how } => {
                let shelf = &self.shelves.buffers[usize::from(shelf) % SHELVES];
                assert!(shelf.evict(Pages::MAX, methods(how), Context::THREAD).is_ok(), "no guard is alive");
                // An access changes no byte.
                match how {
                    128..192 => drop(Buffer::read(shelf)),
                    192.. => drop(Buffer::write(shelf)),
                    _ => {}
                }
            }
        }
    }

    /// Those of one of the two. What the inner one stores is among those of the outer one.
    fn candidates(&self, level: Level) -> Vec<&dyn Evictable> {
        let mine = self.tiles.iter().filter(|tile| tile.level == level);
        let mut all: Vec<&dyn Evictable> = mine.map(|tile| tile.buffer as &dyn Evictable).collect();
        if level == Level::Outer {
            all.extend(self.shelves.buffers.iter().map(|shelf| shelf as &dyn Evictable));
        }
        all
    }

    fn reclaim(&self, level: Level, asked: Asked) {
        let candidates = self.candidates(level);
        let reclaim = || match (level, asked.kind) {
            (Level::Outer, Kind::KeepFree) => {
                self.outer.keep_free(&candidates[..], asked.pages, asked.how, asked.cx).unwrap_or_default()
            }
            (Level::Outer, _) => self.outer.reclaim(&candidates[..], asked.target(), asked.how, asked.cx),
            (Level::Inner, _) => self.inner.reclaim(&candidates[..], asked.target(), asked.how, asked.cx),
        };
        nothing_means_nothing(reclaim, &asked);
    }

    /// Each page is in one place, on both levels.
    fn check(&self) {
        let [outer, inner] = self.worlds;
        outer.validate();
        inner.validate();
        let resident = |level| {
            let mine = self.tiles.iter().filter(|tile| tile.level == level);
            mine.map(|tile| tile.buffer.residency().expect("no guard is alive").resident).sum::<Pages>()
        };
        let shelves = self.shelves.buffers.iter().map(|shelf| shelf.residency().expect("no guard is alive"));
        let ready = self.outer.pool().ready(Zones::ALL);
        let own = ready + resident(Level::Outer) + self.far.pending();
        let for_inner = shelves.map(|is| is.resident).sum::<Pages>() + inner.frames_out();
        assert_eq!(own + for_inner, outer.frames_out(), "pages out of the source, by where they are");
        assert_eq!(resident(Level::Inner), inner.frames_out());
        let taken = self.shelves.taken.iter().filter_map(Cell::get);
        assert_eq!(taken.map(Order::pages).sum::<Pages>(), inner.stored());
    }

    /// Returns everything; every byte of every buffer compared once more.
    fn take_down(&mut self) {
        // The inner ones first: what they need comes from the outer one.
        for n in [3, 4, 5, 6, 0, 1, 2] {
            if self.tiles[n].read(Context::THREAD).is_none() {
                self.outer.settle(Pages::MAX, Context::THREAD);
            }
            assert_eq!(self.tiles[n].buffer.purge(Context::THREAD), Ok(()));
        }
        for shelf in self.shelves.buffers {
            assert_eq!(shelf.purge(Context::THREAD), Ok(()));
        }
        self.check();
        self.outer.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
        self.worlds.iter().for_each(World::assert_empty);
    }
}

impl<'b> Tile<'b> {
    /// A guard, compared with the model; or nothing, for a good reason.
    fn opened(&self, result: Result<Guard<'b>, AccessError>) -> Option<Guard<'b>> {
        match result {
            Ok(guard) => {
                let mut bytes = vec![0x77; self.model.len() + 1];
                assert_eq!(guard.look().read_at(0, &mut bytes), self.model.len());
                let same = bytes[..self.model.len()] == self.model;
                assert!(same, "a buffer of {} bytes has others, {:?}", self.model.len(), self.level);
                Some(guard)
            }
            Err(error) => {
                self.expect(Some(error));
                None
            }
        }
    }

    fn read(&self, cx: Context) -> Option<Guard<'b>> {
        self.opened(self.buffer.read(cx))
    }

    /// Memory may be short, on both levels.
    fn expect(&self, error: Option<AccessError>) {
        let short = matches!(error, None | Some(AccessError::Alloc(_) | AccessError::Context));
        assert!(short, "{error:?} of {:?}", self.level);
    }

    fn write(&mut self, at: usize, len: usize, byte: u8, cx: Context) {
        let Some(Guard::Write(mut guard)) = self.opened(self.buffer.write(cx)) else { return };
        let bytes = pattern(len, byte);
        let fits = len.min(self.model.len().saturating_sub(at));
        assert_eq!(guard.write_at(at, &bytes), fits);
        if let Some(part) = self.model.get_mut(at..at + fits) {
            part.copy_from_slice(&bytes[..fits]);
        }
    }
}
