//! A store that fails at the worst moment: memory is full, and each of its calls fails once. Then a controller that stops in
//! the middle of a block.

use super::home::{self, HOME, TILE_PAGES, TILES, Tile};
use super::{Failure, check, dma, timer};
use crate::machine::PAGE;
use core::fmt::Write;
use forebay::{Context, Evict, Pages};
use forebay_backends::Faults;

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let tiles = home::fill(&TILES, 7000)?;
    let free = home::free(); // in pieces smaller than a tile

    let (mut moments, mut failed) = (0, 1);
    while failed > 0 {
        home::faults().set(Faults { kth: Some(moments), ..Faults::default() });
        there_and_back(&TILES[0])?;
        failed = home::faults().failed();
        moments += failed;
        home::faults().set(Faults::default());
        check(home::free() == free, "a failure cost a page, or left a copy behind")?;
        check(home::wrong(&TILES[..1], 7000)? == 0, "a failure cost bytes")?;
    }
    home::fill(&TILES[..1], 7500)?; // other bytes than the region still has of it
    let short = controller_fails(&TILES[0])?;

    let wrong = home::wrong(&TILES[..1], 7500)? + home::wrong(&TILES[1..tiles], 7001)?;
    write!(out, "{moments} calls failed once each, the controller after {short} bytes; {wrong} wrong bytes")?;
    check(moments >= 5, "fewer calls failed than the way out and back has")?; // transfer, take back, settle, load, save
    check(wrong == 0, "bytes are wrong")
}

/// The ways out and back of one tile, each of which may fail once.
fn there_and_back(tile: &Tile) -> Result<(), Failure> {
    twice(|| Ok(leave(tile, Evict::TRANSFER)? == TILE_PAGES))?;
    twice(|| Ok(tile.restore(Pages::MAX, Context::THREAD).taken_back == TILE_PAGES))?;
    twice(|| Ok(leave(tile, Evict::TRANSFER)? == TILE_PAGES))?;
    twice(|| Ok(HOME.settle(Pages::MAX, Context::THREAD).freed == TILE_PAGES))?;
    home::soil()?;
    twice(|| Ok(tile.restore(Pages::MAX, Context::THREAD).loaded == TILE_PAGES))?;
    tile.discard_copies()?;
    twice(|| Ok(leave(tile, Evict::COPY)? == TILE_PAGES))?;
    home::soil()?;
    twice(|| Ok(tile.restore(Pages::MAX, Context::THREAD).loaded == TILE_PAGES))?;
    tile.discard_copies()?;
    Ok(())
}

fn leave(tile: &Tile, how: Evict) -> Result<Pages, Failure> {
    Ok(tile.evict(Pages::MAX, how, Context::THREAD)?.moved())
}

/// What may fail once succeeds the next time.
fn twice(mut attempt: impl FnMut() -> Result<bool, Failure>) -> Result<(), Failure> {
    let succeeded = attempt()? || attempt()?;
    check(succeeded, "it failed again, though the store does not")
}

/// The rest of what it did not copy stays pending, and is tried again. Returns after how many bytes it failed.
fn controller_fails(tile: &Tile) -> Result<usize, Failure> {
    let (short, free) = (PAGE + 5, home::free());
    check(leave(tile, Evict::TRANSFER)? == TILE_PAGES, "a tile was not transferred")?;
    dma::break_after(short);
    timer::start(dma::clock);
    dma::write_out()?;
    timer::stop();
    check(home::free() - free == TILE_PAGES, "it was not written out in the end")?;
    home::soil()?;
    Ok(short)
}
