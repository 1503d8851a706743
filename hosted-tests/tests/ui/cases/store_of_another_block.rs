//! A store for other blocks does not stand behind a pool.
use forebay::*;
use forebay_backends::*;
type Store = RamRegion<Spin, 512, 4>;

fn store_of_another_block(_: Buffer<'_, HeapSource<Spin, 512>, Store>) {}
//~^ E0277: BackingStore<HeapBlock<512>>` is not satisfied

fn main() {}
