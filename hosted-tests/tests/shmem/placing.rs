//! Blocks at a given place, limits that change, exports that end, and memory that is adopted.

use super::sharing::{map, memfd, over};
use super::*;
use forebay_backends::shmem::{CreateError, Mapped, OsLock, TakeBack};

const BLOCK: u64 = PAGE as u64;

/// Rule: a block lies where it was asked for, once; what is there no more, or never, says so; the rest of the memory is as before.
#[test]
fn a_block_at_a_given_place() {
    let arena = arena(4);
    let at = |page: u64, k| arena.allocate_at(page * BLOCK, order(k), THREAD);
    for (page, k) in [(3, 1), (64, 0), (63, 1), (1 << 50, 0), (0, 7)] {
        assert_eq!(at(page, k).err(), Some(AllocError::Never), "page {page}, order {k}");
    }
    assert_eq!(
        arena.allocate_at(100, order(0), THREAD).err(),
        Some(AllocError::Never),
        "in the middle of a page"
    );
    let mut blocks: Vec<_> = [(21, 0), (32, 4), (16, 2), (0, 3), (20, 0)]
        .into_iter()
        .map(|(page, k)| {
            let mut block = at(page, k).expect("it is free");
            assert_eq!(arena.offset(&block), Some(page * BLOCK));
            let bytes = fill(&mut block, page + 1);
            (block, bytes, page)
        })
        .collect();
    for (page, k) in [(21, 0), (20, 1), (16, 3), (16, 4), (0, 5), (4, 0)] {
        assert_eq!(at(page, k).err(), Some(AllocError::Exhausted), "page {page}, order {k}");
    }
    assert_eq!(arena.unused(), Pages::new(64 - 30));
    assert_eq!(
        arena.allocate_at(48 * BLOCK, order(0), INTERRUPT).err(),
        Some(AllocError::Exhausted),
        "a hole"
    );
    for (block, bytes, page) in blocks.drain(..) {
        let handle = transferred(&arena, block);
        settle(&arena);
        let block = comes_back(&arena, handle, &bytes);
        assert_eq!(arena.offset(&block), Some(page * BLOCK), "it came back to another place");
        arena.free(block);
    }
    settles(&arena, 0, 0, 0);
    arena.free(arena.allocate_at(0, order(6), THREAD).expect("all of it is one block again"));
}

/// Rule: a new limit holds for what is given out from then on, in both directions.
#[test]
fn a_limit_that_changes() {
    let arena = builder(4).limit(Pages::new(8)).create().expect("an arena");
    let (a, bytes) = take(&arena, 3, 1);
    assert_eq!(arena.allocate(AllocRequest::new(order(0)), THREAD).err(), Some(AllocError::Limit));
    assert_eq!(arena.allocate_at(32 * BLOCK, order(0), THREAD).err(), Some(AllocError::Limit));
    arena.set_limit(Pages::new(9));
    let (b, _) = take(&arena, 0, 2);
    arena.set_limit(Pages::new(2));
    assert_eq!(arena.usage().limit, Pages::new(2));
    let a = transferred(&arena, a);
    let Refused { item: a, why } = arena.take_back(a, THREAD).expect_err("nine are more than two");
    assert_eq!(why, StoreError::Limit);
    arena.set_limit(Pages::MAX);
    arena.free(comes_back(&arena, a, &bytes));
    arena.free(b);
    settles(&arena, 0, 0, 0);
}

/// Rule: what was exported once is given out again after the export was taken back, and only then.
#[test]
fn an_export_that_is_taken_back() {
    let arena = arena(1);
    let stranger = self::arena(1);
    let (a, _) = take(&arena, 3, 1);
    let (b, _) = take(&arena, 3, 2);
    assert!(arena.export(&a).is_some() && arena.export(&b).is_some());
    assert!(!stranger.unexport(&a) && arena.unexport(&a));
    assert!(arena.is_poolable(&a) && !arena.is_poolable(&b));
    arena.free(a);
    arena.free(b);
    settles(&arena, 0, 0, 0);
    assert_eq!((arena.usage().retired, arena.unused()), (Pages::new(8), Pages::new(8)));
}

/// Rule: where the kernel maps on touch, taking back is free in every context, and the bytes are the same; nothing is mapped before.
#[test]
fn taking_back_without_mapping() {
    let arena = builder(2).take_back(TakeBack::OnTouch).create().expect("an arena");
    let (block, bytes) = take(&arena, 4, 3);
    let place = range(&arena, &block);
    let handle = transferred(&arena, block);
    settles(&arena, 0, 16, 0);
    let block = arena.take_back(handle, INTERRUPT).expect("it makes no system call");
    assert!(!is_mapped(place));
    settles(&arena, 0, 0, 0);
    assert!(content(&block) == bytes, "other bytes came back");
    let handle = transferred(&arena, block);
    settles(&arena, 0, 16, 0);
    assert!(!is_mapped(place), "a touched page was not unmapped");
    arena.free(comes_back(&arena, handle, &bytes));
    settles(&arena, 0, 0, 0);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: what a memfd contains comes back unit by unit, also what an arena wrote whose process was killed; what was never written is
/// zeros, and takes no memory before.
#[test]
fn contents_that_are_adopted() {
    const UNITS: [u64; 3] = [0, 5, 7];
    let bytes = 4 * 16 * PAGE;
    let fd = memfd(bytes as u64, libc::MFD_ALLOW_SEALING);
    let again = || fd.try_clone().expect("a descriptor");
    let windows = [map(&fd, 0, bytes, 16 * PAGE)];
    let first = over(&builder(4), again(), 0, &windows).expect("an arena");
    let write = |n: u64| {
        let mut block = first.allocate_at(n * 8 * BLOCK, order(3), THREAD).expect("it is free");
        fill(&mut block, n + 1)
    };
    let written = UNITS.map(write);
    std::mem::forget(first); // it ends as a process does that is killed: nothing is told
    // SAFETY: shared mappings of that descriptor, which stay for ever. No call reaches the first arena or its blocks any more.
    let mapped = || unsafe { Mapped::new(again(), 0, &windows) };
    let too_large = builder(4).adopt::<PAGE, OsLock>(mapped(), order(7));
    assert!(matches!(too_large, Err(CreateError::Empty)));
    let (arena, handles) = builder(4).adopt::<PAGE, OsLock>(mapped(), order(3)).expect("it is a memfd");
    assert_eq!((handles.len(), arena.stored(), arena.unused()), (8, Pages::new(64), Pages::ZERO));
    settles(&arena, 0, 64, 0);
    assert!(!is_mapped(windows[0]), "the first arena had mapped it");
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 3 * 16 * BLOCK, "holes stay holes");
    for (n, handle) in (0..).zip(handles) {
        let block = arena.take_back(handle, THREAD).expect("it is stored");
        assert_eq!(arena.offset(&block), Some(n * 8 * BLOCK));
        match UNITS.iter().position(|unit| *unit == n) {
            Some(at) => assert!(content(&block) == written[at], "unit {n} has other bytes"),
            None => assert!(content(&block).iter().all(|byte| *byte == 0), "unit {n} was never written"),
        }
        arena.free(block);
    }
    settles(&arena, 0, 0, 0);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: writing out changes no byte; without swap nothing leaves memory, and that is what it says. Only reclaimable pages are asked for.
#[test]
fn writing_out_says_what_left() {
    let arena = arena(2);
    let (a, a_bytes) = take(&arena, 4, 1);
    let (b, b_bytes) = take(&arena, 3, 2);
    let a = transferred(&arena, a);
    assert_eq!(
        arena.page_out(Pages::MAX).expect("there are addresses"),
        Pages::ZERO,
        "nothing is reclaimable"
    );
    settles(&arena, 0, 16, 0);
    let out = arena.page_out(Pages::MAX).expect("there are addresses");
    let in_memory =
        hosted_tests::pages::in_memory(arena.mapping(0).expect("a mapping")).expect("it is mapped");
    assert_eq!(out.get() + in_memory, 32);
    settles(&arena, 0, 16, 0);
    assert!(content(&b) == b_bytes);
    arena.free(comes_back(&arena, a, &a_bytes));
    arena.free(b);
    settles(&arena, 0, 0, 0);
}
