//! E0624: a block can't be put behind the caching mode of another.
use forebay::*;
use forebay_backends::*;

type Block = Pooled<Ram<Spin, 512>>;

fn put_in(mut combined: Block, plain: RamBlock<512>) {
    *combined.block_mut() = plain;
}

fn main() {}
