//! A block that was split is two others.
use forebay::{OwnedBlock, Pfn};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn use_a_split_block(block: Block) -> Pfn {
    let _ = block.split();
    block.pfn() //~ E0382: borrow of moved value: `block`
}

fn main() {}
