//! E0505: a guard keeps its buffer alive.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;
type Store = RamRegion<Spin, 512, 4>;

fn drop_while_guarded(buffer: Buffer<'_, Source, Store>) {
    let guard = buffer.read();
    drop(buffer);
    drop(guard);
}

fn main() {}
