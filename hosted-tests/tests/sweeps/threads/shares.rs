//! One source and one region between threads, each of which has a share of it that is never refused.
//!
//! A unit is an aligned block of the largest order that is asked for. Each block spoils one unit at most, so as long as there are no
//! more blocks than units, there is room for one more, of whatever order: a refusal is a bug. And no thread has to wait for
//! that: between two steps of one who is not running, everything that is free is there for the others.

use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory::{leak, words};
use std::cell::Cell;
use std::thread;

const THREADS: usize = 4;
/// Blocks that each may have at a time.
const SHARE: usize = 3;
const UNITS: usize = THREADS * SHARE;

/// Another thread may come in between any two steps, not only where the machine happens to switch.
struct Switching;

impl IrqGuard for Switching {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        thread_local! {
            static RANDOM: Random = Random::new(1);
        }
        let result = f();
        if RANDOM.with(|random| random.below(8)) == 0 {
            thread::yield_now();
        }
        result
    }
}

/// Pseudo-random numbers: xorshift64 (Marsaglia 2003).
struct Random(Cell<u64>);

impl Random {
    fn new(seed: usize) -> Self {
        Random(Cell::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed as u64 + 1)))
    }

    fn below(&self, n: usize) -> usize {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 16) as usize % n
    }

    /// Each order with the same frequency.
    fn order(&self, most: Order) -> Order {
        order(self.below(usize::from(most.get()) + 1) as u8)
    }
}

/// Writes at both ends of each page whose it is.
fn stamp(block: &mut RamBlock<PAGE>, whose: usize) {
    for (n, page) in block.chunks_mut(PAGE).enumerate() {
        let bytes = (whose + n).to_le_bytes();
        page[..8].copy_from_slice(&bytes);
        page[PAGE - 8..].copy_from_slice(&bytes);
    }
}

#[track_caller]
fn is_stamped(block: &RamBlock<PAGE>, whose: usize) {
    for (n, page) in block.chunks(PAGE).enumerate() {
        let bytes = (whose + n).to_le_bytes();
        assert!(page[..8] == bytes && page[PAGE - 8..] == bytes, "page {n} of {block:?} is of another");
    }
}

/// The stamp of a thread's n-th block: no two have a page with the same.
fn whose(me: usize, n: usize) -> usize {
    (me << 40) | (n << 16)
}

/// A source of two pieces with `units` units in all.
fn source<L: RawMutex>(units: usize, most: Order) -> Ram<L, PAGE, 2> {
    let ram = Ram::new();
    for units in [units / 2, units - units / 2] {
        let bytes = units * (PAGE << most.get());
        ram.add(leak(bytes, 0), words(Ram::<L, PAGE, 2>::metadata_words(bytes))).unwrap();
    }
    ram
}

/// Takes all units, which must be there, and gives them back.
fn units_of<S: FrameSource>(source: &S, most: Order) -> usize {
    let all: Vec<_> = std::iter::from_fn(|| source.allocate(AllocRequest::new(most), CX).ok()).collect();
    let units = all.len();
    all.into_iter().for_each(|block| source.free(block));
    units
}

fn share_a_source<L: RawMutex + Sync>(most: Order, rounds: usize) {
    let source = &source::<L>(UNITS, most);
    thread::scope(|s| {
        for me in 0..THREADS {
            s.spawn(move || {
                let (random, mut mine) = (Random::new(me), Vec::new());
                for n in 0..rounds {
                    if mine.len() < SHARE && random.below(5) < 3 {
                        let order = random.order(most);
                        let block = source.allocate(AllocRequest::new(order), CX);
                        let mut block = block.unwrap_or_else(|why| panic!("{order:?} of {source:?}: {why}"));
                        stamp(&mut block, whose(me, n));
                        mine.push((block, whose(me, n)));
                    } else if !mine.is_empty() {
                        let (block, whose) = mine.swap_remove(random.below(mine.len()));
                        is_stamped(&block, whose);
                        source.free(block);
                    }
                }
                for (block, whose) in mine {
                    is_stamped(&block, whose);
                    source.free(block);
                }
            });
        }
    });
    assert_eq!(source.unused(), source.total());
    assert_eq!(units_of(source, most), UNITS, "not joined again");
}

/// Rule: each thread that takes and frees between the steps of others finds each frame once, and all that is free.
#[test]
fn no_thread_is_refused_its_share_of_a_source() {
    for (most, rounds) in [(0, 20_000), (2, 20_000), (5, 10_000), (10, 1_000)] {
        share_a_source::<SpinRawMutex>(order(most), rounds);
        share_a_source::<SpinRawMutex<Switching>>(order(most), rounds / 40);
    }
}

type Shared<L> = RamRegion<L, PAGE, UNITS>;

/// A region of `UNITS` units. Where it keeps units ready for the next block, it has one more for each thread that may be doing so.
fn region<L: RawMutex>(most: Order) -> Shared<L> {
    let region = Shared::<L>::new(StoreId::DEFAULT);
    let units = if most == Order::PAGE { UNITS } else { UNITS + THREADS };
    let bytes = units * (PAGE << most.get());
    region.init(leak(bytes, 0), words(Shared::<L>::metadata_words(bytes))).unwrap();
    region
}

/// One of those who share a region.
struct Sharer<'s, L> {
    source: &'s Ram<L, PAGE, 2>,
    region: &'s Shared<L>,
    random: Random,
}

impl<L: RawMutex> Sharer<'_, L> {
    fn block(&self, order: Order) -> RamBlock<PAGE> {
        self.source.allocate(AllocRequest::new(order), CX).unwrap()
    }

    fn store(&self, order: Order, whose: usize) -> Handle {
        let mut block = self.block(order);
        stamp(&mut block, whose);
        if self.random.below(4) == 0 {
            let saved = self.region.save(&block, order, None, CX);
            self.source.free(block);
            return saved.unwrap_or_else(|why| panic!("a copy of {order:?} into {:?}: {why}", self.region));
        }
        match self.region.transfer(block, None) {
            Ok(handle) => handle,
            Err(refused) => panic!("{:?} into {:?}: {}", order, self.region, refused.why),
        }
    }

    /// What is under a handle, compared, and nothing is under it any more.
    fn drop(&self, mut handle: Handle, whose: usize) {
        for _ in 0..1_000_000 {
            match self.region.take_back(handle, CX) {
                Ok(block) => {
                    is_stamped(&block, whose);
                    return self.source.free(block);
                }
                Err(refused) if refused.why == StoreError::WrongKind => {
                    let mut block = self.block(refused.item.order());
                    self.region.load(&refused.item, &mut block, Pages::ZERO, CX).unwrap();
                    is_stamped(&block, whose);
                    self.source.free(block);
                    return assert!(matches!(self.region.discard(refused.item), Ok(None)));
                }
                Err(refused) => {
                    assert_eq!(refused.why, StoreError::Busy); // another thread writes it out just now
                    handle = refused.item;
                    thread::yield_now();
                }
            }
        }
        panic!("{handle:?} is busy for ever");
    }

    fn write_out(&self, max_bytes: usize) {
        self.region.write_out_now(max_bytes, &mut |block| self.source.free(block));
    }
}

fn share_a_region<L: RawMutex + Sync>(most: Order, rounds: usize) {
    // What is transferred and not written out yet, and a block at a time outside.
    let (source, region) = (&source::<L>(2 * UNITS + THREADS, most), &region::<L>(most));
    thread::scope(|s| {
        for me in 0..THREADS {
            s.spawn(move || {
                let sharer = Sharer { source, region, random: Random::new(me) };
                let (random, mut mine) = (&sharer.random, Vec::new());
                for n in 0..rounds {
                    match random.below(8) {
                        0..4 if mine.len() < SHARE => {
                            mine.push((sharer.store(random.order(most), whose(me, n)), whose(me, n)));
                        }
                        4..6 => sharer.write_out(random.below((2 * PAGE) << most.get())),
                        _ if mine.is_empty() => {}
                        _ => {
                            let (handle, whose) = mine.swap_remove(random.below(mine.len()));
                            sharer.drop(handle, whose);
                        }
                    }
                }
                for (handle, whose) in mine {
                    sharer.drop(handle, whose);
                }
            });
        }
    });
    assert_eq!(
        (region.pending(), region.space()),
        (pages(0), Space { pages: region.total(), transfers: UNITS })
    );
    assert_eq!(source.unused(), source.total());
    let block = source.allocate(AllocRequest::new(most), CX).unwrap();
    let all: Vec<_> = (0..UNITS).map(|_| region.save(&block, most, None, CX).unwrap()).collect();
    all.into_iter().for_each(|handle| assert!(matches!(region.discard(handle), Ok(None))));
    source.free(block);
}

/// Rule: each thread that transfers, takes back and writes out between the steps of others finds its contents, and all room that is
/// free, whether an entry keeps it ready or not.
#[test]
fn no_thread_is_refused_its_share_of_a_region() {
    for (most, rounds) in [(0, 10_000), (2, 10_000), (5, 5_000)] {
        share_a_region::<SpinRawMutex>(order(most), rounds);
        share_a_region::<SpinRawMutex<Switching>>(order(most), rounds / 40);
    }
}
