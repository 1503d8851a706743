//! What is in a slot is for its buffer only.
use forebay::{Handle, Slot, sync::SpinRawMutex};
use forebay_backends::Ram;

fn look_into_a_slot(slot: &mut Slot<Ram<SpinRawMutex, 512>>) -> Option<Handle> {
    slot.copy.take() //~ E0616: field `copy`
}

fn main() {}
