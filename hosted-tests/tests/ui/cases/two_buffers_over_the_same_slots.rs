//! A buffer has its slots for itself.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn two_buffers(slots: &mut [Slot<Source>], home: &Forebay<Source, Store>) {
    let one = Buffer::with_slots(home, slots, Order::PAGE);
    let two = Buffer::with_slots(home, slots, Order::PAGE); //~ E0499: cannot borrow `*slots` as mutable more than once
    drop((one, two));
}

fn main() {}
