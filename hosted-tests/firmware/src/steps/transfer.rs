//! The pool is empty, and a timer or a driver can't wait: blocks are transferred as they are. The idle loop writes them out
//! by DMA, and the contents come back.

use super::home::{self, HOME, TILE_PAGES, TILES, WAITING};
use super::{Failure, check, dma, timer};
use core::fmt::Write;
use forebay::{Context, Evict, Pages};

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let tiles = home::fill(&TILES, 2000)?;
    let (before, free) = (HOME.stats(), home::free());
    let wanted = Pages::new(WAITING * TILE_PAGES.get());

    let report = HOME.reclaim(&TILES, wanted, Evict::TRANSFER, Context::INTERRUPT);
    check(report.evicted.transferred == wanted, "less was transferred than was wanted")?;
    check(
        home::slow().pending() == wanted && home::free() == free,
        "it should be pending, and nothing free yet",
    )?;

    timer::start(dma::clock);
    let pieces = dma::write_out()?;
    timer::stop();
    let freed = home::free() - free;
    home::soil()?;
    let wrong = home::wrong(&TILES[..tiles], 2000)?;

    let after = HOME.stats();
    let loaded = after.restored.loaded - before.restored.loaded;
    write!(
        out,
        "{wanted} of {} pages transferred, {freed} freed by DMA in {pieces} pieces, {loaded} loaded, {wrong} wrong bytes",
        Pages::new(tiles * TILE_PAGES.get()),
    )?;
    check(after.evicted.copied == before.evicted.copied, "the processor copied on the way out")?;
    check(
        after.settled - before.settled == wanted && freed == wanted,
        "the store returned another number of pages",
    )?;
    check(pieces > WAITING, "no block went in pieces")?;
    check(loaded == wanted, "something else came back than what was stored")?;
    check(wrong == 0, "bytes are wrong")
}
