//! The firmware of the README for a machine with 16 KiB of RAM.

use crate::machine::PAGE;
use forebay::{CriticalSection, PinError};
use forebay_backends::{InitError, RamBuffer, RamForebay};

type Ram = RamForebay<CriticalSection, PAGE, 4>;
type Tile = RamBuffer<CriticalSection, PAGE, 4>;

pub static RAM: Ram = Ram::new();
pub static TILES: [Tile; 20] = [const { RAM.buffer::<512>() }; 20];

pub const fn metadata_words(sram: usize, psram: usize) -> usize {
    Ram::metadata_words(sram, psram)
}

pub fn init(
    sram: &'static mut [u8],
    psram: &'static mut [u8],
    meta: &'static mut [usize],
) -> Result<(usize, usize), InitError> {
    RAM.init(sram, psram, meta)
}

pub fn draw(n: usize, colour: u8) -> Result<(), PinError> {
    TILES[n].write()?.fill(colour);
    Ok(())
}

pub fn show(n: usize, screen: &mut [u8]) -> Result<usize, PinError> {
    Ok(TILES[n].read()?.copy_out(0, screen))
}

pub fn tick() {
    if RAM.free() < 2048 {
        RAM.hand_over(&TILES, 1024);
    }
}

pub fn idle() {
    while RAM.write_out(256) > 0 {}
}
