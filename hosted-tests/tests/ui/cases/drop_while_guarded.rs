//! A guard keeps its buffer alive.
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Forebay};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn drop_while_guarded(buffer: Buffer<&Home>) {
    let guard = buffer.read();
    drop(buffer); //~ E0505: cannot move out of `buffer` because it is borrowed
    drop(guard);
}

fn main() {}
