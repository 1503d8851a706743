//! E0505: bytes that somebody has keep the guard alive, and so the block resident.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;

fn bytes_outlive_the_guard(guard: Read<'_, Source>) -> u8 {
    let bytes: &[u8] = &guard;
    drop(guard);
    bytes[0]
}

fn main() {}
