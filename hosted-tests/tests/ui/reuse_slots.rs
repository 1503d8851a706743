//! E0506: a buffer has its slots for itself.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;
type Store = RamRegion<Spin, 512, 4>;

fn reuse_slots(slots: &mut [Slot<Source>; 4], home: &Forebay<Source, Store>) {
    let buffer = Buffer::over(slots, home);
    slots[0] = Slot::EMPTY;
    drop(buffer);
}

fn main() {}
