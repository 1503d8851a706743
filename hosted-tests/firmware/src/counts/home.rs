//! What is measured: pools and regions of several sizes, all of them there from the start.

use crate::bare;
use core::cell::Cell;
use forebay::pool::FreeListArray;
use forebay::port::WithLists;
use forebay::sync::CriticalSectionRawMutex;
use forebay::{Buffer, Forebay, Order, StoreId};
use forebay_backends::{Ram, RamBlock, RamForebay, RamRegion};
use static_cell::ConstStaticCell;

/// Bytes of a page.
pub const PAGE: usize = 512;
/// How many blocks may wait to be written out.
pub const WAITING: usize = 16;
/// How many blocks of a kind a pool keeps ready.
pub const DEPTH: usize = 4;
pub const ORDERS: usize = 11;

pub type Fast = Ram<CriticalSectionRawMutex, PAGE>;
pub type Slow = RamRegion<CriticalSectionRawMutex, PAGE, WAITING>;
pub type Block = RamBlock<PAGE>;
pub type Machine = WithLists<Fast, FreeListArray<Fast, ORDERS, DEPTH>>;
pub type Home = Forebay<Machine, Slow>;
pub type Tile = Buffer<&'static Home>;
/// A firmware's: no free lists, so a block comes from its source.
pub type Firmware = RamForebay<CriticalSectionRawMutex, PAGE, WAITING>;

/// Bytes of fast and of slow memory.
pub const SIZES: [(usize, usize); 4] =
    [(32 << 10, 1 << 20), (1 << 20, 1 << 20), (16 << 20, 16 << 20), (640 << 20, 128 << 20)];
pub static HOMES: [Home; SIZES.len()] =
    [const { Home::new(WithLists(Fast::new(), FreeListArray::new()), Slow::new(StoreId::DEFAULT)) };
        SIZES.len()];

pub static FIRMWARE: Firmware = Firmware::new();
const FIRMWARE_BYTES: (usize, usize) = (96 << 10, 1 << 20);

const fn metadata() -> usize {
    let (mut words, mut n) = (Firmware::metadata_words(FIRMWARE_BYTES.0), 0);
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
        source(home).add(cut(&memory, fast)?, cut(&words, Fast::metadata_words(fast))?).ok()?;
        home.store().init(cut(&memory, slow)?, cut(&words, Slow::metadata_words(slow))?).ok()?;
    }
    let (fast, slow) = FIRMWARE_BYTES;
    FIRMWARE.init(cut(&memory, fast)?, cut(&memory, slow)?, words.take()).ok()?;
    Some(())
}

/// The memory behind the free lists.
pub fn source(home: &Home) -> &Fast {
    &home.platform().0
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
