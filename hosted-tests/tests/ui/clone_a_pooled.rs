//! E0277: every block is in exactly one place: no `Clone`.
use forebay::*;
use forebay_backends::*;

fn clone_a_pooled(one: &Pooled<Ram<Spin, 512>>) -> Pooled<Ram<Spin, 512>> {
    <Pooled<Ram<Spin, 512>> as Clone>::clone(one)
}

fn main() {}
