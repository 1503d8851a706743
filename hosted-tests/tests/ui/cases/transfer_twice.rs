//! A transfer moves the block, so it can't be handed over twice.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;

fn transfer_twice(block: Block, store: &dyn BackingStore<Block>) {
    let _ = store.transfer(block, None);
    let _ = store.transfer(block, None); //~ E0382: use of moved value: `block`
}

fn main() {}
