//! A store behind `dyn` is shared only if it says so.
use forebay::*;
use forebay_backends::*;
type Block = RamBlock<512>;

fn share<T: Sync>(_: &T) {}

fn dyn_store_is_not_shared<'s>(
    home: &Forebay<Ram<Spin, 512>, &'s dyn BackingStore<Block>, [Place<Ram<Spin, 512>>; 0]>,
) {
    share(home); //~ E0277: cannot be shared between threads safely
}

fn main() {}
