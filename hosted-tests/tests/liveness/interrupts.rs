//! Exchanges at the brim with interrupts between any two of their steps.

use super::{HOW, PAGE, T};
use forebay::sync::{IrqGuard, SpinRawMutex};
use forebay::{AccessError, AllocError, Context, Evict, Pages, StoreError};
use forebay_backends::{RamBuffer, RamForebay};
use hosted_tests::conformance::pattern;
use hosted_tests::memory::{leak, words};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

type Interrupt = Box<dyn FnMut()>;

thread_local! {
    static INTERRUPT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// A lock that may be interrupted just after it was given back.
struct Interrupted;

impl IrqGuard for Interrupted {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        let result = f();
        if let Some(mut interrupt) = INTERRUPT.take() {
            interrupt(); // it is not interrupted itself
            INTERRUPT.set(Some(interrupt));
        }
        result
    }
}

type Lock = SpinRawMutex<Interrupted>;
const LOBBY: usize = 4 * PAGE;
type Home = RamForebay<Lock, PAGE, 3, LOBBY, 3>;
type Unit = RamBuffer<Lock, PAGE, 3, LOBBY, 3>;

struct World {
    units: &'static [Unit],
    seeds: Vec<Cell<Option<u64>>>,
    seed: Cell<u64>,
    /// The buffer that the thread is at.
    busy: Cell<usize>,
    /// Buffers that an interrupt took back: each may be in the way of an exchange once.
    came: Cell<usize>,
    interrupts: Cell<usize>,
}

impl World {
    fn random(&self, below: usize) -> usize {
        let mut x = self.seed.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.seed.set(x);
        (x >> 11) as usize % below
    }

    /// Now and then: transfers a buffer, takes one back, or drops one.
    fn interrupt(&self) {
        if self.random(12) > 0 {
            return;
        }
        self.interrupts.set(self.interrupts.get() + 1);
        let n = self.random(self.units.len());
        match self.random(8) {
            0..4 => drop(self.units[n].evict(Pages::MAX, Evict::TRANSFER, Context::INTERRUPT)),
            4..7 => {
                let back = self.units[n].restore(Pages::MAX, Context::INTERRUPT);
                self.came.set(self.came.get() + usize::from(back.total() > Pages::ZERO));
            }
            _ if n != self.busy.get() && self.random(8) == 0 => {
                let purged = self.units[n].purge(Context::INTERRUPT);
                purged.into_iter().for_each(|()| self.seeds[n].set(None));
            }
            _ => {}
        }
    }

    /// Writes contents into a buffer, or reads what it has; how many tries it took.
    fn access(&self, home: &Home, n: usize, writes: Option<u64>) -> Result<usize, AccessError> {
        let mut tries = 0;
        self.busy.set(n);
        let mut attempt = || {
            tries += 1;
            match writes {
                Some(seed) => self.units[n].write().map(|mut guard| {
                    let bytes = guard.len();
                    guard.copy_from_slice(&pattern(seed, bytes));
                    self.seeds[n].set(Some(seed));
                }),
                None => self.units[n].read().map(|guard| {
                    let seed = self.seeds[n].get().expect("it has contents");
                    assert!(guard[..] == pattern(seed, guard.len()), "buffer {n} has other bytes");
                }),
            }
        };
        loop {
            let came = self.came.get();
            match home.or_reclaim(self.units, Pages::new(1), HOW, T, &mut attempt) {
                Err(AccessError::Busy) => {} // an interrupt was at it
                Err(AccessError::Alloc(AllocError::Exhausted)) if self.came.get() > came => {}
                result => return result.map(|()| tries),
            }
        }
    }
}

/// Exchanges in all: a few here, more by `FOREBAY_EXCHANGES=100000`.
fn exchanges() -> usize {
    std::env::var("FOREBAY_EXCHANGES").map_or(600, |n| n.parse().expect("FOREBAY_EXCHANGES is a number"))
}

/// Rule: with both memories full, each buffer that has contents is reached, whatever interrupts transfer, take back and drop
/// between any two steps. It takes another try only if an interrupt took something back meanwhile.
#[test]
fn exchanges_with_interrupts() {
    let (mut done, mut seed, mut interrupts, mut full) = (0, 1, 0, 0);
    while done < exchanges() {
        seed += 1;
        let home: &'static Home = Box::leak(Box::new(Home::new()));
        let (fast, slow) = (8 + seed % 9, 8 + seed % 5);
        let meta = words(Home::metadata_words(fast * PAGE));
        home.init(leak(fast * PAGE, seed % 4 * PAGE), leak(slow * (PAGE + 8), 0), meta).expect("good memory");
        let units: Vec<Unit> = (0..fast + slow)
            .map(|n| match n % 5 {
                0 => home.buffer::<LOBBY>(),
                1 => home.buffer::<{ 2 * PAGE }>(),
                _ => home.buffer::<PAGE>(),
            })
            .collect();
        let units: &'static [Unit] = units.leak();
        let world = Rc::new(World {
            units,
            seeds: vec![Cell::new(None); units.len()],
            seed: Cell::new(seed as u64 * 0x9e37_79b9),
            busy: Cell::new(0),
            came: Cell::new(0),
            interrupts: Cell::new(0),
        });
        let interrupting = world.clone();
        INTERRUPT.set(Some(Box::new(move || interrupting.interrupt())));
        for round in 0..1_000 {
            let n = world.random(units.len());
            let (has_contents, writes) = (world.seeds[n].get().is_some(), world.random(2) == 0);
            match world.access(home, n, (writes || !has_contents).then_some(round)) {
                Ok(tries) => done += usize::from(tries > 1),
                Err(AccessError::Store(StoreError::Full) | AccessError::Alloc(AllocError::Exhausted))
                    if !has_contents =>
                {
                    full += 1;
                }
                Err(why) => panic!("buffer {n}: {why}, {}", **home),
            }
        }
        INTERRUPT.set(None);
        interrupts += world.interrupts.get();
        for n in (0..units.len()).filter(|n| world.seeds[*n].get().is_some()) {
            world.access(home, n, None).expect("it is reached");
        }
        units.iter().for_each(|unit| unit.purge(T).expect("no guard is alive"));
        assert_eq!(home.free(), fast * PAGE, "no block is lost");
    }
    println!("{done} exchanges, {interrupts} interrupts, {full} births were refused");
    assert!(full > 0, "both memories were full");
}
