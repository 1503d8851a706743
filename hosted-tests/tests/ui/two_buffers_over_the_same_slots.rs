//! E0499: a buffer has its slots for itself.
use forebay::*;
use forebay_backends::*;
type Source = Ram<Spin, 512>;
type Store = RamRegion<Spin, 512, 4>;

fn two_buffers(slots: &mut [Slot<Source>], home: &Forebay<Source, Store>) {
    let one = Buffer::over(slots, home);
    let two = Buffer::over(slots, home);
    drop((one, two));
}

fn main() {}
