//! Every block is in exactly one place: no `Clone`.
use forebay_backends::RamBlock;

fn clone_a_block(one: &RamBlock<512>) -> RamBlock<512> {
    <RamBlock<512> as Clone>::clone(one) //~ E0277: RamBlock<512>: Clone`
}

fn main() {}
