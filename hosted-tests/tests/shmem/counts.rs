//! That what the counts say is so: in the page tables, and in the memfd.

use super::*;

/// Rule: a block that is refused before all of its chunks were brought in changes nothing; what has no memory is not held.
#[test]
fn what_has_no_memory_is_not_held() {
    let arena = arena(2);
    let (block, _) = take(&arena, 4, 1);
    arena.release(block);
    assert_eq!(
        arena.allocate(order(5), INTERRUPT).err(),
        Some(OutOfFrames::Exhausted),
        "half of it is a hole"
    );
    settles(&arena, 0, 0, 0);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}
