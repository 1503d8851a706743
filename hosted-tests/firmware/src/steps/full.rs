//! The region takes no more: first since too many blocks wait to be written out, then since it has no room.

use super::home::{self, HOME, Home, Machine, TILE_BYTES, TILE_PAGES, TILES, Tile, WAITING};
use super::{Failure, check, space};
use crate::machine::{FAST_BYTES, PAGE, SLOW_BYTES};
use core::fmt::Write;
use forebay::{
    AccessError, BackingStore, Buffer, Context, Evict, Order, Pages, Slot, StoreError, stats::RefusalReason,
};

/// An eighth of the fast memory, but no less than a tile: few such pieces fill the region.
const LARGE: Order = Order::new(LARGE_BYTES.ilog2() as u8 - PAGE.ilog2() as u8).expect("up to 1024 pages");
const LARGE_BYTES: usize = if FAST_BYTES / 8 > TILE_BYTES { FAST_BYTES / 8 } else { TILE_BYTES };
const LARGE_COUNT: usize = SLOW_BYTES / (PAGE << LARGE.get());

/// What fills the region. It is never restored.
static BALLAST: Buffer<Home, [Slot<Machine>; LARGE_COUNT]> = Buffer::inline(&HOME, LARGE);

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    backlog()?;
    let large = fill_with_ballast()?;
    let tiles = home::fill(&TILES, 6500)?;

    // The room that is left takes tiles, and then at most a part of one.
    let gone = copy_out(&TILES[..tiles])?;
    let full = full(TILE_PAGES)?;
    let last = &TILES[tiles - 1];
    let transfer = refused(last, Evict::TRANSFER)?;
    let copy = refused(last, Evict::COPY | Evict::SPLIT)?;
    let report = HOME.reclaim(&TILES, TILE_PAGES, Evict::ANY, Context::THREAD);
    let intact = home::wrong(&TILES[tiles - 1..tiles], 6500 + tiles - 1)?;

    home::soil()?;

    // What comes back makes room, as the region is full.
    let wrong = intact + home::wrong(&TILES[..tiles], 6500)?;
    let room = space();
    BALLAST.purge(Context::THREAD)?;
    write!(
        out,
        "backlog after {WAITING} blocks; full after {large} large ones and {gone} more, {wrong} wrong bytes"
    )?;
    check(transfer == Some(RefusalReason::Store(StoreError::Full)), "a transfer was not refused with Full")?;
    check(copy == Some(RefusalReason::Store(full)), "a copy was refused with another error")?;
    check(
        report.evicted.moved() == Pages::ZERO && report.evicted.refused > Pages::ZERO,
        "a reclaim found room",
    )?;
    check(room > Pages::ZERO || gone == 0, "what came back left its copy in the full region")?;
    check(wrong == 0, "bytes are wrong")
}

/// One block more than may wait is refused, and leaves after the first was written out.
fn backlog() -> Result<(), Failure> {
    let tiles = &TILES[..=WAITING];
    check(home::fill(tiles, 6000)? == tiles.len(), "fewer tiles fit than may wait")?;
    let report = HOME.reclaim(tiles, Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);
    let waiting = Pages::new(WAITING * TILE_PAGES.get());
    check(
        report.evicted.transferred == waiting && report.evicted.backlogs == 1,
        "another number of blocks waits",
    )?;
    let settled = HOME.settle(TILE_PAGES, Context::THREAD);
    check(settled.freed == TILE_PAGES, "no block was written out")?;
    home::soil()?;
    let report = HOME.reclaim(tiles, Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);
    check(report.evicted.transferred == TILE_PAGES, "the one that was refused did not leave now")?;
    check(home::wrong(tiles, 6000)? == 0, "bytes are wrong that had to wait")?;
    home::clear()
}

/// Saves one block again and again. Returns how often.
fn fill_with_ballast() -> Result<usize, Failure> {
    let block = home::take(LARGE).map_err(AccessError::Alloc)?;
    let mut count = 0;
    let end = loop {
        match HOME.store().save(&block, LARGE, None, Context::THREAD) {
            Ok(handle) => BALLAST.attach_stored(count, handle, Context::THREAD)?,
            Err(why) => break why,
        }
        count += 1;
    };
    check(HOME.pool().put(block, Context::THREAD).is_ok(), "the block was not returned")?;
    check(end == full(LARGE.pages())?, "the last copy was refused with another error")?;
    Ok(count)
}

/// What the region says of a block that does not fit, of `pages` pages: whether it would take less.
fn full(pages: Pages) -> Result<StoreError, Failure> {
    check(space() < pages + pages, "there is room left, more than what lies at both ends")?;
    Ok(if space() == Pages::ZERO { StoreError::Full } else { StoreError::TooLarge })
}

/// Copies tiles out until one is refused. Returns how many left.
fn copy_out(tiles: &[Tile]) -> Result<usize, Failure> {
    for (n, tile) in tiles.iter().enumerate() {
        if tile.evict(Pages::MAX, Evict::COPY, Context::THREAD)?.moved() == Pages::ZERO {
            return Ok(n);
        }
    }
    Ok(tiles.len())
}

/// Why a tile does not leave.
fn refused(tile: &Tile, how: Evict) -> Result<Option<RefusalReason>, Failure> {
    let evicted = tile.evict(Pages::MAX, how, Context::THREAD)?;
    check(
        evicted.moved() == Pages::ZERO && evicted.refused == TILE_PAGES,
        "it left, though the region is full",
    )?;
    Ok(evicted.why)
}
