//! After a transfer there is nothing to free.
use forebay::sync::SpinRawMutex;
use forebay::{BackingStore, FrameSource};
use forebay_backends::{Ram, RamBlock};

type Block = RamBlock<512>;
type Source = Ram<SpinRawMutex, 512>;

fn free_after_transfer(block: Block, store: &dyn BackingStore<Block>, source: &Source) {
    let _ = store.transfer(block, None);
    source.free(block); //~ E0382: use of moved value: `block`
}

fn main() {}
