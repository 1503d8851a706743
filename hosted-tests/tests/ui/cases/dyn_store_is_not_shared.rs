//! A store behind `dyn` is shared only if it says so.
use forebay::sync::SpinRawMutex;
use forebay::{BackingStore, Forebay};
use forebay_backends::{Ram, RamBlock};

fn share<T: Sync>(_: &T) {}

fn dyn_store_is_not_shared(home: &Forebay<Ram<SpinRawMutex, 512>, &dyn BackingStore<RamBlock<512>>>) {
    share(home); //~ E0277: cannot be shared between threads safely
}

fn main() {}
