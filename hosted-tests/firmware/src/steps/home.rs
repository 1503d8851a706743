//! What all steps work on: one pool over the fast memory, one region over the slow one, flash behind it, and the buffers.

use super::pattern;
use super::{Failure, check, flash};
use crate::machine::{FAST_BYTES, Lock, Memory, PAGE, SLOW_BYTES};
use forebay::{Buffer, Context, Forebay, Order, AllocError, Pages, AccessError, StoreId};
use forebay_backends::{Faulty, Ram, RamRegion, Rom, Tiered};
use static_cell::ConstStaticCell;

pub type Fast = Ram<Lock, PAGE>;
pub type Slow = RamRegion<Lock, PAGE, WAITING>;
/// The region fails when a step wishes it to; behind it is what never changes.
pub type Store = Tiered<Faulty<Slow, Lock>, Rom<'static, PAGE>>;
pub type Tile = Buffer<'static, Fast, Store>;

/// The order of a tile, and what it has.
pub const TILE: Order = Order::new(2).expect("four pages");
pub const TILE_PAGES: Pages = TILE.pages();
pub const TILE_BYTES: usize = TILE_PAGES.get() * PAGE;
/// Blocks that may wait to be written out: half of what the region has room for, or eight.
pub const WAITING: usize = if SLOW_BYTES / TILE_BYTES / 2 < 8 { SLOW_BYTES / TILE_BYTES / 2 } else { 8 };
/// A tile more than there ever is memory for.
const TILE_COUNT: usize = FAST_BYTES / TILE_BYTES + 1;
/// The most pieces of fast memory.
pub const PIECES: usize = 2;

pub static HOME: Forebay<Fast, Store, [Place<Fast>; 0]> = Forebay::new(
    Fast::new(),
    Tiered(Faulty::new(Slow::new(StoreId::DEFAULT)), Rom::new(flash::ID, &flash::TABLE)),
    0,
);
pub static TILES: [Tile; TILE_COUNT] = [const { Tile::new(&HOME, TILE) }; TILE_COUNT];

/// Two pieces are never more than the whole; each needs a few words of its own.
const META_WORDS: usize = PIECES * Fast::metadata_words(FAST_BYTES) + Slow::metadata_words(SLOW_BYTES);
static META: ConstStaticCell<[usize; META_WORDS]> = ConstStaticCell::new([0; META_WORDS]);

/// Gives the home its memory; the usable bytes of the fast pieces, and of the slow one.
pub fn init(memory: Memory) -> Result<([usize; PIECES], usize), Failure> {
    let mut meta: &'static mut [usize] = META.take();
    let mut usable = [0; PIECES];
    for (piece, usable) in memory.fast.into_iter().zip(&mut usable) {
        if piece.is_empty() {
            continue; // this machine has fewer
        }
        let (words, rest) = meta.split_at_mut(Fast::metadata_words(piece.len()));
        meta = rest;
        *usable = HOME.platform().add(piece, words).map_err(|refused| refused.why)?;
    }
    Ok((usable, slow().init(memory.slow, meta).map_err(|refused| refused.why)?))
}

/// The region, past what makes it fail.
pub fn slow() -> &'static Slow {
    faults().inner()
}

/// What makes the region fail.
pub fn faults() -> &'static Faulty<Slow, Lock> {
    &HOME.store().0
}

/// Pages of fast memory that are free.
pub fn free() -> Pages {
    HOME.platform().free()
}

/// Gives tile after tile its pattern until no memory is left; how many have it.
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

/// Bytes that are not as [`fill`] left them. Restores what is away.
pub fn wrong(tiles: &[Tile], seed: usize) -> Result<usize, Failure> {
    let mut sum = 0;
    for (n, tile) in tiles.iter().enumerate() {
        sum += pattern::wrong(&tile.read()?, seed + n);
    }
    Ok(sum)
}

/// Overwrites what is free: whatever comes back now can't be what a block still has from before.
pub fn soil() -> Result<(), Failure> {
    let mut blocks = [const { None }; TILE_COUNT];
    for place in &mut blocks {
        let Ok(mut block) = HOME.pool().take(TILE, (), Context::THREAD) else { break };
        block.bytes_mut().fill(0xa5);
        *place = Some(block);
    }
    for block in blocks.into_iter().flatten() {
        check(HOME.pool().give(block, Context::THREAD).is_ok(), "a block did not go home")?;
    }
    Ok(())
}

/// Drops the contents of all tiles; then every page is at home again.
pub fn clear() -> Result<(), Failure> {
    for tile in &TILES {
        tile.purge(Context::THREAD)?;
    }
    Ok(())
}
