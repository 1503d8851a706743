//! A kernel or driver with frames of its own: a source, a store that takes the blocks themselves, and hooks.
//!
//! `cargo run -p forebay --example own_frames --features alloc,spin`

use forebay::port::{Capabilities, EvictHooks, OwnedBlock, StoreIds, WithHooks};
use forebay::sync::{Mutex, SpinRawMutex};
use forebay::{
    AccessError, AllocError, AllocRequest, BackingStore, Buffer, BufferId, Busy, Context, Evict, Forebay,
    FrameSource, Handle, Order, Pages, Pfn, Refused, StoreError, StoreId,
};

const PAGE: usize = 4096;

/// Contiguous frames, owned: their first number and their bytes.
struct Frames(usize, Vec<u8>);

impl OwnedBlock for Frames {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        Pfn(self.0)
    }
    fn order(&self) -> Order {
        Order::for_pages(Pages::new(self.1.len() / PAGE)).expect("a block")
    }
    fn split(mut self) -> Result<(Self, Self), Self> {
        let half = self.1.len() / 2;
        if half < PAGE {
            return Err(self);
        }
        let upper = Frames(self.0 + half / PAGE, self.1.split_off(half));
        Ok((self, upper))
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let from = self.1.get(at..).unwrap_or_default();
        let n = from.len().min(to.len());
        to[..n].copy_from_slice(&from[..n]);
        n
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let to = self.1.get_mut(at..).unwrap_or_default();
        let n = from.len().min(to.len());
        to[..n].copy_from_slice(&from[..n]);
        n
    }
}

/// The frame allocator of the machine: sixteen blocks of four pages.
struct Machine(Mutex<SpinRawMutex, Vec<Frames>>);

impl FrameSource for Machine {
    type Block = Frames;
    type RawMutex = SpinRawMutex;
    const MAX_ORDER: Order = Order::new(2).expect("four pages");
    fn allocate(&self, request: AllocRequest, _: Context) -> Result<Frames, AllocError> {
        let fits = |frames: &Frames| frames.order() == request.order;
        self.0.lock(|free| {
            let at = free.iter().position(fits).ok_or(AllocError::Exhausted)?;
            Ok(free.swap_remove(at))
        })
    }
    fn free(&self, frames: Frames) {
        self.0.lock(|free| free.push(frames));
    }
}

/// The page cache: it takes the frames themselves.
struct PageCache(Mutex<SpinRawMutex, Vec<Option<Frames>>>);

impl BackingStore<Frames> for PageCache {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::TRANSFER | Capabilities::TAKE_BACK
    }
    fn transfer(
        &self,
        block: Frames,
        _: Option<forebay::frame::Charge>,
    ) -> Result<Handle, Refused<Frames, StoreError>> {
        let order = block.order();
        let index = self.0.lock(|cache| {
            cache.push(Some(block));
            cache.len() - 1
        });
        Ok(Handle::new(StoreId::DEFAULT, order, index).expect("a small index"))
    }
    fn take_back(&self, handle: Handle, _: Context) -> Result<Frames, Refused<Handle, StoreError>> {
        let frames = self.0.lock(|cache| cache.get_mut(handle.value())?.take());
        frames.ok_or(Refused { item: handle, why: StoreError::NotStored })
    }
    fn discard(&self, handle: Handle) -> Result<Option<Frames>, Refused<Handle, StoreError>> {
        self.take_back(handle, Context::INTERRUPT).map(Some)
    }
}

/// Unmaps a buffer before it leaves, and maps it again.
struct Mappings;

impl EvictHooks<Frames> for Mappings {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut Frames>,
        _: Context,
    ) -> Result<(), Busy> {
        println!("buffer {}: unmapped", id.0);
        Ok(())
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        println!("buffer {}: mapped again", id.0);
        Ok(())
    }
}

fn main() -> Result<(), AccessError> {
    let frames = (0..16).map(|n| Frames(4 * n, vec![0xA5; 4 * PAGE])).collect();
    let machine = WithHooks(Machine(Mutex::new(frames)), Mappings);
    let home = Forebay::new(machine, PageCache(Mutex::new(Vec::new())));
    let order = Order::new(2).expect("four pages");
    let objects: Vec<_> = (0..8).map(|n| Buffer::new(&home, order).with_id(BufferId(n))).collect();
    for (n, object) in objects.iter().enumerate() {
        object.write()?.write_at(0, &[n as u8; 16]);
    }
    // Twice: a buffer that was used since the last look has a second chance.
    home.reclaim(&objects, Pages::new(12), Evict::TRANSFER, Context::INTERRUPT);
    let mut bytes = [0; 16];
    objects[0].read()?.read_at(0, &mut bytes);
    assert_eq!(bytes, [0; 16]);
    println!("{home}");
    Ok(())
}
