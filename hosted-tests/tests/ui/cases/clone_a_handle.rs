//! What is stored has one owner: no `Clone`.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};

fn clone_a_handle(one: &Handle) -> Handle {
    <Handle as Clone>::clone(one) //~ E0277: Handle: Clone`
}

fn main() {}
