//! A source over a `linked_list_allocator` heap.
#![allow(unsafe_code)]

use super::{MemoryError, RamBlock};
use crate::frames::blocks;
use core::alloc::Layout;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::{Deref, DerefMut};
use forebay::{
    AllocError, AllocRequest, Context, FrameSource, Order, OwnedBlock, Pages, Pfn, Refused, Zones,
    port::Supply,
    sync::{Mutex, RawMutex},
};
use linked_list_allocator::Heap;

/// A block from a [`HeapSource`]: ordinary bytes, and one piece for ever. A heap wants back exactly what it gave.
pub struct HeapBlock<const PAGE: usize>(RamBlock<PAGE>);

impl<const PAGE: usize> Deref for HeapBlock<PAGE> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const PAGE: usize> DerefMut for HeapBlock<PAGE> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl<const PAGE: usize> OwnedBlock for HeapBlock<PAGE> {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    /// Always refused.
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
    fn zero(&mut self) {
        self.0.zero();
    }
}

impl<const PAGE: usize> fmt::Debug for HeapBlock<PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(feature = "defmt")]
impl<const PAGE: usize> defmt::Format for HeapBlock<PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::Format::format(&self.0, f);
    }
}

/// A source over one range of RAM without separate metadata: the list of free parts lies **in the free memory itself**. For a
/// program that has such a heap already.
///
/// First fit over a sorted list: O(free parts) under the lock for every call, so it does not fit an eviction path that must
/// be quick; and natural alignment may leave gaps that fit no large block. [`Ram`](super::Ram) has neither fault. A block can't be split, so it is evicted whole or not at all.
pub struct HeapSource<L, const PAGE: usize>(Mutex<L, Heap>);

impl<L: RawMutex, const PAGE: usize> HeapSource<L, PAGE> {
    /// A source without memory.
    #[expect(clippy::new_without_default, reason = "it is made in a static")]
    pub const fn new() -> Self {
        HeapSource(Mutex::new(Heap::empty()))
    }

    /// Adds the memory. Returns how many bytes of it are in whole, aligned pages.
    ///
    /// # Errors
    /// The memory, untouched: [`MemoryError::Already`] after the first time, [`MemoryError::NoWholePage`].
    pub fn init(&self, memory: &'static mut [u8]) -> Result<usize, Refused<&'static mut [u8], MemoryError>> {
        let whole = memory.as_ptr().align_offset(PAGE).checked_add(PAGE).is_some_and(|n| n <= memory.len());
        if !whole {
            return Err(Refused { item: memory, why: MemoryError::NoWholePage });
        }
        self.0.lock(|heap| {
            if !heap.bottom().is_null() {
                return Err(Refused { item: memory, why: MemoryError::Already });
            }
            let len = memory.len();
            // SAFETY: 1. these bytes are ours for ever, and nothing else has them; 2. the heap is empty; 3. at least
            // a page, so there is room for the list.
            unsafe { heap.init(memory.as_mut_ptr(), len) };
            let (first, end) = (heap.bottom().addr().next_multiple_of(PAGE), heap.top().addr() / PAGE * PAGE);
            Ok(end.saturating_sub(first))
        })
    }

    /// Bytes that are free, perhaps not contiguous.
    pub fn free_bytes(&self) -> usize {
        self.0.lock(|heap| heap.free())
    }

    fn layout(order: Order) -> Option<Layout> {
        let bytes = PAGE.checked_shl(order.get().into())?;
        Layout::from_size_align(bytes, bytes).ok()
    }
}

impl<L: RawMutex, const PAGE: usize> FrameSource for HeapSource<L, PAGE> {
    type Block = HeapBlock<PAGE>;
    type RawMutex = L;

    fn allocate(&self, request: AllocRequest, _: Context) -> Result<HeapBlock<PAGE>, AllocError> {
        let order = request.order;
        let layout = Self::layout(order).ok_or(AllocError::Exhausted)?;
        let at = self.0.lock(|heap| heap.allocate_first_fit(layout)).map_err(|()| AllocError::Exhausted)?;
        // SAFETY: the heap gave these bytes to us alone, that many, so aligned, for as long as we want, out of the
        // one slice of `init`. Its list lay in them as plain words; writing zeros makes every byte initialised.
        unsafe {
            at.cast::<MaybeUninit<u8>>().write_bytes(0, layout.size());
            Ok(HeapBlock(RamBlock::new(at, order)))
        }
    }

    /// Whether there is such a block, and all blocks of that order in the heap. The block is taken and given back under one lock, so no
    /// other call finds it missing. It does not say how much is free, which may lie in pieces of any size. O(free parts).
    fn supply(&self, request: &AllocRequest) -> Supply {
        if !request.zones.contains(Zones::of(0)) {
            return Supply { free: Some(Pages::ZERO), ready: Some(false), ever: Some(Pages::ZERO) };
        }
        let layout = Self::layout(request.order);
        let (frames, ready) = self.0.lock(|heap| {
            let found = layout.and_then(|layout| Some((heap.allocate_first_fit(layout).ok()?, layout)));
            if let Some((at, layout)) = found {
                // SAFETY: the heap gave this a moment ago, for that layout, and nothing was written to it.
                unsafe { heap.deallocate(at, layout) };
            }
            (heap.bottom().addr().div_ceil(PAGE)..heap.top().addr() / PAGE, found.is_some())
        });
        let ever = blocks(&frames, request.order.get()).len() << request.order.get();
        Supply { ready: Some(ready), ever: Some(Pages::new(ever)), ..Supply::default() }
    }

    /// A block of another heap is leaked.
    fn free(&self, block: HeapBlock<PAGE>) {
        let (at, Some(layout)) = (block.0.base(), Self::layout(block.order())) else { return };
        self.0.lock(|heap| {
            if (heap.bottom().addr()..heap.top().addr()).contains(&at.addr().get()) {
                // SAFETY: this heap gave it, as the address shows; with this layout, since a `HeapBlock` is never
                // split or joined; and it ends here.
                unsafe { heap.deallocate(at, layout) };
            }
        });
    }
}

impl<L: RawMutex, const PAGE: usize> HeapSource<L, PAGE> {
    /// Free bytes in pages, perhaps not contiguous.
    pub fn unused(&self) -> Pages {
        Pages::new(self.free_bytes() / PAGE)
    }
}

impl<L: RawMutex, const PAGE: usize> fmt::Debug for HeapSource<L, PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeapSource({} bytes free)", self.free_bytes())
    }
}

#[cfg(feature = "defmt")]
impl<L: RawMutex, const PAGE: usize> defmt::Format for HeapSource<L, PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "HeapSource({=usize} bytes free)", self.free_bytes());
    }
}
