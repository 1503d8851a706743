//! A block is freed once.
use forebay::FrameSource;
use forebay::sync::SpinRawMutex;
use forebay_backends::{Ram, RamBlock};

type Block = RamBlock<512>;
type Source = Ram<SpinRawMutex, 512>;

fn free_twice(block: Block, source: &Source) {
    source.free(block);
    source.free(block); //~ E0382: use of moved value: `block`
}

fn main() {}
