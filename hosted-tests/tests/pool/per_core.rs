//! Free lists for each core.

use forebay::pool::{CurrentCore, FreeListArray, OfCore, PerCore, Pool};
use forebay::port::{FreeLists, WithLists};
use forebay::{AllocError, AllocRequest, Context, OwnedBlock, Pages, Zones, sync::SpinRawMutex};
use forebay_backends::{Ram, RamBlock};
use hosted_tests::conformance::{content, order};
use hosted_tests::memory::{leak, words};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const CX: Context = Context::THREAD;
const PAGE: usize = 512;
const DEPTH: usize = 8;
type Near = Ram<SpinRawMutex, PAGE>;
type Lists = PerCore<FreeListArray<Near, 4, DEPTH>, Me, 3>;
type Near3 = Pool<WithLists<Near, Lists>>;

std::thread_local! {
    static CORE: Cell<usize> = const { Cell::new(0) };
}

/// The core that a test says.
struct Me;

impl CurrentCore for Me {
    fn current() -> usize {
        CORE.get()
    }
}

fn pool(pages: usize) -> Near3 {
    let near = Near::new();
    near.add(leak(pages * PAGE, 0), words(Near::metadata_words(pages * PAGE))).unwrap();
    Pool::new(WithLists(near, PerCore::new([const { OfCore(FreeListArray::new()) }; 3])))
}

fn page() -> AllocRequest {
    AllocRequest::new(order(0))
}

/// Rule: an empty list is filled with several blocks, half of what it may have and no more than 64 pages; each block is in one place.
#[test]
fn an_empty_list_is_filled_with_several() {
    let pool = pool(64);
    let block = pool.take(page(), (), CX).unwrap();
    assert_eq!(pool.ready(Zones::ALL), Pages::new(DEPTH / 2 - 1), "fetched with the first one");
    let mut seen = BTreeSet::from([block.pfn()]);
    let mut all = vec![block];
    while let Ok(block) = pool.take(page(), (), CX) {
        assert!(content::<RamBlock<PAGE>>(&block).iter().all(|byte| *byte == 0));
        assert!(seen.insert(block.pfn()), "a page twice");
        all.push(block);
    }
    assert_eq!(all.len(), 64, "all of it");
    all.into_iter().for_each(|block| pool.put(block, CX).unwrap());
    pool.trim(Zones::ALL, Pages::MAX, CX);
    assert_eq!(pool.take(AllocRequest::new(order(3)), (), CX).unwrap().order(), order(3));
}

/// Rule: a core uses lists of its own; what others keep is taken where the source has none, and by a trim.
#[test]
fn no_block_is_out_of_reach() {
    let pool = pool(8);
    CORE.set(1);
    let all: Vec<_> = std::iter::from_fn(|| pool.take(page(), (), CX).ok()).collect();
    assert_eq!(all.len(), 8);
    let kept: BTreeSet<_> = all.iter().map(|block| block.pfn()).collect();
    all.into_iter().for_each(|block| pool.put(block, CX).unwrap());
    assert_eq!(pool.ready(Zones::ALL), Pages::new(8));
    CORE.set(2);
    let stolen: Vec<_> = std::iter::from_fn(|| pool.take(page(), (), CX).ok()).collect();
    assert_eq!(stolen.iter().map(|block| block.pfn()).collect::<BTreeSet<_>>(), kept);
    assert_eq!(pool.take(page(), (), CX).err(), Some(AllocError::Exhausted));
    CORE.set(7); // a core too many uses the lists of another
    stolen.into_iter().for_each(|block| pool.put(block, CX).unwrap());
    CORE.set(0);
    assert_eq!(pool.trim(Zones::ALL, Pages::new(3), CX), Pages::new(3));
    assert_eq!(pool.ready(Zones::ALL), Pages::new(5));
    pool.trim(Zones::ALL, Pages::MAX, CX);
    assert_eq!(pool.take(AllocRequest::new(order(3)), (), CX).map(|block| block.order()), Ok(order(3)));
}

/// Rule: a reservation is ended where it was made, once, whatever core asks.
#[test]
fn reservations_are_of_their_core() {
    let (pool, lists) = (pool(8), Lists::new([const { OfCore(FreeListArray::new()) }; 3]));
    let id = forebay::port::FreeListId { number: 0, order: order(0) };
    CORE.set(2);
    for _ in 0..2 {
        assert!(lists.put(id, pool.take(page(), (), CX).unwrap()).is_ok());
    }
    CORE.set(0);
    let block = lists.take_reserved(id).expect("another core's");
    assert!(lists.unreserve(id, Some(block)).is_ok());
    assert_eq!(lists.counts(id).unwrap().ready, 2);
    let block = lists.take_reserved(id).unwrap();
    assert!(lists.unreserve(id, None).is_ok());
    let Err(Some(block)) = lists.unreserve(id, Some(block)) else { panic!("there is no reservation") };
    pool.put(block, CX).unwrap();
    assert_eq!(lists.batch(id), DEPTH / 2);
    assert!(lists.take(id).is_none(), "the lists of this core are empty");
    CORE.set(2);
    pool.put(lists.take(id).unwrap(), CX).unwrap();
    CORE.set(0);
}

/// Rule: threads on several cores, and a trim at the same time, find each page once, and in the end all of them are there.
#[test]
fn cores_at_once_find_each_page_once() {
    let pool = pool(256);
    let owned: Vec<_> = (0..256).map(|_| AtomicBool::new(false)).collect();
    // The pages of a block, which are 256 in a row.
    let mark = |block: &RamBlock<PAGE>, to: bool| {
        for n in block.pfn().0..block.pfn().0 + block.order().pages().get() {
            assert_ne!(owned[n % 256].swap(to, Ordering::SeqCst), to, "page {n}");
        }
    };
    thread::scope(|scope| {
        for core in 0..3 {
            let (pool, mark) = (&pool, &mark);
            scope.spawn(move || {
                CORE.set(core);
                let (mut held, mut random) = (Vec::new(), 0x2545_f491_4f6c_dd1d_u64 + core as u64);
                for _ in 0..20_000 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    if random % 5 < 3 {
                        let k = order((random >> 8) as u8 % 4);
                        let Ok(block) = pool.take_unzeroed(AllocRequest::new(k), (), CX) else { continue };
                        assert_eq!(block.order(), k);
                        mark(&block, true);
                        held.push(block);
                    } else if random % 97 == 0 {
                        pool.trim(Zones::ALL, Pages::new(4), CX);
                    } else if !held.is_empty() {
                        let block = held.swap_remove(random as usize % held.len());
                        mark(&block, false);
                        pool.put(block, CX).unwrap();
                    }
                }
                for block in held {
                    mark(&block, false);
                    pool.put(block, CX).unwrap();
                }
            });
        }
    });
    pool.trim(Zones::ALL, Pages::MAX, CX);
    assert_eq!(pool.ready(Zones::ALL), Pages::ZERO);
    let pages = std::iter::from_fn(|| pool.take(page(), (), CX).ok()).count();
    assert_eq!(pages, 256);
}
