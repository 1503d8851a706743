//! What is being looked at can't be evicted by its owner.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Context, Evict, Forebay, Pages};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn evict_while_guarded(mut buffer: Buffer<&Home>) {
    let guard = buffer.read();
    buffer.evict_mut(Pages::MAX, Evict::ANY, Context::THREAD); //~ E0502: cannot borrow `buffer` as mutable
    drop(guard);
}

fn main() {}
