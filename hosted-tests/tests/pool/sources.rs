//! The sources over plain RAM: what they say to bad memory, and the buddy against a simple model.
#![allow(unsafe_code)]

use forebay::{AllocError, AllocRequest, Context, FrameSource, Order, OwnedBlock, Pages, sync::SpinRawMutex};
use forebay_backends::{HeapSource, MemoryError, Ram, RamBlock};
use hosted_tests::conformance::{content, fill, order};
use hosted_tests::memory::{leak, words};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::ptr::NonNull;

const PAGE: usize = 512;
type Two = Ram<SpinRawMutex, PAGE, 2>;

fn meta(bytes: usize) -> &'static mut [usize] {
    words(Two::metadata_words(bytes))
}

/// Memory and metadata are refused, come back, and nothing changed.
#[track_caller]
fn is_refused(ram: &Two, memory: &'static mut [u8], meta: &'static mut [usize], expected: MemoryError) {
    let places = (memory.as_ptr_range(), meta.as_ptr_range());
    let before = (ram.total(), ram.unused());
    assert_eq!(ram.check(memory, meta), Err(expected));
    let refused = ram.add(memory, meta).unwrap_err();
    assert_eq!(refused.why, expected);
    let (memory, meta) = refused.item;
    assert_eq!((memory.as_ptr_range(), meta.as_ptr_range()), places, "the memory comes back");
    assert_eq!((ram.total(), ram.unused()), before);
}

/// `bytes` bytes from offset `at` of memory that a source has already.
fn again(memory: &mut [u8], at: isize, bytes: usize) -> &'static mut [u8] {
    // SAFETY: inside one allocation that is never given back, as the callers choose the numbers. It shares bytes with
    // what the source has, and that is the point: it is refused, and nothing reads or writes through it.
    unsafe { std::slice::from_raw_parts_mut(memory.as_mut_ptr().offset(at), bytes) }
}

/// Rule: memory that shares addresses with a piece that is there is refused: in part, within, around, the same.
#[test]
fn overlapping_memory_is_refused() {
    let whole = leak(64 * PAGE, 0);
    let middle = again(whole, 16 * PAGE as isize, 16 * PAGE);
    let ram = Two::new();
    ram.add(middle, meta(16 * PAGE)).unwrap();
    for (first, pages) in [(16, 16), (20, 4), (8, 32), (8, 9), (31, 8)] {
        let memory = again(whole, first * PAGE as isize, pages * PAGE);
        is_refused(&ram, memory, meta(64 * PAGE), MemoryError::Overlap);
    }
    // A page is enough, on either side.
    is_refused(&ram, again(whole, 0, 17 * PAGE), meta(64 * PAGE), MemoryError::Overlap);
    is_refused(&ram, again(whole, 31 * PAGE as isize, 9 * PAGE), meta(64 * PAGE), MemoryError::Overlap);
    // Touching is not sharing.
    let behind = again(whole, 32 * PAGE as isize, 8 * PAGE);
    assert_eq!(ram.check(again(whole, 0, 16 * PAGE), meta(16 * PAGE)), Ok(()));
    assert_eq!(ram.add(behind, meta(8 * PAGE)).unwrap(), 8 * PAGE);
}

/// Rule: bad memory is refused with the reason, and comes back.
#[test]
fn bad_memory_comes_back() {
    let ram = Two::new();
    for (bytes, skew) in [(0, 0), (0, 3), (PAGE - 1, 0), (PAGE, 1), (2 * PAGE - 2, 1)] {
        is_refused(&ram, leak(bytes, skew), meta(64 * PAGE), MemoryError::NoWholePage);
    }
    for pages in [1, 2, 3, 7, 64, 65] {
        let needed = Two::metadata_words(pages * PAGE);
        let short = MemoryError::Metadata { words: needed };
        is_refused(&ram, leak(pages * PAGE, 0), words(needed - 1), short);
        is_refused(&ram, leak(pages * PAGE, 0), words(0), short);
        let exact = Two::new();
        assert_eq!(exact.add(leak(pages * PAGE, 0), words(needed)).unwrap(), pages * PAGE);
    }
    assert_eq!(
        ram.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).err(),
        Some(AllocError::Exhausted)
    );
    // Ragged ends are trimmed, and the usable bytes returned: also where the number of words is just enough.
    let Err(MemoryError::Metadata { words: enough }) = ram.check(leak(65 * PAGE, 1), words(0)) else {
        panic!("no metadata at all")
    };
    is_refused(&ram, leak(65 * PAGE, 1), words(enough - 1), MemoryError::Metadata { words: enough });
    assert_eq!(ram.add(leak(65 * PAGE, 1), words(enough)).unwrap(), 64 * PAGE);
    assert_eq!(ram.add(leak(3 * PAGE + 5, PAGE - 5), meta(3 * PAGE)).unwrap(), 3 * PAGE);
    is_refused(&ram, leak(PAGE, 0), meta(PAGE), MemoryError::TooManyRanges);
    assert_eq!((ram.total(), ram.unused()), (Pages::new(67), Pages::new(67)));
    let none = Ram::<SpinRawMutex, PAGE, 0>::new();
    let refused = none.add(leak(PAGE, 0), meta(PAGE)).unwrap_err();
    assert_eq!(refused.why, MemoryError::TooManyRanges);
}

/// Rule: the first memory of a source with a lobby has the window of it, aligned to its own size, and metadata for it; else it comes
/// back. What is added later has no window, and shares no byte with it.
#[test]
fn memory_for_a_lobby() {
    const LOBBY: usize = 8 * PAGE;
    type Near = Ram<SpinRawMutex, PAGE, 3, LOBBY>;
    let ram = Near::new();
    let refused = |memory: &'static mut [u8], meta: &'static mut [usize], why| {
        let (total, len) = (ram.total(), (memory.len(), meta.len()));
        assert_eq!(ram.check(memory, meta), Err(why));
        let refused = ram.add(memory, meta).unwrap_err();
        let back = (refused.item.0.len(), refused.item.1.len());
        assert_eq!((refused.why, back, ram.total()), (why, len, total));
    };
    let all = |bytes| words(Near::metadata_words(bytes));
    for (pages, skew) in [(7, 0), (8, 1), (8, PAGE), (15, PAGE)] {
        refused(leak(pages * PAGE - usize::from(skew == PAGE), skew), all(16 * PAGE), MemoryError::NoLobby);
    }
    let short = Near::metadata_words(16 * PAGE) - 1;
    refused(leak(16 * PAGE, 0), words(short), MemoryError::Metadata { words: short + 1 });
    let whole = leak(64 * PAGE, 0);
    assert_eq!(ram.check(&whole[..LOBBY], all(LOBBY)), Ok(()));
    assert_eq!(ram.add(again(whole, 0, LOBBY), all(LOBBY)).unwrap(), LOBBY);
    assert_eq!(ram.total(), Pages::new(8));
    let lobby = AllocRequest::new(order(3)).within(Near::LOBBY);
    let block = ram.allocate(lobby, Context::THREAD).unwrap();
    assert_eq!(block.pfn().0, whole.as_ptr().addr() / PAGE);
    ram.free(block);
    refused(again(whole, 0, LOBBY + PAGE), all(64 * PAGE), MemoryError::Overlap);
    refused(again(whole, (LOBBY - PAGE) as isize, 2 * PAGE), all(64 * PAGE), MemoryError::Overlap);
    // Smaller than a window, and in order.
    assert_eq!(ram.check(&whole[LOBBY..LOBBY + PAGE], all(PAGE)), Ok(()));
    assert_eq!(ram.add(again(whole, LOBBY as isize, PAGE), all(PAGE)).unwrap(), PAGE);
    assert_eq!(ram.add(leak(4 * PAGE, 0), all(4 * PAGE)).unwrap(), 4 * PAGE);
    refused(leak(4 * PAGE, 0), all(4 * PAGE), MemoryError::TooManyRanges);
    assert_eq!((ram.total(), ram.unused()), (Pages::new(13), Pages::new(13)));
}

/// Rule: a heap of one page exactly is one.
#[test]
fn a_heap_of_one_page() {
    let heap = HeapSource::<SpinRawMutex, PAGE>::new();
    assert_eq!(heap.init(leak(PAGE - 1, 0)).unwrap_err().why, MemoryError::NoWholePage);
    assert_eq!(heap.init(leak(PAGE, 1)).unwrap_err().why, MemoryError::NoWholePage);
    assert_eq!(heap.init(leak(PAGE, 0)).unwrap(), PAGE);
    let request = AllocRequest::new(Order::PAGE);
    assert_eq!((heap.supply(&request).ready, heap.supply(&request).ever), (Some(true), Some(Pages::new(1))));
    assert_eq!(heap.unused(), Pages::new(1), "to ask takes nothing");
    let block = heap.allocate(request, Context::THREAD).unwrap();
    assert_eq!(heap.supply(&request).ready, Some(false));
    heap.free(block);
    assert_eq!(heap.supply(&AllocRequest::new(order(1))).ready, Some(false));
    assert_eq!(heap.unused(), Pages::new(1));
}

/// Rule: metadata may hold anything before, and more of it than needed does no harm.
#[test]
fn metadata_is_zeroed_and_may_be_long() {
    let ram = Two::new();
    let long = words(1000);
    long.fill(usize::MAX);
    ram.add(leak(40 * PAGE, 9), long).unwrap();
    let pages = std::iter::from_fn(|| ram.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok());
    let all: BTreeSet<_> = pages.take(40).map(|b| b.pfn()).collect();
    assert_eq!(all.len(), 39, "each page once");
    assert_eq!(ram.unused(), Pages::ZERO);
}

/// Rule: the bytes are not touched by adding, and allocated as they are.
#[test]
fn memory_is_allocated_as_it_is() {
    let memory = leak(16 * PAGE, 0);
    memory.fill(0x5a);
    let ram = Two::new();
    ram.add(memory, meta(16 * PAGE)).unwrap();
    let mut block = ram.allocate(AllocRequest::new(order(4)), Context::THREAD).unwrap();
    assert!(content(&block).iter().all(|b| *b == 0x5a));
    let bytes = fill(&mut block, 1);
    ram.free(block);
    assert!(content(&ram.allocate(AllocRequest::new(order(4)), Context::THREAD).unwrap()) == bytes);
}

/// Rule: a block never reaches from one piece into the next, even if the two touch in the middle of a run that
/// could be one; nor do two halves join across.
#[test]
fn two_touching_pieces_stay_two() {
    // 64 pages, aligned to all of them, cut at page 24: the 16s, 8s … around the cut must not be.
    let (low, high) = leak(64 * PAGE, 0).split_at_mut(24 * PAGE);
    let cut = high.as_ptr().addr() / PAGE;
    let ram = Two::new();
    ram.add(low, meta(24 * PAGE)).unwrap();
    ram.add(high, meta(40 * PAGE)).unwrap();
    let mut all: Vec<RamBlock<PAGE>> = Vec::new();
    for k in (0..=10).rev() {
        all.extend(std::iter::from_fn(|| ram.allocate(AllocRequest::new(order(k)), Context::THREAD).ok()));
    }
    let mut sizes: Vec<_> = all.iter().map(|b| b.order().pages().get()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [8, 8, 16, 32], "24 = 16 + 8 and 40 = 8 + 32");
    assert!(all.iter().all(|b| !(b.pfn().0 < cut && cut < b.pfn().0 + b.order().pages().get())));
    // The last 8 of the low piece and the first 8 of the high one would be an aligned 16.
    let at = |all: &mut Vec<RamBlock<PAGE>>, pfn| {
        let found = all.iter().position(|b| b.pfn().0 == pfn).unwrap();
        all.swap_remove(found)
    };
    let (left, right) = (at(&mut all, cut - 8), at(&mut all, cut));
    let (left, right) = ram.join(left, right).unwrap_err();
    assert_eq!((left.pfn().0, right.pfn().0), (cut - 8, cut));
    for block in all.into_iter().chain([left, right]) {
        ram.free(block);
    }
    assert_eq!(ram.unused(), ram.total());
}

/// All blocks that a source gives, the largest first: first frames and orders.
fn all_blocks(ram: &Two) -> Vec<(usize, u8)> {
    let mut blocks = Vec::new();
    for k in (0..=10).rev() {
        let taken: Vec<_> =
            std::iter::from_fn(|| ram.allocate(AllocRequest::new(order(k)), Context::THREAD).ok()).collect();
        blocks.extend(taken.iter().map(|block| (block.pfn().0, k)));
    }
    blocks.sort_unstable();
    blocks
}

/// A range of `pages` pages whose memory is added in pieces that end at these pages, in this order.
fn in_pieces(memory: &'static mut [u8], ends: &[usize], order: &[usize]) -> Two {
    let ram = Two::new();
    let span = NonNull::from(&mut *memory);
    // SAFETY: the pieces are parts of this one slice.
    unsafe { ram.add_span(span, words(Two::span_words(memory.len(), ends.len()))) }.unwrap();
    assert_eq!((ram.total(), ram.unused()), (Pages::ZERO, Pages::ZERO), "nothing is added yet");
    let (mut rest, mut pieces, mut at) = (memory, Vec::new(), 0);
    for end in ends {
        let (piece, behind) = rest.split_at_mut((end - at) * PAGE);
        pieces.push(Some(piece));
        (rest, at) = (behind, *end);
    }
    for n in order {
        let piece = pieces[*n].take().unwrap();
        let bytes = piece.len();
        assert_eq!(ram.add_piece(piece).unwrap(), bytes);
    }
    ram
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: memory of a span that is added in pieces is as if it had been added at once, whatever the pieces are, and in whatever
    /// order they are added.
    #[test]
    fn pieces_in_any_order_are_one_range(
        pages in 1..5000_usize,
        cuts in prop::collection::btree_set(1..5000_usize, 0..12),
        keys in prop::collection::vec(any::<u32>(), 13),
    ) {
        let ends: Vec<usize> = cuts.into_iter().filter(|cut| *cut < pages).chain([pages]).collect();
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_by_key(|n| keys[*n]);
        let memory = leak(pages * PAGE, 0);
        let once = Two::new();
        once.add(again(memory, 0, pages * PAGE), meta(pages * PAGE)).unwrap();
        let expected = all_blocks(&once);
        let ram = in_pieces(memory, &ends, &order);
        prop_assert_eq!((ram.total(), ram.unused()), (once.total(), Pages::new(pages)));
        for k in 0..=10 {
            let request = AllocRequest::new(self::order(k));
            prop_assert_eq!(ram.supply(&request).ever, once.supply(&request).ever);
        }
        prop_assert_eq!(all_blocks(&ram), expected);
    }
}

/// Rule: a piece belongs into a span, once; and holes are no memory. What is refused comes back.
#[test]
fn pieces_that_are_refused_come_back() {
    let memory = leak(64 * PAGE, 0);
    let ram = Two::new();
    let span = NonNull::from(&mut memory[8 * PAGE..56 * PAGE]);
    // SAFETY: the pieces are parts of this one slice.
    unsafe { ram.add_span(span, words(Two::span_words(48 * PAGE, 2))) }.unwrap();
    let refused = |piece: &'static mut [u8], why| {
        let (before, at) = ((ram.total(), ram.unused()), piece.as_ptr_range());
        let refused = ram.add_piece(piece).unwrap_err();
        assert_eq!((refused.why, refused.item.as_ptr_range()), (why, at));
        assert_eq!((ram.total(), ram.unused()), before);
    };
    for (first, pages) in [(0, 8), (4, 8), (52, 8), (56, 8), (0, 64)] {
        refused(again(memory, first * PAGE as isize, pages * PAGE), MemoryError::NoSpan);
    }
    refused(again(memory, 8 * PAGE as isize, PAGE - 1), MemoryError::NoWholePage);
    ram.add_piece(again(memory, 16 * PAGE as isize, 8 * PAGE)).unwrap();
    for (first, pages) in [(16, 8), (23, 2), (15, 2), (8, 48), (17, 1)] {
        refused(again(memory, first * PAGE as isize, pages * PAGE), MemoryError::Overlap);
    }
    ram.add_piece(again(memory, 40 * PAGE as isize, 4 * PAGE)).unwrap();
    refused(again(memory, 30 * PAGE as isize, 4 * PAGE), MemoryError::TooManyPieces);
    ram.add_piece(again(memory, 24 * PAGE as isize, 8 * PAGE)).unwrap(); // touches the first one
    let four = ram.supply(&AllocRequest::new(order(4)));
    assert_eq!((four.ever, four.ready), (Some(Pages::new(16)), Some(true)), "one block across both pieces");
    assert_eq!(ram.supply(&AllocRequest::new(order(5))).ever, Some(Pages::ZERO));
    let frames: usize = all_blocks(&ram).iter().map(|(_, k)| 1 << k).sum();
    assert_eq!(frames, 20, "and none in a hole");
    is_refused(&ram, again(memory, 44 * PAGE as isize, 4 * PAGE), meta(4 * PAGE), MemoryError::Overlap);
    let none = NonNull::from(&mut leak(PAGE, 1)[..]);
    // SAFETY: nothing is added in it.
    let no_page = unsafe { ram.add_span(none, words(200)) }.unwrap_err();
    assert_eq!((no_page.why, no_page.item.len()), (MemoryError::NoWholePage, 200));
}

/// Rule: what a block was split off is joined before an allocation fails, however small the blocks are that were freed last.
#[test]
fn kept_blocks_are_no_gap() {
    let ram = Two::new();
    ram.add(leak(128 * PAGE, 0), meta(128 * PAGE)).unwrap();
    let whole = ram.largest_free();
    for k in 0..=6 {
        let block = ram.allocate(AllocRequest::new(order(k)), Context::THREAD).unwrap();
        ram.free(block);
    }
    assert_eq!(ram.largest_free(), whole);
    for k in 0..=6 {
        let block = ram.allocate(AllocRequest::new(order(k)), Context::THREAD).unwrap();
        ram.free(block);
        assert_eq!(ram.supply(&AllocRequest::new(Order::for_pages(whole).unwrap())).ready, Some(true));
    }
    let block = ram.allocate(AllocRequest::new(Order::for_pages(whole).unwrap()), Context::THREAD).unwrap();
    assert_eq!(block.order().pages(), whole);
}

/// Rule: a block of another source is never mixed in.
#[test]
fn a_block_of_another_source_is_leaked() {
    let ram = |pages: usize| {
        let ram = Two::new();
        ram.add(leak(pages * PAGE, 0), meta(pages * PAGE)).unwrap();
        ram
    };
    let (one, other) = (ram(2), ram(2));
    one.free(other.allocate(AllocRequest::new(order(1)), Context::THREAD).unwrap());
    assert_eq!((one.unused(), one.total(), other.unused()), (Pages::new(2), Pages::new(2), Pages::ZERO));
    let heap = || {
        let heap = HeapSource::<SpinRawMutex, PAGE>::new();
        heap.init(leak(8 * PAGE, 0)).unwrap();
        heap
    };
    let (one, other) = (heap(), heap());
    let free = one.free_bytes();
    one.free(other.allocate(AllocRequest::new(order(1)), Context::THREAD).unwrap());
    assert_eq!(one.free_bytes(), free);
}

/// Rule: the source over a heap takes memory once, and at least a page; refused memory comes back.
#[test]
fn a_heap_takes_memory_once() {
    let heap = HeapSource::<SpinRawMutex, PAGE>::new();
    assert_eq!(
        heap.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).err(),
        Some(AllocError::Exhausted)
    );
    let refuse = |memory: &'static mut [u8], expected| {
        let place = memory.as_ptr_range();
        let refused = heap.init(memory).unwrap_err();
        assert_eq!(refused.why, expected);
        assert_eq!(refused.item.as_ptr_range(), place, "the memory comes back");
    };
    for (bytes, skew) in [(0, 0), (PAGE - 1, 0), (PAGE, 1), (2 * PAGE - 2, 1)] {
        refuse(leak(bytes, skew), MemoryError::NoWholePage);
    }
    let usable = heap.init(leak(10 * PAGE, 8)).unwrap();
    assert_eq!(usable, 9 * PAGE, "whole pages, where pages may lie");
    refuse(leak(8 * PAGE, 0), MemoryError::Already);
    let free = heap.free_bytes();
    assert!(free >= usable && heap.unused() == Pages::new(free / PAGE));
    let block = heap.allocate(AllocRequest::new(order(2)), Context::THREAD).unwrap();
    assert_eq!(heap.free_bytes(), free - 4 * PAGE);
    assert!(content(&block).iter().all(|b| *b == 0), "no word of the list is left in it");
    let block = block.split().unwrap_err();
    heap.free(block);
    assert_eq!(heap.free_bytes(), free);
}

#[derive(Clone, Debug)]
enum Op {
    Take(u8),
    Put(usize),
    Split(usize),
    Join(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..8_u8).prop_map(Op::Take),
        2 => any::<usize>().prop_map(Op::Put),
        2 => any::<usize>().prop_map(Op::Split),
        1 => any::<[usize; 2]>().prop_map(|[a, b]| Op::Join(a, b)),
    ]
}

/// The model: which frames are free. A buddy has a block of an order exactly if one lies in free frames.
struct Model {
    pieces: Vec<(usize, Vec<bool>)>,
}

impl Model {
    fn has(&self, k: u8) -> bool {
        self.pieces.iter().any(|(first, free)| {
            (0..free.len()).any(|i| {
                let block = free.get(i..i + (1 << k));
                (first + i).is_multiple_of(1 << k) && block.is_some_and(|b| b.iter().all(|f| *f))
            })
        })
    }

    fn set(&mut self, block: &RamBlock<256>, to: bool) {
        for n in block.pfn().0..block.pfn().0 + block.order().pages().get() {
            let (first, free) = self
                .pieces
                .iter_mut()
                .find(|(first, free)| (*first..first + free.len()).contains(&n))
                .expect("a frame of the source");
            assert_ne!(std::mem::replace(&mut free[n - *first], to), to, "frame {n:x}");
        }
    }

    fn free(&self) -> Pages {
        Pages::new(self.pieces.iter().flat_map(|(_, free)| free).filter(|f| **f).count())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Rule: it has a block of an order exactly if the free frames have one, whatever was taken, cut, joined and put
    /// before; and it counts right.
    #[test]
    fn a_buddy_is_as_good_as_its_model(
        sizes in prop::collection::vec((1..70_usize, 0..256_usize), 1..=2),
        ops in prop::collection::vec(op(), 1..120),
    ) {
        let ram = Ram::<SpinRawMutex, 256, 2>::new();
        let mut model = Model { pieces: Vec::new() };
        for (pages, skew) in sizes {
            let memory = leak((pages + 1) * 256, skew);
            let first = memory.as_ptr().addr().div_ceil(256);
            let meta = words(Ram::<SpinRawMutex, 256, 2>::metadata_words(memory.len()));
            let usable = ram.add(memory, meta).unwrap() / 256;
            prop_assert!(usable == pages || usable == pages + 1);
            model.pieces.push((first, vec![true; usable]));
        }
        let mut held: Vec<RamBlock<256>> = Vec::new();
        for op in ops {
            match op {
                Op::Take(k) => match ram.allocate(AllocRequest::new(order(k)), Context::THREAD) {
                    Ok(block) => {
                        prop_assert_eq!(block.order(), order(k));
                        prop_assert!(block.pfn().0 % order(k).pages().get() == 0);
                        model.set(&block, false);
                        held.push(block);
                    }
                    Err(_) => prop_assert!(!model.has(k), "there is a free {k}"),
                },
                Op::Put(i) if !held.is_empty() => {
                    let block = held.swap_remove(i % held.len());
                    model.set(&block, true);
                    ram.free(block);
                }
                Op::Split(i) if !held.is_empty() => {
                    let block = held.swap_remove(i % held.len());
                    match block.split() {
                        Ok(halves) => held.extend(<[_; 2]>::from(halves)),
                        Err(page) => held.push(page),
                    }
                }
                Op::Join(i, j) if held.len() > 1 => {
                    let (left, right) = (held.swap_remove(i % held.len()), held.swap_remove(j % held.len()));
                    let (k, pfn) = (left.order(), left.pfn());
                    let in_one_piece = model.pieces.iter().any(|(first, free)| {
                        let piece = *first..first + free.len();
                        piece.contains(&pfn.0) && piece.contains(&right.pfn().0)
                    });
                    let may = in_one_piece && right.order() == k && k < Order::TEN
                        && pfn.0 ^ right.pfn().0 == k.pages().get() && pfn < right.pfn();
                    match ram.join(left, right) {
                        Ok(block) => {
                            prop_assert!(may);
                            prop_assert_eq!((block.pfn(), block.order()), (pfn, Order::new(k.get() + 1).unwrap()));
                            held.push(block);
                        }
                        Err(both) => {
                            prop_assert!(!may);
                            held.extend(<[_; 2]>::from(both));
                        }
                    }
                }
                _ => {}
            }
            prop_assert_eq!(ram.unused(), model.free());
        }
        for block in held {
            model.set(&block, true);
            ram.free(block);
        }
        prop_assert_eq!(ram.unused(), ram.total());
    }
}

/// Rule: no block is larger than order 10: two neighbours of that order stay two, with their bytes, and the source has all
/// of both again.
#[test]
fn no_join_exceeds_the_largest_order() {
    let ram = Two::new();
    ram.add(leak(2048 * PAGE, 0), meta(2048 * PAGE)).unwrap();
    let mut blocks = [(); 2]
        .map(|()| ram.allocate(AllocRequest::new(Order::TEN), Context::THREAD).expect("there are two"));
    blocks.sort_by_key(|block| block.pfn());
    let [mut left, mut right] = blocks;
    assert_eq!(left.pfn().0 + 1024, right.pfn().0, "neighbours");
    left.fill(1);
    right.fill(2);
    let Err((left, right)) = ram.join(left, right) else { panic!("a block of order 11") };
    assert_eq!((left.order(), right.order()), (Order::TEN, Order::TEN));
    assert!(left.iter().all(|byte| *byte == 1) && right.iter().all(|byte| *byte == 2));
    ram.free(left);
    ram.free(right);
    assert_eq!(ram.unused(), ram.total());
    assert!(ram.allocate(AllocRequest::new(Order::TEN), Context::THREAD).is_ok());
}

/// Rule: a block that begins in a piece and ends behind it is not of that piece: it makes no second owner of a frame.
#[test]
fn a_block_that_ends_outside_is_of_no_piece() {
    let whole = Two::new();
    whole.add(leak(1024 * PAGE, 0), meta(1024 * PAGE)).unwrap();
    // A block of it becomes the memory of two other sources that touch, after 128 + 1 pages.
    let block = Box::leak(Box::new(whole.allocate(AllocRequest::new(order(8)), Context::THREAD).unwrap()));
    let (first, second) = block.split_at_mut(129 * PAGE);
    let (a, d) = (Two::new(), Two::new());
    a.add(first, meta(129 * PAGE)).unwrap();
    d.add(second, meta(127 * PAGE)).unwrap();
    let take_all = || std::iter::from_fn(|| a.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok());
    let mut mine: Vec<RamBlock<PAGE>> = take_all().collect();
    mine.sort_by_key(|block| block.pfn());
    let (left, right) =
        (mine.pop().unwrap(), d.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).unwrap());
    // It lies in `a` with its first page only: there it is no block, and leaked.
    let Ok(both) = whole.join(left, right) else { panic!("neighbours of one piece are joined") };
    mine.split_off(mine.len() - 4).into_iter().for_each(|block| a.free(block));
    let free = a.unused();
    a.free(both);
    assert_eq!(a.unused(), free, "nothing of it is free in `a`");
    let again: Vec<_> =
        std::iter::from_fn(|| a.allocate(AllocRequest::new(order(2)), Context::THREAD).ok()).collect();
    assert_eq!(again.len(), 1, "the four pages that came back");
    let pages = |block: &RamBlock<PAGE>| block.pfn().0..block.pfn().0 + block.order().pages().get();
    assert!(mine.iter().all(|block| !pages(&again[0]).contains(&block.pfn().0)), "two owners of a frame");
    // Nor is it joined there.
    let (x, y) = (
        whole.allocate(AllocRequest::new(Order::PAGE), Context::THREAD),
        d.allocate(AllocRequest::new(Order::PAGE), Context::THREAD),
    );
    assert!(a.join(x.unwrap(), y.unwrap()).is_err());
}
