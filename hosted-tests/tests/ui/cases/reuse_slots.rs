//! A buffer has its slots for itself.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;
type Store = RamRegion<Spin, 512, 4>;

fn reuse_slots(slots: &mut [Slot<Source>; 4], home: &Forebay<Source, Store>) {
    let buffer = Buffer::over(slots, home);
    slots[0] = Slot::EMPTY; //~ E0506: cannot assign to `slots[_]`
    drop(buffer);
}

fn main() {}
