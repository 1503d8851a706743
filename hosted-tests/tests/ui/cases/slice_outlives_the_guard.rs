//! The bytes of several blocks keep the guard alive too, and so the blocks resident.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn slice_outlives_the_guard(guard: ReadGuard<'_, Source, &mut [Slot<Source>]>) -> Option<u8> {
    let bytes = guard.contiguous(Context::THREAD)?;
    drop(guard); //~ E0505: cannot move out of `guard` because it is borrowed
    bytes.first().copied()
}

fn main() {}
