//! A struct that owns its forebay and its buffers holds the forebay in an `Arc`, or in a static.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order, StoreId};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

struct Decoder<'d> {
    home: Home,
    tile: Buffer<&'d Home>,
}

fn a_struct_that_borrows_itself<'d>() -> Decoder<'d> {
    let home = Forebay::new(Ram::new(), RamRegion::new(StoreId::DEFAULT));
    let tile = Buffer::new(&home, Order::PAGE);
    Decoder { home, tile }
    //~^ E0515: cannot return value referencing local variable `home`
    //~^^ E0505: cannot move out of `home` because it is borrowed
}

fn main() {}
