//! A kernel whose own frames move through the pool into its page cache and back. No unsafe outside its core.
#![forbid(unsafe_code)]

mod machine;

use forebay::frame::Charge;
use forebay::pool::FreeListArray;
use forebay::port::{Capabilities, EvictHooks, StoreIds, WithHooks, WithLists};
use forebay::sync::{IrqGuard, SpinRawMutex};
use forebay::{
    AccessError, AllocError, AllocRequest, BackingStore, Buffer, BufferId, Busy, Context, Evict, Forebay,
    FrameSource, Handle, Order, OwnedBlock, Pages, Pfn, Refused, Report, StoreError, StoreId, Zones,
};
use machine::{IrqOff, Machine, PageCache, Segment};

struct Frames(Segment); // the kernel's own owned, contiguous frames

impl OwnedBlock for Frames {
    const PAGE: usize = 4096;
    fn pfn(&self) -> Pfn {
        Pfn(self.0.address() / 4096)
    }
    fn order(&self) -> Order {
        Order::for_pages(Pages::new(self.0.frames())).expect("a segment is a block")
    }
    fn split(self) -> Result<(Frames, Frames), Frames> {
        self.0.halves().map(|(a, b)| (Frames(a), Frames(b))).map_err(Frames)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.reader(at).read(to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.writer(at).write(from)
    }
}

impl IrqGuard for IrqOff {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let _off = machine::disable_irq();
        f()
    }
}

impl FrameSource for Machine {
    type Block = Frames;
    type RawMutex = SpinRawMutex<IrqOff>;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Frames, AllocError> {
        let segment = self.segment(request.order.pages().get(), cx.contains(Context::MAY_BLOCK));
        segment.map(Frames).ok_or(AllocError::Exhausted)
    }
    fn free(&self, block: Frames) {
        self.put_back(block.0);
    }
}

impl EvictHooks<Frames> for Machine {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut Frames>,
        _: Context,
    ) -> Result<(), Busy> {
        self.unmap_and_wait(id.0).map_err(|()| Busy)
    }
}

impl BackingStore<Frames> for PageCache {
    // the page cache takes the frames themselves
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::TRANSFER | Capabilities::TAKE_BACK
    }
    fn transfer(&self, block: Frames, _: Option<Charge>) -> Result<Handle, Refused<Frames, StoreError>> {
        let order = block.order();
        let index = self.insert(block.0).map_err(|s| Refused { item: Frames(s), why: StoreError::Full })?;
        Ok(Handle::new(StoreId::DEFAULT, order, index).expect("an index of the cache fits"))
    }
    fn take_back(&self, handle: Handle, _: Context) -> Result<Frames, Refused<Handle, StoreError>> {
        self.remove(handle.value()).map(Frames).ok_or(Refused { item: handle, why: StoreError::NotStored })
    }
    fn discard(&self, handle: Handle) -> Result<Option<Frames>, Refused<Handle, StoreError>> {
        self.take_back(handle, Context::INTERRUPT).map(Some)
    }
}

/// The frames, the mappings, and up to 4 free blocks of each of 11 orders.
type Kernel = WithLists<WithHooks<&'static Machine, &'static Machine>, FreeListArray<Machine, 11, 4>>;
type Home = Forebay<Kernel, PageCache>;

static MACHINE: Machine = Machine::new();
static HOME: Home =
    Forebay::new(WithLists(WithHooks(&MACHINE, &MACHINE), FreeListArray::new()), PageCache::new());

fn shrink(objects: &[Buffer<&'static Home>], wanted: Pages, cx: Context) -> Report {
    HOME.reclaim(objects, wanted, Evict::TRANSFER, cx)
}

fn main() -> Result<(), AccessError> {
    let four = Order::for_pages(Pages::new(4)).expect("4 is small");
    let objects: Vec<_> = (0..4).map(|i| Buffer::new(&HOME, four).with_id(BufferId(i))).collect();
    for object in &objects {
        object.write()?.write_at(5000, b"frames move");
    }
    println!("{:?}", shrink(&objects, Pages::new(8), Context::NO_IO));
    for object in &objects {
        let mut text = [0; 11];
        object.read()?.read_at(5000, &mut text);
        assert_eq!(&text, b"frames move");
    }
    println!("{:?}", HOME.stats());
    drop(objects);
    HOME.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
    assert_eq!(MACHINE.outstanding(), 0, "every frame is returned");
    Ok(())
}
