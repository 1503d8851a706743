//! A control group that is nearly full: Linux kills there instead of returning an error, so the arena has to stop first.
//!
//! No case takes memory that the arena does not know of while the group is full: what is collected has room
//! beforehand.

use crate::alone::{Case, Where};
use crate::common::{ALL, CX, order};
use crate::goods::{MIB, PAGE, compare, empty, page, ram, write};
use forebay::{
    AllocError, AllocRequest, BackingStore, FrameSource, Handle, Order, OwnedBlock, StoreError, StoreId,
    sync::RawMutex,
};
use forebay_backends::shmem::{Arena, ArenaBlock, Builder, GroupLimit, OsLock};
use std::sync::Barrier;
use std::thread;

const LIMIT: u64 = 48 << 20;
const HERE: Where = Where::InGroup(LIMIT);

pub(crate) const CASES: &[Case] = &[
    Case::new("a_full_group_refuses_and_never_kills", HERE, || fill_up(&builder(), Order::PAGE)),
    Case::new("the_same_with_blocks_of_a_chunk", HERE, || fill_up(&builder(), order(9))),
    Case::new("the_same_with_blocks_of_two_chunks", HERE, || fill_up(&builder(), order(10))),
    Case::new("the_same_with_chunks_of_64_kib", HERE, || fill_up(&builder().chunk(64 << 10), order(2))),
    Case::new("the_same_with_chunks_of_a_page", HERE, || fill_up(&builder().chunk(PAGE), Order::PAGE)),
    Case::new("the_same_with_large_blocks_over_small_chunks", HERE, || {
        fill_up(&builder().chunk(PAGE), order(6))
    }),
    Case::new("the_same_with_two_windows", HERE, || fill_up(&builder().mappings(2), order(3))),
    Case::new("threads_that_fill_a_group_together_are_refused", HERE, || together(&builder(), order(9))),
    Case::new("the_same_with_threads_and_small_chunks", HERE, || {
        together(&builder().chunk(64 << 10), order(4))
    }),
    Case::new("a_full_group_refuses_copies_and_never_kills", HERE, || copy_until_full(&builder())),
    Case::new("the_same_for_copies_into_small_chunks", HERE, || copy_until_full(&builder().chunk(64 << 10))),
];

fn builder() -> Builder {
    Arena::builder(256 * MIB as u64)
}

fn arena(builder: &Builder) -> Arena {
    let arena = builder.create().expect("it takes no memory yet");
    assert_eq!(arena.host_report().group_limit, GroupLimit::Bytes(LIMIT), "the group is seen");
    arena
}

/// A list with room that has its memory already.
fn list<T>(count: usize) -> Vec<Option<T>> {
    let mut all = Vec::with_capacity(count);
    all.resize_with(count, || None);
    all
}

/// As many blocks as there may be, written; how many.
fn allocate_all<L: RawMutex>(
    arena: &Arena<PAGE, L>,
    order: Order,
    blocks: &mut [Option<ArenaBlock<PAGE>>],
) -> usize {
    for (n, place) in blocks.iter_mut().enumerate() {
        match arena.allocate(AllocRequest::new(order), CX) {
            Ok(mut block) => {
                block.zero();
                write(&mut block, n * order.pages().get());
                *place = Some(block);
            }
            Err(why) => {
                assert_eq!(why, AllocError::NoHeadroom, "it is the group that is full");
                return n;
            }
        }
    }
    panic!("the arena has four times as much as the group may have");
}

/// Rule: a full group is `NoHeadroom`; what is stored can be taken back, and what is discarded makes room.
fn fill_up(builder: &Builder, order: Order) {
    let arena = arena(builder);
    let pages = order.pages().get();
    let mut blocks = list(256 * MIB / PAGE / pages);
    let mut handles: Vec<Option<Handle>> = list(blocks.len());
    let count = allocate_all(&arena, order, &mut blocks);
    let bytes = arena.memory_bytes().unwrap();
    assert!(bytes >= LIMIT / 2, "only {bytes} bytes of {LIMIT} were used");

    for (block, handle) in blocks.iter_mut().zip(&mut handles).take(count) {
        *handle = block.take().map(|block| arena.transfer(block, None).unwrap());
    }
    let settled = arena.settle(ALL, CX, &mut |_| ());
    assert_eq!((settled.error, settled.reclaimable.get()), (None, count * pages));

    for (n, place) in handles.iter_mut().enumerate().take(count) {
        let block = place.take().map(|handle| arena.take_back(handle, CX).expect("its memory is there"));
        let block = block.expect("it was stored");
        compare(&block, n * pages);
        *place = Some(arena.transfer(block, None).unwrap());
    }

    let before = arena.memory_bytes().unwrap();
    for place in &mut handles[..count / 2] {
        let block = place.take().map(|handle| arena.discard(handle).unwrap());
        arena.free(block.flatten().expect("it was transferred"));
    }
    assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
    let freed = before - arena.memory_bytes().unwrap();
    let slack = arena.chunk_bytes() + (PAGE << order.get());
    assert!(freed as usize + slack >= count / 2 * pages * PAGE, "only {freed} bytes are free again");

    let again = allocate_all(&arena, order, &mut blocks);
    assert!(again * 3 >= count, "{again} blocks after {}", count / 2);
    for (n, place) in blocks.iter_mut().enumerate().take(again) {
        let block = place.take().expect("it was allocated");
        compare(&block, n * pages);
        arena.free(block);
    }
    for (n, place) in handles.iter_mut().enumerate().take(count).skip(count / 2) {
        let block = place.take().map(|handle| arena.take_back(handle, CX).expect("its memory is there"));
        let block = block.expect("it was stored");
        compare(&block, n * pages);
        arena.free(block);
    }
    assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
    empty(&arena);
    println!("{count} blocks of {pages} pages, {bytes} bytes of memory; {again} in the second half");
}

/// Rule: threads that ask for memory at the same time are not promised the same head-room.
fn together(builder: &Builder, order: Order) {
    const THREADS: usize = 4;
    let arena = &arena(builder);
    let pages = order.pages().get();
    let mut lists: [_; THREADS] = std::array::from_fn(|_| list(256 * MIB / PAGE / pages));
    let start = &Barrier::new(THREADS);
    for _ in 0..5 {
        // Nothing is written meanwhile: so they allocate all the time.
        thread::scope(|threads| {
            for blocks in &mut lists {
                threads.spawn(move || {
                    start.wait();
                    for place in blocks {
                        match arena.allocate(AllocRequest::new(order), CX) {
                            Ok(block) => *place = Some(block),
                            Err(why) => return assert_eq!(why, AllocError::NoHeadroom),
                        }
                    }
                });
            }
        });
        let bytes = arena.memory_bytes().unwrap();
        assert!(bytes >= LIMIT / 2, "only {bytes} bytes of {LIMIT} were used");
        let mut number = 0;
        for block in lists.iter_mut().flatten().flatten() {
            write(block, number);
            number += pages;
        }
        number = 0;
        for block in lists.iter_mut().flatten().filter_map(Option::take) {
            compare(&block, number);
            number += pages;
            arena.free(block);
        }
        assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
        empty(arena);
        println!("{number} pages, {bytes} bytes of memory");
    }
}

/// Rule: the same holds for memory that is copied in; what was copied stays.
fn copy_until_full(builder: &Builder) {
    let source = ram(1);
    let mut block = source.allocate(AllocRequest::new(Order::PAGE), CX).unwrap();
    let arena: Arena<PAGE, OsLock> = arena(builder);
    let copies = arena.copies(StoreId::new(1).unwrap());
    let mut handles: Vec<Option<Handle>> = list(256 * MIB / PAGE);
    let mut fill = |handles: &mut [Option<Handle>], from: usize| {
        for (n, place) in handles.iter_mut().enumerate().skip(from) {
            assert_eq!(block.write_at(0, &page(n)), PAGE);
            match BackingStore::save(&copies, &block, Order::PAGE, None, CX) {
                Ok(handle) => *place = Some(handle),
                Err(why) => {
                    assert_eq!(why, StoreError::NoHeadroom, "it is the group that is full");
                    return n;
                }
            }
        }
        panic!("the arena has four times as much as the group may have");
    };
    let count = fill(&mut handles, 0);
    assert!(arena.memory_bytes().unwrap() >= LIMIT / 2);
    assert_eq!(arena.settle(ALL, CX, &mut |_| ()).reclaimable.get(), count);
    let mut target = source_block();
    for (n, handle) in handles.iter().enumerate().take(count) {
        let handle = handle.as_ref().expect("it was saved");
        BackingStore::load(&copies, handle, &mut target, crate::common::NONE, CX)
            .expect("its memory is there");
        compare(&target, n);
    }
    for place in handles.iter_mut().take(count) {
        let handle = place.take().expect("it was saved");
        assert!(BackingStore::<ArenaBlock<PAGE>>::discard(&copies, handle).unwrap().is_none());
    }
    assert_eq!(arena.settle(ALL, CX, &mut |_| ()).error, None);
    empty(&arena);
    println!("{count} pages were copied");
}

fn source_block() -> impl OwnedBlock {
    ram(1).allocate(AllocRequest::new(Order::PAGE), CX).expect("it is of plain memory")
}
