//! A block goes home once.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;
type Source = Ram<SpinRawMutex, 512>;

fn release_twice(block: Block, platform: &Source) {
    platform.free(block);
    platform.free(block); //~ E0382: use of moved value: `block`
}

fn main() {}
