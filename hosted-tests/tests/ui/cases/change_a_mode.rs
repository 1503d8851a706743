//! A block's mode is what the platform made it, not what a program says.
use forebay::{Caching, OwnedBlock, pool::PooledBlock};

fn change_a_mode<B: OwnedBlock>(pooled: &mut PooledBlock<B, Caching>) {
    pooled.mode = Caching::WriteBack; //~ E0616: field `mode`
}

fn main() {}
