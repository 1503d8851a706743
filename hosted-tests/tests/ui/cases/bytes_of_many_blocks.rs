//! A buffer of many blocks is no slice of bytes.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn bytes_of_many_blocks(guard: ReadGuard<'_, Source, &mut [Slot<Source>]>) -> u8 {
    guard[0] //~ E0608: cannot index into a value
}

fn main() {}
