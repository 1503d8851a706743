//! How often an operation locks. forebay has a raw mutex in each buffer and one around its counters. The source and the store
//! have another one here, so theirs do not count.

use hosted_tests::kit::walkers::*;
use hosted_tests::kit::*;

const TRANSFER: Evict = Evict::TRANSFER;
const INTERRUPT: Context = Context::INTERRUPT;

/// A forebay whose own sections are counted.
type Counted<'n> = Forebay<LoudRam<'n>, &'n Far>;

/// Runs it, and prints how many sections it took.
fn figure<R>(what: &str, f: impl FnOnce() -> R) -> (R, usize) {
    let (result, taken) = sections(f);
    println!("{what}: {taken} lock sections");
    (result, taken)
}

/// Moves one buffer of one block in a reclaim over these.
#[track_caller]
fn moves_one<C: Candidates>(home: &Counted<'_>, candidates: C, what: &str) -> usize {
    let (report, taken) = figure(what, || home.reclaim(candidates, pages(1), TRANSFER, INTERRUPT));
    assert_eq!((report.evicted.transferred, report.outcome), (pages(1), Outcome::Reached), "{what}");
    taken
}

/// Rule: a guard of a resident buffer locks when it is made, and when it is dropped.
#[test]
fn a_guard_locks_twice() {
    let (near, far) = (near(16), far(16));
    let home = Counted::new(LoudRam(&near), &far);
    let buffer = Buffer::new(&home, Order::PAGE);
    fill(&buffer, 1);
    assert_eq!(figure("a read guard of a resident buffer", || drop(buffer.read().unwrap())).1, 2);
    assert_eq!(figure("a write guard of a resident buffer", || drop(buffer.write().unwrap())).1, 2);
    let reader = buffer.read().unwrap();
    assert_eq!(figure("a second reader", || drop(buffer.read().unwrap())).1, 2);
    drop(reader);
    let (busy, taken) = figure("a writer while another writes", || {
        let guard = buffer.write();
        (buffer.write().err(), buffer.read().err(), guard.is_ok())
    });
    assert_eq!((busy.0, busy.1, busy.2), (Some(AccessError::Busy), Some(AccessError::Busy), true));
    assert_eq!(taken, 2 + 1 + 1, "a refusal locks once");
    check(&buffer, 1);
}

/// Rule: an eviction of one block locks to begin, to count and to end, however large the block is.
#[test]
fn an_eviction_locks_a_few_times() {
    let (near, far) = (near(64), far(64));
    let home = Counted::new(LoudRam(&near), &far);
    for k in [0, 3, 5] {
        let buffer = Buffer::new(&home, order(k));
        fill(&buffer, 1);
        let what = format!("evict by transfer of a block of order {k}");
        let (evicted, taken) = figure(&what, || buffer.evict(ALL, TRANSFER, INTERRUPT));
        assert_eq!(evicted.unwrap().transferred, order(k).pages());
        assert!(taken <= 4, "{taken}");
        let (nothing, taken) = figure("evict of nothing", || buffer.evict(ALL, TRANSFER, INTERRUPT));
        assert_eq!((nothing, taken), (Ok(Evicted::default()), 2));
        check(&buffer, 1);
    }
}

/// Rule: a reclaim that moves one buffer of one block locks a few times, also if the buffer was lately used.
#[test]
fn a_reclaim_locks_a_few_times() {
    let (near, far) = (near(64), far(64));
    let home = Counted::new(LoudRam(&near), &far);
    let buffer = Buffer::new(&home, Order::PAGE);
    for how in ["a reclaim that moves one buffer of one block", "the same, idle"] {
        fill(&buffer, 1);
        if how.ends_with("idle") {
            let request = EvictRequest::new(pages(1), TRANSFER, INTERRUPT);
            assert_eq!(buffer.evict_if_idle(&request).moved(), NONE, "from now on it is idle");
        }
        let taken = moves_one(&home, [&buffer], how);
        assert!(taken <= 8, "{taken}");
        check(&buffer, 1);
    }
}

/// Rule: a candidate with nothing to give takes no lock, whether it is empty or stored, in any phase. A reclaim over a hundred
/// of them locks as often as one over none, and one more that moves costs what it costs alone.
#[test]
fn candidates_with_nothing_to_give_take_no_lock() {
    let (near, far) = (near(256), region::<128>(256, 0));
    let home = Forebay::new(LoudRam(&near), &far);
    let mut buffers: Vec<_> =
        (0..101).map(|n| Buffer::new(&home, Order::PAGE).with_id(BufferId(n))).collect();
    let mover = buffers.pop().unwrap();
    for (n, buffer) in buffers.iter().enumerate().step_by(2) {
        fill(buffer, n as u8);
        assert_eq!(buffer.evict(ALL, TRANSFER, INTERRUPT).unwrap().moved(), pages(1));
    }
    for how in METHODS {
        for target in [ReclaimTarget::moved(pages(1)), ReclaimTarget::freed(pages(1))] {
            let over = |candidates: &[Buffer<_>]| {
                let cx = if how == TRANSFER { INTERRUPT } else { CX };
                sections(|| home.reclaim(candidates, target, how, cx).evicted).1
            };
            home.settle(ALL, CX); // so that no reclaim finds anything in the store
            let (none, many) = (over(&[]), over(&buffers));
            println!(
                "a reclaim by {how:?} over none: {none} lock sections, over 100 with nothing to give: {many}"
            );
            assert_eq!(many, none, "{how:?} {target:?}");
        }
    }
    fill(&mover, 1);
    let alone = {
        let (report, taken) = sections(|| home.reclaim([&mover], pages(1), TRANSFER, INTERRUPT));
        assert_eq!(report.evicted.transferred, pages(1));
        taken
    };
    fill(&mover, 1);
    buffers.push(mover);
    let (report, taken) = sections(|| home.reclaim(&buffers, pages(1), TRANSFER, INTERRUPT));
    assert_eq!(report.evicted.transferred, pages(1));
    println!("a reclaim that moves one buffer alone: {alone} lock sections, among 100 others: {taken}");
    assert_eq!(taken, alone);
}
