//! What is measured: pools and regions of several sizes, all of them there from the start.

use crate::bare;
use core::cell::Cell;
use forebay::{
    BackingStore, Buffer, Context, CriticalSection, Forebay, Handle, Order, OutOfFrames, OwnedBlock, Pfn,
    Place, Platform, Pool, StoreId,
};
use forebay_backends::{Ram, RamBlock, RamForebay, RamRegion};
use static_cell::ConstStaticCell;

/// Bytes of a page.
pub const PAGE: usize = 512;
/// How many blocks may wait to be written out.
pub const WAITING: usize = 16;
/// How many blocks of a kind a pool keeps ready.
pub const DEPTH: usize = 4;
const ORDERS: usize = 11;
const PLACES: usize = ORDERS * DEPTH;

pub type Fast = Ram<CriticalSection, PAGE>;
pub type Slow = RamRegion<CriticalSection, PAGE, WAITING>;
pub type Block = RamBlock<PAGE>;
pub type Home = Forebay<Fast, Slow, [Place<Fast>; PLACES]>;
pub type Tile = Buffer<'static, Fast, Slow>;

/// Bytes of fast and of slow memory.
pub const SIZES: [(usize, usize); 4] =
    [(32 << 10, 1 << 20), (1 << 20, 1 << 20), (16 << 20, 16 << 20), (256 << 20, 128 << 20)];
/// The one that costs are taken at.
pub const USUAL: usize = 2;

pub static HOMES: [Home; SIZES.len()] =
    [const { Home::new(Fast::new(), Slow::new(StoreId::DEFAULT), DEPTH) }; SIZES.len()];

/// A firmware's: no shelves, so a block comes from its source.
pub static FIRMWARE: RamForebay<CriticalSection, PAGE, WAITING> = RamForebay::new();
const FIRMWARE_BYTES: (usize, usize) = (96 << 10, 1 << 20);

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
    fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.copy_out(at, to)
    }
    fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.copy_in(at, from)
    }
    fn zero(&mut self) {}
}

impl Platform for Unwiping {
    type Block = Unwiped;
    type Lock = CriticalSection;
    type Mode = ();
    fn allocate(&self, order: Order, cx: Context) -> Result<Unwiped, OutOfFrames> {
        HOMES[USUAL].platform().allocate(order, cx).map(Unwiped)
    }
    fn release(&self, block: Unwiped) {
        HOMES[USUAL].platform().release(block.0);
    }
}

const fn metadata() -> usize {
    let (mut words, mut n) =
        (RamForebay::<CriticalSection, PAGE, WAITING>::metadata_words(FIRMWARE_BYTES.0, FIRMWARE_BYTES.1), 0);
    while n < SIZES.len() {
        words += Fast::metadata_words(SIZES[n].0) + Slow::metadata_words(SIZES[n].1);
        n += 1;
    }
    words
}

static METADATA: ConstStaticCell<[usize; metadata()]> = ConstStaticCell::new([0; metadata()]);

/// Gives every home its memory.
pub fn init() -> Option<()> {
    // SAFETY: `rust_main` calls this once.
    let (memory, words) = (Cell::new(unsafe { bare::memory() }), Cell::new(METADATA.take().as_mut_slice()));
    for (home, (fast, slow)) in HOMES.iter().zip(SIZES) {
        home.platform().add(cut(&memory, fast)?, cut(&words, Fast::metadata_words(fast))?).ok()?;
        home.store().init(cut(&memory, slow)?, cut(&words, Slow::metadata_words(slow))?).ok()?;
    }
    let (fast, slow) = FIRMWARE_BYTES;
    FIRMWARE.init(cut(&memory, fast)?, cut(&memory, slow)?, words.take()).ok()?;
    Some(())
}

fn cut<T>(from: &Cell<&'static mut [T]>, len: usize) -> Option<&'static mut [T]> {
    let (first, rest) = from.take().split_at_mut_checked(len)?;
    from.set(rest);
    Some(first)
}

/// All orders.
pub fn orders() -> impl Iterator<Item = Order> {
    (0..ORDERS as u8).filter_map(Order::new)
}

/// Takes that many pages of a region, and gives every second one back: no two holes are neighbours.
pub fn fragment(store: &Slow, page: &Block, kept: &mut [Option<Handle>]) {
    kept.fill_with(|| store.save(page, Order::PAGE, Context::THREAD).ok());
    for hole in kept.iter_mut().step_by(2).filter_map(Option::take) {
        let _ = store.discard(hole);
    }
}
