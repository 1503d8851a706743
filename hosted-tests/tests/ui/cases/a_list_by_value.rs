//! A reclaim borrows its list.
use forebay::sync::CriticalSectionRawMutex;
use forebay::{Context, Evict, Pages};
use forebay_backends::{RamBuffer, RamForebay};

static RAM: RamForebay<CriticalSectionRawMutex, 512, 4> = RamForebay::new();
static TILES: [RamBuffer<CriticalSectionRawMutex, 512, 4>; 4] = [const { RAM.buffer::<512>() }; 4];

fn a_list_by_value() {
    RAM.reclaim(TILES, Pages::MAX, Evict::ANY, Context::THREAD);
    //~^ E0507: cannot move out of static item `TILES`
}

fn main() {}
