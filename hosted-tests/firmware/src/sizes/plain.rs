//! What the firmware of the README is compared with: the tiles are an array in SRAM, no more than fit.
#![no_std]
#![no_main]

mod body;
mod start;

mod app {
    type Tile = [u8; 8192];

    static mut TILES: &mut [Tile] = &mut [];

    pub const fn metadata_words(_: usize) -> usize {
        0
    }

    pub fn init(sram: &'static mut [u8], _: &'static mut [u8], _: &'static mut [usize]) -> Result<(), ()> {
        // SAFETY: the image is never run; the timer would look at no tile.
        unsafe { TILES = sram.as_chunks_mut().0 }
        Ok(())
    }

    fn tile(n: usize) -> Result<&'static mut Tile, ()> {
        // SAFETY: as above, and the main loop would use one tile at a time.
        unsafe { (&raw mut TILES).as_mut_unchecked() }.get_mut(n).ok_or(())
    }

    pub fn draw(n: usize, colour: u8) -> Result<(), ()> {
        tile(n)?.fill(colour);
        Ok(())
    }

    pub fn show(n: usize, screen: &mut [u8]) -> Result<usize, ()> {
        let tile = tile(n)?;
        let both = screen.iter_mut().zip(tile);
        Ok(both.map(|(to, from)| *to = *from).count())
    }

    pub fn tick() {}

    pub fn idle() {}
}
