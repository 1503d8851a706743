//! A block's mode is what the platform made it, not what somebody says.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};

fn forge_a_pooled<P: Platform<Mode = Caching>>(block: P::Block) -> PooledBlock<P> {
    PooledBlock { block, mode: Caching::Uncached } //~ E0451: fields `block` and `mode`
}

fn main() {}
