//! Every state of small worlds, on the real source, pool, buffers and region: what is reachable from each.
//!
//! A state is where the contents of each buffer are. It is made by a sequence of calls from the beginning; all calls are tried in
//! each state, breadth first, and equal buffers are not told apart. From each state each buffer with contents is read, with the
//! reclaim that a program would use.
#![allow(unsafe_code)]

use super::{HOW, PAGE, T};
use forebay::buffer::Residency;
use forebay::sync::SpinRawMutex;
use forebay::{BackingStore, Buffer, Evict, Pages};
use forebay_backends::RamForebay;
use hosted_tests::conformance::{order, pattern};
use hosted_tests::memory::{leak, words};
use std::collections::{HashMap, VecDeque};

type Lock = SpinRawMutex;
type Home<const LOBBY: usize> = RamForebay<Lock, PAGE, 2, LOBBY, 3>;

/// Memory for one home after the other.
struct Memory {
    fast: *mut [u8],
    slow: *mut [u8],
    meta: *mut [usize],
}

impl Memory {
    fn new<const LOBBY: usize>(setup: &Setup) -> Self {
        let meta = words(Home::<LOBBY>::metadata_words(setup.fast * PAGE));
        let slow = leak(setup.slow * (PAGE + size_of::<usize>()), 0);
        Memory { fast: leak(setup.fast * PAGE, setup.skew * PAGE), slow, meta }
    }

    /// A home with this memory.
    ///
    /// # Safety
    /// No other home has it.
    unsafe fn home<const LOBBY: usize>(&self) -> Box<Home<LOBBY>> {
        let home = Box::new(Home::new());
        // SAFETY: leaked, so it is there for ever, and the caller's promise.
        let (fast, slow, meta) = unsafe { (&mut *self.fast, &mut *self.slow, &mut *self.meta) };
        home.init(fast, slow, meta).expect("good memory");
        home
    }
}

/// A small world: pages of both memories, and the orders of the buffers, in order.
#[derive(Debug)]
struct Setup {
    fast: usize,
    skew: usize,
    slow: usize,
    orders: &'static [u8],
}

/// A call about buffer `n`.
#[derive(Clone, Copy, Debug)]
enum Call {
    Write(u8),
    Read(u8),
    Transfer(u8),
    Copy(u8),
    Purge(u8),
    /// One page of the oldest block that waits.
    WriteOut,
}

/// Where the contents of a buffer are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
struct Place {
    order: u8,
    /// The number of its first page in fast memory, plus one.
    block: u8,
    clean: bool,
    stored: bool,
    /// How many blocks wait that are no younger, if it is transferred and not written out.
    waits: u8,
}

struct World<'h, const LOBBY: usize> {
    home: &'h Home<LOBBY>,
    buffers: Vec<Buffer<&'h Home<LOBBY>>>,
    seeds: Vec<Option<u64>>,
    /// Buffers that were transferred, the oldest first, and pages that are written out of the oldest.
    waiting: VecDeque<u8>,
    written: usize,
    first: usize,
    calls: u64,
}

impl<'h, const LOBBY: usize> World<'h, LOBBY> {
    fn new(setup: &Setup, home: &'h Home<LOBBY>, first: usize) -> Self {
        let buffers: Vec<_> = setup.orders.iter().map(|k| Buffer::new(home, order(*k))).collect();
        let seeds = vec![None; buffers.len()];
        World { home, buffers, seeds, waiting: VecDeque::new(), written: 0, first, calls: 0 }
    }

    fn residency(&self, n: usize) -> Residency {
        self.buffers[n].residency().expect("no guard is alive")
    }

    /// A call as a program makes it that does not reclaim. What it can't do now changes nothing.
    fn call(&mut self, setup: &Setup, call: Call) {
        self.calls += 1;
        let seed = self.calls;
        match call {
            Call::Write(n) => {
                let written = self.buffers[usize::from(n)].write().map(|mut guard| {
                    let bytes = guard.len();
                    guard.copy_from_slice(&pattern(seed, bytes));
                });
                if written.is_ok() {
                    self.came_back(n);
                    self.seeds[usize::from(n)] = Some(seed);
                }
            }
            Call::Read(n) if self.seeds[usize::from(n)].is_some() => {
                if self.buffers[usize::from(n)].read().is_ok() {
                    self.came_back(n);
                }
            }
            Call::Transfer(n) => {
                let evicted =
                    self.buffers[usize::from(n)].evict(Pages::MAX, Evict::TRANSFER, T).expect("no guard");
                if evicted.transferred > Pages::ZERO {
                    self.waiting.push_back(n);
                }
            }
            Call::Copy(n) => {
                self.buffers[usize::from(n)].evict(Pages::MAX, Evict::COPY, T).expect("no guard");
            }
            Call::Purge(n) => {
                self.buffers[usize::from(n)].purge(T).expect("no guard");
                self.came_back(n);
                self.seeds[usize::from(n)] = None;
            }
            Call::WriteOut => {
                if let Some(oldest) = self.waiting.front() {
                    assert_eq!(self.home.write_out(PAGE), PAGE);
                    self.written += 1;
                    if self.written == 1 << setup.orders[usize::from(*oldest)] {
                        self.waiting.pop_front();
                        self.written = 0;
                    }
                }
            }
            Call::Read(_) => {}
        }
    }

    /// A buffer waits no longer.
    fn came_back(&mut self, n: u8) {
        if self.waiting.front() == Some(&n) {
            self.written = 0;
        }
        self.waiting.retain(|waits| *waits != n);
    }

    /// The state: equal buffers are not told apart.
    fn state(&self, setup: &Setup) -> (Vec<Place>, usize) {
        let places = (0..self.buffers.len()).map(|n| {
            let Residency { resident, clean, stored, .. } = self.residency(n);
            let mut block = 0;
            if resident > Pages::ZERO {
                let guard = self.buffers[n].read().expect("it is resident");
                let pfn = guard.blocks().next().map(|(_, block)| forebay::OwnedBlock::pfn(block).0);
                block = (pfn.expect("a block") - self.first + 1) as u8;
            }
            let waits =
                self.waiting.iter().position(|waits| usize::from(*waits) == n).map_or(0, |at| at as u8 + 1);
            Place {
                order: setup.orders[n],
                block,
                clean: clean > Pages::ZERO,
                stored: stored > Pages::ZERO,
                waits,
            }
        });
        let mut places: Vec<_> = places.collect();
        places.sort_unstable();
        (places, self.written)
    }

    /// Reads a buffer as a program does that reclaims: whether it was reached. Its bytes are compared.
    fn reach(&self, n: usize) -> bool {
        let seed = self.seeds[n].expect("it has contents");
        let buffers = self.buffers.as_slice();
        let same = self.home.or_reclaim(buffers, Pages::new(1), HOW, T, || {
            self.buffers[n].read().map(|guard| guard[..] == pattern(seed, guard.len()))
        });
        match same {
            Ok(same) => {
                assert!(same, "buffer {n} has other bytes");
                true
            }
            Err(_) => false,
        }
    }

    /// Room that the store has given away is that of contents, and of what lies in the lobby.
    fn check(&self, setup: &Setup) {
        let space = self.home.store().space().pages.get();
        let live = |n: usize| self.seeds[n].is_some();
        let pages = |n: usize| 1 << setup.orders[n];
        let all: usize = (0..self.buffers.len()).filter(|n| live(*n)).map(pages).sum();
        assert!(setup.slow - space <= all, "room that belongs to nothing");
        let stored: Pages = (0..self.buffers.len()).map(|n| self.residency(n).stored).sum();
        assert!(setup.slow - space >= stored.get());
    }
}

#[derive(Default, Debug)]
struct Found {
    states: usize,
    /// Buffers that were not reached, in all states.
    unreachable: usize,
    /// The most pages that had contents.
    most: usize,
}

/// Explores up to `most` states.
fn explore<const LOBBY: usize>(setup: &Setup, most: usize) -> Found {
    let memory = Memory::new::<LOBBY>(setup);
    let first = memory.fast.cast::<u8>().addr() / PAGE;
    let mut found = Found::default();
    let calls: Vec<_> = (0..setup.orders.len() as u8)
        .flat_map(|n| [Call::Write(n), Call::Read(n), Call::Transfer(n), Call::Copy(n), Call::Purge(n)])
        .chain([Call::WriteOut])
        .collect();
    // Of each state: the one before it, and the call that led here.
    let mut paths: Vec<(usize, Call)> = vec![(0, Call::WriteOut)];
    let mut seen = HashMap::new();
    let path = |paths: &[(usize, Call)], mut at: usize| {
        let mut back = Vec::new();
        while at > 0 {
            back.push(paths[at].1);
            at = paths[at].0;
        }
        back.reverse();
        back
    };
    let again = |calls: &[Call], then: &mut dyn FnMut(&mut World<'_, LOBBY>)| {
        // SAFETY: each home is dropped before the next one is made.
        let home = unsafe { memory.home::<LOBBY>() };
        let mut world = World::new(setup, &home, first);
        calls.iter().for_each(|call| world.call(setup, *call));
        then(&mut world);
    };
    again(&[], &mut |world| {
        seen.insert(world.state(setup), ());
    });
    let mut at = 0;
    while at < paths.len() && at < most {
        let here = path(&paths, at);
        for n in 0..setup.orders.len() {
            again(&here, &mut |world| {
                if world.seeds[n].is_some() && !world.reach(n) {
                    found.unreachable += 1;
                }
            });
        }
        for call in &calls {
            again(&here, &mut |world| {
                world.call(setup, *call);
                world.check(setup);
                let pages = |n: usize| if world.seeds[n].is_some() { 1 << setup.orders[n] } else { 0 };
                found.most = found.most.max((0..setup.orders.len()).map(pages).sum());
                if seen.insert(world.state(setup), ()).is_none() {
                    paths.push((at, *call));
                }
            });
        }
        at += 1;
    }
    found.states = at;
    found
}

/// How many states of each wide world are explored: a few here, more by
/// `FOREBAY_STATES=200000 cargo test --release -p hosted-tests --test liveness explore -- --nocapture`.
fn states() -> usize {
    std::env::var("FOREBAY_STATES").map_or(40, |n| n.parse().expect("FOREBAY_STATES is a number"))
}

/// These have few hundred states each: all of them are explored.
const SMALL: [Setup; 8] = [
    Setup { fast: 2, skew: 0, slow: 2, orders: &[0, 0, 0, 0] },
    Setup { fast: 3, skew: 1, slow: 3, orders: &[0, 0, 0, 0, 0, 0] },
    Setup { fast: 4, skew: 0, slow: 4, orders: &[0, 0, 1, 1, 1] },
    Setup { fast: 4, skew: 0, slow: 3, orders: &[0, 0, 0, 1, 1] },
    Setup { fast: 6, skew: 2, slow: 4, orders: &[0, 0, 1, 2, 2] },
    Setup { fast: 5, skew: 3, slow: 6, orders: &[0, 0, 0, 2, 2] },
    Setup { fast: 8, skew: 0, slow: 4, orders: &[1, 1, 2, 2] },
    Setup { fast: 4, skew: 0, slow: 8, orders: &[0, 1, 2, 2] },
];

/// These have very many.
const WIDE: [Setup; 8] = [
    Setup { fast: 10, skew: 0, slow: 10, orders: &[0, 0, 0, 0, 1, 1, 1, 2, 2, 2] },
    Setup { fast: 12, skew: 2, slow: 12, orders: &[0, 0, 0, 1, 1, 1, 2, 2, 2, 2] },
    Setup { fast: 8, skew: 0, slow: 8, orders: &[0, 0, 0, 0, 1, 1, 2, 2] },
    Setup { fast: 9, skew: 3, slow: 7, orders: &[0, 0, 0, 1, 1, 1, 2, 2] },
    Setup { fast: 6, skew: 0, slow: 6, orders: &[0, 0, 0, 0, 0, 1, 1, 1, 1] },
    Setup { fast: 12, skew: 1, slow: 8, orders: &[0, 0, 0, 1, 1, 2, 2, 2] },
    Setup { fast: 8, skew: 2, slow: 12, orders: &[0, 0, 1, 1, 1, 2, 2, 2] },
    Setup { fast: 7, skew: 1, slow: 7, orders: &[0, 0, 0, 0, 1, 1, 1, 2] },
];

/// With the lobby that the largest buffer needs.
fn explored(setup: &Setup, most: usize) -> Found {
    match setup.orders.iter().max() {
        Some(0) => explore::<PAGE>(setup, most),
        Some(1) => explore::<{ 2 * PAGE }>(setup, most),
        _ => explore::<{ 4 * PAGE }>(setup, most),
    }
}

/// Rule (the theorem in DESIGN): in each state, each buffer with contents can be made resident.
#[test]
fn every_state_of_small_worlds() {
    let mut sum = 0;
    for setup in &SMALL {
        let found = explored(setup, usize::MAX);
        println!("{setup:?}: {found:?}");
        assert_eq!(found.unreachable, 0, "{setup:?}");
        sum += found.states;
    }
    println!("{sum} states");
    assert!(sum > 1_000, "{sum}");
}

/// Rule: the same in worlds that are too large for that, as far as the exploration goes, breadth first.
#[test]
fn many_states_of_wide_worlds() {
    let most = states();
    let sum: usize = std::thread::scope(|threads| {
        let worlds: Vec<_> =
            WIDE.iter().map(|setup| threads.spawn(move || (setup, explored(setup, most)))).collect();
        let found = worlds.into_iter().map(|world| world.join().expect("it explores"));
        found
            .map(|(setup, found)| {
                println!("{setup:?}: {found:?}");
                assert_eq!(found.unreachable, 0, "{setup:?}");
                found.states
            })
            .sum()
    });
    println!("{sum} states");
    assert!(sum >= 40 * WIDE.len(), "{sum}");
}

/// Rule: without a lobby there are states from which a buffer can't be reached. (So the exploration would find one.)
#[test]
fn without_a_lobby_buffers_are_lost() {
    let setup = Setup { fast: 2, skew: 0, slow: 2, orders: &[0, 0, 0, 0] };
    let found = explore::<0>(&setup, 1_000);
    assert!(found.unreachable > 0 && found.most == 4, "{found:?}");
    let found = explore::<PAGE>(&setup, 1_000);
    assert!(found.unreachable == 0 && found.most == 3, "{found:?}");
}
