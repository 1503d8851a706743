//! A platform has each port once.
use forebay::Forebay;
use forebay::port::{EvictHooks, WithHooks};
use forebay::sync::SpinRawMutex;
use forebay_backends::{Ram, RamRegion};

type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

/// Hooks that permit everything.
struct Pager;
impl<B> EvictHooks<B> for Pager {}

fn the_same_port_twice(source: Source, store: Store) {
    let _ = Forebay::new(WithHooks(WithHooks(source, Pager), Pager), store);
    //~^ E0277: an adapter around the same port twice is none
    //~^^ E0277: is no platform
}

fn main() {}
