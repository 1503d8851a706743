//! Slots are for blocks of one platform.
use forebay::port::WithHooks;
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order, Slot};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

type Other = WithHooks<Source, ()>;

fn slots_of_another_platform(home: &Home, slots: &mut [Slot<Other>]) {
    let _ = Buffer::with_slots(home, slots, Order::PAGE);
    //~^ E0271: type mismatch resolving
    //~^^ E0271: expected `Ram<SpinRawMutex, 512>`, found `WithHooks<
}

fn main() {}
