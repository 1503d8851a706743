//! A reclaim is over a list of buffers.
use forebay::sync::SpinRawMutex;
use forebay::{Context, Evict, Forebay, Pages};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn a_list_of_something_else(home: &Home) {
    home.reclaim(&[1, 2, 3], Pages::MAX, Evict::ANY, Context::THREAD);
    //~^ E0277: `{integer}` is no buffer
}

fn main() {}
