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

/// A block that claims to have copied more bytes than it was asked for.
struct Boaster(RamBlock<PAGE>);

impl OwnedBlock for Boaster {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        let bytes = to.len().min(64);
        let read = self.0.read_at(at, &mut to[..bytes]);
        if at == 0 { read } else { usize::MAX }
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        let written = self.0.write_at(at, &from[..from.len().min(64)]);
        if at == 0 { written } else { usize::MAX }
    }
}

struct Boasters(Near);

impl FrameSource for Boasters {
    type Block = Boaster;
    type RawMutex = SpinRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Boaster, AllocError> {
        self.0.allocate(request, cx).map(Boaster)
    }
    fn free(&self, block: Boaster) {
        self.0.free(block.0);
    }
}

/// Rule: a block that claims more than it was asked for makes nothing overflow: it is zeroed to its end, and a guard says no more
/// than it was asked for. (The fuzzer found it: both sums overflowed.)
#[test]
fn a_block_that_claims_too_much_makes_nothing_overflow() {
    let machine = Boasters(near(4));
    let mut stale = machine.0.allocate(AllocRequest::new(order(1)), CX).unwrap();
    stale.fill(0xee);
    machine.0.free(stale);
    let home = &Forebay::new(&machine, Null);
    let buffer = Buffer::new(home, order(1));
    let mut guard = buffer.write().unwrap();
    let (_, block) = guard.blocks().next().unwrap();
    assert!(block.0.iter().all(|byte| *byte == 0), "it is zeroed");
    let mut bytes = [1; 300];
    assert_eq!((guard.read_at(0, &mut bytes), guard.write_at(0, &bytes)), (300, 300));
    assert_eq!((guard.read_at(64, &mut bytes), guard.write_at(64, &bytes)), (300, 300));
}
