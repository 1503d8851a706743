//! `?` can't drop a refused block on its way out.
use forebay::{BackingStore, Handle, StoreError};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn lose_a_block(block: Block, store: &dyn BackingStore<Block>) -> Result<Handle, StoreError> {
    Ok(store.transfer(block, None)?) //~ E0277: couldn't convert the error to
}

fn main() {}
