//! Taking back consumes the handle.
use forebay::{BackingStore, Context, Handle};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn take_back_twice(handle: Handle, store: &dyn BackingStore<Block>) {
    let _ = store.take_back(handle, Context::THREAD);
    let _ = store.take_back(handle, Context::THREAD); //~ E0382: use of moved value: `handle`
}

fn main() {}
