//! What every [`RawMutex`] and the [`Mutex`] over it keep.

use forebay::sync::{Mutex, RawMutex};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Everything, for a raw mutex that threads may share.
///
/// # Panics
/// If a rule is broken.
pub fn suite<R: RawMutex + Sync + Send>() {
    single_thread::<R>();
    only_one_is_inside::<R>();
    what_one_wrote_the_next_reads::<R>();
}

/// What holds for a raw mutex of a single thread too.
///
/// # Panics
/// If a rule is broken.
pub fn single_thread<R: RawMutex>() {
    init_is_an_unlocked_constant::<R>();
    the_closure_runs_once_and_its_value_comes_back::<R>();
    a_panic_inside_does_not_poison::<R>();
    the_value_may_be_unsized::<R>();
}

/// For a raw mutex that its own context may enter again, or that knows who holds it: the second entry panics, its closure
/// never runs, and the lock works afterwards. A raw mutex that waits for itself hangs here.
///
/// # Panics
/// If a rule is broken.
pub fn entering_twice_panics<R: RawMutex>() {
    let lock = Mutex::<R, u32>::new(1);
    let inner_ran = std::cell::Cell::new(false);
    let entered = catch_unwind(AssertUnwindSafe(|| {
        lock.lock(|outer| {
            *outer += 1;
            lock.lock(|_| inner_ran.set(true));
        });
    }));
    assert!(entered.is_err(), "entering twice went unnoticed");
    assert!(!inner_ran.get(), "two exclusive borrows at once");
    assert_eq!(lock.lock(|v| *v), 2, "usable, once the first is outside");
    // Noticed and caught inside: the outer closure is still the only one.
    lock.lock(|outer| {
        for _ in 0..2 {
            assert!(catch_unwind(AssertUnwindSafe(|| lock.lock(|_| inner_ran.set(true)))).is_err());
        }
        *outer = 7;
    });
    assert!(!inner_ran.get());
    assert_eq!(lock.lock(|v| *v), 7);
}

fn init_is_an_unlocked_constant<R: RawMutex>() {
    let raw = const { R::INIT };
    assert_eq!(raw.lock(|| 1), 1);
    let lock = const { Mutex::<R, u32>::new(2) };
    assert_eq!(lock.lock(|v| *v), 2);
    // Two constants are two locks: one inside the other is no second entry.
    let other = const { Mutex::<R, u32>::new(3) };
    if size_of::<R>() > 0 {
        assert_eq!(lock.lock(|a| other.lock(|b| *a + *b)), 5);
    }
}

fn the_closure_runs_once_and_its_value_comes_back<R: RawMutex>() {
    let lock = Mutex::<R, Vec<u32>>::new(Vec::new());
    let moved = vec![1, 2]; // moved in: FnOnce
    let back = lock.lock(move |v| {
        v.extend(moved);
        v.len().to_string()
    });
    assert_eq!(back, "2");
    assert_eq!(lock.lock(std::mem::take), [1, 2]);
    assert_eq!(lock.lock(|v| v.len()), 0);
}

fn a_panic_inside_does_not_poison<R: RawMutex>() {
    let lock = Mutex::<R, u32>::new(0);
    for _ in 0..3 {
        let result = catch_unwind(AssertUnwindSafe(|| {
            lock.lock(|v| {
                *v += 1;
                std::panic::resume_unwind(Box::new("inside")); // no message
            })
        }));
        assert!(result.is_err());
    }
    assert_eq!(lock.lock(|v| *v), 3, "unlocked, and what was written before the panic stays");
}

fn the_value_may_be_unsized<R: RawMutex>() {
    let sized = Mutex::<R, [u8; 4]>::new([1, 2, 3, 4]);
    let lock: &Mutex<R, [u8]> = &sized;
    assert_eq!(lock.lock(|v| v.iter().sum::<u8>()), 10);
}

const THREADS: usize = 4;
const ROUNDS: usize = 2000;

fn only_one_is_inside<R: RawMutex + Sync + Send>() {
    /// Equal numbers whenever no thread is inside, and no atomics: a thread that is not alone sees them differ, or
    /// loses a count.
    struct Twins(usize, usize);
    let lock = Mutex::<R, Twins>::new(Twins(0, 0));
    std::thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                for round in 0..ROUNDS {
                    lock.lock(|v| {
                        assert_eq!(v.0, v.1, "another thread is inside");
                        v.0 += 1;
                        if round % 64 == 0 {
                            std::thread::yield_now(); // half done, and the others want in
                        }
                        v.1 = std::hint::black_box(v.1) + 1;
                    });
                }
            });
        }
    });
    assert_eq!(lock.lock(|v| (v.0, v.1)), (THREADS * ROUNDS, THREADS * ROUNDS));
}

fn what_one_wrote_the_next_reads<R: RawMutex + Sync + Send>() {
    // Threads take turns: one that sees its turn must see all that was written with it.
    let lock = Mutex::<R, (usize, Vec<usize>)>::new((0, Vec::new()));
    std::thread::scope(|s| {
        for me in 0..THREADS {
            let lock = &lock;
            s.spawn(move || {
                let mut left = 50;
                while left > 0 {
                    let mine = lock.lock(|(turn, written)| {
                        let mine = *turn % THREADS == me;
                        if mine {
                            assert_eq!(written.len(), *turn);
                            assert!(written.iter().copied().eq(0..*turn));
                            written.push(*turn);
                            *turn += 1;
                        }
                        mine
                    });
                    if mine {
                        left -= 1;
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    assert_eq!(lock.lock(|v| v.0), 50 * THREADS);
}
