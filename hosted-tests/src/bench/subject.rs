//! An allocator of page blocks, and the blocks that a workload has allocated from it.

use super::mix::{Mix, Mixed, Step};
use super::rng::XorShift;
use forebay::Order;
use std::fmt;
use std::hint::black_box;

/// Something that gives blocks of `2^order` pages and takes them again.
pub trait PageAllocator {
    /// What it gives: a block, an address, a number.
    type Block;

    /// A block, if there is one.
    fn allocate(&self, order: Order) -> Option<Self::Block>;

    /// Takes back a block of that order, which it gave.
    fn free(&self, block: Self::Block, order: Order);

    /// Returns the blocks that it keeps ready, so that they may be joined. By default none are kept.
    fn flush(&self) {}
}

impl<A: PageAllocator + ?Sized> PageAllocator for &A {
    type Block = A::Block;
    fn allocate(&self, order: Order) -> Option<A::Block> {
        (**self).allocate(order)
    }
    fn free(&self, block: A::Block, order: Order) {
        (**self).free(block, order);
    }
    fn flush(&self) {
        (**self).flush();
    }
}

/// Allocates nothing: it measures what the loop of a workload costs by itself.
#[derive(Clone, Copy, Debug)]
pub struct Nothing;

impl PageAllocator for Nothing {
    type Block = usize;
    fn allocate(&self, order: Order) -> Option<usize> {
        Some(usize::from(order.get()))
    }
    fn free(&self, _: usize, _: Order) {}
}

/// The steps of the workloads. Each is a loop over one allocator. The allocator is called directly; only the loops are called
/// through a table of functions.
pub trait Tenant {
    /// Makes room for `blocks` blocks in the list of held blocks, so that no step allocates from the system.
    fn reserve(&mut self, blocks: usize);
    /// Allocates `blocks` blocks more, and holds them.
    ///
    /// # Panics
    /// If there is no free block. The other steps panic then, too.
    fn fill(&mut self, order: Order, blocks: usize);
    /// Allocates a block and frees it, `times` times.
    fn pairs(&mut self, order: Order, times: usize);
    /// Frees a held block for each of these random numbers, and allocates another.
    fn replace(&mut self, order: Order, picks: &[u32]);
    /// Shuffles the held blocks.
    fn shuffle(&mut self, rng: &mut XorShift);
    /// Frees `blocks` held blocks, the last one first; all of them if fewer are held.
    fn drain(&mut self, order: Order, blocks: usize);
    /// Has the allocator return the blocks that it keeps ready.
    fn flush(&mut self);
    /// Runs a whole trace over `pages` pages, and counts the free pages in large blocks. At the end all is free.
    fn mix(&mut self, trace: &Mix, pages: usize) -> Mixed;
}

/// An allocator, and the blocks that are held.
pub struct Held<A: PageAllocator> {
    allocator: A,
    blocks: Vec<A::Block>,
}

impl<A: PageAllocator> Held<A> {
    /// Holds nothing yet.
    pub fn new(allocator: A) -> Self {
        Held { allocator, blocks: vec![] }
    }

    fn take(&self, order: Order) -> A::Block {
        self.allocator.allocate(order).expect("a workload holds less than there is")
    }

    /// How many blocks of that order could be allocated, blocks that are kept ready included.
    fn obtainable(&mut self, order: Order) -> usize {
        self.allocator.flush();
        while let Some(block) = self.allocator.allocate(order) {
            self.blocks.push(block);
        }
        let count = self.blocks.len();
        self.drain(order, count);
        count
    }

    /// The shares of free pages in blocks of the orders that are counted, in per cent.
    fn shares(&mut self, free: usize) -> [f64; 2] {
        Mixed::ORDERS.map(|order| {
            let pages = self.obtainable(order) << order.get();
            100.0 * pages as f64 / free.max(1) as f64
        })
    }
}

impl<A: PageAllocator> Tenant for Held<A> {
    fn reserve(&mut self, blocks: usize) {
        self.blocks.reserve(blocks);
    }

    fn fill(&mut self, order: Order, blocks: usize) {
        for _ in 0..blocks {
            let block = self.take(order);
            self.blocks.push(block);
        }
    }

    fn pairs(&mut self, order: Order, times: usize) {
        for _ in 0..times {
            let block = black_box(self.take(order));
            self.allocator.free(block, order);
        }
    }

    fn replace(&mut self, order: Order, picks: &[u32]) {
        for pick in picks {
            let at = (u64::from(*pick) * self.blocks.len() as u64) >> 32;
            let old = self.blocks.swap_remove(at as usize);
            self.allocator.free(old, order);
            let new = self.take(order);
            self.blocks.push(new);
        }
    }

    fn shuffle(&mut self, rng: &mut XorShift) {
        rng.shuffle(&mut self.blocks);
    }

    fn drain(&mut self, order: Order, blocks: usize) {
        for _ in 0..blocks {
            let Some(block) = self.blocks.pop() else { return };
            self.allocator.free(block, order);
        }
    }

    fn flush(&mut self) {
        self.allocator.flush();
    }

    fn mix(&mut self, trace: &Mix, pages: usize) -> Mixed {
        let mut places: Vec<Option<(A::Block, Order)>> = Vec::new();
        places.resize_with(trace.places(), || None);
        let (mut failed, mut held) = (0, 0);
        for step in trace.steps() {
            match step {
                Step::Allocate(at, order) => {
                    let block = self.allocator.allocate(order).or_else(|| {
                        self.allocator.flush(); // a block that is kept ready may be the one that is missing
                        self.allocator.allocate(order)
                    });
                    match block {
                        Some(block) => {
                            held += order.pages().get();
                            places[at] = Some((block, order));
                        }
                        None => failed += 1,
                    }
                }
                Step::Free(at) => {
                    if let Some((block, order)) = places[at].take() {
                        held -= order.pages().get();
                        self.allocator.free(block, order);
                    }
                }
            }
        }
        let percent = self.shares(pages - held);
        for (block, order) in places.into_iter().flatten() {
            self.allocator.free(block, order);
        }
        self.allocator.flush();
        Mixed { failed, percent }
    }
}

impl<A: PageAllocator> fmt::Debug for Held<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}

/// An allocator that several threads use.
pub trait Shared: Sync {
    /// One of its users.
    fn tenant(&self) -> Box<dyn Tenant + '_>;
}

impl<A: PageAllocator + Sync> Shared for A {
    fn tenant(&self) -> Box<dyn Tenant + '_> {
        Box::new(Held::new(self))
    }
}

/// What an allocator is made for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Blocks of pages.
    Pages,
    /// Bytes. Its metadata is beside each block, so aligned blocks leave gaps. Some of its operations are linear in the number of
    /// blocks, so it holds few blocks, and W2 is left out.
    Bytes,
}

impl Kind {
    /// Blocks that a heap of bytes holds, at most.
    pub const MOST: usize = 1024;

    /// How many blocks it holds where other allocators hold `half`.
    pub fn blocks(self, half: usize) -> usize {
        match self {
            Kind::Pages => half,
            Kind::Bytes => (half / 4).clamp(1, Kind::MOST),
        }
    }
}

/// An allocator to be compared.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Its name.
    pub who: &'static str,
    /// Whether several threads may use it.
    pub locked: bool,
    /// What it is made for.
    pub kind: Kind,
    /// Makes one for a single thread. The argument is the number of bytes of its memory.
    pub make: fn(usize) -> Box<dyn Tenant>,
    /// Makes one for several threads. `None` if it can't be shared, or is left out there.
    pub share: Option<fn(usize) -> Box<dyn Shared>>,
}

impl Subject {
    /// What the loops cost by themselves.
    pub const NOTHING: Subject = Subject {
        who: "nothing",
        locked: false,
        kind: Kind::Pages,
        make: |_| Box::new(Held::new(Nothing)),
        share: Some(|_| Box::new(Nothing)),
    };
}
