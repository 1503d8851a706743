//! Every block is in exactly one place: no `Clone`.
use forebay::pool::PooledBlock;
use forebay_backends::RamBlock;

type Pooled = PooledBlock<RamBlock<512>, ()>;

fn clone_a_pooled(one: &Pooled) -> Pooled {
    <Pooled as Clone>::clone(one) //~ E0277: PooledBlock<RamBlock<512>, ()>: Clone`
}

fn main() {}
