//! A buffer is made with a handle to a forebay, not to a source.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Order};
use forebay_backends::Ram;

fn not_a_forebay(source: &Ram<SpinRawMutex, 512>) {
    let _ = Buffer::new(source, Order::PAGE);
    //~^ E0277: `Ram<SpinRawMutex, 512>` has no forebay inside
}

fn main() {}
