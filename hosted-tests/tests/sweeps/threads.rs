//! Shrinkers against readers, writers, a purger and a settler. Bytes are looked at with each guard; at the end
//! nothing leaked. No loop waits for time: what is busy is tried again a bounded number of times.
//!
//! The stores are not watched here: an oracle between two threads would order what it should catch.

mod shares;
use forebay_backends::*;
use hosted_tests::kit::*;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

const ROUNDS: usize = 5000;

/// Who is inside a buffer: readers, and writers in units of a thousand.
#[derive(Default)]
struct Inside(AtomicUsize);

impl Inside {
    fn enter<R>(&self, weight: usize, legal: impl Fn(usize) -> bool, f: impl FnOnce() -> R) -> R {
        let before = self.0.fetch_add(weight, Ordering::AcqRel);
        assert!(legal(before), "{before} are inside already");
        let result = f();
        self.0.fetch_sub(weight, Ordering::AcqRel);
        result
    }
}

/// `f` until it is not busy, but not for ever. Exhausted is an answer too: the shrinkers hold some.
fn patiently<T>(mut f: impl FnMut() -> Result<T, AccessError>) -> Option<T> {
    for _ in 0..10_000 {
        match f() {
            Ok(t) => return Some(t),
            Err(AccessError::Busy | AccessError::Alloc(_)) => thread::yield_now(),
            Err(e) => panic!("{e}"),
        }
    }
    None
}

/// Every page of a buffer has one number in all of its bytes, the same in all pages.
fn number(bytes: &[u8]) -> u8 {
    let first = bytes[0];
    assert!(bytes.iter().all(|b| *b == first), "a torn buffer");
    first
}

fn read<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, inside: &Inside) -> bool {
    let Some(guard) = patiently(|| buffer.read()) else { return false };
    inside.enter(
        1,
        |n| n < 1000,
        || {
            let mut bytes = vec![0; guard.bytes()];
            guard.read_at(0, &mut bytes);
            number(&bytes);
        },
    );
    true
}

fn write<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, inside: &Inside) -> bool {
    let Some(mut guard) = patiently(|| buffer.write()) else { return false };
    inside.enter(
        1000,
        |n| n == 0,
        || {
            let mut bytes = vec![0; guard.bytes()];
            guard.read_at(0, &mut bytes);
            let next = number(&bytes).wrapping_add(1);
            bytes.fill(next);
            guard.write_at(0, &bytes);
        },
    );
    true
}

fn all_at_once<P, S>(home: &Forebay<P, S>)
where
    P: Platform<Block = RamBlock<PAGE>, Mode = ()> + Sync,
    P::RawMutex: Sync + Send,
    S: BackingStore<P::Block> + Sync,
{
    let mut slots = [const { Slot::EMPTY }; 8];
    let many = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let tiles: [Buffer<_>; 5] = std::array::from_fn(|i| Buffer::new(home, order(i as u8 % 3)));
    let inside: [Inside; 6] = Default::default();
    let all: [&(dyn Evictable + Sync); 6] = [&tiles[0], &tiles[1], &many, &tiles[2], &tiles[3], &tiles[4]];
    let (stop, moved, pinned) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|s| {
        for k in 0..2 {
            let (all, stop, moved) = (&all, &stop, &moved);
            s.spawn(move || {
                for n in k.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let cx = [CX, Context::INTERRUPT, Context::NO_IO][n % 3];
                    let report = home.reclaim(all, pages(1 + n % 9), METHODS[n % 6], cx);
                    moved.fetch_add(report.evicted.moved().get(), Ordering::Relaxed);
                    thread::yield_now();
                }
            });
        }
        s.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                home.settle(pages(3), CX);
                thread::yield_now();
            }
        });
        let pins: Vec<_> = (0..3)
            .map(|k| {
                let (tiles, many, inside, pinned) = (&tiles, &many, &inside, &pinned);
                s.spawn(move || {
                    for n in 0..ROUNDS {
                        let at = (n * 7 + k) % 6;
                        let done = match (tiles.get(at), n % 11) {
                            (Some(tile), 0) => tile.purge(Context::THREAD).is_ok(),
                            (None, 0) => many.purge(Context::THREAD).is_ok(),
                            (Some(tile), 1..4) => write(tile, &inside[at]),
                            (None, 1..4) => write(many, &inside[5]),
                            (Some(tile), 4) => tile.restore(pages(1), CX).why.is_none(),
                            (Some(tile), _) => read(tile, &inside[at]),
                            (None, _) => read(many, &inside[5]),
                        };
                        pinned.fetch_add(usize::from(done), Ordering::Relaxed);
                        thread::yield_now(); // or all is over before a shrinker is there
                    }
                })
            })
            .collect();
        let results: Vec<_> = pins.into_iter().map(|p| p.join()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(results.iter().all(Result::is_ok));
    });
    assert!(moved.into_inner() > 0, "the shrinkers were never let in");
    assert!(pinned.into_inner() > ROUNDS, "most pins should succeed");
    for (tile, inside) in tiles.iter().zip(&inside) {
        assert!(read(tile, inside));
    }
    assert!(read(&many, &inside[5]));
    drop((tiles, many));
    home.pool().trim(Zones::ALL, ALL, Context::THREAD);
}

/// Rule: each guard shows whole contents, whatever shrinkers, settlers and purgers do meanwhile; nothing
/// leaks.
#[test]
fn shrinkers_against_guards() {
    let near = near(128);
    let (first, second) = (region::<3>(32, 1), far_with_id(64, 2));
    let lists = FreeListArray::<Near, 4, 2>::new();
    let home = Forebay::new(WithLists(&near, lists), Tiered(&first, &second));
    all_at_once(&home);
    assert_eq!(
        (near.unused(), first.space().pages, second.space().pages),
        (pages(128), pages(32), pages(64))
    );
    assert_eq!((first.space().transfers, second.space().transfers), (3, 16));
}

/// The same with the frames watched: none is given out twice or returned twice.
#[test]
fn shrinkers_against_guards_watched() {
    let (world, near) = (World::new(Contents::Ignored), near(128));
    let far = far_with_id(64, 2);
    let lists = FreeListArray::<Near, 4, 2>::new();
    let home = Forebay::new(WithLists(Watched::platform(&near, &world), lists), &far);
    all_at_once(&home);
    all_returned(&world, &near, &far);
}

/// Rule: takers, givers and a trimmer share the free lists; no block is in two hands, none is lost.
#[test]
fn a_pool_between_threads() {
    let (world, near) = (World::new(Contents::Ignored), near(64));
    let lists = FreeListArray::<Near, 3, 3>::new();
    let pool = &Pool::new(WithLists(Watched::platform(&near, &world), lists));
    thread::scope(|s| {
        for k in 0..3_usize {
            s.spawn(move || {
                for n in 0..ROUNDS {
                    let Ok(mut block) = pool.take(AllocRequest::new(order(((n + k) % 3) as u8)), (), CX)
                    else {
                        continue;
                    };
                    assert!(block.iter().all(|b| *b == 0), "not zeroed, or in two hands");
                    block.write_at(0, &vec![k as u8 + 1; block.bytes()]);
                    thread::yield_now();
                    assert!(block.iter().all(|b| *b == k as u8 + 1), "in two hands");
                    assert!(pool.put(block, Context::THREAD).is_ok());
                    if n % 16 == 0 {
                        pool.trim(Zones::ALL, pages(n % 5), Context::THREAD);
                    }
                }
            });
        }
    });
    pool.trim(Zones::ALL, ALL, Context::THREAD);
    world.assert_empty();
    assert_eq!(near.unused(), near.total());
}

/// Rule: one who only looks where the contents are never lets a reader in over contents that are not there.
#[test]
fn looking_while_others_read() {
    let (near, far) = (near(128), far(128));
    let hogged = leave(&near, (0..64).map(|n| 2 * n));
    let home = &Forebay::new(&near, &far);
    let mut slots = [const { Slot::EMPTY }; 64]; // single pages: looking takes a while
    let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    fill(&buffer, 7);
    let ready = AtomicUsize::new(0);
    thread::scope(|s| {
        s.spawn(|| {
            ready.fetch_add(1, Ordering::Release);
            for _ in 0..20 * ROUNDS {
                if let Ok(there) = buffer.residency() {
                    assert_eq!(there.resident + there.stored, pages(64));
                }
            }
        });
        while ready.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        let mut bytes = vec![0; 64 * PAGE];
        for _ in 0..ROUNDS {
            let _ = buffer.evict(pages(1), Evict::COPY, CX).is_ok();
            if let Ok(guard) = buffer.read() {
                assert_eq!(
                    guard.read_at(0, &mut bytes),
                    bytes.len(),
                    "a guard, and the contents are elsewhere"
                );
            }
        }
    });
    check(&buffer, 7);
    drop(buffer);
    give_back(&near, hogged);
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
}
