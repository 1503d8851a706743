//! The firmware of the README: fast internal SRAM in front of slow external PSRAM, and a timer that keeps some free.

use forebay::{AccessError, sync::CriticalSectionRawMutex};
use forebay_backends::{InitError, RamBuffer, RamForebay};

type Ram = RamForebay<CriticalSectionRawMutex, 512, 16>; // pages of 512 bytes; 16 blocks may wait to be written out
type Tile = RamBuffer<CriticalSectionRawMutex, 512, 16>;

pub static RAM: Ram = Ram::new();
pub static TILES: [Tile; 64] = [const { RAM.buffer::<8192>() }; 64]; // far more than fits into SRAM

/// Words of metadata for that much SRAM; PSRAM keeps its own behind its pages.
pub const fn metadata_words(sram: usize) -> usize {
    Ram::metadata_words(sram)
}

pub fn init(
    sram: &'static mut [u8],
    psram: &'static mut [u8],
    meta: &'static mut [usize],
) -> Result<usize, InitError> {
    RAM.init(sram, psram, meta)?; // ragged ends are trimmed
    Ok(RAM.fits(8192)) // how many tiles SRAM holds at a time
}

pub fn draw(n: usize, colour: u8) -> Result<(), AccessError> {
    TILES[n].write()?.fill(colour); // restored before, if it was in PSRAM
    Ok(())
}

pub fn show(n: usize, screen: &mut [u8]) -> Result<usize, AccessError> {
    Ok(TILES[n].read()?.read_at(0, screen)) // or simply as bytes: a guard derefs to them
}

/// The timer interrupt keeps room for a tile: if there is none, and none is on its way, idle tiles are transferred. Tiles in use
/// are skipped, and nothing is copied.
pub fn tick() {
    if !RAM.has_room(8192) && RAM.pending() < 8192 {
        RAM.transfer(&TILES, 16 * 1024);
    }
}

/// Whenever there is nothing to do: what was transferred moves to PSRAM, and its SRAM is free again.
pub fn idle() {
    while RAM.write_out(2048) > 0 {}
}
