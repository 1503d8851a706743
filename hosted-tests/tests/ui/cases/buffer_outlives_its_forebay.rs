//! A buffer's blocks have a source to return to when it is dropped.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order, StoreId};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn buffer_outlives_its_forebay() {
    let buffer: Buffer<&Home>;
    {
        let home = Forebay::new(Ram::new(), RamRegion::new(StoreId::DEFAULT));
        buffer = Buffer::new(&home, Order::PAGE); //~ E0597: `home` does not live long enough
    }
    drop(buffer);
}

fn main() {}
