//! Many threads at one arena.

use super::*;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Rule: while some transfer and take back, and others settle, no byte is lost; and what is resident in the end is in
/// the page tables, even if it was taken back in the middle of a settle.
#[test]
fn taking_back_while_others_settle() {
    const THREADS: usize = 4;
    let arena = builder(16).mappings(2).create().expect("an arena");
    let left = AtomicUsize::new(THREADS);
    std::thread::scope(|s| {
        for me in 0..THREADS {
            let (arena, left) = (&arena, &left);
            s.spawn(move || {
                // Blocks of a quarter of a chunk: neighbours are of other threads.
                let mut blocks: Vec<_> = (0..8).map(|n| take(arena, 2, (me * 8 + n) as u64)).collect();
                for _ in 0..150 {
                    let handles: Vec<_> =
                        blocks.drain(..).map(|(b, bytes)| (transferred(arena, b), bytes)).collect();
                    std::thread::yield_now();
                    blocks
                        .extend(handles.into_iter().map(|(h, bytes)| (comes_back(arena, h, &bytes), bytes)));
                }
                for (block, bytes) in &blocks {
                    assert!(content(block) == *bytes);
                }
                left.fetch_sub(1, Relaxed);
                blocks.into_iter().map(|(block, _)| block).collect::<Vec<_>>()
            });
        }
        for _ in 0..2 {
            s.spawn(|| {
                while left.load(Relaxed) > 0 {
                    assert_eq!(settle(&arena).error, None);
                    std::thread::yield_now();
                }
            });
        }
    });
    // The blocks of the threads are lost with their results, so they are still resident.
    let usage = arena.usage();
    assert_eq!(usage.resident, Pages::new(THREADS * 8 * 4));
    assert_eq!((usage.pending, usage.reclaimable), (Pages::ZERO, Pages::ZERO));
}

/// Rule: what was taken back in the middle of a settle, touched and transferred again, is not reclaimable before it is
/// out of the page tables.
#[test]
fn reclaimable_means_not_mapped() {
    let arena = arena(32);
    for round in 0..100 {
        let blocks: Vec<_> = (0..32).map(|n| take(&arena, 4, n).0).collect();
        let ranges: Vec<_> = blocks.iter().map(|block| range(&arena, block)).collect();
        let mut handles: Vec<_> = blocks.into_iter().map(|block| transferred(&arena, block)).collect();
        std::thread::scope(|s| {
            let settling = s.spawn(|| settle(&arena));
            while !settling.is_finished() {
                let again = |handle| match arena.take_back(handle, INTERRUPT) {
                    Ok(mut block) => {
                        block.write_at(0, &[1]);
                        transferred(&arena, block)
                    }
                    Err(refused) => refused.item,
                };
                handles = handles.drain(..).map(again).collect();
            }
            assert_eq!(settling.join().expect("it does not panic").error, None);
        });
        settles(&arena, 0, 512, 0);
        assert!(
            !ranges.iter().any(|range| is_mapped(*range)),
            "round {round}: reclaimable, and in a page table"
        );
        for handle in handles {
            arena.free(arena.discard(handle).expect("it is stored").expect("the same block"));
        }
        settles(&arena, 0, 0, 0);
    }
}

/// Rule: what was taken back in the middle of a settle is in the page tables at its end, at whatever moment that was.
#[test]
fn taken_back_means_mapped() {
    let arena = arena(32);
    for round in 0..200 {
        let blocks: Vec<_> = (0..32).map(|n| take(&arena, 4, n).0).collect();
        let handles: Vec<_> = blocks.into_iter().map(|block| transferred(&arena, block)).collect();
        std::thread::scope(|s| {
            let settling = s.spawn(|| settle(&arena));
            for _ in 0..round {
                let _ = arena.usage(); // so that it is another moment each time
            }
            let back = handles.into_iter().map(|handle| arena.take_back(handle, INTERRUPT));
            let (back, left): (Vec<_>, Vec<_>) = back.partition(Result::is_ok);
            assert_eq!(settling.join().expect("it does not panic").error, None);
            for block in back.into_iter().map(|block| block.expect("it is one")) {
                assert!(is_mapped(range(&arena, &block)), "round {round}: resident, and not in a page table");
                arena.free(block);
            }
            for handle in left.into_iter().map(|refused| refused.expect_err("it is one").item) {
                arena.free(arena.discard(handle).expect("it is stored").expect("the same block"));
            }
        });
        settles(&arena, 0, 0, 0);
    }
}

/// Rule: at the end of a settle, a chunk is in the page tables exactly if something of it is resident.
#[test]
fn resident_means_mapped() {
    let arena = arena(8);
    for round in 0..40 {
        let (blocks, ranges): (Vec<_>, Vec<_>) = (0..16)
            .map(|n| {
                let (block, bytes) = take(&arena, 3, n);
                let range = range(&arena, &block);
                ((block, bytes), range)
            })
            .unzip();
        let handles: Vec<_> = blocks.into_iter().map(|(b, bytes)| (transferred(&arena, b), bytes)).collect();
        let back = std::thread::scope(|s| {
            let settling = s.spawn(|| settle(&arena));
            let back: Vec<_> =
                handles.into_iter().map(|(h, bytes)| (comes_back(&arena, h, &bytes), bytes)).collect();
            assert_eq!(settling.join().expect("it does not panic").error, None);
            back
        });
        assert!(
            ranges.iter().all(|range| is_mapped(*range)),
            "round {round}: resident, and not in a page table"
        );
        for (block, bytes) in back {
            assert!(content(&block) == bytes);
            arena.free(block);
        }
    }
}
