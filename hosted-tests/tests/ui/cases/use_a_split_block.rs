//! A block that was split is two others.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;

fn use_a_split_block(block: Block) -> Pfn {
    let _ = block.split();
    block.pfn() //~ E0382: borrow of moved value: `block`
}

fn main() {}
