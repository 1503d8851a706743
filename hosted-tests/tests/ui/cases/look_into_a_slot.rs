//! What is in a slot is its buffer's business.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Source = Ram<SpinRawMutex, 512>;

fn look_into_a_slot(slot: &mut Slot<Source>) -> Option<Handle> {
    slot.copy.take() //~ E0616: field `copy`
}

fn main() {}
