//! A tile that was transferred is wanted again: before it is written out, and while the controller works on it.

use super::home::{self, HOME, TILE_PAGES, TILES, Tile};
use super::{Failure, check, dma, pattern};
use core::fmt::Write;
use forebay::{AccessError, Context, Evict, Pages};

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    home::fill(&TILES[..1], 4000)?;
    let (tile, before, free) = (&TILES[0], HOME.stats(), home::free());
    let address = tile.read()?.as_ptr().addr();

    transfer(tile)?;
    check(tile.read()?.as_ptr().addr() == address, "another block came back than was transferred")?;

    // The controller has begun, and its clock stands still.
    transfer(tile)?;
    check(dma::advance()?.is_pending(), "the controller was given nothing")?;
    dma::clock();
    let at_work = tile.read().err();
    check(at_work == Some(AccessError::Busy), "it was readable while the controller worked on it")?;
    // It goes on to the end of its piece. The rest waits, since the tile was asked for.
    run_out();
    check(dma::advance()?.is_pending(), "nothing waits")?;
    let wrong = {
        let bytes = tile.read()?;
        check(bytes.as_ptr().addr() == address, "another block came back, half written out")?;
        pattern::wrong(&bytes, 4000)
    };

    // Dropped while the controller works on it: the block is free when that is done, not before.
    transfer(tile)?;
    check(dma::advance()?.is_pending(), "the controller was given nothing")?;
    dma::clock();
    tile.purge(Context::THREAD)?;
    check(home::free() == free, "the block is free, and the controller reads it")?;
    run_out();
    check(dma::advance()?.is_ready(), "something else waits")?;
    check(home::free() == free + TILE_PAGES, "the block is not free")?;

    let restored = HOME.stats().restored;
    let back = restored.taken_back - before.restored.taken_back;
    write!(
        out,
        "{back} pages taken back at the same address, half of them half written out; Busy meanwhile; {wrong} wrong bytes"
    )?;
    check(
        back == TILE_PAGES + TILE_PAGES && restored.loaded == before.restored.loaded,
        "something was copied",
    )?;
    check(wrong == 0, "bytes are wrong")
}

fn transfer(tile: &Tile) -> Result<(), Failure> {
    let evicted = tile.evict(Pages::MAX, Evict::TRANSFER, Context::INTERRUPT)?;
    check(evicted.transferred == TILE_PAGES, "a tile was not transferred")
}

/// The controller's clock, until it must be done with a piece of a tile.
fn run_out() {
    for _ in 0..2 * TILE_PAGES.get() {
        dma::clock();
    }
}
