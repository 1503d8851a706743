//! After a transfer there is nothing to send home.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn release_after_transfer(block: Block, store: &Store, platform: &Source) {
    let _ = store.transfer(block, None);
    platform.free(block); //~ E0382: use of moved value: `block`
}

fn main() {}
