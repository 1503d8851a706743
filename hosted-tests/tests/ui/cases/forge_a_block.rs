//! Memory becomes a block in its source only.
use forebay_backends::RamBlock;

fn forge_a_block(at: std::ptr::NonNull<u8>) -> RamBlock<512> {
    RamBlock::<512>(at) //~ E0423: private fields
}

fn main() {}
