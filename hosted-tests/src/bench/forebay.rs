//! forebay as an allocator of page blocks: a pool with free lists for each core in front of `Ram`, and `Ram` alone. By its public
//! interface only. No other allocator zeroes its blocks, so the pool does not either.

use super::PAGE;
use super::arena::arena;
use super::subject::{Held, Kind, PageAllocator, Subject};
use super::threads;
use crate::memory;
use forebay::pool::{CurrentCore, FreeListArray, OfCore, PerCore, Pool, PooledBlock};
use forebay::port::WithLists;
use forebay::sync::{NoopRawMutex, RawMutex, SpinRawMutex};
use forebay::{AllocRequest, Context, FrameSource, Order, Pages, Zones};
use forebay_backends::{Ram, RamBlock};
use std::fmt;

const CX: Context = Context::THREAD;

/// The source.
pub(super) type Source<L> = Ram<L, PAGE, 1>;

/// A source with `bytes` bytes of memory, which is leaked.
pub(super) fn source<L: RawMutex>(bytes: usize) -> Source<L> {
    let ram = Ram::new();
    let words = memory::words(Source::<L>::metadata_words(bytes));
    ram.add(arena(bytes), words).expect("fresh memory, and metadata for it");
    ram
}

/// A source that gets this memory, and metadata for it.
///
/// # Panics
/// If there is no memory for the metadata.
pub fn added(memory: &'static mut [u8]) -> impl Sized {
    let ram = Source::<SpinRawMutex>::new();
    let words = memory::words(Source::<SpinRawMutex>::metadata_words(memory.len()));
    ram.add(memory, words).expect("fresh memory, and metadata for it");
    ram
}

/// `Ram` alone.
#[derive(Debug)]
pub struct Alone<L: RawMutex>(Source<L>);

impl<L: RawMutex> Alone<L> {
    /// A source with `bytes` bytes of memory.
    ///
    /// # Panics
    /// If there is no memory.
    pub fn new(bytes: usize) -> Self {
        Alone(source(bytes))
    }
}

impl<L: RawMutex> PageAllocator for Alone<L> {
    type Block = RamBlock<PAGE>;
    fn allocate(&self, order: Order) -> Option<RamBlock<PAGE>> {
        self.0.allocate(AllocRequest::new(order), CX).ok()
    }
    fn free(&self, block: RamBlock<PAGE>, _: Order) {
        self.0.free(block);
    }
}

/// The core of a thread of the bench.
struct Here;

impl CurrentCore for Here {
    fn current() -> usize {
        threads::core()
    }
}

/// For each core a list for each order, of up to 32 blocks.
type Lists<L> = PerCore<FreeListArray<Source<L>, 11, 32>, Here, { threads::MOST }>;

/// A pool in front of a source.
pub struct Pooled<L: RawMutex>(Pool<WithLists<Source<L>, Lists<L>>>);

impl<L: RawMutex> Pooled<L> {
    /// With `bytes` bytes of memory. The lists of a core may keep a 64th of it, or four blocks of the largest order if that is
    /// more.
    pub fn new(bytes: usize) -> Self {
        let most = Pages::new((bytes / PAGE / 64).max(4 << 10));
        let lists = [(); threads::MOST].map(|()| OfCore(FreeListArray::with_limit(most)));
        Pooled(Pool::new(WithLists(source(bytes), PerCore::new(lists))))
    }
}

impl<L: RawMutex> PageAllocator for Pooled<L> {
    type Block = PooledBlock<RamBlock<PAGE>, ()>;
    fn allocate(&self, order: Order) -> Option<Self::Block> {
        self.0.take_unzeroed(AllocRequest::new(order), (), CX).ok()
    }
    /// The only mode is the one that no platform refuses.
    fn free(&self, block: Self::Block, _: Order) {
        let _ = self.0.put(block, CX);
    }
    fn flush(&self) {
        self.0.trim(Zones::ALL, Pages::MAX, CX);
    }
}

impl<L: RawMutex> fmt::Debug for Pooled<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The pool with a lock.
pub const POOL: Subject = Subject {
    who: "forebay",
    locked: true,
    kind: Kind::Pages,
    make: |bytes| Box::new(Held::new(Pooled::<SpinRawMutex>::new(bytes))),
    share: Some(|bytes| Box::new(Pooled::<SpinRawMutex>::new(bytes))),
};

/// The pool for one thread.
pub const POOL_UNLOCKED: Subject = Subject {
    locked: false,
    make: |bytes| Box::new(Held::new(Pooled::<NoopRawMutex>::new(bytes))),
    share: None,
    ..POOL
};

/// The source with a lock.
pub const SOURCE: Subject = Subject {
    who: "forebay-source",
    locked: true,
    kind: Kind::Pages,
    make: |bytes| Box::new(Held::new(Alone::<SpinRawMutex>::new(bytes))),
    share: Some(|bytes| Box::new(Alone::<SpinRawMutex>::new(bytes))),
};

/// The source for one thread.
pub const SOURCE_UNLOCKED: Subject = Subject {
    locked: false,
    make: |bytes| Box::new(Held::new(Alone::<NoopRawMutex>::new(bytes))),
    share: None,
    ..SOURCE
};
