//! A buffer has its slots for itself.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order, Slot};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn reuse_slots(slots: &mut [Slot<Source>; 4], home: &Home) {
    let buffer = Buffer::with_slots(home, &mut *slots, Order::PAGE);
    slots[0] = Slot::EMPTY; //~ E0506: cannot assign to `slots[_]`
    drop(buffer);
}

fn main() {}
