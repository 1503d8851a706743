//! A guard has one slice to write at a time.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn two_slices_to_write(guard: &mut WriteGuard<'_, Source, &mut [Slot<Source>]>) -> Option<()> {
    let one = guard.contiguous_mut(Context::THREAD)?;
    let other = guard.contiguous_mut(Context::THREAD)?;
    //~^ E0499: cannot borrow `*guard` as mutable more than once
    one.swap_with_slice(other);
    Some(())
}

fn main() {}
