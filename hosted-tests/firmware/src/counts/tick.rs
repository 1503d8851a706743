//! What the timer of the README's firmware costs: its SRAM is full, so it looks for tiles to transfer.

use crate::app;
use crate::cost::Cost;
use crate::means::row;
use core::array;
use core::fmt::Write;
use forebay::buffer::EvictRequest;
use forebay::stats::Evicted;
use forebay::{AllocRequest, Context, Evict, Evictable, FrameSource, Order, Pages};
use static_cell::ConstStaticCell;

/// Bytes of SRAM: room for one tile.
const SRAM: usize = 8192;
const PAGE: usize = 512;

#[repr(align(8192))]
struct Aligned([u8; SRAM]);

static FAST: ConstStaticCell<Aligned> = ConstStaticCell::new(Aligned([0; SRAM]));
static SLOW: ConstStaticCell<[u8; 1 << 20]> = ConstStaticCell::new([0; 1 << 20]);
static METADATA: ConstStaticCell<[usize; app::metadata_words(SRAM)]> =
    ConstStaticCell::new([0; app::metadata_words(SRAM)]);

const TIMES: usize = 1000;

/// What the timer costs.
pub struct Ticks {
    /// One of the tiles is resident, and was not used since the last tick.
    pub idle: Cost,
    /// No tile is resident: other blocks have all of SRAM.
    pub nothing: Cost,
}

/// Of the README's firmware, which is initialised here.
pub fn run(out: &mut dyn Write) -> Option<Ticks> {
    app::init(&mut FAST.take().0, SLOW.take(), METADATA.take()).ok()?;
    let [mut idle, mut used, mut nothing] = array::from_fn(|_| Cost::new());
    let look = EvictRequest::new(Pages::ZERO, Evict::TRANSFER, Context::INTERRUPT);
    for time in 0..2 * TIMES {
        let tile = app::TILES.get(time % app::TILES.len())?;
        drop(tile.write().ok()?);
        let cost = if time % 2 == 0 { &mut used } else { &mut idle };
        if time % 2 == 1 {
            tile.evict_or_skip(&look, &mut Evicted::default()); // as a tick before would have seen it
        }
        cost.of(app::tick);
        (app::RAM.pending() == SRAM).then_some(())?;
        app::idle();
    }
    let request = AllocRequest::new(Order::for_pages(Pages::new(SRAM / PAGE))?);
    let others = app::RAM.platform().allocate(request, Context::THREAD).ok()?;
    for _ in 0..TIMES {
        nothing.of(app::tick);
    }
    app::RAM.platform().free(others);
    let what = "the README's tick: SRAM is full,";
    row(out, format_args!("{what} one of 64 tiles is resident and idle"), &idle)?;
    row(out, format_args!("{what} one of 64 tiles is resident and was used"), &used)?;
    row(out, format_args!("{what} none of 64 tiles is resident"), &nothing)?;
    Some(Ticks { idle, nothing })
}
