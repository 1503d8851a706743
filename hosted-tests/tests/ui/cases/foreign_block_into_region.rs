//! A region takes one kind of block.
use forebay::{BackingStore, sync::SpinRawMutex};
use forebay_backends::{HeapBlock, RamRegion};

fn foreign_block_into_region(block: HeapBlock<512>, store: &RamRegion<SpinRawMutex, 512, 4>) {
    let _ = store.transfer(block, None); //~ E0308: expected `RamBlock<512>`, found `HeapBlock<512>`
}

fn main() {}
