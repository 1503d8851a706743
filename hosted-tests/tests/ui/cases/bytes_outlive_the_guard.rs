//! Bytes that somebody has keep the guard alive, and so the block resident.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn bytes_outlive_the_guard(guard: ReadGuard<'_, Source>) -> u8 {
    let bytes: &[u8] = &guard;
    drop(guard); //~ E0505: cannot move out of `guard` because it is borrowed
    bytes[0]
}

fn main() {}
