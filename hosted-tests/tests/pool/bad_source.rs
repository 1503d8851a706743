//! A source that breaks its contract: what it gives is not believed, and what is stored stays so.

use forebay_backends::*;
use hosted_tests::kit::*;
use std::cell::Cell;

/// Gives blocks of another order while it is told to.
struct Careless {
    ram: Near,
    gives: Cell<Option<Order>>,
}

impl FrameSource for Careless {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.ram.allocate(AllocRequest::new(self.gives.get().unwrap_or(request.order)), cx)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        self.ram.free(block);
    }
}

/// Rule: a block that is larger or smaller than was asked for is returned at once. (A larger one would reach past the end of
/// its buffer, and loading what is stored into it was tried for ever.)
#[test]
fn a_block_of_another_order_is_returned() {
    let (machine, far) = (Careless { ram: near(32), gives: Cell::new(None) }, far(32));
    let home = &Forebay::new(&machine, &far);
    let (free, none) = (machine.ram.unused(), AccessError::Alloc(AllocError::Exhausted));
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(home, &mut slots[..], order(1));
    for stored in [NONE, pages(12)] {
        for other in [0, 4] {
            machine.gives.set(Some(order(other)));
            assert_eq!((buffer.read().err(), buffer.write().err()), (Some(none), Some(none)));
            assert_eq!(buffer.residency().map(|r| (r.resident, r.stored)), Ok((NONE, stored)));
            assert_eq!(machine.ram.unused(), free, "it was returned");
        }
        machine.gives.set(None);
        if stored == NONE {
            fill(&buffer, 1);
        }
        check(&buffer, 1);
        buffer.evict(ALL, Evict::COPY, CX).unwrap();
    }
}
