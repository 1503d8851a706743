//! A block in perhaps another caching mode must not reach the source.
use forebay::*;

fn pooled_block_home<P: Platform>(pooled: Pooled<P>, platform: &P) {
    platform.release(pooled); //~ E0308: expected associated type, found `Pooled<P>`
}

fn main() {}
