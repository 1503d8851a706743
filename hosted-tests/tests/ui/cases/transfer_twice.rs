//! A transfer moves the block, so it can't be transferred twice.
use forebay::BackingStore;
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn transfer_twice(block: Block, store: &dyn BackingStore<Block>) {
    let _ = store.transfer(block, None);
    let _ = store.transfer(block, None); //~ E0382: use of moved value: `block`
}

fn main() {}
