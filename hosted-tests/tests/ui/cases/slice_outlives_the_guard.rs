//! The bytes of several blocks keep the guard alive too, and so the blocks resident.
use forebay::sync::SpinRawMutex;
use forebay::{Context, Forebay, ReadGuard, Slot};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn slice_outlives_the_guard(guard: ReadGuard<'_, &Home, &mut [Slot<Source>]>) -> Option<u8> {
    let bytes = guard.contiguous(Context::THREAD)?;
    drop(guard); //~ E0505: cannot move out of `guard` because it is borrowed
    bytes.first().copied()
}

fn main() {}
