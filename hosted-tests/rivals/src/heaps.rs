//! Allocators of bytes: talc, rlsf, linked_list_allocator. A block here is a power of two of bytes, aligned to its own size.

use crate::locks::{Around, Bare, Spin};
use forebay::Order;
use hosted_tests::bench::PAGE;
use hosted_tests::bench::arena::arena;
use hosted_tests::bench::subject::{Held, Kind, PageAllocator, Subject};
use rlsf::Tlsf;
use std::alloc::Layout;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use talc::base::{Talc, binning::DefaultBinning};
use talc::source::Manual;

/// What the three have in common.
trait Bytes {
    /// A heap in this memory.
    fn new(memory: &'static mut [u8]) -> Self;
    fn get(&mut self, layout: Layout) -> Option<NonNull<u8>>;
    /// # Safety
    /// It gave this block for this layout, and nothing uses it any more.
    unsafe fn put(&mut self, block: NonNull<u8>, layout: Layout);
}

struct Tlsf64(Tlsf<'static, u64, u64, 32, 32>);

impl Bytes for Tlsf64 {
    fn new(memory: &'static mut [u8]) -> Self {
        let mut heap = Tlsf::new();
        let len = memory.len();
        let at = memory.as_mut_ptr().cast::<MaybeUninit<u8>>();
        // SAFETY: the same bytes, which nothing reads as bytes any more.
        heap.insert_free_block(unsafe { std::slice::from_raw_parts_mut(at, len) });
        Tlsf64(heap)
    }
    fn get(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate(layout)
    }
    unsafe fn put(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(block, layout.align()) };
    }
}

struct TalcHeap(Talc<Manual, DefaultBinning>);

impl Bytes for TalcHeap {
    fn new(memory: &'static mut [u8]) -> Self {
        let mut heap = Talc::new(Manual);
        // SAFETY: the memory is ours for ever, and nothing else uses it.
        unsafe { heap.claim(memory.as_mut_ptr(), memory.len()) }.expect("more than it needs itself");
        TalcHeap(heap)
    }
    fn get(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: no layout here is empty.
        unsafe { self.0.allocate(layout) }
    }
    unsafe fn put(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(block.as_ptr(), layout) };
    }
}

struct LinkedList(linked_list_allocator::Heap);

impl Bytes for LinkedList {
    fn new(memory: &'static mut [u8]) -> Self {
        // SAFETY: the memory is ours for ever, and nothing else uses it.
        LinkedList(unsafe { linked_list_allocator::Heap::new(memory.as_mut_ptr(), memory.len()) })
    }
    fn get(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        self.0.allocate_first_fit(layout).ok()
    }
    unsafe fn put(&mut self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { self.0.deallocate(block, layout) };
    }
}

/// Any of them behind a lock, or alone.
struct Blocks<M>(M);

impl<M> Blocks<M> {
    fn new<H: Bytes>(bytes: usize) -> Self
    where
        M: Around<H>,
    {
        Blocks(M::new(H::new(arena(bytes))))
    }
}

/// The locks, with the heap that is in them.
trait Inside: Around<Self::Heap> {
    type Heap: Bytes;
}
impl<H: Bytes> Inside for Spin<H> {
    type Heap = H;
}
impl<H: Bytes> Inside for Bare<H> {
    type Heap = H;
}

impl<M: Inside> PageAllocator for Blocks<M> {
    type Block = NonNull<u8>;
    fn allocate(&self, order: Order) -> Option<NonNull<u8>> {
        self.0.with(|heap| heap.get(layout(order)?))
    }
    fn free(&self, block: NonNull<u8>, order: Order) {
        let Some(layout) = layout(order) else { return };
        // SAFETY: the workloads free what they allocated, once, with the same order.
        self.0.with(|heap| unsafe { heap.put(block, layout) });
    }
}

fn layout(order: Order) -> Option<Layout> {
    let bytes = PAGE << order.get();
    Layout::from_size_align(bytes, bytes).ok()
}

const fn subject(
    who: &'static str,
    locked: bool,
    make: fn(usize) -> Box<dyn hosted_tests::bench::subject::Tenant>,
) -> Subject {
    Subject { who, locked, kind: Kind::Bytes, make, share: None }
}

pub const HEAPS: [Subject; 6] = [
    subject("talc", true, |bytes| Box::new(Held::new(Blocks::<Spin<TalcHeap>>::new(bytes)))),
    subject("talc", false, |bytes| Box::new(Held::new(Blocks::<Bare<TalcHeap>>::new(bytes)))),
    subject("rlsf", true, |bytes| Box::new(Held::new(Blocks::<Spin<Tlsf64>>::new(bytes)))),
    subject("rlsf", false, |bytes| Box::new(Held::new(Blocks::<Bare<Tlsf64>>::new(bytes)))),
    subject("linked_list_allocator", true, |bytes| {
        Box::new(Held::new(Blocks::<Spin<LinkedList>>::new(bytes)))
    }),
    subject("linked_list_allocator", false, |bytes| {
        Box::new(Held::new(Blocks::<Bare<LinkedList>>::new(bytes)))
    }),
];
