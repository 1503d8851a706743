//! The main loop, the timer and the memory: the same with Forebay and without.

use crate::app;
use core::hint::black_box;
use core::ptr::with_exposed_provenance_mut;
use core::slice::from_raw_parts_mut;

pub const SRAM: usize = 96 << 10;
pub const PSRAM: usize = 16 << 20;
pub const WORDS: usize = app::metadata_words(SRAM);

static mut METADATA: [usize; WORDS] = [0; WORDS];

#[unsafe(no_mangle)]
extern "C" fn _start(screen: &mut [u8; 8192]) -> ! {
    // SAFETY: the image is never run. A board would have memory there that no static is in, and this would be entered once.
    let (sram, psram, metadata) = unsafe {
        (
            from_raw_parts_mut(with_exposed_provenance_mut(0x2000_8000), SRAM),
            from_raw_parts_mut(with_exposed_provenance_mut(0x2100_0000), PSRAM),
            (&raw mut METADATA).as_mut_unchecked(),
        )
    };
    black_box(timer as fn()); // as a vector table would name it
    let mut works = app::init(sram, psram, metadata).is_ok();
    while works {
        let n = black_box(1) % 64;
        works = app::draw(n, black_box(2)).is_ok() && app::show(n, screen).is_ok();
        app::idle();
    }
    loop {
        core::hint::spin_loop();
    }
}

/// The timer's handler.
fn timer() {
    app::tick();
}
