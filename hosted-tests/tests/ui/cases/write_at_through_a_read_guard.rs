//! A read guard does not write.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn copy_in_through_a_read_guard(guard: ReadGuard<'_, Source>) {
    guard.write_at(0, &[1]); //~ E0599: no method named `write_at`
}

fn main() {}
