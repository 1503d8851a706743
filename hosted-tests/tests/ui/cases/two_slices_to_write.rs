//! A guard has one slice to write at a time.
use forebay::sync::SpinRawMutex;
use forebay::{Context, Forebay, Slot, WriteGuard};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn two_slices_to_write(guard: &mut WriteGuard<'_, &Home, &mut [Slot<Source>]>) -> Option<()> {
    let one = guard.contiguous_mut(Context::THREAD)?;
    let other = guard.contiguous_mut(Context::THREAD)?;
    //~^ E0499: cannot borrow `*guard` as mutable more than once
    one.swap_with_slice(other);
    Some(())
}

fn main() {}
