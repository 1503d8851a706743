//! A block in perhaps another caching mode must not reach the source.
use forebay::{FrameSource, frame::Mode, pool::PooledBlock};

fn pooled_block_into_source<S: FrameSource, M: Mode>(pooled: PooledBlock<S::Block, M>, source: &S) {
    source.free(pooled); //~ E0308: expected associated type, found `PooledBlock<
}

fn main() {}
