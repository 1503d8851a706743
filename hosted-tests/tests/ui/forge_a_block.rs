//! E0423: memory becomes a block in its source only.
use forebay_backends::*;

fn forge_a_block(at: std::ptr::NonNull<u8>) -> RamBlock<512> {
    RamBlock::<512>(at)
}

fn main() {}
