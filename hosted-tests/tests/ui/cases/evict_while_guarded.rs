//! What somebody looks at can't be evicted by its owner.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;
type Store = RamRegion<Spin, 512, 4>;

fn evict_while_guarded(mut buffer: Buffer<'_, Source, Store>) {
    let guard = buffer.read();
    buffer.evict_now(Pages::MAX, Evict::LADDER, Context::THREAD); //~ E0502: cannot borrow `buffer` as mutable
    drop(guard);
}

fn main() {}
