//! A block can't be put behind the caching mode of another.
use forebay::*;
use forebay_backends::*;

type Block = Pooled<Ram<Spin, 512>>;

fn put_in(mut combined: Block, plain: RamBlock<512>) {
    *combined.block_mut() = plain; //~ E0624: method `block_mut` is private
}

fn main() {}
