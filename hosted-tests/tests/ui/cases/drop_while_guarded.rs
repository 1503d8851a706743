//! A guard keeps its buffer alive.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

fn drop_while_guarded(buffer: Buffer<'_, Source, Store>) {
    let guard = buffer.read();
    drop(buffer); //~ E0505: cannot move out of `buffer` because it is borrowed
    drop(guard);
}

fn main() {}
