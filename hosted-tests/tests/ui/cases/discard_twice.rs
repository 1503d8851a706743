//! What is stored is dropped once.
use forebay::{BackingStore, Handle};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn discard_twice(handle: Handle, store: &dyn BackingStore<Block>) {
    let _ = store.discard(handle);
    let _ = store.discard(handle); //~ E0382: use of moved value: `handle`
}

fn main() {}
