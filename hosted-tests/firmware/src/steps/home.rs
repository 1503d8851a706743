//! What all steps work on: a forebay over the fast memory, with a region over the slow one and flash behind it; and buffers.

use super::screen::Screen;
use super::{Failure, check, flash, pattern};
use crate::machine::{FAST_BYTES, Memory, PAGE, RawMutex, SLOW_BYTES};
use forebay::{
    AccessError, AllocError, AllocRequest, Buffer, Context, Forebay, Order, Pages, StoreId,
    port::{PooledBlock, WithHooks},
};
use forebay_backends::{Faulty, Ram, RamBlock, RamRegion, Rom, Tiered};
use static_cell::ConstStaticCell;

pub type Fast = Ram<RawMutex, PAGE, 2>;
pub type Slow = RamRegion<RawMutex, PAGE, WAITING>;
/// The region fails when a step wants it to; behind it is what never changes.
pub type Store = Tiered<Faulty<Slow, RawMutex>, Rom<'static, PAGE>>;
/// The fast memory, and a screen that shows some of it.
pub type Machine = WithHooks<&'static Fast, Screen>;
pub type Home = &'static Forebay<Machine, Store>;
pub type Tile = Buffer<Home>;
/// A block of the pool.
pub type Taken = PooledBlock<RamBlock<PAGE>, ()>;

/// The order of a tile, and its size.
pub const TILE: Order = Order::new(2).expect("four pages");
pub const TILE_PAGES: Pages = TILE.pages();
pub const TILE_BYTES: usize = TILE_PAGES.get() * PAGE;
/// How many blocks may wait to be written out: half of those that the region has room for, or eight.
pub const WAITING: usize = if SLOW_BYTES / TILE_BYTES / 2 < 8 { SLOW_BYTES / TILE_BYTES / 2 } else { 8 };
/// One tile more than there ever is memory for.
const TILE_COUNT: usize = FAST_BYTES / TILE_BYTES + 1;
/// The most pieces of fast memory.
pub const PIECES: usize = 2;

static FAST: Fast = Fast::new();
pub static HOME: Forebay<Machine, Store> = Forebay::new(
    WithHooks(&FAST, Screen::new()),
    Tiered(Faulty::new(Slow::new(StoreId::DEFAULT)), Rom::new(flash::ID, &flash::TABLE)),
);
pub static TILES: [Tile; TILE_COUNT] = [const { Tile::new(&HOME, TILE) }; TILE_COUNT];

/// Two pieces are never more than the whole; each needs words of its own. The smallest machine has one.
const META_WORDS: usize = if FAST_BYTES > 8 * 1024 { PIECES } else { 1 } * Fast::metadata_words(FAST_BYTES)
    + Slow::metadata_words(SLOW_BYTES);
static META: ConstStaticCell<[usize; META_WORDS]> = ConstStaticCell::new([0; META_WORDS]);

/// Gives the forebay its memory. Returns the usable bytes of the fast pieces, and of the slow one.
pub fn init(memory: Memory) -> Result<([usize; PIECES], usize), Failure> {
    let mut meta: &'static mut [usize] = META.take();
    let mut usable = [0; PIECES];
    for (piece, usable) in memory.fast.into_iter().zip(&mut usable) {
        if piece.is_empty() {
            continue; // this machine has fewer
        }
        let (words, rest) = meta.split_at_mut(Fast::metadata_words(piece.len()));
        meta = rest;
        *usable = FAST.add(piece, words).map_err(|refused| refused.why)?;
    }
    Ok((usable, slow().init(memory.slow, meta).map_err(|refused| refused.why)?))
}

/// The fast memory.
pub fn fast() -> &'static Fast {
    &FAST
}

/// The region, without what makes it fail.
pub fn slow() -> &'static Slow {
    faults().inner()
}

/// What makes the region fail.
pub fn faults() -> &'static Faulty<Slow, RawMutex> {
    &HOME.store().0
}

/// Pages of fast memory that are free.
pub fn free() -> Pages {
    FAST.unused()
}

/// Gives tile after tile its pattern until no memory is left. Returns how many have it.
pub fn fill(tiles: &[Tile], seed: usize) -> Result<usize, Failure> {
    for (n, tile) in tiles.iter().enumerate() {
        match tile.write() {
            Ok(mut bytes) => pattern::fill(&mut bytes, seed + n),
            Err(AccessError::Alloc(AllocError::Exhausted)) => return Ok(n),
            Err(why) => return Err(why.into()),
        }
    }
    Ok(tiles.len())
}

/// Bytes that are not as [`fill`] left them. Restores what is stored.
pub fn wrong(tiles: &[Tile], seed: usize) -> Result<usize, Failure> {
    let mut sum = 0;
    for (n, tile) in tiles.iter().enumerate() {
        sum += pattern::wrong(&tile.read()?, seed + n);
    }
    Ok(sum)
}

/// A block from the pool.
pub fn take(order: Order) -> Result<Taken, AllocError> {
    HOME.pool().take(AllocRequest::new(order), (), Context::THREAD)
}

/// Overwrites what is free, so that a block can't still have its bytes from before.
pub fn soil() -> Result<(), Failure> {
    let mut blocks: [Option<Taken>; TILE_COUNT] = [const { None }; TILE_COUNT];
    for place in &mut blocks {
        let Ok(mut block) = take(TILE) else { break };
        (0..TILE_BYTES).step_by(PAGE).for_each(|at| _ = block.write_at(at, &[0xa5; PAGE]));
        *place = Some(block);
    }
    for block in blocks.into_iter().flatten() {
        check(HOME.pool().put(block, Context::THREAD).is_ok(), "a block was not returned")?;
    }
    Ok(())
}

/// Drops the contents of all tiles. Then every page is free again.
pub fn clear() -> Result<(), Failure> {
    for tile in &TILES {
        tile.purge(Context::THREAD)?;
    }
    Ok(())
}
