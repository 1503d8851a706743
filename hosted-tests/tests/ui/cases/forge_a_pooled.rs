//! A block's mode is what the platform made it, not what a program says.
use forebay::{Caching, pool::PooledBlock};

fn forge_a_pooled<B>(block: B) -> PooledBlock<B, Caching> {
    PooledBlock { block, mode: Caching::Uncached } //~ E0451: fields `block` and `mode`
}

fn main() {}
