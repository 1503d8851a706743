//! The forebay that costs are taken of: its blocks without zeroing, and its region in pieces.

use crate::home::{Block, DEPTH, HOMES, Home, ORDERS, PAGE, Slow, source};
use forebay::pool::{FreeListArray, Pool};
use forebay::port::WithLists;
use forebay::sync::CriticalSectionRawMutex;
use forebay::{AllocError, AllocRequest, BackingStore, Context, FrameSource, Handle, Order, OwnedBlock, Pfn};

pub static USUAL: &Home = &HOMES[2];

/// A pool of blocks that are not zeroed: what is left is the pool's own work.
pub type Unzeroed = Pool<WithLists<UsualSource, FreeListArray<UsualSource, ORDERS, DEPTH>>>;
pub static UNZEROED: Unzeroed = Pool::new(WithLists(UsualSource, FreeListArray::new()));
/// The same without lists.
pub static WITHOUT_LISTS: Pool<UsualSource> = Pool::new(UsualSource);

/// The source of the usual forebay.
pub struct UsualSource;

/// One of its blocks. Zeroing does nothing.
pub struct UsualBlock(Block);

impl OwnedBlock for UsualBlock {
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

impl FrameSource for UsualSource {
    type Block = UsualBlock;
    type RawMutex = CriticalSectionRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<UsualBlock, AllocError> {
        source(USUAL).allocate(request, cx).map(UsualBlock)
    }
    fn free(&self, block: UsualBlock) {
        source(USUAL).free(block.0);
    }
}

/// Takes that many pages of a region, and discards every second one: no two holes are neighbours.
pub fn fragment(store: &Slow, page: &Block, kept: &mut [Option<Handle>]) {
    kept.fill_with(|| store.save(page, Order::PAGE, None, Context::THREAD).ok());
    for hole in kept.iter_mut().step_by(2).filter_map(Option::take) {
        let _ = store.discard(hole);
    }
}
