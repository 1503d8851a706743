//! That a transfer is one: the same physical frames before and after, out of the page tables in between, and in memory
//! all the time. One test in a program of its own, since it looks at the whole process.

use forebay::{AllocRequest, BackingStore, Context, FrameSource, Order, OwnedBlock, Pages};
use forebay_backends::shmem::{Arena, ArenaBlock};
use hosted_tests::conformance::{content, fill, order};
use hosted_tests::pages::{Entry, entries, in_memory, page_size, resident_bytes};
use std::ptr::NonNull;

/// The bytes of a block, by its address.
fn range(arena: &Arena, window: usize, block: &ArenaBlock<4096>) -> NonNull<[u8]> {
    let at = arena.offset(block).expect("it is of this arena") as usize;
    let bytes = arena.mapping(window).expect("there is one");
    assert!(at + block.bytes() <= bytes.len());
    let address = bytes.cast::<u8>().map_addr(|a| a.checked_add(at).expect("an address"));
    NonNull::slice_from_raw_parts(address, block.bytes())
}

fn frames(range: NonNull<[u8]>) -> Vec<Entry> {
    entries(range).expect("there is a pagemap")
}

/// What happened to a block on its way out and back.
#[derive(PartialEq, Eq, Debug)]
enum Seen {
    SameFrames,
    /// The kernel moved pages meanwhile (compaction, or khugepaged).
    Moved,
    /// Frames are for root to know.
    Hidden,
}

/// Rule: what is transferred has the same frames when it comes back; after the settle it is in no page table of any
/// window, but in memory; the resident set shrinks by just that; the memfd neither grows nor shrinks.
fn out_and_back(arena: &Arena, order: Order, count: usize) -> Seen {
    let pages = order.pages().get() * 4096 / page_size() * count;
    let mut blocks: Vec<_> = (0..count)
        .map(|_| arena.allocate(AllocRequest::new(order), Context::THREAD).expect("there is room"))
        .collect();
    let bytes: Vec<_> = blocks.iter_mut().zip(7..).map(|(block, seed)| fill(block, seed)).collect();
    let ranges: Vec<_> = blocks.iter().map(|block| range(arena, 0, block)).collect();
    let alias = range(arena, 1, &blocks[0]);
    let before: Vec<_> = ranges.iter().flat_map(|r| frames(*r)).collect();
    assert!(before.iter().all(|entry| entry.present), "it was written just now");
    // A look through the other window.
    // SAFETY: it is mapped as long as the arena lives.
    assert_eq!(unsafe { alias.cast::<u8>().read_volatile() }, bytes[0][0]);
    assert!(frames(alias)[0].present);
    let base = arena.mapping(0).expect("a window").cast();
    let rss = || resident_bytes(base).expect("there are smaps").expect("the window is a mapping");
    let (rss_before, memory) = (rss(), arena.memory_bytes().expect("a descriptor"));

    let handles: Vec<_> =
        blocks.into_iter().map(|b| arena.transfer(b, None).expect("it takes all")).collect();
    assert!(ranges.iter().all(|r| frames(*r).iter().all(|e| e.present)), "a transfer touches no page table");
    let settled = arena.settle(Pages::ZERO, Context::THREAD, &mut |_| panic!("nothing is returned"));
    assert_eq!(settled.error, None);
    assert_eq!(
        (settled.reclaimable, settled.pending),
        (Pages::new(order.pages().get() * count), Pages::ZERO)
    );
    assert!(ranges.iter().all(|r| frames(*r).iter().all(|e| !e.present)), "it is in a page table");
    assert!(frames(alias).iter().all(|e| !e.present), "it is in a page table of the other window");
    let resident: usize = ranges.iter().map(|r| in_memory(*r).expect("it is mapped")).sum();
    assert_eq!(resident, pages, "it is not in memory any more");
    assert_eq!(rss_before - rss(), pages * page_size(), "the resident set shrinks by what was transferred");
    assert_eq!(arena.memory_bytes().expect("a descriptor"), memory);

    let back: Vec<_> =
        handles.into_iter().map(|h| arena.take_back(h, Context::THREAD).expect("it is stored")).collect();
    let after: Vec<_> = ranges.iter().flat_map(|r| frames(*r)).collect();
    assert!(after.iter().all(|entry| entry.present), "taking back brings it in");
    assert_eq!(arena.memory_bytes().expect("a descriptor"), memory);
    for (block, bytes) in back.into_iter().zip(bytes) {
        assert!(content(&block) == bytes, "other bytes came back");
        arena.free(block);
    }
    match () {
        () if before.iter().all(|entry| entry.frame == 0) => Seen::Hidden,
        () if before == after => Seen::SameFrames,
        () => Seen::Moved,
    }
}

#[test]
fn a_transferred_block_keeps_its_frames_and_leaves_the_page_tables() {
    let arena = Arena::builder(64 << 20).mappings(2).create().expect("an arena");
    let chunk = Order::for_pages(Pages::new(arena.chunk_bytes() / 4096)).expect("a chunk is a block");
    let small = order(4);
    let in_a_chunk = 1 << (chunk.get() - 4);
    for (order, count) in
        [(chunk, 1), (chunk, 5), (order(10), 2), (small, in_a_chunk), (order(0), 16 * in_a_chunk)]
    {
        let seen = (0..5).map(|_| out_and_back(&arena, order, count)).find(|seen| *seen != Seen::Moved);
        match seen {
            Some(Seen::SameFrames) => {}
            Some(_) => println!("skipped for {count} of {order:?}: only root may know physical frames"),
            None => panic!("{count} of {order:?}: other frames, five times in a row"),
        }
        let settled = arena.settle(Pages::ZERO, Context::THREAD, &mut |_| {});
        assert_eq!((settled.held, settled.error), (Pages::ZERO, None));
        assert_eq!(arena.memory_bytes().expect("a descriptor"), 0, "dead chunks are punched");
    }
}
