//! A reclaim is over a list of buffers.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Context, Evict, Forebay, Pages};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn a_single_buffer_is_no_list(home: &Home, tile: &Buffer<&Home>) {
    home.reclaim(tile, Pages::MAX, Evict::ANY, Context::THREAD);
    //~^ E0277: a single buffer is `core::slice::from_ref(&buffer)`
}

fn main() {}
