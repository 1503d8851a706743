//! What an arena promises: chunks, drops, limits, windows, and that nothing leaks from one owner to the next.

use forebay::{
    AccessError, AllocError, AllocRequest, BackingStore, Buffer, Context, Evict, Forebay, FrameSource,
    Handle, Order, OwnedBlock, Pages, Refused, StoreError, StoreId, port::Settled,
};
use forebay_backends::shmem::{Arena, ArenaBlock, Builder};
use hosted_tests::conformance::{content, fill, order};
use hosted_tests::kit::with_lists;
use hosted_tests::pages::entries;
use std::ptr::NonNull;

mod counts;
mod gained;
mod mirrored;
mod pinned;
mod placing;
mod pressure;
mod sharing;
mod threads;

const PAGE: usize = 4096;
const THREAD: Context = Context::THREAD;
const INTERRUPT: Context = Context::INTERRUPT;

type Block = ArenaBlock<PAGE>;

/// Chunks of 16 pages.
fn builder(chunks: u64) -> Builder {
    Arena::builder(chunks * 16 * PAGE as u64).chunk(16 * PAGE)
}

fn arena(chunks: u64) -> Arena {
    builder(chunks).create().expect("an arena")
}

fn take(arena: &Arena, k: u8, seed: u64) -> (Block, Vec<u8>) {
    let mut block = arena.allocate(AllocRequest::new(order(k)), THREAD).expect("there is room");
    let bytes = fill(&mut block, seed);
    (block, bytes)
}

fn settle(arena: &Arena) -> Settled {
    arena.settle(Pages::ZERO, THREAD, &mut |block| panic!("{block:?} is returned"))
}

/// Pending, reclaimable, held.
#[track_caller]
fn settles(arena: &Arena, pending: usize, reclaimable: usize, held: usize) {
    let now = settle(arena);
    assert_eq!(now.error, None);
    assert_eq!([now.pending, now.reclaimable, now.held], [pending, reclaimable, held].map(Pages::new));
}

/// The bytes of a block in the first window.
fn range(arena: &Arena, block: &Block) -> NonNull<[u8]> {
    let at = arena.offset(block).expect("it is of this arena") as usize;
    let base = arena.mapping(0).expect("a window").cast::<u8>();
    NonNull::slice_from_raw_parts(base.map_addr(|a| a.checked_add(at).expect("an address")), block.bytes())
}

#[track_caller]
fn is_mapped(range: NonNull<[u8]>) -> bool {
    let entries = entries(range).expect("there is a pagemap");
    let present = entries.iter().filter(|entry| entry.present).count();
    assert!(present == 0 || present == entries.len(), "{present} pages of {}", entries.len());
    present > 0
}

fn transferred(arena: &Arena, block: Block) -> Handle {
    arena.transfer(block, None).expect("it takes all")
}

#[track_caller]
fn comes_back(arena: &Arena, handle: Handle, bytes: &[u8]) -> Block {
    let block = arena.take_back(handle, THREAD).expect("it is stored");
    assert!(content(&block) == bytes, "other bytes came back");
    block
}

/// Rule: a chunk of which anything is resident is not unmapped, not even the rest of it; a chunk comes back as a whole,
/// and what else is in it is pending again.
#[test]
fn chunks_go_and_come_as_a_whole() {
    let arena = arena(4);
    let (a, a_bytes) = take(&arena, 3, 1);
    let (b, b_bytes) = take(&arena, 3, 2);
    let (in_a, in_b) = (range(&arena, &a), range(&arena, &b));
    let a = transferred(&arena, a);
    settles(&arena, 8, 0, 0);
    assert!(is_mapped(in_a) && is_mapped(in_b), "a mixed chunk was unmapped");
    let b = transferred(&arena, b);
    assert!(is_mapped(in_a), "a transfer touches nothing");
    settles(&arena, 0, 16, 0);
    assert!(!is_mapped(in_a) && !is_mapped(in_b));
    let a = comes_back(&arena, a, &a_bytes);
    assert!(is_mapped(in_b), "the chunk comes back as a whole");
    settles(&arena, 8, 0, 0);
    assert!(is_mapped(in_b));
    let a = transferred(&arena, a);
    let counted = arena.settle(Pages::MAX, INTERRUPT, &mut |_| {});
    assert_eq!(
        (counted.pending, counted.reclaimable),
        (Pages::new(16), Pages::ZERO),
        "an interrupt only counts"
    );
    settles(&arena, 0, 16, 0);
    arena.free(comes_back(&arena, a, &a_bytes));
    arena.free(comes_back(&arena, b, &b_bytes));
    settles(&arena, 0, 0, 0);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: taking back what is mapped is free, also in an interrupt; what is not has to wait for a thread, and the handle
/// comes back unharmed.
#[test]
fn taking_back_in_an_interrupt() {
    let arena = arena(2);
    let (block, bytes) = take(&arena, 2, 3);
    let block = arena.take_back(transferred(&arena, block), INTERRUPT).expect("nothing was unmapped");
    let handle = transferred(&arena, block);
    settles(&arena, 0, 4, 0);
    let Refused { item, why } = arena.take_back(handle, INTERRUPT).expect_err("it is unmapped");
    assert_eq!(why, StoreError::Context);
    settles(&arena, 0, 4, 0);
    arena.free(comes_back(&arena, item, &bytes));
    // A fresh chunk has to wait too; one that is mapped does not.
    let block = arena.allocate(AllocRequest::new(order(4)), INTERRUPT).expect("its chunk is still mapped");
    assert_eq!(arena.allocate(AllocRequest::new(order(4)), INTERRUPT).err(), Some(AllocError::Exhausted));
    assert_eq!(arena.usage().resident, Pages::new(16));
    arena.free(block);
}

/// Rule: what is dropped is held by its neighbours, zeroed when it is allocated again, and gives its memory back with
/// its chunk.
#[test]
fn drops_are_held_then_zeroed_or_punched() {
    let arena = arena(1);
    let (a, bytes) = take(&arena, 3, 4);
    let (b, _) = take(&arena, 3, 5);
    let (a, b) = (transferred(&arena, a), transferred(&arena, b));
    settles(&arena, 0, 16, 0);
    let memory = arena.memory_bytes().expect("a descriptor");
    arena.free(arena.discard(b).expect("it is stored").expect("the same block"));
    settles(&arena, 0, 8, 8);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), memory, "its neighbour holds it");
    let mut again = arena.allocate(AllocRequest::new(order(3)), THREAD).expect("the half that was dropped");
    again.zero();
    assert!(content(&again).iter().all(|byte| *byte == 0), "old bytes");
    settles(&arena, 8, 0, 0);
    arena.free(again);
    arena.free(comes_back(&arena, a, &bytes));
    settles(&arena, 0, 0, 0);
    assert_eq!(arena.memory_bytes().expect("a descriptor"), 0);
}

/// Rule: whatever way a range took, its new owner reads zeros: as a block, and through a pool.
#[test]
fn nothing_leaks_from_one_owner_to_the_next() {
    const SECRET: [u8; 16] = *b"my planted word.";
    for way in 0..6 {
        let arena = arena(1);
        let plant = |k| {
            let mut block = arena.allocate(AllocRequest::new(order(k)), THREAD).expect("there is room");
            for at in (0..block.bytes()).step_by(16) {
                assert_eq!(block.write_at(at, &SECRET), 16);
            }
            block
        };
        match way {
            0 => arena.free(plant(4)),
            1 => {
                let handle = transferred(&arena, plant(4));
                arena.free(arena.discard(handle).expect("it is stored").expect("a block"));
            }
            2 => {
                let handle = transferred(&arena, plant(4));
                settle(&arena);
                let (lower, upper) = arena.split(handle).expect("it is stored");
                settle(&arena);
                for half in [upper, lower] {
                    arena.free(arena.discard(half).expect("it is stored").expect("a block"));
                }
            }
            3 => {
                let (lower, upper) = plant(4).split().expect("two halves");
                arena.free(upper);
                arena.free(lower);
                settle(&arena); // punched
            }
            4 => {
                // Written by a guest, behind the back of the block.
                let block = arena.allocate(AllocRequest::new(order(4)), THREAD).expect("there is room");
                let bytes = range(&arena, &block).cast::<[u8; 16]>();
                // SAFETY: the range is mapped, and nothing else is at it.
                (0..block.bytes() / 16).for_each(|n| unsafe { bytes.add(n).write_volatile(SECRET) });
                arena.free(block);
            }
            _ => {
                let ram = forebay_backends::Ram::<forebay::sync::SpinRawMutex, PAGE>::new();
                let meta = hosted_tests::memory::words(forebay_backends::Ram::<
                    forebay::sync::SpinRawMutex,
                    PAGE,
                >::metadata_words(1 << 17));
                ram.add(hosted_tests::memory::leak(1 << 17, 0), meta).expect("memory");
                let mut block = ram.allocate(AllocRequest::new(order(4)), THREAD).expect("there is room");
                block.fill(0x5e);
                let copies = arena.copies(StoreId::DEFAULT);
                let handle = copies.save(&block, order(4), None, THREAD).expect("there is room");
                assert!(matches!(
                    BackingStore::<forebay_backends::RamBlock<PAGE>>::discard(&copies, handle),
                    Ok(None)
                ));
            }
        }
        let mut all = Vec::new();
        for k in [3, 2, 1, 0, 0] {
            let mut block = arena.allocate(AllocRequest::new(order(k)), THREAD).expect("all of it is free");
            block.zero();
            assert!(content(&block).iter().all(|byte| *byte == 0), "old bytes, way {way}, order {k}");
            all.push(block);
        }
        all.into_iter().for_each(|block| arena.free(block));
        let home = Forebay::new(with_lists::<_, 11, 4>(&arena), &arena);
        for _ in 0..3 {
            let mut tile = Buffer::new(&home, order(4));
            assert!(tile.read().expect("there is room").bytes() == 16 * PAGE);
            let mut bytes = vec![1; 16 * PAGE];
            tile.read().expect("it is resident").read_at(0, &mut bytes);
            assert!(bytes.iter().all(|byte| *byte == 0), "old bytes, way {way}, through a pool");
            tile.write().expect("it is resident").write_at(0, &[0x5e; 16 * PAGE]);
            tile.evict_mut(Pages::MAX, Evict::TRANSFER, THREAD);
        }
    }
}

/// Rule: a fresh block stays one only as long as none of it was written, also where it was split and joined.
#[test]
fn joined_blocks_are_zeroed() {
    for written in 0..2 {
        let arena = arena(1);
        let block = arena.allocate(AllocRequest::new(order(4)), THREAD).expect("there is room");
        let mut halves = <[Block; 2]>::from(block.split().expect("two halves"));
        fill(&mut halves[written], 1);
        let [lower, upper] = halves;
        let mut block = arena.join(lower, upper).expect("they are neighbours");
        block.zero();
        assert!(content(&block).iter().all(|byte| *byte == 0), "half {written} was not zeroed");
        arena.free(block);
    }
}

/// Rule: the limit is on what is resident. It holds for fresh blocks and for what is taken back; the handle comes back,
/// and transferring something makes room.
#[test]
fn the_limit_is_on_what_is_resident() {
    let arena = builder(8).limit(Pages::new(24)).create().expect("an arena");
    let (a, a_bytes) = take(&arena, 4, 6);
    let (b, b_bytes) = take(&arena, 3, 7);
    assert_eq!(arena.allocate(AllocRequest::new(Order::PAGE), THREAD).err(), Some(AllocError::Limit));
    let a = transferred(&arena, a);
    let (c, c_bytes) = take(&arena, 4, 8);
    let Refused { item, why } = arena.take_back(a, THREAD).expect_err("24 pages are resident");
    assert_eq!(why, StoreError::Limit);
    let b = transferred(&arena, b);
    let c = transferred(&arena, c);
    let a = comes_back(&arena, item, &a_bytes);
    let b = comes_back(&arena, b, &b_bytes);
    arena.free(a);
    let c = comes_back(&arena, c, &c_bytes);
    assert_eq!(arena.usage().resident, Pages::new(24));
    arena.free(b);
    arena.free(c);

    // A buffer says the same, and a reclaim is the cure.
    let home = Forebay::new(&arena, &arena);
    let tiles: Vec<_> = (0..6).map(|_| Buffer::new(&home, order(3))).collect();
    let over = |e: AccessError| assert_eq!(e, AccessError::Alloc(AllocError::Limit));
    for round in 0..3_u8 {
        for (n, tile) in tiles.iter().enumerate() {
            let mut guard = loop {
                match tile.write() {
                    Ok(guard) => break guard,
                    Err(e) => {
                        over(e);
                        let report = home.reclaim(&tiles[..], Pages::new(8), Evict::TRANSFER, THREAD);
                        assert!(report.evicted.transferred >= Pages::new(8), "{report:?}");
                    }
                }
            };
            let mut old = [0; 8 * PAGE];
            guard.read_at(0, &mut old);
            assert!(old == [if round == 0 { 0 } else { round * 16 + n as u8 }; 8 * PAGE]);
            guard.write_at(0, &[(round + 1) * 16 + n as u8; 8 * PAGE]);
        }
    }
}

/// Rule: an arena that is dropped before its blocks leaves them their bytes; one without blocks unmaps everything.
#[test]
fn blocks_outlive_their_arena() {
    let (block, bytes) = {
        let arena = arena(2);
        take(&arena, 4, 9)
    };
    assert!(content(&block) == bytes);
    let other = arena(2);
    let Refused { item, why } = other.transfer(block, None).expect_err("it is of another arena");
    assert_eq!(why, StoreError::WrongStore);
    assert!(content(&item) == bytes);
    assert_eq!((other.offset(&item), other.export(&item)), (None, None));
    other.free(item); // leaked, and not mixed in
    assert_eq!((other.unused(), other.resident()), (Pages::new(32), Pages::ZERO));

    let maps = || std::fs::read_to_string("/proc/self/maps").expect("there is one");
    let bytes = 122 << 20_usize; // whole chunks; no other test has a mapping of that size, wherever it is
    let alone = Arena::builder(bytes as u64).create().expect("an arena");
    let start = alone.mapping(0).expect("a window").cast::<u8>().addr().get();
    let heading = format!("{start:x}-{:x} ", start + bytes);
    assert!(maps().contains(&heading));
    drop(alone);
    assert!(!maps().contains(&heading), "its window is still there");
}

/// Rule: what makes no sense is an error that says what to do.
#[test]
fn what_can_not_be_made() {
    let why = |builder: Builder| builder.create().expect_err("it can't be").to_string();
    assert!(why(Arena::builder(0)).contains("at least one byte"));
    assert!(why(builder(1).mappings(0)).contains("one mapping"));
    for chunk in [0, 1, 100, 4095, 4097, 3 * PAGE] {
        assert!(why(Arena::builder(1 << 20).chunk(chunk)).contains("power of two of at least"), "{chunk}");
    }
    assert!(why(Arena::builder(u64::MAX)).contains("make the arena smaller"));
    assert!(why(Arena::builder(1 << 62)).contains("make the arena smaller"));
    let small = Arena::builder(1 << 20).chunk(PAGE).create_as::<65536, forebay::sync::SpinRawMutex>();
    assert!(small.expect_err("a page is larger").to_string().contains("65536"));
}

/// Rule: what could not be brought in holds nothing.
#[test]
fn a_block_that_was_refused_leaves_nothing_behind() {
    let arena = Arena::builder(2 * PAGE as u64).chunk(PAGE).create().expect("an arena");
    let (page, _) = take(&arena, 0, 1);
    arena.free(page);
    assert_eq!(
        arena.allocate(AllocRequest::new(order(1)), INTERRUPT).err(),
        Some(AllocError::Exhausted),
        "one chunk is a hole"
    );
    assert_eq!(arena.usage().held, Pages::new(1));
    settles(&arena, 0, 0, 0);
}

/// Rule: what is reclaimable is in no page table. A block that a discard brought to light is not brought in, but its
/// owner may touch it; the next settle takes it out again.
#[test]
fn a_discarded_block_that_was_touched_is_unmapped_again() {
    let arena = arena(1);
    let [a, b] = [0, 1].map(|seed| take(&arena, 3, seed));
    let place = range(&arena, &a.0);
    let [a, b] = [a.0, b.0].map(|block| transferred(&arena, block));
    settles(&arena, 0, 16, 0);
    let mut touched = arena.discard(a).expect("it is stored").expect("the same block");
    touched.zero();
    assert!(is_mapped(place));
    arena.free(touched);
    settles(&arena, 0, 8, 8);
    assert!(!is_mapped(place), "counted as reclaimable, and mapped");
    arena.free(arena.discard(b).expect("it is stored").expect("the same block"));
}

/// Rule: the metadata of an arena is at most a tenth of a per cent of it.
#[test]
fn metadata_is_small() {
    let before = hosted_tests::pages::private_bytes().expect("there is a /proc");
    let arena = Arena::builder(16 << 30).create().expect("it is sparse");
    let taken = hosted_tests::pages::private_bytes().expect("there is a /proc").saturating_sub(before);
    assert!(taken < (16 << 30) / 1000, "{taken} bytes");
    drop(arena);
}
