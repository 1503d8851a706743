//! A buffer that begins with contents in flash: it leaves without copying until it is written to.

use super::home::{self, HOME, TILE, TILE_BYTES, TILE_PAGES, TILES};
use super::{Failure, check, pattern, space};
use core::fmt::Write;
use forebay::{Context, Evict, Handle, Pages, StoreId};

pub const ID: StoreId = StoreId::new(1).expect("below 16");
/// A table in the image, as a font or the samples of a sound would be. Its last page is short.
pub static TABLE: [u8; TABLE_BYTES] = table();
const TABLE_BYTES: usize = TILE_BYTES - 10;
const SEED: usize = 77;

const fn table() -> [u8; TABLE_BYTES] {
    let mut bytes = [0; TABLE_BYTES];
    let mut at = 0;
    while at < TABLE_BYTES {
        bytes[at] = pattern::byte(SEED, at);
        at += 1;
    }
    bytes
}

/// Where the table is.
fn handle() -> Option<Handle> {
    HOME.store().1.handle(Pages::ZERO, TILE)
}

/// Bytes of a tile that are not as in the table; behind it are zeros.
fn wrong(bytes: &[u8]) -> usize {
    let (table, behind) = bytes.split_at(TABLE_BYTES);
    pattern::wrong(table, SEED) + behind.iter().filter(|byte| **byte != 0).count()
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let tile = &TILES[0];
    let handle = handle().ok_or(Failure::Check("the table has no handle"))?;
    tile.attach_stored(0, handle, Context::THREAD)?;
    check(tile.residency()?.resident == Pages::ZERO, "it takes memory before it is used")?;

    // Read, evicted, and read again; evicted as in an interrupt, since nothing is written.
    let (mut sum, mut clean, empty) = (0, Pages::ZERO, space());
    for _ in 0..2 {
        sum += wrong(&tile.read()?);
        clean += tile.evict(Pages::MAX, Evict::TRANSFER, Context::INTERRUPT)?.clean;
        home::soil()?;
        check(space() == empty, "the region was written to")?;
    }

    // Once it is written to, it is like any other.
    tile.write()?[0] ^= 0xff;
    let changed = tile.evict(Pages::MAX, Evict::TRANSFER, Context::INTERRUPT)?;
    check(HOME.settle(Pages::MAX, Context::THREAD).freed == TILE_PAGES, "it was not written out")?;
    home::soil()?;
    {
        let mut bytes = tile.write()?;
        bytes[0] ^= 0xff;
        sum += wrong(&bytes);
    }
    sum += pattern::wrong(&TABLE, SEED);

    write!(
        out,
        "{clean} pages left clean, {} transferred after a byte was written; {sum} wrong bytes",
        changed.transferred
    )?;
    check(clean == TILE_PAGES + TILE_PAGES, "it did not leave clean")?;
    check(changed.transferred == TILE_PAGES, "what was written to is not in the region")?;
    check(home::slow().pending() == Pages::ZERO, "something is pending")?;
    check(sum == 0, "bytes are wrong")
}
