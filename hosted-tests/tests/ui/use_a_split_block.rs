//! E0382: a block that was split is two others.
use forebay::*;
use forebay_backends::*;
type Block = RamBlock<512>;

fn use_a_split_block(block: Block) -> Pfn {
    let _ = block.split();
    block.pfn()
}

fn main() {}
