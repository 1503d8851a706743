//! A buffer has its slots for itself.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order, Slot};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn two_buffers(slots: &mut [Slot<Source>], home: &Home) {
    let one = Buffer::with_slots(home, &mut *slots, Order::PAGE);
    let two = Buffer::with_slots(home, &mut *slots, Order::PAGE);
    //~^ E0499: cannot borrow `*slots` as mutable more than once
    drop((one, two));
}

fn main() {}
