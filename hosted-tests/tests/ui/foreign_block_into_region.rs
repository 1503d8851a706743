//! E0308: a region takes one kind of block.
use forebay::*;
use forebay_backends::*;

fn foreign_block_into_region(block: HeapBlock<512>, store: &RamRegion<Spin, 512, 4>) {
    let _ = store.transfer(block);
}

fn main() {}
