//! `?` can't drop a refused handle on its way out.
use forebay::{BackingStore, Context, Handle, StoreError};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn lose_a_handle(handle: Handle, store: &dyn BackingStore<Block>) -> Result<Block, StoreError> {
    Ok(store.take_back(handle, Context::THREAD)?) //~ E0277: couldn't convert the error to
}

fn main() {}
