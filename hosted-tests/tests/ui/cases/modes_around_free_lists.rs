//! Caching modes go inside of free lists, which keep blocks of each mode.
use forebay::Forebay;
use forebay::frame::{Caching, Context, ModeRefused};
use forebay::pool::FreeListArray;
use forebay::port::{CachingControl, WithCaching, WithLists};
use forebay::sync::SpinRawMutex;
use forebay_backends::{Ram, RamRegion};

type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

struct Mtrr;
impl<B> CachingControl<B> for Mtrr {
    type Mode = Caching;
    fn set_mode(&self, _: &mut B, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

fn modes_around_free_lists(source: Source, store: Store, lists: FreeListArray<Source, 4, 1>) {
    let _ = Forebay::new(WithCaching(WithLists(source, lists), Mtrr), store);
    //~^ E0277: `WithCaching` goes inside of `WithLinear` and `WithLists`
    //~^^ E0277: is no platform
}

fn main() {}
