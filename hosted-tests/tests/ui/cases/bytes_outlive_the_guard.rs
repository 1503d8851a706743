//! Bytes that are in use keep the guard alive, and so the block resident.
use forebay::sync::SpinRawMutex;
use forebay::{Forebay, ReadGuard};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn bytes_outlive_the_guard(guard: ReadGuard<'_, &Home>) -> u8 {
    let bytes: &[u8] = &guard;
    drop(guard); //~ E0505: cannot move out of `guard` because it is borrowed
    bytes[0]
}

fn main() {}
