//! A block in perhaps another caching mode is put into its pool, or evicted with its buffer; a store takes neither.
use forebay::{BackingStore, Caching, pool::PooledBlock};
use forebay_backends::RamBlock;

type Block = RamBlock<512>;

fn pooled_block_into_store(pooled: PooledBlock<Block, Caching>, store: &dyn BackingStore<Block>) {
    let _ = store.transfer(pooled, None); //~ E0308: expected `RamBlock<512>`, found `PooledBlock<
}

fn main() {}
