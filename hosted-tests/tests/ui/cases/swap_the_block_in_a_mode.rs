//! A block can't be put behind the caching mode of another.
use forebay::{Caching, pool::PooledBlock};
use forebay_backends::RamBlock;

fn swap_the_block(mut combined: PooledBlock<RamBlock<512>, Caching>, other: RamBlock<512>) {
    *combined = other; //~ E0594: cannot assign to data in dereference
}

fn main() {}
