//! A buffer's blocks have a place to go to when it is dropped.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn buffer_outlives_its_home() {
    let buffer: Buffer<'_, Source, Store>;
    {
        let home = Forebay::new(Ram::new(), RamRegion::new(StoreId::DEFAULT));
        buffer = Buffer::new(&home, Order::PAGE); //~ E0597: `home` does not live long enough
    }
    drop(buffer);
}

fn main() {}
