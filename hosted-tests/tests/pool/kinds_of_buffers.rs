//! Buffers over pools of several kinds: splitting, modes, zones, and panics.

use super::pool_kinds::*;
use forebay::pool::{FreeListArray, Pool};
use forebay::port::{FrameSource, WithLists};
use forebay::sync::SpinRawMutex;
use forebay::{
    AccessError, AllocError, AllocRequest, Buffer, Context, Evict, Forebay, Order, OwnedBlock, Pages, Slot,
    Zones,
};
use forebay_backends::{Ram, RamBlock};
use hosted_tests::conformance::order;

/// Rule: a walk tries each block once, also behind one that is split; and the batch has its one flush all the same.
#[test]
fn a_block_behind_one_that_is_split_is_tried_once() {
    let (machine, far) = (Zoned::new(16, 0x10), far(64));
    let home = Forebay::new(modal(&machine), &far);
    let mut slots = [const { Slot::EMPTY }; 14];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    buffer.write().expect("there is room").write_at(0, &[0xC7; 14 * PAGE]);
    let guard = buffer.read().expect("it is there");
    let all: Vec<_> = guard.blocks().map(|(_, block)| (block.order().get(), block.pfn().0)).collect();
    drop(guard);
    assert_eq!(all.iter().map(|(order, _)| *order).collect::<Vec<_>>(), [3, 2, 1]);
    machine.no.set(No::At(all[1].1));
    machine.changes.take();
    machine.flushes.take();
    let evicted = buffer.evict(Pages::MAX, Evict::SPLIT, CX).expect("it is not in use");
    assert_eq!((evicted.copied, evicted.refused, evicted.splits), (pages(10), pages(4), 8));
    assert_eq!((machine.changes.take(), machine.flushes.take()), (2, 1), "a batch, none of which stayed");
    machine.no.set(No::Never);
    let mut seen = [0; 14 * PAGE];
    buffer.read().expect("it is stored").read_at(0, &mut seen);
    assert_eq!(seen, [0xC7; 14 * PAGE]);
    drop(buffer);
    assert_eq!(machine.unused(), (16, 16));
}

/// Rule: a walk tries each block once, including parts of one that it split.
#[test]
fn a_part_that_stays_is_tried_once() {
    let (machine, far) = (Zoned::new(16, 0x10), far(3));
    let home = Forebay::new(modal(&machine), &far);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    drop(buffer.write().expect("there is room"));
    let evicted = buffer.evict(pages(8), Evict::SPLIT, CX).expect("it is not in use");
    assert_eq!((evicted.copied, evicted.refused, evicted.splits), (pages(3), pages(5), 4));
    drop(buffer);
    assert_eq!(machine.unused(), (16, 16));
}

/// Rule: nothing is shown that is not there: what a platform had when it panicked is said to be lost, and is no zeros.
#[test]
fn a_platform_that_panics_in_a_restore() {
    let (machine, far) = (Zoned::new(16, 0x10), far(64));
    let home = Forebay::new(modal(&machine), &far);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    buffer.write().expect("there is room").write_at(0, &[0xC7; 6 * PAGE]);
    let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, CX).expect("it is not in use");
    assert_eq!(evicted.moved(), pages(6));
    machine.no.set(No::Panic);
    let read = std::panic::AssertUnwindSafe(|| buffer.read().map(drop));
    assert!(std::panic::catch_unwind(read).is_err(), "it panicked");
    machine.no.set(No::Never);
    assert_eq!(buffer.read().err(), Some(AccessError::Lost));
    buffer.purge(CX).expect("it is not in use");
    assert!(buffer.read().is_ok());
}

/// Rule: what a thread has populated or restored to its end is in its mode, so that a guard in an interrupt has nothing to
/// change.
#[test]
fn what_was_populated_is_in_its_mode() {
    let (machine, far) = (Zoned::new(16, 0x10), far(64));
    machine.no.set(No::Interrupt);
    let home = Forebay::new(modal(&machine), &far);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    assert_eq!(buffer.populate(pages(4), CX).total(), pages(4));
    let populated = buffer.populate(Pages::MAX, CX);
    assert_eq!((populated.populated, populated.why), (pages(2), None));
    assert_eq!((machine.changes.take(), machine.flushes.take()), (2, 1));
    drop(buffer.read_in(Context::INTERRUPT).expect("it is there, in its mode"));
    for how in [Evict::TRANSFER, Evict::COPY] {
        assert_eq!(buffer.evict(Pages::MAX, how, CX).expect("it is not in use").moved(), pages(6));
        let restored = buffer.restore(Pages::MAX, CX);
        assert_eq!((restored.total(), restored.why), (pages(6), None));
        drop(buffer.read_in(Context::INTERRUPT).expect("it is there, in its mode"));
    }
}

/// Rule: a block is in no list of another order, whatever zone a source says that it is in.
#[test]
fn a_zone_that_there_is_not() {
    struct Liar(Ram<SpinRawMutex, PAGE>);
    impl FrameSource for Liar {
        type Block = RamBlock<PAGE>;
        type RawMutex = SpinRawMutex;
        fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
            self.0.allocate(request, cx)
        }
        fn free(&self, block: RamBlock<PAGE>) {
            self.0.free(block);
        }
        fn zone(&self, _: &RamBlock<PAGE>) -> u8 {
            HIGH
        }
    }
    let liar = Liar(ram(8).0);
    let pool = Pool::new(WithLists(&liar, FreeListArray::<Liar, 4, 2>::new()));
    let block = pool.take(AllocRequest::new(Order::PAGE), (), CX).expect("there is room");
    pool.put(block, CX).expect("it is returned");
    assert_eq!((pool.ready(Zones::ALL), liar.0.unused()), (pages(0), pages(8)));
    assert_eq!(pool.take(AllocRequest::new(order(1)), (), CX).expect("there is room").order(), order(1));
}

/// Rule: a buffer's blocks are where it may have them, fresh, from a list, or for a copy that comes back.
#[test]
fn buffers_stay_in_their_zones() {
    let machine = Zoned::new(16, 16);
    let far = far(64);
    let home = Forebay::new(listed(&machine), &far);
    for zone in [HIGH, LOW, HIGH] {
        let tile = Buffer::new(&home, order(2)).with_zones(Zones::of(zone)).with_mode(WC);
        let place = || -> Vec<_> {
            let guard = tile.read().expect("there is room");
            guard.blocks().map(|(_, block)| machine.zone(block)).collect()
        };
        tile.write().expect("there is room").write_at(0, b"here");
        assert_eq!(place(), [zone]);
        assert_eq!(tile.evict(Pages::MAX, Evict::COPY, CX).expect("it is not in use").copied, pages(4));
        assert_eq!(place(), [zone], "loaded");
        let mut text = [0; 4];
        tile.read().expect("it is resident").read_at(0, &mut text);
        assert_eq!(&text, b"here");
    }
    let uncached = Buffer::new(&home, Order::PAGE).with_zones(Zones::of(LOW)).with_mode(UC);
    assert!(uncached.read().is_err(), "that zone can't have this mode");
}

/// Rule: a platform that panics costs the block that it had, and no place in a list.
#[test]
fn a_platform_that_panics_in_a_trim() {
    let machine = Zoned::new(8, 0x10);
    let pool = Pool::new(WithLists(modal(&machine), Lists::<'_, 6, 1>::new()));
    for _ in 0..2 {
        let block = pool.take(AllocRequest::new(Order::PAGE), WC, CX).expect("there is room");
        pool.put(block, CX).expect("there is a list");
        assert_eq!(pool.ready(Zones::ALL), pages(1), "its place is there");
        machine.no.set(No::Panic);
        let trim = std::panic::AssertUnwindSafe(|| pool.trim(Zones::ALL, Pages::MAX, CX));
        assert!(std::panic::catch_unwind(trim).is_err(), "it panicked");
        machine.no.set(No::Never);
        assert_eq!(pool.ready(Zones::ALL), pages(0));
    }
}

/// Rule: what a store refuses has its mode again, with one flush each way for a batch.
#[test]
fn what_is_refused_changes_back_in_batches() {
    let machine = Zoned::new(16, 0x10);
    let far = far(1);
    let home = Forebay::new(modal(&machine), &far);
    let kept: Vec<_> = (0..16)
        .map(|_| machine.low.allocate(AllocRequest::new(Order::PAGE), CX).expect("there is room"))
        .collect();
    let (odd, even): (Vec<_>, Vec<_>) = kept.into_iter().partition(|block| block.pfn().0 % 2 == 1);
    even.into_iter().for_each(|block| machine.free(block));
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer =
        Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC).with_zones(Zones::of(LOW));
    buffer.write().expect("there is room").write_at(0, &[7; 8 * PAGE]);
    machine.changes.take();
    machine.flushes.take();
    let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, CX).expect("it is not in use");
    assert_eq!((evicted.transferred, evicted.refused), (pages(1), pages(7)), "the region has one page");
    assert_eq!((machine.changes.take(), machine.flushes.take()), (8 + 7, 2));
    let mut bytes = [0; 8 * PAGE];
    buffer.read().expect("the region has the block").read_at(0, &mut bytes);
    assert!(bytes == [7; 8 * PAGE]);
    assert_eq!((machine.changes.take(), machine.flushes.take()), (1, 1), "just the one that was away");
    drop(buffer);
    odd.into_iter().for_each(|block| machine.free(block));
    assert_eq!(machine.unused(), (16, 16));
}
