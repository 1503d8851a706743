//! A block in perhaps another caching mode must be made plain first.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;

fn pooled_block_into_store<P: Platform<Block = Block>>(pooled: PooledBlock<P>, store: &dyn BackingStore<Block>) {
    let _ = store.transfer(pooled, None); //~ E0308: expected `RamBlock<512>`, found `PooledBlock<P>`
}

fn main() {}
