//! That what the counts say is so: in the page tables, and in the memfd.

use super::*;
use forebay::Pfn;
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
/// the room that there is says so; a reader changes nothing, but for what it brought in.
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

/// A block of two pages that gives only one.
struct Short(Vec<u8>);

impl OwnedBlock for Short {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        Pfn(2)
    }
    fn order(&self) -> Order {
        order(1)
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
    }
}

/// Rule: a copy that is refused takes no room and is in no handle: of more than the block, of a block that gives less than it
/// has, in a context that can't wait, of another store, or into less than the copy needs.
#[test]
fn refused_copies_take_nothing() {
    let (arena, other) = (arena(2), self::arena(2));
    let copies = arena.copies(StoreId::new(1).expect("a number"));
    let (block, bytes) = take(&other, 1, 7);
    let unused = || (arena.resident(), arena.stored(), arena.unused());
    let before = unused();
    assert_eq!(copies.save(&block, order(2), None, THREAD).err(), Some(StoreError::TooLarge));
    assert_eq!(copies.save(&block, order(1), None, INTERRUPT).err(), Some(StoreError::Context));
    let short = Short(vec![7; PAGE]);
    assert_eq!(copies.save(&short, order(1), None, THREAD).err(), Some(StoreError::Io));
    assert_eq!(unused(), before);
    let handle = copies.save(&block, order(1), None, THREAD).expect("there is room");
    let stored = unused();
    let (mut page, page_bytes) = take(&other, 0, 8);
    assert_eq!(copies.load(&handle, &mut page, Pages::ZERO, INTERRUPT), Err(StoreError::Context));
    assert!(content(&page) == page_bytes, "a refused load writes nothing");
    assert_eq!(copies.load(&handle, &mut page, Pages::ZERO, THREAD), Err(StoreError::TooLarge));
    let (mut to, _) = take(&other, 2, 9);
    assert_eq!(copies.load(&handle, &mut to, Pages::new(3), THREAD), Err(StoreError::TooLarge));
    let elsewhere = other.copies(StoreId::new(2).expect("a number"));
    assert!(elsewhere.load(&handle, &mut to, Pages::ZERO, THREAD).is_err());
    let refused = BackingStore::<Block>::discard(&elsewhere, handle).expect_err("it is of another store");
    let handle = refused.item;
    assert_eq!(unused(), stored);
    copies.load(&handle, &mut to, Pages::new(2), THREAD).expect("it is stored");
    assert!(content(&to)[2 * PAGE..] == bytes, "other bytes came back");
    let gone: Option<Block> = copies.discard(handle).expect("it is stored");
    assert!(gone.is_none());
    assert_eq!(unused(), before);
    [block, page, to].into_iter().for_each(|block| other.free(block));
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

/// Rule: what was copied out of an arena and freed leaves memory by a settle of the store, if the store settles the source too.
#[test]
fn a_store_of_copies_settles_its_source() {
    for settles in [false, true] {
        let (source, to) = (arena(2), arena(4));
        let copies = to.copies(StoreId::new(1).expect("a number"));
        let copies = if settles { copies.settling(&source) } else { copies };
        let home = Forebay::new(&source, copies);
        let tiles: [_; 2] = std::array::from_fn(|_| Buffer::new(&home, order(4)));
        for (n, tile) in tiles.iter().enumerate() {
            tile.write().expect("there is room").write_at(0, &[n as u8 + 1; 100]);
        }
        for tile in &tiles {
            assert_eq!(
                tile.evict(Pages::MAX, Evict::COPY, THREAD).expect("it is idle").copied,
                Pages::new(16)
            );
        }
        let settled = home.settle(Pages::MAX, THREAD);
        assert_eq!((settled.error, settled.reclaimable), (None, Pages::new(32)));
        let left = if settles { 0 } else { 32 * PAGE as u64 };
        assert_eq!(source.memory_bytes().expect("a descriptor"), left);
        for (n, tile) in tiles.iter().enumerate() {
            let mut bytes = [0; 100];
            tile.read().expect("there is room").read_at(0, &mut bytes);
            assert_eq!(bytes, [n as u8 + 1; 100]);
        }
    }
}
