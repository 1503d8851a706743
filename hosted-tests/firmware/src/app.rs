//! The firmware of the README: fast internal SRAM in front of slow external PSRAM, and a timer that keeps some free.

use forebay::{CriticalSection, PinError};
use forebay_backends::{InitError, RamBuffer, RamForebay};

pub static RAM: RamForebay<CriticalSection, 512, 16> = RamForebay::new();
pub static TILES: [RamBuffer<CriticalSection, 512, 16>; 64] = [const { RAM.buffer::<8192>() }; 64];

/// `RamForebay::metadata_words(..)` says how long `meta` must be.
pub fn init(
    sram: &'static mut [u8],
    psram: &'static mut [u8],
    meta: &'static mut [usize],
) -> Result<(usize, usize), InitError> {
    RAM.init(sram, psram, meta) // ragged ends are trimmed; the usable bytes of both
}

pub fn draw(n: usize, colour: u8) -> Result<(), PinError> {
    TILES[n].write()?.fill(colour); // restored if it was away; no longer what PSRAM has
    Ok(())
}

pub fn show(n: usize, screen: &mut [u8]) -> Result<(), PinError> {
    screen.copy_from_slice(&TILES[n].read()?); // a guard is simply bytes
    Ok(())
}

/// The timer interrupt: idle tiles go, those in use are passed over. A word or two each, nothing is copied.
pub fn tick() {
    RAM.hand_over(&TILES, 16 * 1024);
}

/// Whenever there is nothing to do: what was handed over moves to PSRAM, and its SRAM is free again.
pub fn idle() {
    while RAM.write_out(2048) > 0 {}
}
