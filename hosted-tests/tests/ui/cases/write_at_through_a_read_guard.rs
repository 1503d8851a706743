//! A read guard does not write.
use forebay::sync::SpinRawMutex;
use forebay::{Forebay, ReadGuard};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn write_at_through_a_read_guard(mut guard: ReadGuard<'_, &Home>) {
    guard.write_at(0, &[1]); //~ E0599: no method named `write_at`
}

fn main() {}
