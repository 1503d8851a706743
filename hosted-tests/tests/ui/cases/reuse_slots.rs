//! A buffer has its slots for itself.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn reuse_slots(slots: &mut [Slot<Source>; 4], home: &Forebay<Source, Store>) {
    let buffer = Buffer::with_slots(home, slots, Order::PAGE);
    slots[0] = Slot::EMPTY; //~ E0506: cannot assign to `slots[_]`
    drop(buffer);
}

fn main() {}
