//! Every source of the backends, wrapped in middleware or not, goes through the suite for platforms; caching control and free
//! lists go through theirs.

use forebay::frame::Caching;
use forebay::pool::FreeListArray;
use forebay::port::{AllPorts, FreeLists, WithCaching, WithLinear};
use forebay::sync::{CriticalSectionRawMutex, RawMutex, SpinRawMutex};
use forebay::{FrameSource, Pages, Platform};
use forebay_backends::shmem::Arena;
use forebay_backends::{Event, Faulty, HeapSource, Ram, Traced};
use hosted_tests::conformance::lists;
use hosted_tests::conformance::platform::{Joins, capacity, modes, suite, threads};
use hosted_tests::kit::Machine;
use hosted_tests::memory::{leak, words};

/// As it is, and inside each middleware that does nothing.
fn in_middleware<P: Platform + Copy>(platform: P, stranger: P, joins: Joins) {
    suite(platform, stranger, joins);
    let faulty = |platform| AllPorts(Faulty::<_, SpinRawMutex>::new(platform));
    suite(faulty(platform), faulty(stranger), joins);
    suite(&faulty(platform), &faulty(stranger), joins);
    let sink = |_: &Event| ();
    let traced = |platform| AllPorts(Traced::new(platform, sink));
    suite(traced(platform), traced(stranger), joins);
}

/// A source as a platform by itself, as a reference, with adapters, in middleware; and from threads.
fn through_everything<S: FrameSource<Block: Send> + Sync>(source: &S, stranger: &S, joins: Joins) {
    in_middleware(source, stranger, joins);
    suite(&source, &stranger, joins);
    suite(WithCaching(source, ()), WithCaching(stranger, ()), joins);
    threads(source);
    threads(&Traced::new(Faulty::<_, SpinRawMutex>::new(source), |_: &Event| ()));
}

/// The same for RAM, which gives slices too.
fn ram_through_everything<L: RawMutex + Sync, const PAGE: usize, const RANGES: usize>(
    ram: &Ram<L, PAGE, RANGES>,
    stranger: &Ram<L, PAGE, RANGES>,
    joins: Joins,
) {
    through_everything(ram, stranger, joins);
    in_middleware(WithLinear(ram, ram), WithLinear(stranger, stranger), joins);
}

fn add<L: RawMutex, const PAGE: usize, const RANGES: usize>(
    ram: &Ram<L, PAGE, RANGES>,
    bytes: usize,
    skew: usize,
) {
    let meta = words(Ram::<L, PAGE, RANGES>::metadata_words(bytes));
    let usable = ram.add(leak(bytes, skew), meta).expect("good memory");
    assert!(usable + 2 * PAGE > bytes);
}

/// Two pieces with ragged ends at odd addresses.
fn odd<L: RawMutex, const PAGE: usize>(pages: usize) -> Ram<L, PAGE, 2> {
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
    ram_through_everything(&one(), &one(), Joins::Always);
}

fn ram_in_two_odd_pieces<const PAGE: usize>() {
    ram_through_everything(&odd::<SpinRawMutex, PAGE>(45), &odd(13), Joins::Always);
    ram_through_everything(&odd::<CriticalSectionRawMutex, PAGE>(17), &odd(5), Joins::Always);
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
        let ram = Ram::<SpinRawMutex, PAGE, 2>::new();
        for piece in [low, high] {
            let meta = words(Ram::<SpinRawMutex, PAGE, 2>::metadata_words(piece.len()));
            ram.add(piece, meta).expect("good memory");
        }
        ram
    };
    ram_through_everything(&ram(0), &ram(PAGE / 2), Joins::Always);
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

/// Rule: all orders from 0 to 10 can be allocated where the memory permits.
#[test]
fn every_order_up_to_the_largest() {
    fn all<const PAGE: usize>(pages: usize) {
        let ram = Ram::<SpinRawMutex, PAGE, 2>::new();
        add(&ram, pages * PAGE, PAGE / 2);
        let small = odd::<SpinRawMutex, PAGE>(8);
        suite(&ram, &small, Joins::Always);
        let had = capacity(&ram);
        assert_eq!(had.len(), 11);
        assert!(had.iter().all(|n| *n > 0), "{had:?}");
        assert_eq!(had[0], ram.total().get());
    }
    all::<256>(2100);
    all::<512>(2100);
    all::<4096>(2100);
}

/// Rule: the kit's machine changes modes as a caching control has to, in middleware too; one mode is a caching control.
#[test]
fn caching_control() {
    const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];
    let [ram, other] = [(); 2].map(|()| {
        let ram = Ram::<SpinRawMutex, 512>::new();
        add(&ram, 48 * 512, 0);
        ram
    });
    let machine = Machine::new(&ram);
    modes(&machine, &MODES);
    modes(AllPorts(Faulty::<_, SpinRawMutex>::new(&machine)), &MODES);
    modes(AllPorts(Traced::new(&machine, |_: &Event| ())), &MODES);
    suite(&machine, &Machine::new(&other), Joins::Always);
    modes(&ram, &[()]);
    modes(WithCaching(&ram, ()), &[()]);
}

/// Rule: free lists of a fixed size keep what free lists have to, for one mode or several, whatever their size; so does a
/// reference to them.
#[test]
fn free_lists() {
    fn of_pages<L: FreeLists<forebay_backends::RamBlock<512>, ()>>(ram: &Ram<SpinRawMutex, 512>, all: &L) {
        lists::suite(ram, all, &[()]);
        lists::suite(ram, &all, &[()]);
    }
    let ram = &Ram::<SpinRawMutex, 512>::new();
    add(ram, 48 * 512, 0);
    type Source<'r> = &'r Ram<SpinRawMutex, 512>;
    of_pages(ram, &FreeListArray::<Source<'_>, 1, 1>::new());
    of_pages(ram, &FreeListArray::<Source<'_>, 4, 2>::new());
    of_pages(ram, &FreeListArray::<Source<'_>, 4, 20>::new());
    of_pages(ram, &FreeListArray::<Source<'_>, 4, 4>::with_limit(Pages::new(3)));
    let machine = Machine::new(ram);
    let modes = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];
    let all = FreeListArray::<AllPorts<Machine<Source<'_>>>, 12, 3>::new();
    lists::suite(&machine, &all, &modes);
    assert_eq!(capacity(ram)[0], ram.total().get());
}
