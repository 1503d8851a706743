//! W4: W3 on one thread, and on two at once. Threads are pinned to cores. A batch counts only if it ran while all threads ran, and
//! a round only if most of its batches count; where other programs take the cores, rounds are repeated.

use super::meter::{Durations, Key, Meter, Pace};
use super::options::Scale;
use super::progress::Progress;
use super::rng::XorShift;
use super::subject::{Shared, Subject};
use forebay::Order;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

thread_local! {
    static CORE: Cell<usize> = const { Cell::new(0) };
}

/// The number of this thread among those of a bench: 0 or 1. In a kernel that is the number of the current core.
pub fn core() -> usize {
    CORE.get()
}

/// The most threads at once.
pub const MOST: usize = 2;

/// Pins this thread to one of the cores that the process may use. Without effect where there is only one.
fn pin(core: usize) {
    CORE.set(core);
    #[cfg(target_os = "linux")]
    pin_to(core);
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn pin_to(core: usize) {
    // SAFETY: the set is plain data, of the size that is passed; both calls are about this thread only.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut allowed) != 0 {
            return;
        }
        let cores = (0..libc::CPU_SETSIZE as usize).filter(|n| libc::CPU_ISSET(*n, &allowed));
        if let Some(chosen) = cores.collect::<Vec<_>>().get(core) {
            let mut one: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(*chosen, &mut one);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &one);
        }
    }
}

/// Whether two threads can run at once.
pub fn has_two_cores() -> bool {
    thread::available_parallelism().is_ok_and(|cores| cores.get() >= MOST)
}

/// When a batch began, and when it ended.
type Span = (Instant, Instant);

/// How often all rounds are repeated at most, until half of them are good for each allocator. An allocator without a good round has
/// no row.
const ATTEMPTS: usize = 4;

fn key(subject: &Subject, order: Order, threads: usize) -> Key {
    Key { threads, locked: subject.locked, ..Key::new("W4", order, subject.who) }
}

/// Those that can be shared.
fn shared<'s>(subjects: &'s [Subject], scale: &Scale) -> Vec<(&'s Subject, Box<dyn Shared>)> {
    subjects.iter().filter_map(|subject| Some((subject, subject.share?(scale.arena)))).collect()
}

/// W4 where no time is measured but instructions are counted. Callgrind runs one thread at a time, so what two threads do is done by this one: it
/// says that it is the first, then the second, batch by batch. So a count has no waiting for each other.
fn in_turns(subjects: &[Subject], scale: &Scale, meter: &mut dyn Meter) {
    let ops = meter.pace().ops;
    for (subject, allocator) in &shared(subjects, scale) {
        for (order, threads) in scale.orders.iter().flat_map(|order| [(*order, 1), (*order, MOST)]) {
            let mut rng = XorShift::new(scale.seed);
            let mut picks = || (0..ops).map(|_| rng.draw() as u32).collect::<Vec<_>>();
            let (warm_up, counted) = (picks(), picks());
            let blocks = (scale.pages() / 4) >> order.get();
            let mut tenants: Vec<_> = (0..threads).map(|_| allocator.tenant()).collect();
            for (n, tenant) in tenants.iter_mut().enumerate() {
                CORE.set(n);
                tenant.reserve(blocks + 1);
                tenant.fill(order, blocks);
            }
            let mut run = |picks: &[u32]| {
                for (n, some) in picks.chunks(TURN).enumerate() {
                    CORE.set(n % threads);
                    tenants[n % threads].replace(order, some);
                }
            };
            run(&warm_up);
            meter.batch(&key(subject, order, threads), ops, &mut || run(&counted));
            for (n, tenant) in tenants.iter_mut().enumerate() {
                CORE.set(n);
                tenant.drain(order, usize::MAX);
                tenant.flush();
            }
        }
    }
    CORE.set(0);
}

/// Operations of a thread, until it is the other one's turn.
const TURN: usize = 32;

/// Runs W4 on all allocators that can be shared: with one thread, and with two if there are two cores.
pub fn run(subjects: &[Subject], scale: &Scale, meter: &mut dyn Meter, progress: &mut Progress) {
    let subjects = &meter.subjects(subjects);
    match meter.durations() {
        Some(durations) => timed(subjects, scale, durations, progress),
        None => in_turns(subjects, scale, meter),
    }
}

fn timed(subjects: &[Subject], scale: &Scale, durations: &mut Durations, progress: &mut Progress) {
    let shared = shared(subjects, scale);
    let counts: &[usize] = if has_two_cores() { &[1, MOST] } else { &[1] };
    progress.begin("W4", scale.orders.len() * counts.len());
    for order in &scale.orders {
        for threads in counts {
            let pace = Pace { batches: if scale.quick { 400 } else { 1000 }, ..scale.pace() };
            let mut rounds = vec![vec![]; shared.len()];
            for attempt in 0..ATTEMPTS {
                if rounds.iter().any(|good| good.len() < pace.rounds.div_ceil(2)) {
                    let seed = scale.seed ^ (attempt as u64) << 40;
                    let all = at_once(&shared, *threads, *order, scale.pages() / 4, pace, seed);
                    rounds.iter_mut().zip(all).for_each(|(good, more)| good.extend(more));
                }
            }
            for ((subject, _), rounds) in shared.iter().zip(rounds) {
                let key = key(subject, *order, *threads);
                rounds.into_iter().flatten().for_each(|ns| durations.add(&key, ns / pace.ops as f64));
            }
            progress.step();
        }
    }
    progress.end();
}

/// Runs all allocators with `threads` threads and blocks of one order. Each thread holds `pages` pages. Returns the good rounds of
/// each allocator: the nanoseconds of their batches.
fn at_once(
    shared: &[(&Subject, Box<dyn Shared>)],
    threads: usize,
    order: Order,
    pages: usize,
    pace: Pace,
    seed: u64,
) -> Vec<Vec<Vec<f64>>> {
    let gate = Gate::new(threads);
    let run = |thread: usize| {
        pin(thread);
        let mut tenants: Vec<_> = shared.iter().map(|(_, allocator)| allocator.tenant()).collect();
        let blocks = pages >> order.get();
        for tenant in &mut tenants {
            tenant.reserve(blocks + 1);
            tenant.fill(order, blocks);
        }
        let mut rounds: Vec<Vec<Vec<Span>>> = vec![vec![]; tenants.len()];
        for round in 0..pace.warm_up + pace.rounds {
            let mut rng = XorShift::new(seed ^ (round as u64) << 32 ^ (thread as u64) << 48);
            for (tenant, rounds) in tenants.iter_mut().zip(&mut rounds) {
                let picks: Vec<u32> = (0..pace.ops * pace.batches).map(|_| rng.draw() as u32).collect();
                gate.pass();
                let batches = picks.chunks(pace.ops).map(|picks| {
                    let begin = Instant::now();
                    tenant.replace(order, picks);
                    (begin, Instant::now())
                });
                rounds.push(batches.collect());
            }
        }
        gate.pass(); // each thread frees its blocks while no other thread is timed
        for (tenant, (_, allocator)) in tenants.iter_mut().zip(shared) {
            tenant.drain(order, usize::MAX);
            gate.pass();
            allocator.tenant().flush();
        }
        rounds
    };
    let run = &run;
    let all: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("a workload does not fail")).collect()
    });
    let good = |n: usize| {
        let rounds = pace.warm_up..pace.warm_up + pace.rounds;
        let spans = rounds.map(|round| all.iter().map(|of| of[n][round].as_slice()).collect::<Vec<_>>());
        spans.map(|spans| overlapping(&spans)).filter(|ns| ns.len() >= pace.batches * threads / 2).collect()
    };
    (0..shared.len()).map(good).collect()
}

/// Nanoseconds of those batches during which every other thread ran too: it ended a batch of its own in that time, or a little
/// before or after. (A thread that waits for a core ends no batch, however much time passes.)
fn overlapping(threads: &[&[Span]]) -> Vec<f64> {
    let runs = |spans: &[Span], (from, to): Span| {
        let around = NEAR * (to - from);
        let after = spans.partition_point(|(_, end)| *end + around < from);
        spans.get(after).is_some_and(|(_, end)| *end <= to + around)
    };
    let counts = |n: usize, span: Span| {
        let others = threads.iter().enumerate().filter(|(other, _)| *other != n);
        others.into_iter().all(|(_, spans)| runs(spans, span))
    };
    let all = threads.iter().enumerate().flat_map(|(n, spans)| spans.iter().map(move |span| (n, *span)));
    all.filter(|(n, span)| counts(*n, *span)).map(|(_, (from, to))| (to - from).as_nanos() as f64).collect()
}

/// Where a lock is not fair, one thread may do several batches while another does one.
const NEAR: u32 = 8;

/// A barrier: all threads go on at the same time. It spins, as a thread that sleeps would wake up late.
struct Gate {
    threads: usize,
    passed: AtomicUsize,
}

impl Gate {
    fn new(threads: usize) -> Self {
        Gate { threads, passed: AtomicUsize::new(0) }
    }

    fn pass(&self) {
        let mine = self.passed.fetch_add(1, Ordering::AcqRel);
        let full = (mine / self.threads + 1) * self.threads;
        while self.passed.load(Ordering::Acquire) < full {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Rule: a batch counts if every other thread ended one of its batches near it; with one thread each batch counts.
    #[test]
    fn overlaps() {
        let zero = Instant::now() + Duration::from_secs(1);
        let at = |from: u64, to: u64| (zero + Duration::from_nanos(from), zero + Duration::from_nanos(to));
        let one = [at(0, 10), at(10, 20), at(500, 520)];
        assert_eq!(overlapping(&[&one]), [10.0, 10.0, 20.0]);
        let two = [at(5, 15), at(15, 110)];
        assert_eq!(overlapping(&[&one, &two]), [10.0, 10.0, 10.0, 95.0]);
        let long_before = [at(0, 10), at(10, 501)]; // it waited for a core
        assert_eq!(overlapping(&[&[at(200, 210)], &long_before]), [491.0]);
        assert!(overlapping(&[&one, &[]]).is_empty());
    }

    /// Rule: no thread passes the barrier before all have reached it.
    #[test]
    fn a_gate_waits_for_all() {
        let (gate, came) = (Gate::new(2), AtomicUsize::new(0));
        let run = || {
            for n in 1..=100 {
                came.fetch_add(1, Ordering::AcqRel);
                gate.pass();
                assert!(came.load(Ordering::Acquire) >= 2 * n);
            }
        };
        thread::scope(|scope| {
            scope.spawn(run);
            scope.spawn(run);
        });
    }
}
