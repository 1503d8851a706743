//! Every source of the backends, wrapped in middleware or not, goes through the suite for platforms.

use forebay::{
    Platform,
    sync::{CriticalSectionRawMutex, RawMutex, SpinRawMutex},
};
use forebay_backends::shmem::Arena;
use forebay_backends::{Event, Faulty, HeapSource, Ram, Traced};
use hosted_tests::conformance::platform::{Joins, suite, threads};
use hosted_tests::memory::{leak, words};

/// As it is, as a reference, and inside each middleware that does nothing.
fn through_everything<P: Platform<Block: Send> + Sync>(source: &P, stranger: &P, joins: Joins) {
    suite(source, stranger, joins);
    suite(&source, &stranger, joins);
    suite(&Faulty::<_, SpinRawMutex>::new(source), &Faulty::new(stranger), joins);
    let sink = |_: &Event| ();
    suite(&Traced::new(source, sink), &Traced::new(stranger, sink), joins);
    threads(source);
    threads(&Traced::new(Faulty::<_, SpinRawMutex>::new(source), sink));
}

fn add<L: RawMutex, const PAGE: usize>(ram: &Ram<L, PAGE>, bytes: usize, skew: usize) {
    let meta = words(Ram::<L, PAGE>::metadata_words(bytes));
    let usable = ram.add(leak(bytes, skew), meta).expect("good memory");
    assert!(usable + 2 * PAGE > bytes);
}

/// Two pieces with ragged ends at odd addresses.
fn odd<L: RawMutex, const PAGE: usize>(pages: usize) -> Ram<L, PAGE> {
    let ram = Ram::new();
    add(&ram, pages * PAGE, 7);
    add(&ram, pages / 2 * PAGE + PAGE / 2, 3 * PAGE + 1);
    ram
}

fn ram_in_one_piece<const PAGE: usize>() {
    let one = || {
        let ram = Ram::<SpinRawMutex, PAGE>::new();
        add(&ram, 48 * PAGE, 0);
        ram
    };
    through_everything(&one(), &one(), Joins::Always);
}

fn ram_in_two_odd_pieces<const PAGE: usize>() {
    through_everything(&odd::<SpinRawMutex, PAGE>(45), &odd(13), Joins::Always);
    through_everything(&odd::<CriticalSectionRawMutex, PAGE>(17), &odd(5), Joins::Always);
}

fn heap<const PAGE: usize>() {
    for skew in [0, 24, PAGE - 8] {
        let heap = |bytes| {
            let heap = HeapSource::<SpinRawMutex, PAGE>::new();
            heap.init(leak(bytes, skew)).expect("good memory");
            heap
        };
        through_everything(&heap(48 * PAGE), &heap(9 * PAGE + 57), Joins::Never);
    }
}

/// Two pieces that touch, cut in the middle of a run that could be one block.
fn two_pieces_that_touch<const PAGE: usize>() {
    let ram = |skew| {
        let (low, high) = leak(40 * PAGE, skew).split_at_mut(17 * PAGE);
        let ram = Ram::<SpinRawMutex, PAGE>::new();
        for piece in [low, high] {
            let meta = words(Ram::<SpinRawMutex, PAGE>::metadata_words(piece.len()));
            ram.add(piece, meta).expect("good memory");
        }
        ram
    };
    through_everything(&ram(0), &ram(PAGE / 2), Joins::Always);
}

/// Chunks of a system page, of a few blocks, and of a huge page; the kernel's pages are not always the block's.
fn shmem<const PAGE: usize>() {
    for chunk in [None, Some(PAGE.max(4096)), Some(8 * PAGE.max(4096))] {
        let arena = |bytes| {
            let builder = Arena::builder(bytes);
            let builder = chunk.map_or(builder.clone(), |bytes| builder.chunk(bytes));
            builder.create_as::<PAGE, SpinRawMutex>().expect("an arena")
        };
        through_everything(&arena(40 * PAGE as u64), &arena(PAGE as u64), Joins::Always);
    }
}

#[test]
fn shmem_of_4_kib() {
    shmem::<4096>();
}

#[test]
fn shmem_of_16_kib() {
    shmem::<16384>();
}

#[test]
fn shmem_of_64_kib() {
    shmem::<65536>();
}

macro_rules! at_every_page_size {
    ($($kind:ident)+) => {$(
        mod $kind {
            #[test]
            fn of_256_bytes() { super::$kind::<256>(); }
            #[test]
            fn of_512_bytes() { super::$kind::<512>(); }
            #[test]
            fn of_4_kib() { super::$kind::<4096>(); }
            #[test]
            fn of_64_kib() { super::$kind::<65536>(); }
        }
    )+};
}
at_every_page_size! { ram_in_one_piece ram_in_two_odd_pieces heap two_pieces_that_touch }

/// Rule: all orders from 0 to 10 are to be had where the memory permits.
#[test]
fn every_order_up_to_the_largest() {
    fn all<const PAGE: usize>(pages: usize) {
        let ram = Ram::<SpinRawMutex, PAGE>::new();
        add(&ram, pages * PAGE, PAGE / 2);
        let small = odd::<SpinRawMutex, PAGE>(8);
        suite(&ram, &small, Joins::Always);
        let had = hosted_tests::conformance::platform::capacity(&ram);
        assert_eq!(had.len(), 11);
        assert!(had.iter().all(|n| *n > 0), "{had:?}");
        assert_eq!(had[0], ram.total().get());
    }
    all::<256>(2100);
    all::<512>(2100);
    all::<4096>(2100);
}
