//! That what the counts say is so: in the page tables, and in the memfd.

use super::*;
use forebay_backends::shmem::{Swap, Unmap};

/// Rule: a block that is refused before all of its chunks were brought in changes nothing; what has no memory is not held.
#[test]
fn what_has_no_memory_is_not_held() {
    let arena = arena(2);
    let (block, _) = take(&arena, 4, 1);
    arena.free(block);
    assert_eq!(
        arena.allocate(AllocRequest::new(order(5)), INTERRUPT).err(),
        Some(AllocError::Exhausted),
        "half of it is a hole"
    );
    settles(&arena, 0, 0, 0);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: an arena takes no memory before blocks are handed out.
#[test]
fn nothing_is_taken_at_first() {
    for arena in [arena(2), Arena::builder(8 << 20).mappings(2).create().expect("an arena")] {
        assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
        settles(&arena, 0, 0, 0);
    }
}

/// Rule: copies are not blocks that are out, so the limit is not on them; what is full is full, and what is too large for
/// the room that there is says so; a reader leaves everything as it was, but for what it brought in.
#[test]
fn copies_and_their_room() {
    let arena = builder(2).limit(Pages::new(1)).create().expect("an arena");
    let other = self::arena(4);
    let copies = arena.copies(StoreId::new(1).expect("a number"));
    let (block, bytes) = take(&other, 4, 7);
    let first = copies.save(&block, order(4), None, THREAD).expect("the limit is not on copies");
    let (larger, _) = take(&other, 5, 8);
    assert_eq!(copies.save(&larger, order(5), None, THREAD).err(), Some(StoreError::TooLarge));
    let second = copies.save(&block, order(4), None, THREAD).expect("there is room");
    assert_eq!(copies.save(&block, order(4), None, THREAD).err(), Some(StoreError::Full));
    assert_eq!(
        (arena.resident(), arena.stored(), arena.unused()),
        (Pages::ZERO, Pages::new(32), Pages::ZERO)
    );
    settles(&arena, 0, 32, 0);
    let mut to = other.allocate(AllocRequest::new(order(4)), THREAD).expect("there is room");
    copies.load(&first, &mut to, Pages::ZERO, THREAD).expect("it is stored");
    assert!(content(&to) == bytes, "other bytes came back");
    assert_eq!(
        (arena.resident(), arena.stored(), arena.unused()),
        (Pages::ZERO, Pages::new(32), Pages::ZERO)
    );
    settles(&arena, 0, 32, 0);
    for handle in [first, second] {
        let gone: Option<Block> = copies.discard(handle).expect("it is stored");
        assert!(gone.is_none());
    }
    settles(&arena, 0, 0, 0);
    assert_eq!((arena.unused(), arena.memory_bytes().expect("a descriptor")), (arena.total(), 0));
    [block, larger, to].into_iter().for_each(|block| other.free(block));
}

/// Rule: where there is no swap, unmapping may be left out: then what is stored stays pending, and drops go all the same.
#[test]
fn unmapping_may_be_left_out() {
    let arena = builder(2).unmap(Unmap::WithSwap).create().expect("an arena");
    let no_swap = arena.host_report().swap == Swap::None;
    let (block, bytes) = take(&arena, 4, 5);
    let (dropped, _) = take(&arena, 4, 6);
    let at = range(&arena, &block);
    let handle = transferred(&arena, block);
    arena.free(dropped);
    settles(&arena, if no_swap { 16 } else { 0 }, if no_swap { 0 } else { 16 }, 0);
    assert_eq!(is_mapped(at), no_swap);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 16 * PAGE as u64);
    arena.free(comes_back(&arena, handle, &bytes));
}

/// Rule: a block that was discarded is its owner's, who may touch it and hand it over again: it is reclaimable when it is
/// out of the page tables, and not before.
#[test]
fn what_is_reclaimable_is_not_mapped() {
    let arena = arena(1);
    let (block, _) = take(&arena, 3, 2);
    let (neighbour, _) = take(&arena, 3, 3);
    let ranges = [&block, &neighbour].map(|block| range(&arena, block));
    let (handle, _neighbour) = (transferred(&arena, block), transferred(&arena, neighbour));
    settles(&arena, 0, 16, 0);
    let mut block = arena.discard(handle).expect("it is stored").expect("the same block");
    let bytes = fill(&mut block, 4);
    let handle = transferred(&arena, block);
    settles(&arena, 0, 16, 0);
    assert!(ranges.iter().all(|range| !is_mapped(*range)), "reclaimable, and in a page table");
    arena.free(comes_back(&arena, handle, &bytes));
}
