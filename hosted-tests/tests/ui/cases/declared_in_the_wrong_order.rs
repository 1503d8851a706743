//! A forebay is declared before its buffers, so that it is dropped after them.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order, StoreId};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn declared_in_the_wrong_order() {
    let buffer: Buffer<&Home>;
    let home = Forebay::new(Ram::new(), RamRegion::new(StoreId::DEFAULT));
    buffer = Buffer::new(&home, Order::PAGE); //~ E0597: `home` does not live long enough
    assert_eq!(buffer.id(), forebay::BufferId(0));
}

fn main() {}
