//! A read guard does not write.
use forebay::sync::SpinRawMutex;
use forebay::{Forebay, ReadGuard};
use forebay_backends::{Ram, RamRegion};
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Home = Forebay<Source, Store>;

fn write_through_a_read_guard(mut guard: ReadGuard<'_, &Home>) {
    guard[0] = 1; //~ E0594: cannot assign to data in dereference
}

fn fill_through_a_read_guard(mut guard: ReadGuard<'_, &Home>) {
    guard.fill(1); //~ E0596: cannot borrow data in dereference
}

fn main() {}
