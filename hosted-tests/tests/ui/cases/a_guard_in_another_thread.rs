//! A guard of a local buffer goes to no thread, and to no device, that may outlive the buffer.
use forebay::sync::CriticalSectionRawMutex;
use forebay_backends::RamForebay;

static RAM: RamForebay<CriticalSectionRawMutex, 512, 4> = RamForebay::new();

/// A transfer of a device, which ends at some time.
fn start<G: 'static>(guard: G) -> G {
    guard
}

fn a_guard_in_another_thread() {
    let buffer = RAM.buffer::<512>();
    let guard = buffer.write().expect("memory"); //~ E0597: `buffer` does not live long enough
    drop(start(guard));
}

fn main() {}
