//! What is stored has one owner: no `Clone`.
use forebay::Handle;

fn clone_a_handle(one: &Handle) -> Handle {
    <Handle as Clone>::clone(one) //~ E0277: Handle: Clone`
}

fn main() {}
