//! The blocks of a guard.

use hosted_tests::kit::*;

/// Rule: the blocks of a guard cover the buffer from end to end, in order, each aligned to its size, with the bytes that
/// the guard shows there. So frames and orders are a scatter list for a device that sees physical memory.
#[test]
fn blocks_cover_the_buffer() {
    let (world, near, far) = (World::new(Contents::Compared), near(32), far(32));
    let hogged = leave(&near, [0, 1, 2, 3, 6, 8, 9, 16, 17, 18, 19, 20, 21, 22, 23]);
    let home = &forebay(&near, &far, &world);
    let mut slots = [const { Slot::EMPTY }; 13];
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 4);
    for round in 0..2 {
        let guard = buffer.write().unwrap();
        let mut at = 0;
        for (begins, block) in guard.blocks() {
            assert_eq!(begins, at, "no gap, no overlap");
            assert!((block.pfn().0 % block.order().pages().get() == 0));
            assert_eq!(block[..], pattern(4, 13 * PAGE)[at..at + block.len()]);
            at += block.len();
        }
        let list: Vec<_> = guard.blocks().map(|(_, block)| (block.pfn(), block.order())).collect();
        assert_eq!(list.iter().map(|(_, order)| order.pages()).sum::<Pages>(), pages(13));
        let first = guard.blocks().map(|(_, block)| Pfn(block.as_ptr().addr() / PAGE));
        assert!(list.iter().map(|(pfn, _)| *pfn).eq(first), "{list:?}");
        assert_eq!((at, guard.bytes()), (13 * PAGE, 13 * PAGE), "round {round}");
        drop(guard);
        buffer.evict(ALL, Evict::SPLIT, CX).unwrap();
        assert_eq!(buffer.read().unwrap().blocks().map(|(_, b)| b.len()).sum::<usize>(), 13 * PAGE);
    }
    drop(buffer);
    give_back(&near, hogged);
    all_returned(&world, &near, &far);
}
