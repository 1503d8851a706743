//! A read guard does not write.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn write_through_a_read_guard(guard: ReadGuard<'_, Source>) {
    guard[0] = 1; //~ E0594: cannot assign to data in dereference
}

fn main() {}
