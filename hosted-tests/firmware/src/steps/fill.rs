//! Tiles take their memory at the first use, until there is none. Pages that no tile fits into are taken one by one.

use super::home::{self, HOME, PIECES, TILE_PAGES, TILES, Taken};
use super::{Failure, check, pattern};
use core::fmt::Write;
use forebay::{Context, Order, Pages};

/// Such pages lie before the first boundary of each piece, and behind the last.
const SCRAPS: usize = 2 * PIECES * (TILE_PAGES.get() - 1);

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let tiles = home::fill(&TILES, 1000)?;
    let mut scraps: [Option<Taken>; SCRAPS] = [const { None }; SCRAPS];
    let mut count = 0;
    for (n, place) in scraps.iter_mut().enumerate() {
        let Ok(mut page) = home::take(Order::PAGE) else { break };
        pattern::fill_page(&mut page, 1500 + n);
        *place = Some(page);
        count += 1;
    }
    check(home::free() == Pages::ZERO, "pages are free and can't be allocated")?;

    let mut wrong = home::wrong(&TILES[..tiles], 1000)?;
    for (n, page) in scraps.into_iter().flatten().enumerate() {
        wrong += pattern::wrong(&page, 1500 + n);
        check(HOME.pool().put(page, Context::THREAD).is_ok(), "a page was not returned")?;
    }
    write!(
        out,
        "{tiles} tiles of {TILE_PAGES} pages and {count} of one, {wrong} wrong bytes; then out of frames"
    )?;
    check(tiles < TILES.len(), "there was memory for all of them")?;
    check(wrong == 0, "bytes are wrong")
}
