//! The region's memory: what is refused, how much is used, and when it is touched.

use super::*;
use forebay::port::Capabilities;
use forebay_backends::MemoryError;

#[track_caller]
fn is_refused<const N: usize>(
    region: &Slow<N>,
    (bytes, skew): (usize, usize),
    meta: usize,
    expected: MemoryError,
) {
    let (memory, meta) = (leak(bytes, skew), words(meta));
    let places = (memory.as_ptr_range(), meta.as_ptr_range());
    assert_eq!(region.check(memory, meta), Err(expected));
    let refused = region.init(memory, meta).unwrap_err();
    assert_eq!(refused.why, expected);
    let (memory, meta) = refused.item;
    assert_eq!((memory.as_ptr_range(), meta.as_ptr_range()), places, "the memory comes back");
}

/// Rule: bad memory is refused with the reason, and comes back; the region is as before.
#[test]
fn bad_memory_comes_back() {
    let region = Slow::<4>::new(StoreId::DEFAULT);
    let many = Slow::<4>::metadata_words(64 * PAGE);
    for (bytes, skew) in [(0, 0), (PAGE - 1, 0), (PAGE, 1), (2 * PAGE - 2, 1)] {
        is_refused(&region, (bytes, skew), many, MemoryError::NoWholePage);
    }
    for pages in [1, 2, 3, 8, 63, 64] {
        let needed = Slow::<4>::metadata_words(pages * PAGE);
        is_refused(&region, (pages * PAGE, 0), needed - 1, MemoryError::Metadata { words: needed });
        is_refused(&region, (pages * PAGE, 0), 0, MemoryError::Metadata { words: needed });
        let exact = Slow::<4>::new(StoreId::DEFAULT);
        assert_eq!(exact.init(leak(pages * PAGE, 0), words(needed)).unwrap(), pages * PAGE);
        assert_eq!(exact.total(), Pages::new(pages));
    }
    // With ragged ends there are fewer pages: the error says what is enough for them.
    let Err(MemoryError::Metadata { words: enough }) = region.check(leak(65 * PAGE, 1), words(0)) else {
        panic!("no metadata at all")
    };
    assert!(enough <= Slow::<4>::metadata_words(65 * PAGE));
    is_refused(&region, (65 * PAGE, 1), enough - 1, MemoryError::Metadata { words: enough });
    assert_eq!(region.init(leak(65 * PAGE, 1), words(enough)).unwrap(), 64 * PAGE, "ragged ends are trimmed");
    is_refused(&region, (64 * PAGE, 0), many, MemoryError::Already);
    assert_eq!((region.total(), region.space().pages), (Pages::new(64), Pages::new(64)));
}

/// Rule: more pages than handles can name are refused. A word of 64 bits names 2^56 − 1 values: at 65,534
/// transfers that is 2^40 pages, more than any address space holds, so it can be shown on smaller words only.
#[test]
fn too_large_for_the_handles() {
    const MOST: usize = u16::MAX as usize - 1;
    static REGION: RamRegion<SpinRawMutex, 256, MOST> = RamRegion::new(StoreId::DEFAULT);
    let bytes = (Handle::VALUES / (MOST + 1)).saturating_mul(256);
    if bytes < 1 << 28 {
        let bytes = bytes + 256;
        let meta = words(RamRegion::<SpinRawMutex, 256, MOST>::metadata_words(bytes));
        assert_eq!(REGION.check(leak(bytes, 0), meta), Err(MemoryError::TooLarge));
    } else {
        assert!(bytes >= 1 << 48, "reachable after all: show it");
    }
}

/// Rule: the bytes of the region are not touched before something is written out to them.
#[test]
fn memory_is_untouched_before_the_write_out() {
    struct Look;
    impl CopyEngine<Block, PAGE> for Look {
        fn start(&mut self, mut job: Job<Block, PAGE>) {
            assert_eq!(job.to().len(), job.len());
            assert!(job.to().iter().all(|b| *b == 0xa5), "touched too early");
            SEEN.set(Some(job));
        }
        fn poll(&mut self) -> Poll<Option<Job<Block, PAGE>>> {
            Poll::Ready(SEEN.take().map(|mut job| {
                job.copy();
                job
            }))
        }
    }
    thread_local! {
        static SEEN: Cell<Option<Job<Block, PAGE>>> = const { Cell::new(None) };
    }
    let source = source();
    let region = Slow::<8>::new(StoreId::DEFAULT);
    let memory = leak(8 * PAGE, 0);
    memory.fill(0xa5);
    region.init(memory, words(Slow::<8>::metadata_words(8 * PAGE))).unwrap();
    // Transferred, taken back, discarded, and transferred again: all of it, and not a byte.
    for seed in 0..4 {
        let handle = transferred(&region, &source, 3, seed);
        match seed % 2 {
            0 => source.free(region.take_back(handle, Context::THREAD).unwrap()),
            _ => source.free(region.discard(handle).unwrap().expect("it waits")),
        }
    }
    let handles: Vec<_> = (0..4).map(|seed| transferred(&region, &source, 1, seed)).collect();
    let mut calls = 0;
    while region.write_out(&mut Look, 200, &mut |block| source.free(block)).is_pending() {
        calls += 1;
    }
    assert!(calls > 8);
    for (handle, seed) in handles.into_iter().zip(0..) {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
    assert!(region.capabilities().contains(Capabilities::all() - Capabilities::NEEDS_IO));
}

/// Rule: a region that takes no blocks (N = 0) and one without memory still refuse in order.
#[test]
fn without_a_table_or_memory_it_refuses() {
    let source = source();
    let copies = region::<0>(4);
    let refused = copies.transfer(block(&source, 0, 1), None).unwrap_err();
    assert_eq!(refused.why, StoreError::Unsupported);
    let handle = copies.save(&refused.item, Order::PAGE, None, Context::THREAD).unwrap();
    source.free(refused.item);
    holds(&copies, &source, &handle, 1);
    copies.discard(handle).unwrap();
    let bare = Slow::<4>::new(StoreId::DEFAULT);
    let refused = bare.transfer(block(&source, 0, 1), None).unwrap_err();
    assert_eq!((refused.why, bare.total()), (StoreError::Full, Pages::ZERO));
    assert_eq!(bare.save(&refused.item, Order::PAGE, None, Context::THREAD), Err(StoreError::Full));
    source.free(refused.item);
    assert_eq!(source.unused(), source.total());
}
