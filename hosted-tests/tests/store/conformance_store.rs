//! Every store of the backends, wrapped in middleware or not, and three stores of the tests with other
//! capabilities go through the suite for stores.

use forebay::{
    BackingStore, FrameSource, OwnedBlock, Pages, StoreId,
    port::Space,
    sync::{CriticalSectionRawMutex, SpinRawMutex},
};
use forebay_backends::shmem::Arena;
use forebay_backends::{
    Event, Faulty, Gate, HeapBlock, HeapSource, Null, Ram, RamBlock, Region, Tiered, Traced,
};
use hosted_tests::conformance::other::{Attic, CopyStore, Takes};
use hosted_tests::conformance::store::{suite, threads};
use hosted_tests::kit::Crc32;
use hosted_tests::memory::{leak, words};
use std::sync::Arc;

const A: StoreId = StoreId::DEFAULT;
const B: StoreId = StoreId::new(9).expect("below 16");

/// 96 pages, ready to be split.
fn ram<const PAGE: usize>() -> Ram<SpinRawMutex, PAGE> {
    let ram = Ram::new();
    ram.add(leak(96 * PAGE, 0), words(Ram::<SpinRawMutex, PAGE>::metadata_words(96 * PAGE)))
        .expect("good memory");
    ram
}

/// A region of the slow RAM, with ragged ends; `N` transfers.
fn region<T: OwnedBlock, const PAGE: usize, const N: usize>(id: StoreId) -> Region<SpinRawMutex, T, PAGE, N> {
    let region = Region::new(id);
    let meta = words(Region::<SpinRawMutex, T, PAGE, N>::metadata_words(40 * PAGE));
    region.init(leak(40 * PAGE, 7), meta).expect("good memory");
    region
}

fn attic<T: OwnedBlock>(id: StoreId) -> Attic<T> {
    Attic::new(id, Space { pages: Pages::new(20), transfers: 6 })
}

/// As it is, inside each middleware that does nothing, behind a reference, in an `Arc`, as a trait object; and from threads.
fn through_everything<P, S>(source: &P, store: &S)
where
    P: FrameSource<Block: Send> + Sync,
    S: BackingStore<P::Block> + Sync,
{
    suite(source, store);
    suite(source, &Faulty::<_, SpinRawMutex>::new(store));
    suite(source, &Traced::new(store, |_: &Event| ()));
    let dynamic: &dyn BackingStore<P::Block> = store;
    suite(source, &dynamic);
    suite(source, &Arc::new(store));
    threads(source, store);
}

fn null<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &Null);
}

fn ram_region<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &region::<RamBlock<PAGE>, PAGE, 4>(A));
    // With a checksum, and behind a gate that is open.
    let summed = Region::<SpinRawMutex, RamBlock<PAGE>, PAGE, 4, Crc32>::new(A);
    let meta = words(Region::<SpinRawMutex, RamBlock<PAGE>, PAGE, 4, Crc32>::metadata_words(40 * PAGE));
    summed.init(leak(40 * PAGE, 7), meta).expect("good memory");
    through_everything(&ram::<PAGE>(), &Gate::<SpinRawMutex, _>::new(summed));
    // Room runs out before the table does.
    suite(&ram::<PAGE>(), &region::<RamBlock<PAGE>, PAGE, 60>(B));
}

fn region_of_unsplittable_blocks<const PAGE: usize>() {
    let heap = HeapSource::<SpinRawMutex, PAGE>::new();
    heap.init(leak(96 * PAGE, 8)).expect("good memory");
    through_everything(&heap, &region::<HeapBlock<PAGE>, PAGE, 4>(A));
    suite(&heap, &Tiered(attic(A), region::<_, PAGE, 3>(B)));
}

fn two_regions_in_a_row<const PAGE: usize>() {
    let tiers = Tiered(region::<RamBlock<PAGE>, PAGE, 2>(A), region::<RamBlock<PAGE>, PAGE, 3>(B));
    through_everything(&ram::<PAGE>(), &tiers);
}

fn null_before_a_region<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &Tiered(Null, region::<RamBlock<PAGE>, PAGE, 4>(B)));
}

fn null_behind_a_region<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &Tiered(region::<RamBlock<PAGE>, PAGE, 4>(B), Null));
}

fn stores_that_only_copy<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &CopyStore::new(A, 20, Takes::Whole));
    through_everything(&ram::<PAGE>(), &CopyStore::new(B, 20, Takes::Half));
    suite(&ram::<PAGE>(), &CopyStore::new(B, 20, Takes::Whole).with_io());
}

fn page_store<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &CopyStore::new(A, 12, Takes::Page));
    suite(&ram::<PAGE>(), &CopyStore::new(A, 12, Takes::Page).with_io());
}

fn a_store_that_only_transfers<const PAGE: usize>() {
    through_everything(&ram::<PAGE>(), &attic::<RamBlock<PAGE>>(A));
}

fn transferring_before_copying<const PAGE: usize>() {
    let tiers = Tiered(attic::<RamBlock<PAGE>>(B), CopyStore::new(A, 20, Takes::Whole));
    through_everything(&ram::<PAGE>(), &tiers);
    let three = Tiered(Tiered(Null, attic::<RamBlock<PAGE>>(B)), CopyStore::new(A, 20, Takes::Half));
    suite(&ram::<PAGE>(), &three);
}

/// The arena as source and store together.
fn shmem<const PAGE: usize>() {
    for chunk in [None, Some(PAGE), Some(16 * PAGE)] {
        let builder = Arena::builder(96 * PAGE as u64);
        let builder = chunk.map_or(builder.clone(), |bytes| builder.chunk(bytes));
        let arena = builder.create_as::<PAGE, SpinRawMutex>().expect("an arena");
        through_everything(&arena, &arena);
    }
}

fn shmem_that_copies<const PAGE: usize>() {
    for chunk in [PAGE, 8 * PAGE, 32 * PAGE] {
        let arena = Arena::builder(32 * PAGE as u64)
            .chunk(chunk)
            .create_as::<PAGE, SpinRawMutex>()
            .expect("an arena");
        through_everything(&ram::<PAGE>(), &arena.copies(B));
    }
}

#[test]
fn shmem_of_4_kib() {
    shmem::<4096>();
    shmem_that_copies::<4096>();
}

#[test]
fn shmem_of_16_kib() {
    shmem::<16384>();
    shmem_that_copies::<16384>();
}

#[test]
fn shmem_of_64_kib() {
    shmem::<65536>();
    shmem_that_copies::<65536>();
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
at_every_page_size! {
    null ram_region region_of_unsplittable_blocks two_regions_in_a_row null_before_a_region
    null_behind_a_region stores_that_only_copy page_store a_store_that_only_transfers transferring_before_copying
}

/// Rule: the raw mutex is the integrator's choice; a critical section does as well.
#[test]
fn a_region_in_critical_sections() {
    let region = Region::<CriticalSectionRawMutex, RamBlock<512>, 512, 4>::new(A);
    let meta = words(Region::<CriticalSectionRawMutex, RamBlock<512>, 512, 4>::metadata_words(40 * 512));
    region.init(leak(40 * 512, 0), meta).expect("good memory");
    through_everything(&ram::<512>(), &region);
}
