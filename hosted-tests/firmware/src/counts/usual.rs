//! The home that costs are taken at: its blocks without the wiping, and its region in pieces.

use crate::home::{Block, DEPTH, HOMES, Home, PAGE, PLACES, Slow};
use forebay::{BackingStore, Context, Handle, Order, AllocError, OwnedBlock, Pfn, Platform, pool::Pool, sync::CriticalSectionRawMutex};

pub static USUAL: &Home = &HOMES[2];

/// Blocks that nobody wipes: what is left is the pool's own work.
pub static UNWIPED: Pool<Unwiping, [Place<Unwiping>; PLACES]> = Pool::new(Unwiping, DEPTH);

/// The same blocks as the usual home's.
pub struct Unwiping;

pub struct Unwiped(Block);

impl OwnedBlock for Unwiped {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
    fn zero(&mut self) {}
}

impl Platform for Unwiping {
    type Block = Unwiped;
    type RawMutex = CriticalSectionRawMutex;
    type Mode = ();
    fn allocate(&self, order: Order, cx: Context) -> Result<Unwiped, AllocError> {
        USUAL.platform().allocate(AllocRequest::new(order), cx).map(Unwiped)
    }
    fn release(&self, block: Unwiped) {
        USUAL.platform().free(block.0);
    }
}

/// Takes that many pages of a region, and gives every second one back: no two holes are neighbours.
pub fn fragment(store: &Slow, page: &Block, kept: &mut [Option<Handle>]) {
    kept.fill_with(|| store.save(page, Order::PAGE, None, Context::THREAD).ok());
    for hole in kept.iter_mut().step_by(2).filter_map(Option::take) {
        let _ = store.discard(hole);
    }
}
