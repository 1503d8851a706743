//! forebay as an allocator of page blocks: a pool in front of `Ram`, and `Ram` alone. By its public interface only.
//!
//! No rival zeroes what it gives. So that the same is compared, blocks here are of a type of which `zero` does nothing.

use super::PAGE;
use super::arena::arena;
use super::subject::{Held, Kind, PageAllocator, Subject};
use crate::memory;
use forebay::pool::{FreeListArray, Pool, PooledBlock};
use forebay::port::{Supply, WithLists};
use forebay::sync::{NoopRawMutex, RawMutex, SpinRawMutex};
use forebay::{AllocError, AllocRequest, Context, FrameSource, Order, OwnedBlock, Pages, Pfn, Zones};
use forebay_backends::{Ram, RamBlock};
use std::fmt;

const CX: Context = Context::THREAD;

/// A block that a pool gives as it is.
#[derive(Debug)]
pub struct UnzeroedBlock(RamBlock<PAGE>);

impl OwnedBlock for UnzeroedBlock {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        let halves = self.0.split().map_err(UnzeroedBlock)?;
        Ok((UnzeroedBlock(halves.0), UnzeroedBlock(halves.1)))
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
    /// Does nothing.
    fn zero(&mut self) {}
}

/// `Ram` whose blocks are not zeroed.
#[derive(Debug)]
pub struct Source<L: RawMutex>(Ram<L, PAGE, 1>);

impl<L: RawMutex> Source<L> {
    /// A source with so many bytes, which are leaked.
    ///
    /// # Panics
    /// If there is no memory.
    pub fn new(bytes: usize) -> Self {
        let ram = Ram::new();
        let words = memory::words(Ram::<L, PAGE, 1>::metadata_words(bytes));
        ram.add(arena(bytes), words).expect("fresh memory, and metadata for it");
        Source(ram)
    }
}

impl<L: RawMutex> FrameSource for Source<L> {
    type Block = UnzeroedBlock;
    type RawMutex = L;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<UnzeroedBlock, AllocError> {
        self.0.allocate(request, cx).map(UnzeroedBlock)
    }
    fn free(&self, block: UnzeroedBlock) {
        self.0.free(block.0);
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.0.supply(request)
    }
}

impl<L: RawMutex> PageAllocator for Source<L> {
    type Block = UnzeroedBlock;
    fn allocate(&self, order: Order) -> Option<UnzeroedBlock> {
        FrameSource::allocate(self, AllocRequest::new(order), CX).ok()
    }
    fn free(&self, block: UnzeroedBlock, _: Order) {
        FrameSource::free(self, block);
    }
}

/// A list for each order, of up to 32 blocks.
type Lists<L> = FreeListArray<Source<L>, 11, 32>;

/// A pool in front of a source.
pub struct Pooled<L: RawMutex>(Pool<WithLists<Source<L>, Lists<L>>>);

impl<L: RawMutex> Pooled<L> {
    /// So many bytes. The lists keep a 64th of them at most, and four blocks of the largest order at least.
    pub fn new(bytes: usize) -> Self {
        let most = Pages::new((bytes / PAGE / 64).max(4 << 10));
        Pooled(Pool::new(WithLists(Source::new(bytes), Lists::with_limit(most))))
    }
}

impl<L: RawMutex> PageAllocator for Pooled<L> {
    type Block = PooledBlock<UnzeroedBlock, ()>;
    fn allocate(&self, order: Order) -> Option<Self::Block> {
        self.0.take(AllocRequest::new(order), (), CX).ok()
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
    make: |bytes| Box::new(Held::new(Source::<SpinRawMutex>::new(bytes))),
    share: Some(|bytes| Box::new(Source::<SpinRawMutex>::new(bytes))),
};

/// The source for one thread.
pub const SOURCE_UNLOCKED: Subject = Subject {
    locked: false,
    make: |bytes| Box::new(Held::new(Source::<NoopRawMutex>::new(bytes))),
    share: None,
    ..SOURCE
};
