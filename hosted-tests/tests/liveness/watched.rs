//! The lobby under the oracle: buffers of several blocks, modes, hooks that refuse, stores that fail, and every byte.

use super::T;
use forebay::sync::SpinRawMutex;
use forebay::{AccessError, AllocError, BackingStore, Buffer, Context, Evict, Pages, Slot, StoreError};
use forebay_backends::{Faults, Faulty, Ram, RamRegion, Tiered};
use hosted_tests::conformance::{order, pattern};
use hosted_tests::kit::{self, PAGE, forebay, region};
use hosted_tests::memory::{leak, words};
use hosted_tests::world::{Contents, World};

const ALL: Pages = Pages::MAX;
/// Eight pages: as large as the largest buffer.
type Near = Ram<SpinRawMutex, PAGE, 3, { 8 * PAGE }>;
type Far = RamRegion<SpinRawMutex, PAGE, 4>;

fn near(pages: usize, skew: usize) -> Near {
    let ram = Near::new();
    let meta = words(Near::metadata_words(pages * PAGE));
    assert_eq!(ram.add(leak(pages * PAGE, skew * PAGE), meta).unwrap(), pages * PAGE);
    ram
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// Random calls over buffers of one and of several blocks, in front of this store; `failing` sets how many of a thousand calls of it
/// fail, which it does for a while now and then.
fn random<S>(near: &Near, store: S, slow: usize, seed: u64, failing: &dyn Fn(u16))
where
    S: BackingStore<forebay_backends::RamBlock<PAGE>> + Copy,
{
    let world = World::new(Contents::Compared);
    let home = &forebay(near, store, &world);
    let one: Vec<_> = (0..10).map(|n| Buffer::new(home, order(n % 4))).collect();
    let several: Vec<_> = (0..8)
        .map(|n| Buffer::<_, [Slot<_>; 8]>::inline(home, order(0)).with_id(forebay::BufferId(n)))
        .collect();
    let all = (one.as_slice(), several.as_slice());
    let mut seeds = vec![None; 18];
    let mut random = Random(seed);
    let (mut full, mut exchanges, mut fails) = (0, 0, false);
    for round in 0..3_000_u64 {
        if round % 100 == 0 {
            fails = random.below(3) == 0;
            failing(if fails { 300 } else { 0 });
        }
        let n = random.below(18);
        let pages = if n < 10 { Pages::new(1 << (n % 4)) } else { Pages::new(8) };
        let bytes = pages.get() * PAGE;
        let mut tries = 0;
        // An access as a program makes it; what is read is compared.
        let mut access = |writes: Option<u64>| {
            tries += 1;
            let read = |is: &mut dyn FnMut(&mut [u8])| {
                let mut all = vec![0; bytes];
                is(&mut all);
                seeds[n].map_or_else(|| all.iter().all(|b| *b == 0), |seed| all == pattern(seed, bytes))
            };
            let mut same = true;
            match writes {
                Some(seed) if n < 10 => {
                    one[n].write().map(|mut g| assert_eq!(g.write_at(0, &pattern(seed, bytes)), bytes))?
                }
                Some(seed) => several[n - 10]
                    .write()
                    .map(|mut g| assert_eq!(g.write_at(0, &pattern(seed, bytes)), bytes))?,
                None if n < 10 => {
                    one[n].read().map(|g| same = read(&mut |to| assert_eq!(g.read_at(0, to), bytes)))?
                }
                None => several[n - 10]
                    .read()
                    .map(|g| same = read(&mut |to| assert_eq!(g.read_at(0, to), bytes)))?,
            }
            assert!(same, "buffer {n} has other bytes");
            Ok(())
        };
        match random.below(12) {
            what @ 0..8 => {
                let writes = (what < 4).then_some(round + 1);
                let had = seeds[n].is_some();
                match home.or_reclaim(all, pages, kit::METHODS[2] | Evict::TRANSFER, T, || access(writes)) {
                    Ok(()) => {
                        exchanges += usize::from(tries > 1);
                        seeds[n] = if writes.is_some() { writes } else { seeds[n] };
                    }
                    Err(AccessError::Store(StoreError::Full) | AccessError::Alloc(AllocError::Exhausted))
                        if !had =>
                    {
                        full += 1
                    }
                    Err(_) if fails => {}
                    Err(why) => panic!("buffer {n}: {why}"),
                }
            }
            8 => {
                let cx = [T, Context::INTERRUPT][random.below(2)];
                let how = [Evict::TRANSFER, Evict::COPY, Evict::SPLIT][random.below(3)];
                let budget = Pages::new(1 + random.below(8));
                let _ = if n < 10 {
                    one[n].evict(budget, how, cx)
                } else {
                    several[n - 10].evict(budget, how, cx)
                };
            }
            9 => {
                let cx = [T, Context::INTERRUPT][random.below(2)];
                let budget = Pages::new(1 + random.below(8));
                let _ = if n < 10 { one[n].restore(budget, cx) } else { several[n - 10].restore(budget, cx) };
            }
            10 => {
                home.settle(Pages::new(1 + random.below(3)), T);
                let _ = if n < 10 { one[n].discard_copies() } else { several[n - 10].discard_copies() };
            }
            _ => {
                let purged = if n < 10 { one[n].purge(T) } else { several[n - 10].purge(T) };
                purged.expect("no guard is alive");
                seeds[n] = None;
            }
        }
    }
    failing(0);
    for n in (0..18).filter(|n| seeds[*n].is_some()) {
        let reached = home.or_reclaim(all, Pages::new(8), kit::METHODS[2] | Evict::TRANSFER, T, || {
            if n < 10 { one[n].read().map(drop) } else { several[n - 10].read().map(drop) }
        });
        assert_eq!(reached, Ok(()), "buffer {n}");
    }
    assert!(full > 20 && exchanges > 30, "{full} were refused, {exchanges} reclaimed");
    drop((one, several));
    while home.settle(ALL, T).freed > Pages::ZERO {}
    assert_eq!((world.stored(), world.rooms(), world.frames_out()), (Pages::ZERO, 0, Pages::ZERO));
    assert_eq!((near.unused(), store.space().pages), (near.total(), Pages::new(slow)));
}

/// Rule: with buffers of several blocks in several ways out, in steps, and in interrupts, what was accepted is reached, each block has
/// one owner and its bytes, and in the end no room is left over.
#[test]
fn random_calls_over_a_region() {
    for seed in 1..5 {
        let (near, far): (_, Far) = (near(19 + seed as usize, seed as usize), region(24, 0));
        random(&near, &far, 24, seed * 0x9e37_79b9, &|_| ());
    }
}

/// Rule: the same while calls of the store fail: nothing is lost, and what is in the lobby keeps its room.
#[test]
fn random_calls_over_a_store_that_fails() {
    for seed in 1..5 {
        let near = near(16, 0);
        let far: Faulty<Far, SpinRawMutex> = Faulty::new(region(24, 0));
        let failing = |per_mille| far.set(Faults { kth: None, per_mille, seed: seed as u32 });
        random(&near, &far, 24, seed * 0x9e37_79b9, &failing);
    }
}

/// Rule: two regions in a row are one store with room for the lobby.
#[test]
fn random_calls_over_two_regions() {
    for seed in 1..4 {
        let (near, a, b): (_, Far, Far) = (near(16, 0), region(9, 0), region(14, 1));
        random(&near, Tiered(&a, &b), 23, seed * 0x9e37_79b9, &|_| ());
    }
}
