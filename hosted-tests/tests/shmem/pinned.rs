//! Pinned arenas: what the pool has is locked, what is stored is not.

use super::*;
use forebay_backends::shmem::CreateError;
use hosted_tests::pages::locked_bytes;

/// A chunk, in pages.
const CHUNK: usize = 16;

/// A pinned arena, if this process may lock memory.
fn pinned(chunks: u64) -> Option<Arena> {
    match builder(chunks).pinned().create() {
        Ok(arena) => {
            assert!(arena.is_pinned());
            Some(arena)
        }
        Err(CreateError::Lock(why)) => {
            println!("left out: {why}");
            None
        }
        Err(why) => panic!("{why}"),
    }
}

/// Pages of the first mapping that are locked.
fn locked(arena: &Arena) -> usize {
    locked_bytes(arena.mapping(0).expect("a mapping")).expect("there is /proc") / PAGE
}

/// Rule: what is resident is locked, a chunk at a time; a settle unlocks chunks that are stored as a whole; taking one page back locks
/// its chunk again, and its neighbours are pending.
#[test]
fn what_the_pool_has_is_locked() {
    let Some(arena) = pinned(4) else { return };
    assert_eq!(locked(&arena), 0, "an arena has no memory at first");
    let (a, a_bytes) = take(&arena, 4, 1);
    let (b, b_bytes) = take(&arena, 3, 2);
    let (c, c_bytes) = take(&arena, 3, 3);
    assert_eq!(locked(&arena), 2 * CHUNK);
    let (a, b) = (transferred(&arena, a), transferred(&arena, b));
    settles(&arena, 8, 16, 0);
    assert_eq!(locked(&arena), CHUNK, "a chunk with one block of the pool stays locked as a whole");
    let c = transferred(&arena, c);
    settles(&arena, 0, 32, 0);
    assert_eq!(locked(&arena), 0);
    let b = comes_back(&arena, b, &b_bytes);
    assert_eq!(locked(&arena), CHUNK, "it is locked again, with its neighbour");
    settles(&arena, 8, 16, 0);
    arena.free(b);
    for (handle, bytes) in [(a, &a_bytes), (c, &c_bytes)] {
        arena.free(comes_back(&arena, handle, bytes));
    }
    settles(&arena, 0, 0, 0);
    assert_eq!((locked(&arena), arena.memory_bytes().expect("a descriptor")), (0, 0));
}

/// Rule: another mapping is not locked, and a settle unmaps from it too.
#[test]
fn another_mapping_is_not_locked() {
    let Ok(arena) = builder(2).mappings(2).pinned().create() else { return };
    let (block, bytes) = take(&arena, 4, 1);
    let alias = arena.mapping(1).expect("the other mapping");
    // SAFETY: the byte is mapped, and nothing writes it at this moment.
    #[expect(unsafe_code, reason = "a guest would read it")]
    let first =
        unsafe { alias.cast::<u8>().byte_add(arena.offset(&block).unwrap() as usize).read_volatile() };
    assert_eq!(first, bytes[0]);
    assert!(locked(&arena) > 0); // a page that is mapped twice counts half in each
    assert_eq!(locked_bytes(alias).expect("there is /proc"), 0);
    let handle = transferred(&arena, block);
    settles(&arena, 0, 16, 0);
    assert_eq!(locked(&arena), 0);
    assert!(entries(alias).expect("there is a pagemap").iter().all(|entry| !entry.present));
    arena.free(comes_back(&arena, handle, &bytes));
}
