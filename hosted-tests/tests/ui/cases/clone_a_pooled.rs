//! Every block is in exactly one place: no `Clone`.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;

fn clone_a_pooled(one: &PooledBlock<Ram<SpinRawMutex, 512>>) -> PooledBlock<Ram<SpinRawMutex, 512>> {
    <PooledBlock<Ram<SpinRawMutex, 512>> as Clone>::clone(one) //~ E0277: 512>>: Clone`
}

fn main() {}
