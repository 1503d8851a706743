//! A block can't be put behind the caching mode of another.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;

type Block = PooledBlock<Ram<SpinRawMutex, 512>>;

fn put_in(mut combined: Block, plain: RamBlock<512>) {
    *combined.block_mut() = plain; //~ E0624: method `block_mut` is private
}

fn main() {}
