//! Buffers take their memory at the first use, until there is none.

use super::home::{self, SCRAPS, TILE_PAGES, TILES};
use super::{Failure, check};
use core::fmt::Write;
use forebay::Pages;

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let tiles = home::fill(&TILES, 0)?;
    let scraps = home::fill(&SCRAPS, 1000)?;
    let wrong = home::wrong(&TILES[..tiles], 0)? + home::wrong(&SCRAPS[..scraps], 1000)?;
    write!(
        out,
        "{tiles} tiles of {TILE_PAGES} pages and {scraps} of one, {wrong} wrong bytes; then out of frames"
    )?;
    check(wrong == 0, "bytes are wrong")?;
    check(tiles < TILES.len() && scraps < SCRAPS.len(), "there was memory for all of them")?;
    check(home::free() == Pages::ZERO, "out of frames, but pages are free")
}
