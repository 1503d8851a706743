//! A guard keeps its buffer alive.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;
type Store = RamRegion<Spin, 512, 4>;

fn drop_while_guarded(buffer: Buffer<'_, Source, Store>) {
    let guard = buffer.read();
    drop(buffer); //~ E0505: cannot move out of `buffer` because it is borrowed
    drop(guard);
}

fn main() {}
