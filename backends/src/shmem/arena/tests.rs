//! What is refused where there is no head-room, as far as that can be shown without a full machine.

use super::super::fake::Tree;
use super::*;
use forebay::{BackingStore, Handle};
use std::string::String;

const THREAD: Context = Context::THREAD;
const CHUNK: usize = 16 * 4096;

fn arena() -> Arena {
    Arena::builder(4 * CHUNK as u64).chunk(CHUNK).create().expect("an arena")
}

/// A machine with this number of KiB left.
fn machine(kib: usize) -> Tree {
    let mut meminfo = String::from("MemAvailable: ");
    meminfo.push_str(&std::format!("{kib} kB\nSwapFree: 0 kB\nInactive(anon): 0 kB\nActive(anon): 0 kB\n"));
    Tree::new([("proc/meminfo", meminfo.as_str())])
}

fn stored(arena: &Arena) -> Handle {
    let block =
        arena.allocate(AllocRequest::new(Order::new(3).expect("an order")), THREAD).expect("there is room");
    let handle = arena.transfer(block, None).expect("it takes all");
    let settled = arena.settle(Pages::ZERO, THREAD, &mut |_| {});
    assert_eq!((settled.reclaimable, settled.error), (Pages::new(8), None));
    handle
}

/// Rule: what takes memory is refused where there is none, and changes nothing; what is in memory already comes back
/// all the same; of what is not, just that much is asked for.
#[test]
fn no_head_room() {
    let mut arena = arena();
    let handle = stored(&arena);
    let full = machine(0);
    arena.headroom = Headroom::under(full.root());
    let before = arena.usage();
    assert_eq!(
        arena.allocate(AllocRequest::new(Order::new(4).expect("an order")), THREAD).err(),
        Some(AllocError::NoHeadroom)
    );
    assert_eq!(arena.usage(), before);
    let block = arena.take_back(handle, THREAD).expect("it is in memory");
    arena.free(block);
    let block = arena.allocate(AllocRequest::new(Order::PAGE), THREAD).expect("its chunk is mapped");
    arena.free(block);

    // A page of a chunk that is not in memory: as if it had been swapped out.
    let arena = {
        let mut arena = self::arena();
        let handle = stored(&arena);
        sys::punch(arena.memfd.as_fd(), CHUNK as u64 - 4096..CHUNK as u64).expect("it is writable");
        arena.headroom = Headroom::under(full.root());
        let before = arena.usage();
        let refused = arena.take_back(handle, THREAD).expect_err("a page is missing");
        assert_eq!((refused.why, arena.usage()), (StoreError::NoHeadroom, before));
        // What is left on top for everything else, and the page, but not a chunk.
        let tight = machine(1024 + 8);
        arena.headroom = Headroom::under(tight.root());
        assert_eq!(
            arena.allocate(AllocRequest::new(Order::new(4).expect("an order")), THREAD).err(),
            Some(AllocError::NoHeadroom)
        );
        let block = arena.take_back(refused.item, THREAD).expect("there is room for a page");
        arena.free(block);
        arena
    };
    let settled = arena.settle(Pages::ZERO, THREAD, &mut |_| {});
    assert_eq!((settled.held, settled.error), (Pages::ZERO, None));
}

/// Rule: bringing in what was only half brought in asks for head-room first, also in the middle of a settle.
#[test]
fn no_head_room_in_a_settle() {
    let mut arena = arena();
    let block = arena.allocate(AllocRequest::new(Order::PAGE), THREAD).expect("there is room");
    let full = machine(0);
    arena.headroom = Headroom::under(full.root());
    assert_eq!(arena.bring_again(0), Ok(()), "all of it is there");
    assert_eq!(arena.bring_again(1), Err(StoreError::NoHeadroom), "nothing of it is there");
    arena.free(block);
}

/// An arena of four chunks, the second of which can be brought in only by half, as if some of it were broken: the mapping
/// is over a file that ends there. Aligned to the four, so that the second is had after the first.
fn broken() -> Arena {
    let memfd = |bytes: usize| {
        let (memfd, _) = sys::create().expect("a memfd");
        sys::lengthen(memfd.as_fd(), bytes as u64).expect("there is no limit");
        memfd
    };
    let (whole, short) = (memfd(4 * CHUNK), memfd(CHUNK + CHUNK / 2));
    let mapping = Mapping::map(short.as_fd(), 0, 4 * CHUNK, 4 * CHUNK).expect("a mapping");
    let mapped = sys::Mapped { memfd: whole, offset: 0, mappings: std::vec![mapping] };
    let arena = Arena::builder(0).chunk(CHUNK).create_over(mapped).expect("an arena");
    assert_eq!(arena.settle(Pages::ZERO, THREAD, &mut |_| {}).error, None); // what was in it is gone: all are holes
    arena
}

/// Rule: what could be brought in only by half has memory, so it is punched, and brought in from the start.
#[test]
fn populated_by_half() {
    let arena = broken();
    let order = Order::new(4).expect("an order");
    let block = arena.allocate(AllocRequest::new(order), THREAD).expect("this one is whole");
    assert_eq!(arena.ledger.lock(|l| l.need(1)), Need::Memory);
    assert!(arena.allocate(AllocRequest::new(order), THREAD).is_err());
    assert_eq!(arena.ledger.lock(|l| l.need(1)), Need::Mapping, "some of it has memory");
    assert_eq!((arena.resident(), arena.unused()), (Pages::new(16), Pages::new(48)));
    let _ = arena.settle(Pages::ZERO, THREAD, &mut |_| {});
    assert_eq!(arena.ledger.lock(|l| l.need(1)), Need::Memory, "it was punched");
    arena.free(block);
}

/// Rule: a copy that is not in memory is not read where there is no head-room for its chunk.
#[test]
fn no_head_room_for_a_copy() {
    let (mut arena, other) = (arena(), arena());
    let mut block = other.allocate(AllocRequest::new(Order::PAGE), THREAD).expect("there is room");
    let id = StoreId::new(1).expect("a number");
    let handle = arena.copies(id).save(&block, Order::PAGE, None, THREAD).expect("there is room");
    assert_eq!(arena.settle(Pages::ZERO, THREAD, &mut |_| {}).reclaimable, Pages::new(1));
    sys::punch(arena.memfd.as_fd(), CHUNK as u64 - 4096..CHUNK as u64).expect("it is writable");
    let full = machine(0);
    arena.headroom = Headroom::under(full.root());
    let refused = arena.copies(id).load(&handle, &mut block, Pages::ZERO, THREAD);
    assert_eq!((refused, arena.resident()), (Err(StoreError::NoHeadroom), Pages::ZERO));
    other.free(block);
}
