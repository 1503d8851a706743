//! Rivals that give frames: buddy_system_allocator and frame-alloc.

use crate::locks::{Around, Bare, Spin};
use buddy_system_allocator::FrameAllocator;
use forebay::Order;
use frame_alloc::{
    CpuId, DepotAllocator, PageSize, PhysicalAllocator, Provenance, RegionInit, SummaryBuddyAllocator,
};
use hosted_tests::bench::PAGE;
use hosted_tests::bench::arena::arena;
use hosted_tests::bench::subject::{Held, Kind, PageAllocator, Subject};
use hosted_tests::bench::threads;
use std::num::NonZeroUsize;
use std::ptr::{self, NonNull};

/// buddy_system_allocator: sets of numbers, so it needs no memory to manage, but a heap.
struct Buddy<M>(M);

impl<M: Around<FrameAllocator<11>>> Buddy<M> {
    fn new(bytes: usize) -> Self {
        let mut frames = FrameAllocator::new();
        frames.insert(0..bytes / PAGE);
        Buddy(M::new(frames))
    }
}

impl<M: Around<FrameAllocator<11>>> PageAllocator for Buddy<M> {
    type Block = usize;
    fn allocate(&self, order: Order) -> Option<usize> {
        self.0.with(|frames| frames.alloc(order.pages().get()))
    }
    fn free(&self, block: usize, order: Order) {
        self.0.with(|frames| frames.dealloc(block, order.pages().get()));
    }
}

pub const BUDDY: Subject = Subject {
    who: "buddy_system_allocator",
    locked: true,
    kind: Kind::Pages,
    make: |bytes| Box::new(Held::new(Buddy::<Spin<_>>::new(bytes))),
    share: Some(|bytes| Box::new(Buddy::<Spin<_>>::new(bytes))),
};

pub const BUDDY_UNLOCKED: Subject = Subject {
    locked: false,
    make: |bytes| Box::new(Held::new(Buddy::<Bare<_>>::new(bytes))),
    share: None,
    ..BUDDY
};

/// The memory is a living allocation whose address was exposed.
struct Exposed;

// SAFETY: `create` recovers the provenance of the whole arena, which is exposed before and lives for ever; `destroy` only reads
// the address.
unsafe impl Provenance for Exposed {
    unsafe fn create(phys: usize) -> NonNull<u8> {
        NonNull::new(ptr::with_exposed_provenance_mut(phys)).expect("no memory is at address 0")
    }
    unsafe fn destroy<T>(pointer: NonNull<T>) -> usize {
        pointer.addr().get()
    }
}

/// The number of the thread, which is pinned.
struct Core;

impl CpuId for Core {
    fn current_cpu() -> usize {
        threads::core()
    }
}

const BASE: PageSize = PageSize::from_log2(PAGE.trailing_zeros() as u8);

/// frame-alloc as it is. It takes no lock.
type Summary = SummaryBuddyAllocator<11, Exposed>;
/// With a cache of pages for each core, of the size that it has by default.
type Depot = DepotAllocator<Summary, Core, { threads::MOST }>;

/// Either of them.
struct Frames<A>(A);

impl<A: RegionInit> Frames<A> {
    fn new(allocator: A, bytes: usize) -> Self {
        init(&allocator, arena(bytes));
        Frames(allocator)
    }
}

/// Gives an allocator its memory.
fn init(allocator: &impl RegionInit, memory: &'static mut [u8]) {
    let (at, bytes) = (memory.as_mut_ptr().expose_provenance(), memory.len());
    // SAFETY: the memory is the allocator's for ever, and nothing else uses it; no other thread knows the allocator yet.
    unsafe { allocator.try_init_region(at, bytes) }.expect("whole pages");
}

/// A frame-alloc without memory; it gets this.
pub fn added(memory: &'static mut [u8]) -> impl Sized {
    let allocator = Summary::new(BASE);
    init(&allocator, memory);
    allocator
}

/// What differs: only the depot keeps something.
trait Flush {
    fn flush_all(&self) {}
}
impl Flush for Summary {}
impl Flush for Depot {
    fn flush_all(&self) {
        self.flush();
    }
}

/// Tries of an allocation: under load it may fail although there is memory, says its documentation.
const TRIES: usize = 100;

impl<A: PhysicalAllocator + Flush> PageAllocator for Frames<A> {
    type Block = usize;
    fn allocate(&self, order: Order) -> Option<usize> {
        match self.0.allocate_physical(BASE, count(order)) {
            Ok(block) => Some(block),
            Err(_) => again(|| self.0.allocate_physical(BASE, count(order)).ok()),
        }
    }
    fn free(&self, block: usize, order: Order) {
        // SAFETY: the workloads free what they allocated, once, with the same order.
        unsafe { self.0.deallocate_physical(BASE, count(order), block) };
    }
    fn flush(&self) {
        self.0.flush_all();
    }
}

#[cold]
fn again(attempt: impl Fn() -> Option<usize>) -> Option<usize> {
    (0..TRIES).find_map(|_| attempt())
}

fn count(order: Order) -> NonZeroUsize {
    NonZeroUsize::new(order.pages().get()).unwrap_or(NonZeroUsize::MIN) // an order has a page at least
}

fn summary(bytes: usize) -> Frames<Summary> {
    Frames::new(Summary::new(BASE), bytes)
}

fn depot(bytes: usize) -> Frames<Depot> {
    Frames::new(Depot::new(BASE, Summary::new(BASE)), bytes)
}

pub const FRAME_ALLOC: Subject = Subject {
    who: "frame-alloc",
    locked: true,
    kind: Kind::Pages,
    make: |bytes| Box::new(Held::new(summary(bytes))),
    share: Some(|bytes| Box::new(summary(bytes))),
};

pub const DEPOT: Subject = Subject {
    who: "frame-alloc-depot",
    make: |bytes| Box::new(Held::new(depot(bytes))),
    share: Some(|bytes| Box::new(depot(bytes))),
    ..FRAME_ALLOC
};
