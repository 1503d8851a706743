//! A read guard does not write.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;

fn write_through_a_read_guard(guard: Read<'_, Source>) {
    guard[0] = 1; //~ E0594: cannot assign to data in dereference
}

fn main() {}
