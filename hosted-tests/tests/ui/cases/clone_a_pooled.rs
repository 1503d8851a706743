//! Every block is in exactly one place: no `Clone`.
use forebay::*;
use forebay_backends::*;

fn clone_a_pooled(one: &Pooled<Ram<Spin, 512>>) -> Pooled<Ram<Spin, 512>> {
    <Pooled<Ram<Spin, 512>> as Clone>::clone(one) //~ E0277: 512>>: Clone`
}

fn main() {}
