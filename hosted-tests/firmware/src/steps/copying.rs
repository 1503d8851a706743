//! Copied out by the processor, block by block: their frames are free at once.

use super::home::{self, HOME, TILE_PAGES, TILES, WAITING};
use super::{Failure, check};
use core::fmt::Write;
use forebay::{Context, Evict, Pages};

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let tiles = home::fill(&TILES, 3000)?;
    let (before, free) = (HOME.stats(), home::free());

    for tile in &TILES[..WAITING] {
        let evicted = tile.evict(Pages::MAX, Evict::COPY, Context::THREAD)?;
        check(
            evicted.copied == TILE_PAGES && evicted.moved() == TILE_PAGES,
            "a tile was not copied as a whole",
        )?;
    }
    let freed = home::free() - free;
    home::soil()?;

    // A reader gets the contents while the region keeps its copy. So a tile leaves again without copying, unless it was
    // written to.
    let wrong = home::wrong(&TILES[..tiles], 3000)?;
    home::fill(&TILES[..1], 3500)?;
    let again = TILES[0].evict(Pages::MAX, Evict::COPY, Context::THREAD)?;
    let unchanged = TILES[1].evict(Pages::MAX, Evict::COPY, Context::THREAD)?;
    home::soil()?;
    let wrong = wrong + home::wrong(&TILES[..1], 3500)? + home::wrong(&TILES[1..2], 3001)?;

    let after = HOME.stats();
    let loaded = after.restored.loaded - before.restored.loaded;
    write!(
        out,
        "{freed} pages copied and freed, {loaded} loaded, {} clean, {wrong} wrong bytes",
        unchanged.clean
    )?;
    check(freed == Pages::new(WAITING * TILE_PAGES.get()), "another number of pages is free")?;
    check(again.copied == TILE_PAGES, "a tile that was written to left without being copied")?;
    check(unchanged.clean == TILE_PAGES, "a tile that was only read was copied")?;
    check(loaded == freed + TILE_PAGES + TILE_PAGES, "something else came back than what was stored")?;
    check(wrong == 0, "bytes are wrong")
}
