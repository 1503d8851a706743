//! E0382: taking back consumes the handle.
use forebay::*;
use forebay_backends::*;
type Block = RamBlock<512>;

fn take_back_twice(handle: Handle, store: &dyn BackingStore<Block>) {
    let _ = store.take_back(handle, Context::THREAD);
    let _ = store.take_back(handle, Context::THREAD);
}

fn main() {}
