//! Blocks of other pages are other blocks.
use forebay::{BackingStore, sync::SpinRawMutex};
use forebay_backends::{RamBlock, RamRegion};

fn pages_of_another_size(block: RamBlock<4096>, store: &RamRegion<SpinRawMutex, 512, 4>) {
    let _ = store.transfer(block, None); //~ E0308: expected `512`, found `4096`
}

fn main() {}
