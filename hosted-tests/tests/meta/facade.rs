//! Everything in one static: `RamForebay`.
#![allow(unsafe_code)]

use forebay::{
    AccessError, AllocError, AllocRequest, Buffer, Context, Evict, FrameSource, Order, Pages, Slot,
    sync::{CriticalSectionRawMutex, SpinRawMutex},
};
use forebay_backends::{InitError, InitErrorKind, MemoryError, Ram, RamBuffer, RamForebay};
use hosted_tests::conformance::pattern;
use hosted_tests::memory::{leak, words};

const PAGE: usize = 512;
type Home = RamForebay<SpinRawMutex, PAGE, 4>;

const FAST: usize = 16 * PAGE;
const SLOW: usize = slow(32 * PAGE);
const WORD: usize = size_of::<usize>();

/// Bytes of slow RAM of which `bytes` are usable: each page has a word behind them.
const fn slow(bytes: usize) -> usize {
    bytes + bytes / PAGE * size_of::<usize>()
}

/// Refused for this reason; everything comes back.
#[track_caller]
fn is_refused(
    home: &Home,
    fast: &'static mut [u8],
    slow: &'static mut [u8],
    meta: &'static mut [usize],
    expected: InitErrorKind,
) {
    let places = (fast.as_ptr_range(), slow.as_ptr_range(), meta.as_ptr_range());
    let total = (home.platform().total(), home.store().total());
    let InitError { why, fast, slow, meta } = home.init(fast, slow, meta).unwrap_err();
    assert_eq!(why, expected);
    assert_eq!((fast.as_ptr_range(), slow.as_ptr_range(), meta.as_ptr_range()), places, "it comes back");
    assert_eq!((home.platform().total(), home.store().total()), total, "nothing was kept");
    let text = InitError { why, fast, slow, meta }.to_string();
    let range = if matches!(expected, InitErrorKind::Fast(_)) { "fast RAM: " } else { "slow RAM: " };
    assert!(text.starts_with(range), "{text}");
}

/// Rule: whatever is wrong with the memory, all three ranges come back, and a right init works afterwards.
#[test]
fn bad_memory_comes_back() {
    use InitErrorKind::{Fast, Slow};
    static HOME: Home = RamForebay::new();
    let all = Home::metadata_words(FAST);
    let none = MemoryError::NoWholePage;
    is_refused(&HOME, leak(PAGE, 1), leak(SLOW, 0), words(all), Fast(none));
    is_refused(&HOME, leak(0, 0), leak(0, 0), words(all), Slow(none));
    is_refused(&HOME, leak(FAST, 0), leak(PAGE - 1, 0), words(all), Slow(none));
    let short = MemoryError::Metadata { words: all };
    is_refused(&HOME, leak(FAST, 0), leak(SLOW, 0), words(0), Fast(short));
    is_refused(&HOME, leak(FAST, 0), leak(SLOW, 0), words(all - 1), Fast(short));
    // A page without a word behind it is none.
    is_refused(&HOME, leak(FAST, 0), leak(PAGE + WORD - 1, 0), words(all), Slow(none));
    assert_eq!(HOME.init(leak(FAST, 7), leak(SLOW, 9), words(all)).unwrap(), (FAST - PAGE, 31 * PAGE));
    // There is one region, and one range of fast RAM.
    is_refused(&HOME, leak(FAST, 0), leak(SLOW, 0), words(all), Slow(MemoryError::Already));
    let refused = HOME.platform().add(leak(FAST, 0), words(all)).unwrap_err();
    assert_eq!(refused.why, MemoryError::TooManyRanges);
}

/// Rule: fast and slow RAM that share a byte are refused, as is fast RAM that is there already.
#[test]
fn overlapping_ranges_are_refused() {
    static HOME: Home = RamForebay::new();
    let all = || words(Home::metadata_words(FAST));
    let start = leak(FAST + SLOW, 0).as_mut_ptr();
    let part = |at: usize, bytes| -> &'static mut [u8] {
        assert!(at + bytes <= FAST + SLOW);
        // SAFETY: inside one allocation that is never given back. Where two share bytes, they are refused: nothing
        // reads or writes through them.
        unsafe { std::slice::from_raw_parts_mut(start.add(at), bytes) }
    };
    let shared = InitErrorKind::Slow(MemoryError::Overlap);
    for at in [0, PAGE, FAST - 1] {
        is_refused(&HOME, part(0, FAST), part(at, SLOW), all(), shared);
    }
    is_refused(&HOME, part(SLOW - 1, FAST), part(0, SLOW), all(), shared);
    assert_eq!(
        HOME.init(part(0, FAST), part(FAST, SLOW), all()).unwrap(),
        (FAST, 32 * PAGE),
        "touching is not sharing"
    );
    let refused = HOME.platform().add(part(FAST - PAGE, 2 * PAGE), all()).unwrap_err();
    assert_eq!(refused.why, MemoryError::Overlap);
}

/// Rule: a buffer has the next power of two of pages.
#[test]
fn a_buffer_is_rounded_up() {
    static HOME: Home = RamForebay::new();
    static BYTE: RamBuffer<SpinRawMutex, PAGE, 4> = HOME.buffer::<1>();
    static MORE: RamBuffer<SpinRawMutex, PAGE, 4> = HOME.buffer::<{ PAGE + 1 }>();
    assert!(matches!(BYTE.read(), Err(AccessError::Alloc(_))), "no memory yet");
    let meta = words(Home::metadata_words(FAST));
    HOME.init(leak(FAST, 0), leak(SLOW, 0), meta).unwrap();
    assert_eq!((BYTE.read().unwrap().len(), MORE.read().unwrap().len()), (PAGE, 2 * PAGE));
    assert_eq!(HOME.buffer::<PAGE>().read().unwrap().len(), PAGE);
    assert_eq!(HOME.buffer::<{ 3 * PAGE }>().read().unwrap().len(), 4 * PAGE);
    assert_eq!(HOME.buffer::<{ 4 * PAGE + 1 }>().read().unwrap().len(), 8 * PAGE);
    // A request for the largest order can be written, though there is no such block here.
    let largest = HOME.buffer::<{ PAGE << 10 }>();
    assert!(matches!(largest.read(), Err(AccessError::Alloc(_))));
    BYTE.purge(Context::THREAD).unwrap();
    MORE.purge(Context::THREAD).unwrap();
    assert_eq!(
        HOME.platform().unused(),
        HOME.platform().total(),
        "buffers that were dropped gave back theirs"
    );
}

/// Transfers, writes out, and reads again; the same with any lock.
macro_rules! goes_out_and_comes_back {
    ($name:ident, $lock:ty, $page:expr) => {
        #[test]
        fn $name() {
            const PAGE: usize = $page;
            const LEN: usize = 4 * PAGE;
            type Home = RamForebay<$lock, PAGE, 4>;
            static HOME: Home = RamForebay::new();
            static BUFFERS: [RamBuffer<$lock, PAGE, 4>; 3] =
                [HOME.buffer::<LEN>(), HOME.buffer::<LEN>(), HOME.buffer::<LEN>()];
            let meta = words(Home::metadata_words(16 * PAGE));
            HOME.init(leak(16 * PAGE, 0), leak(32 * PAGE, 0), meta).unwrap();
            for (buffer, seed) in BUFFERS.iter().zip(0..) {
                buffer.write().unwrap().copy_from_slice(&pattern(seed, LEN));
            }
            let pages = |n| Pages::new(n);
            assert_eq!(HOME.platform().unused(), pages(4));
            // Two of three, as asked: to the byte, rounded up to whole buffers.
            assert_eq!(HOME.transfer(&BUFFERS, LEN + 1), 2 * LEN);
            assert_eq!((HOME.stats().evicted.transferred, HOME.pending()), (pages(8), 2 * LEN));
            assert_eq!(HOME.platform().unused(), pages(4), "nothing is free before it is written out");
            // A byte more than a buffer: one is written out, the other begun.
            assert_eq!(HOME.write_out(LEN + 1), LEN + 1);
            assert_eq!((HOME.platform().unused(), HOME.store().pending()), (pages(8), pages(4)));
            assert_eq!(HOME.write_out(usize::MAX), LEN - 1);
            assert_eq!(HOME.write_out(usize::MAX), 0);
            assert_eq!((HOME.platform().unused(), HOME.store().pending()), (pages(12), pages(0)));
            for (buffer, seed) in BUFFERS.iter().zip(0..) {
                assert!(buffer.read().unwrap()[..] == pattern(seed, LEN));
            }
            assert_eq!(HOME.stats().settled, pages(8), "what a write-out returns is counted");
            // All of it again, taken back before anything is written out.
            assert_eq!(HOME.transfer(&BUFFERS, usize::MAX), 3 * LEN);
            assert!(HOME.stats().evicted.refused == pages(0) && HOME.write_out(1) <= 1);
            for (buffer, seed) in BUFFERS.iter().zip(0..) {
                assert!(buffer.read().unwrap()[..] == pattern(seed, LEN));
                buffer.purge(Context::THREAD).unwrap();
            }
            assert_eq!(HOME.platform().unused(), HOME.platform().total());
            assert_eq!(forebay::BackingStore::space(HOME.store()).pages, HOME.store().total());
            let stats = HOME.stats();
            assert_eq!((stats.evicted.copied, stats.leaked), (pages(0), pages(0)), "nothing was copied in");
        }
    };
}
goes_out_and_comes_back!(with_a_spin_lock, SpinRawMutex, 512);
goes_out_and_comes_back!(in_critical_sections, CriticalSectionRawMutex, 256);
goes_out_and_comes_back!(with_large_pages, SpinRawMutex, 65536);

/// Rule: everything else of a `Forebay` is there too; without memory nothing is lost but time.
#[test]
fn without_memory_everything_says_so() {
    static HOME: Home = RamForebay::new();
    assert_eq!(
        HOME.platform().allocate(AllocRequest::new(Order::PAGE), Context::THREAD).err(),
        Some(AllocError::Exhausted)
    );
    let buffer = HOME.buffer::<1>();
    assert_eq!(HOME.transfer([&buffer], 1), 0);
    assert_eq!(HOME.write_out(usize::MAX), 0);
    let report = HOME.reclaim([&buffer], Pages::MAX, Evict::ANY, Context::THREAD);
    assert_eq!(hosted_tests::kit::freed(&report), Pages::ZERO);
    assert!(format!("{HOME:?}").starts_with("Forebay"));
}

/// Rule: `make_room` frees what is asked, loses nothing, and ends where nothing more can be done: guards are alive, or
/// the slow RAM is full.
#[test]
fn room_is_made_or_not() {
    static HOME: Home = RamForebay::new();
    static TILES: [RamBuffer<SpinRawMutex, PAGE, 4>; 8] = [const { HOME.buffer::<{ 2 * PAGE }>() }; 8];
    HOME.init(leak(FAST, 0), leak(slow(12 * PAGE), 0), words(Home::metadata_words(FAST))).unwrap();
    for (n, tile) in TILES.iter().enumerate() {
        tile.write().unwrap().fill(n as u8 + 1);
    }
    assert_eq!((HOME.free(), HOME.pending()), (0, 0));
    let full = Err(AccessError::Alloc(AllocError::Exhausted));
    assert!(HOME.make_room(&TILES, PAGE).unwrap() >= PAGE);
    assert!(HOME.make_room(&TILES, 6 * PAGE).unwrap() >= 6 * PAGE, "more blocks than may wait at a time");
    {
        let guards: Vec<_> = TILES.iter().filter_map(|t| t.read().ok()).collect();
        let free = HOME.free();
        assert!(guards.len() >= 5);
        assert_eq!(HOME.make_room(&TILES, FAST), full, "everything resident is in use");
        assert_eq!(HOME.free(), free);
    }
    // Six tiles fit into the slow RAM, and two stay.
    for _ in 0..2 {
        assert_eq!(HOME.make_room(&TILES, FAST), full);
        assert_eq!((HOME.pending(), HOME.free()), (0, FAST - 4 * PAGE));
    }
    for (n, tile) in TILES.iter().enumerate() {
        HOME.make_room(&TILES, 2 * PAGE).unwrap();
        assert!(tile.read().unwrap().iter().all(|b| *b == n as u8 + 1), "tile {n}");
    }
}

/// Rule: `make_room` makes room for a buffer: where free memory lies in pieces that are all too small, more leaves.
#[test]
fn room_is_made_for_a_buffer_not_only_for_its_bytes() {
    static HOME: Home = RamForebay::new();
    static LARGE: RamBuffer<SpinRawMutex, PAGE, 4> = HOME.buffer::<{ 4 * PAGE }>();
    static SMALL: [RamBuffer<SpinRawMutex, PAGE, 4>; 16] = [const { HOME.buffer::<PAGE>() }; 16];
    HOME.init(leak(FAST, 0), leak(SLOW, 0), words(Home::metadata_words(FAST))).unwrap();
    for (n, small) in SMALL.iter().enumerate() {
        small.write().unwrap().fill(n as u8 + 1);
    }
    SMALL.iter().step_by(2).for_each(|small| small.purge(Context::THREAD).unwrap());
    assert!(HOME.free() >= 4 * PAGE, "enough, in pieces of one page");
    assert!(matches!(LARGE.write(), Err(AccessError::Alloc(_))));
    HOME.make_room(&SMALL, 4 * PAGE).unwrap();
    LARGE.write().unwrap().fill(0xcc);
    for (n, small) in SMALL.iter().enumerate().skip(1).step_by(2) {
        HOME.make_room(&SMALL, PAGE).unwrap();
        assert!(small.read().unwrap().iter().all(|b| *b == n as u8 + 1), "buffer {n}");
    }
    assert!(LARGE.read().unwrap().iter().all(|b| *b == 0xcc));
}

/// Rule: a buffer of several blocks lies in a static beside a `RamForebay`, too.
#[test]
fn a_static_buffer_of_several_blocks() {
    static HOME: Home = RamForebay::new();
    type Fast = Ram<SpinRawMutex, PAGE>;
    type Wide = Buffer<&'static Home, [Slot<Fast>; 3]>;
    static WIDE: Wide = Wide::inline(&HOME, Order::PAGE);
    HOME.init(leak(FAST, 0), leak(SLOW, 0), words(Home::metadata_words(FAST))).unwrap();
    let bytes = pattern(5, 3 * PAGE);
    assert_eq!(WIDE.write().unwrap().write_at(0, &bytes), bytes.len());
    assert_eq!(WIDE.evict(Pages::MAX, Evict::TRANSFER, Context::THREAD).unwrap().moved(), Pages::new(3));
    assert_eq!(HOME.write_out(usize::MAX), bytes.len());
    let mut back = vec![0; bytes.len()];
    assert_eq!(WIDE.read().unwrap().read_at(0, &mut back), back.len());
    assert_eq!(back, bytes);
}
