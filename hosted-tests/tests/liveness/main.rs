//! What was accepted stays reachable, also when both memories are full to the last page: the lobby, and a store that can't be
//! fragmented.

use forebay::sync::SpinRawMutex;
use forebay::{AccessError, AllocError, BackingStore, Context, Evict, Pages, StoreError, buffer::Residency};
use forebay_backends::{RamBuffer, RamForebay};
use hosted_tests::conformance::pattern;
use hosted_tests::memory::{leak, words};

mod explore;
mod interrupts;
mod starve;
mod watched;
mod wrong;

const PAGE: usize = 512;
const T: Context = Context::THREAD;
const HOW: Evict = Evict::TRANSFER.union(Evict::COPY).union(Evict::SPLIT);

type Home<const LOBBY: usize> = RamForebay<SpinRawMutex, PAGE, 4, LOBBY, 3>;
type Unit<const LOBBY: usize> = RamBuffer<SpinRawMutex, PAGE, 4, LOBBY, 3>;

/// A home with `fast` and `slow` pages, the fast ones from `skew` pages behind an aligned address.
fn home<const LOBBY: usize>(fast: usize, slow: usize, skew: usize) -> &'static Home<LOBBY> {
    let home: &'static Home<LOBBY> = Box::leak(Box::new(Home::new()));
    let meta = words(Home::<LOBBY>::metadata_words(fast * PAGE));
    let slow_bytes = slow * (PAGE + size_of::<usize>());
    let added = home.init(leak(fast * PAGE, skew * PAGE), leak(slow_bytes, 0), meta);
    assert_eq!(added.unwrap(), (fast * PAGE, slow * PAGE));
    home
}

/// Buffers, and the seed of the contents of each that has some.
struct World<const LOBBY: usize> {
    home: &'static Home<LOBBY>,
    units: Vec<Unit<LOBBY>>,
    seeds: Vec<Option<u64>>,
    seed: u64,
}

/// The pages of a buffer that has contents.
fn pages_of<const LOBBY: usize>(unit: &Unit<LOBBY>) -> Pages {
    let Residency { resident, stored, .. } = unit.residency().expect("no guard is alive");
    resident + stored
}

impl<const LOBBY: usize> World<LOBBY> {
    fn new(home: &'static Home<LOBBY>, units: Vec<Unit<LOBBY>>) -> Self {
        World { home, seeds: vec![None; units.len()], units, seed: 0x9e37_79b9 }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as usize % below
    }

    /// Writes a buffer, reclaiming for it.
    fn write(&mut self, n: usize, seed: u64) -> Result<(), AccessError> {
        let (units, unit) = (self.units.as_slice(), &self.units[n]);
        self.home.or_reclaim(units, Pages::new(1), HOW, T, || {
            unit.write().map(|mut guard| {
                let bytes = guard.len();
                guard.copy_from_slice(&pattern(seed, bytes));
            })
        })?;
        self.seeds[n] = Some(seed);
        Ok(())
    }

    /// Reads a buffer, reclaiming for it: it has its bytes.
    #[track_caller]
    fn read(&self, n: usize) {
        let (units, unit) = (self.units.as_slice(), &self.units[n]);
        let seed = self.seeds[n].expect("it has contents");
        let same = self.home.or_reclaim(units, Pages::new(1), HOW, T, || {
            unit.read().map(|guard| guard[..] == pattern(seed, guard.len()))
        });
        assert_eq!(same, Ok(true), "buffer {n}: {}", **self.home);
    }

    fn purge(&mut self, n: usize) {
        self.units[n].purge(T).expect("no guard is alive");
        self.seeds[n] = None;
    }

    fn read_all(&self) {
        (0..self.units.len()).filter(|n| self.seeds[*n].is_some()).for_each(|n| self.read(n));
    }

    /// Pages of buffers that have contents.
    fn live(&self) -> usize {
        self.units.iter().map(|unit| pages_of(unit).get()).sum()
    }
}

/// Rule (R2): with both memories full, every buffer that was written can be read and written, again and again. The last new
/// contents, after which this would end, are refused: all pages of both but the lobby's have contents then.
#[test]
fn full_to_the_last_page() {
    let home = home::<PAGE>(8, 8, 0);
    let mut world = World::new(home, (0..20).map(|_| home.buffer::<PAGE>()).collect());
    let made = (0..20).take_while(|n| world.write(*n, *n as u64).is_ok()).count();
    assert_eq!(made, 8 + 8 - 1);
    for n in made..20 {
        assert_eq!(world.write(n, 99), Err(AccessError::Store(StoreError::Full)));
    }
    world.read_all();
    for round in 0..200 {
        let n = world.random(made);
        match world.random(3) {
            0 => world.write(n, 1000 + round).unwrap(),
            _ => world.read(n),
        }
    }
    world.read_all();
    // What goes makes room for as much.
    world.purge(3);
    world.write(made, 77).unwrap();
    assert_eq!(world.write(3, 1), Err(AccessError::Store(StoreError::Full)));
    world.read_all();
}

/// Rule (R3): a region that is half free takes what fits by count, however scattered its free pages are; what is stored returns.
#[test]
fn a_store_in_pieces_takes_what_fits() {
    let home = home::<0>(32, 64, 0);
    let small: Vec<_> = (0..64).map(|_| home.buffer::<PAGE>()).collect();
    let large: Vec<_> = (0..3).map(|_| home.buffer::<{ 16 * PAGE }>()).collect();
    let fill = |units: &[Unit<0>]| {
        for (unit, seed) in units.iter().zip(0..) {
            let everything: (&[Unit<0>], &[Unit<0>]) = (&small, &large);
            let filled = home.or_reclaim(everything, Pages::new(16), HOW, T, || {
                unit.write().map(|mut guard| {
                    let bytes = guard.len();
                    guard.copy_from_slice(&pattern(seed, bytes));
                })
            });
            assert_eq!(filled, Ok(()));
        }
    };
    fill(&small);
    for unit in &small {
        unit.evict(Pages::MAX, HOW, T).unwrap();
    }
    while home.write_out(usize::MAX) > 0 {}
    small.iter().step_by(2).for_each(|unit| unit.purge(T).unwrap());
    assert_eq!(home.store().space().pages, Pages::new(32));
    fill(&large); // one of the three has to leave
    for (unit, seed) in large.iter().zip(0..) {
        let read = home.or_reclaim(&large, Pages::new(16), HOW, T, || {
            unit.read().map(|guard| guard[..] == pattern(seed, guard.len()))
        });
        assert_eq!(read, Ok(true));
    }
    for (unit, seed) in small.iter().zip(0..).skip(1).step_by(2) {
        let everything: (&[Unit<0>], &[Unit<0>]) = (&small, &large);
        let read = home.or_reclaim(everything, Pages::new(1), HOW, T, || {
            unit.read().map(|guard| guard[..] == pattern(seed, guard.len()))
        });
        assert_eq!(read, Ok(true));
    }
}

/// Rule: the same with several sizes, whatever is made, dropped and written in whatever order; and with memory that is not
/// aligned.
#[test]
fn several_sizes_in_any_order() {
    const LOBBY: usize = 8 * PAGE;
    for (fast, slow, skew) in [(16, 16, 0), (24, 16, 3), (27, 40, 5), (8, 24, 0), (64, 64, 1)] {
        let home = home::<LOBBY>(fast, slow, skew);
        let units = (0..fast + slow).map(|n| match n % 7 {
            0 => home.buffer::<LOBBY>(),
            1 | 2 => home.buffer::<{ 4 * PAGE }>(),
            3 => home.buffer::<{ 2 * PAGE }>(),
            _ => home.buffer::<PAGE>(),
        });
        let mut world = World::new(home, units.collect());
        let (mut refused, mut most) = (0, 0);
        for round in 0..6_000 {
            let n = world.random(world.units.len());
            match (world.seeds[n], world.random(16)) {
                (Some(_), 0) => world.purge(n),
                (Some(_), 1..4) => {
                    let how = [Evict::TRANSFER, Evict::COPY, HOW][world.random(3)];
                    world.units[n].evict(Pages::MAX, how, T).unwrap();
                }
                (Some(_), 4) => {
                    home.write_out(1 + world.random(3 * PAGE));
                }
                (Some(_), 5..9) => world.write(n, round).unwrap(),
                (Some(_), _) => world.read(n),
                (None, _) => match world.write(n, round) {
                    Ok(()) => most = most.max(world.live()),
                    Err(AccessError::Store(StoreError::Full)) => refused += 1,
                    Err(AccessError::Alloc(AllocError::Exhausted)) => refused += 1,
                    other => panic!("{other:?}"),
                },
            }
            if round % 500 == 0 {
                world.read_all();
            }
        }
        world.read_all();
        assert!(refused > 100, "both were full: {refused}");
        assert!(most + 16 >= fast + slow - 8, "{most} of {} pages had contents", fast + slow);
        world.units.iter().for_each(|unit| unit.purge(T).unwrap());
        assert_eq!((home.free(), home.store().space().pages), (fast * PAGE, Pages::new(slow)));
    }
}

/// Rule: with nothing in the lobby's way but a guard there, the answer is that too much is in use; and what is larger than the
/// lobby does not compile, or is never accepted.
#[test]
fn a_guard_in_the_lobby() {
    let home = home::<PAGE>(2, 4, 0);
    let mut world = World::new(home, (0..5).map(|_| home.buffer::<PAGE>()).collect());
    (0..5).for_each(|n| world.write(n, n as u64).unwrap());
    world.read(0);
    let held: Vec<_> = world.units.iter().filter_map(|unit| unit.read().ok()).collect();
    assert_eq!(held.len(), 2, "both pages of fast memory");
    let stored =
        world.units.iter().position(|unit| unit.residency().unwrap().resident == Pages::ZERO).unwrap();
    let refused = home
        .or_reclaim(world.units.as_slice(), Pages::new(1), HOW, T, || world.units[stored].read().map(drop));
    assert_eq!(refused, Err(AccessError::Alloc(AllocError::Exhausted)));
    drop(held);
    world.read_all();
    let wide = forebay::Buffer::<_, [forebay::Slot<_>; 2]>::inline(home, forebay::Order::PAGE);
    assert_eq!(wide.write().map(drop).unwrap_err(), AccessError::Alloc(AllocError::Never));
}
