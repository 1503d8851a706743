//! A store for other blocks does not stand behind a pool.
use forebay::Forebay;
use forebay::sync::SpinRawMutex;
use forebay_backends::{HeapSource, RamRegion};

type Store = RamRegion<SpinRawMutex, 512, 4>;

fn store_of_another_block(source: HeapSource<SpinRawMutex, 512>, store: Store) {
    let _ = Forebay::new(source, store);
    //~^ E0277: BackingStore<HeapBlock<512>>` is not satisfied
}

fn main() {}
