//! A buffer has a handle to its forebay, not the forebay itself.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn a_forebay_by_value(home: Home) {
    let _ = Buffer::new(home, Order::PAGE);
    //~^ E0277: a buffer needs a handle to a forebay
    //~^^ E0277: use `&'static F`, `&'a F`, or (feature `alloc`) `Arc<F>`
}

fn main() {}
