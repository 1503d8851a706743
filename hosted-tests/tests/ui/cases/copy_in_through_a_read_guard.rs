//! A read guard does not write.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;

fn copy_in_through_a_read_guard(guard: Read<'_, Source>) {
    guard.copy_in(0, &[1]); //~ E0599: no method named `copy_in`
}

fn main() {}
