//! A block in perhaps another caching mode must not reach the source.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};

fn pooled_block_home<P: Platform>(pooled: PooledBlock<P>, platform: &P) {
    platform.free(pooled); //~ E0308: expected associated type, found `PooledBlock<P>`
}

fn main() {}
