//! The firmware of the README on a desktop: fast RAM in front of slow RAM, two sizes of buffers, an idle loop.
//!
//! `cargo run -p forebay-backends --example firmware --features spin`

use forebay::sync::SpinRawMutex;
use forebay::{AccessError, Context, Evict, Pages, WriteGuard};
use forebay_backends::{RamBuffer, RamForebay};

type Ram = RamForebay<SpinRawMutex, 512, 16>; // pages of 512 bytes; 16 blocks may wait to be written out
type Tile = RamBuffer<SpinRawMutex, 512, 16>;

static RAM: Ram = Ram::new();
static TILES: [Tile; 32] = [const { RAM.buffer::<8192>() }; 32];
static AUDIO: [Tile; 32] = [const { RAM.buffer::<1024>() }; 32];

/// A write guard; if SRAM is full, idle buffers of both sizes leave for it.
fn write(tile: &'static Tile) -> Result<WriteGuard<'static, &'static Ram>, AccessError> {
    let all = (&TILES, &AUDIO);
    RAM.or_reclaim(all, Pages::new(16), Evict::TRANSFER, Context::THREAD, || tile.write())
}

fn main() -> Result<(), AccessError> {
    let (sram, psram) = (vec![0; 96 << 10].leak(), vec![0; 1 << 20].leak());
    RAM.init(sram, psram, vec![0; Ram::metadata_words(96 << 10)].leak()).expect("unused memory");
    for n in 0..64 {
        write(&TILES[n % 32])?.fill(n as u8);
        write(&AUDIO[n % 32])?.fill(!n as u8);
        RAM.write_out(2048); // when there is nothing else to do
    }
    for n in 0..32 {
        assert!(write(&TILES[n])?.iter().all(|byte| *byte == (n + 32) as u8));
        assert!(write(&AUDIO[n])?.iter().all(|byte| *byte == !(n + 32) as u8));
    }
    println!("{}", RAM.stats());
    Ok(())
}
