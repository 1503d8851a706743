//! E0594: a read guard does not write.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;

fn write_through_a_read_guard(guard: Read<'_, Source>) {
    guard[0] = 1;
}

fn main() {}
