//! After a transfer the bytes are the store's.
use forebay::BackingStore;
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn use_after_transfer(block: Block, store: &dyn BackingStore<Block>) -> u8 {
    let _ = store.transfer(block, None);
    block[0] //~ E0382: borrow of moved value: `block`
}

fn main() {}
