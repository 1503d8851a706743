//! What somebody looks at can't be evicted by its owner.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn evict_while_guarded(mut buffer: Buffer<'_, Source, Store>) {
    let guard = buffer.read();
    buffer.evict_mut(Pages::MAX, Evict::ANY, Context::THREAD); //~ E0502: cannot borrow `buffer` as mutable
    drop(guard);
}

fn main() {}
