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

/// A machine that has so many KiB left.
fn machine(kib: usize) -> Tree {
    let mut meminfo = String::from("MemAvailable: ");
    meminfo.push_str(&std::format!("{kib} kB\nSwapFree: 0 kB\nInactive(anon): 0 kB\nActive(anon): 0 kB\n"));
    Tree::new([("proc/meminfo", meminfo.as_str())])
}

fn stored(arena: &Arena) -> Handle {
    let block = arena.allocate(Order::new(3).expect("an order"), THREAD).expect("there is room");
    let handle = arena.transfer(block).expect("it takes all");
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
    assert_eq!(arena.allocate(Order::new(4).expect("an order"), THREAD).err(), Some(OutOfFrames::NoHeadroom));
    assert_eq!(arena.usage(), before);
    let block = arena.take_back(handle, THREAD).expect("it is in memory");
    arena.release(block);
    let block = arena.allocate(Order::PAGE, THREAD).expect("its chunk is mapped");
    arena.release(block);

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
            arena.allocate(Order::new(4).expect("an order"), THREAD).err(),
            Some(OutOfFrames::NoHeadroom)
        );
        let block = arena.take_back(refused.item, THREAD).expect("there is room for a page");
        arena.release(block);
        arena
    };
    let settled = arena.settle(Pages::ZERO, THREAD, &mut |_| {});
    assert_eq!((settled.held, settled.error), (Pages::ZERO, None));
}

/// Rule: bringing in what was only half brought in asks for head-room first, also in the middle of a settle.
#[test]
fn no_head_room_in_a_settle() {
    let mut arena = arena();
    let block = arena.allocate(Order::PAGE, THREAD).expect("there is room");
    let full = machine(0);
    arena.headroom = Headroom::under(full.root());
    assert_eq!(arena.bring_again(0), Ok(()), "all of it is there");
    assert_eq!(arena.bring_again(1), Err(StoreError::NoHeadroom), "nothing of it is there");
    arena.release(block);
}
