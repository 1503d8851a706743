//! A handle that was split is two others.
use forebay::{BackingStore, Handle};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn use_a_split_handle(handle: Handle, store: &dyn BackingStore<Block>) {
    let _ = store.split(handle);
    let _ = store.discard(handle); //~ E0382: use of moved value: `handle`
}

fn main() {}
