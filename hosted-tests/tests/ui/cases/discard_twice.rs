//! What is stored is dropped once.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;

fn discard_twice(handle: Handle, store: &dyn BackingStore<Block>) {
    let _ = store.discard(handle);
    let _ = store.discard(handle); //~ E0382: use of moved value: `handle`
}

fn main() {}
