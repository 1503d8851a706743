//! A store behind `dyn` is shared only if it says so.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;

fn share<T: Sync>(_: &T) {}

fn dyn_store_is_not_shared<'s>(
    home: &Forebay<Ram<SpinRawMutex, 512>, &'s dyn BackingStore<Block>, [Place<Ram<SpinRawMutex, 512>>; 0]>,
) {
    share(home); //~ E0277: cannot be shared between threads safely
}

fn main() {}
