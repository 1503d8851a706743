//! What a reclaim says that it gained, where blocks are transferred and their frames stay where they are.

use super::*;
use forebay::{Outcome, ReclaimTarget};

type Home<'a> = Forebay<&'a Arena, &'a dyn BackingStore<Block>>;
type Pages16<'h, 'a> = Buffer<&'h Home<'a>>;

/// Buffers of a chunk each, filled.
fn chunks<'h, 'a, const N: usize>(home: &'h Home<'a>) -> [Pages16<'h, 'a>; N] {
    std::array::from_fn(|n| {
        let buffer = Buffer::new(home, order(4));
        buffer.write().expect("there is room").write_at(0, &[n as u8 + 1]);
        buffer
    })
}

fn resident(buffers: &[Pages16<'_, '_>]) -> usize {
    buffers.iter().filter(|b| b.residency().is_ok_and(|is| is.resident > Pages::ZERO)).count()
}

/// Rule: what was transferred before, and this reclaim made reclaimable, is gained; no other contents leave for it.
#[test]
fn what_was_on_its_way_is_gained() {
    let arena = arena(2);
    let home = &Home::new(&arena, &arena);
    let buffers: [_; 2] = chunks(home);
    let out = buffers[0].evict(Pages::MAX, Evict::TRANSFER, INTERRUPT).expect("it is not in use");
    assert_eq!(out.transferred, Pages::new(16));
    let report = home.reclaim(&buffers, ReclaimTarget::freed(Pages::new(16)), Evict::TRANSFER, THREAD);
    assert_eq!((report.outcome, report.gained), (Outcome::Reached, Pages::new(16)), "{report:?}");
    assert_eq!((report.evicted.moved(), resident(&buffers)), (Pages::ZERO, 1), "{report:?}");
    let report = home.reclaim(&buffers, ReclaimTarget::freed(Pages::new(16)), Evict::TRANSFER, THREAD);
    assert_eq!((report.gained, resident(&buffers)), (Pages::new(16), 0), "it counts once: {report:?}");
}

/// Rule: what is copied into memory that the system can reclaim is gained once: its frames are free.
#[test]
fn a_copy_is_gained_once() {
    let (arena, other) = (arena(2), self::arena(2));
    let copies = other.copies(StoreId::new(1).expect("a number"));
    let home = &Home::new(&arena, &copies);
    let buffers: [_; 2] = chunks(home);
    let guard = buffers[1].read().expect("it is resident");
    let report = home.reclaim(&buffers, ReclaimTarget::freed(Pages::new(32)), Evict::COPY, THREAD);
    assert_eq!((report.outcome, report.gained), (Outcome::Short, Pages::new(16)), "{report:?}");
    assert_eq!(report.settled.reclaimable, Pages::new(16), "the copies");
    drop(guard);
}

/// Rule: if something left, and is on its way, it was not nothing.
#[test]
fn what_is_on_its_way_is_not_nothing() {
    let arena = arena(2);
    let home = &Home::new(&arena, &arena);
    let buffers: [_; 1] = chunks(home);
    let want = ReclaimTarget::freed(Pages::new(32));
    let reclaim = || home.reclaim(&buffers, want, Evict::TRANSFER, INTERRUPT);
    let report = reclaim();
    assert_eq!((report.outcome, report.gained), (Outcome::Short, Pages::ZERO), "{report:?}");
    assert_eq!((report.evicted.moved(), report.settled.pending), (Pages::new(16), Pages::new(16)));
    assert_eq!(reclaim().outcome, Outcome::Nothing);
}

/// Rule: for a block that evictions of large blocks do not make free, the second try takes what is missing, and no more.
#[test]
fn a_block_costs_no_page_twice() {
    let arena = arena(3);
    let home = &Home::new(&arena, &arena);
    let buffers: [_; 3] = chunks(home);
    let report = home.reclaim(&buffers, ReclaimTarget::block(order(4)), Evict::TRANSFER, THREAD);
    assert_eq!(report.evicted.moved(), Pages::new(32), "what is transferred has its pages still: {report:?}");
    assert_eq!(resident(&buffers), 1);
}
