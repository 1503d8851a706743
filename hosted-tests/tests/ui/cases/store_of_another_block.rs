//! A store for other blocks does not stand behind a pool.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn store_of_another_block(_: Buffer<'_, HeapSource<SpinRawMutex, 512>, Store>) {}
//~^ E0277: BackingStore<HeapBlock<512>>` is not satisfied

fn main() {}
