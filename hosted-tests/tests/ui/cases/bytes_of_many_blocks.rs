//! A buffer of many blocks is no slice of bytes.
use forebay::sync::SpinRawMutex;
use forebay::{Forebay, ReadGuard, Slot};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn bytes_of_many_blocks(guard: ReadGuard<'_, &Home, &mut [Slot<Source>]>) -> u8 {
    guard[0] //~ E0608: cannot index into a value
}

fn main() {}
