//! A reference to an adapter is a platform; a reference to such a reference is none.
use forebay::Forebay;
use forebay::port::{EvictHooks, WithHooks};
use forebay::sync::SpinRawMutex;
use forebay_backends::{Ram, RamRegion};

type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

/// Hooks that permit everything.
struct Pager;
impl<B> EvictHooks<B> for Pager {}

fn a_reference_to_a_reference(source: Source, store: Store) {
    let platform = &WithHooks(source, Pager);
    let _ = Forebay::new(&platform, store);
    //~^ E0277: pass it, or one `&` or `Arc` to it, and not `&&`
}

fn main() {}
