//! A handle is a reference or an `Arc`, not both.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay, Order};
use forebay_backends::{Ram, RamRegion};
use std::sync::Arc;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn a_reference_to_an_arc(home: Arc<Home>) {
    let _ = Buffer::new(&home, Order::PAGE);
    //~^ E0277: an `Arc` is passed itself, not by reference
}

fn main() {}
