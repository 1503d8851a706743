//! Evictions into a store of RAM, by each method, beside a loop of `memcpy` over the same number of bytes.

use super::PAGE;
use super::arena::arena;
use super::meter::{Durations, Key};
use super::options::Scale;
use super::progress::Progress;
use crate::memory;
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Context, Evict, Forebay, Order, Pages, StoreId};
use forebay_backends::{Ram, RamRegion};
use std::time::{Duration, Instant};

type Near = Ram<SpinRawMutex, PAGE, 1>;
type Far = RamRegion<SpinRawMutex, PAGE, TRANSFERS>;
type Home = Forebay<Near, Far>;

/// Blocks that wait to be written out, at most.
const TRANSFERS: usize = 256;

/// Bytes of the buffers, at most: far more than the caches of the processor hold. Its pages are touched before.
const MOST: usize = 64 << 20;

/// The methods, each with the name that is printed.
const METHODS: [(&str, Evict); 3] =
    [("evict-transfer", Evict::TRANSFER), ("evict-copy", Evict::COPY), ("evict-split", Evict::SPLIT)];

/// Runs all methods with all orders. An operation is a block.
pub fn run(scale: &Scale, durations: &mut Durations, progress: &mut Progress) {
    let bytes = scale.arena.min(MOST);
    let rounds = if scale.quick { 2 } else { 8 };
    let home = Home::new(Near::new(), Far::new(StoreId::DEFAULT));
    let near = memory::words(Near::metadata_words(bytes));
    let far = memory::words(Far::metadata_words(2 * bytes));
    home.platform().add(touched(bytes), near).expect("fresh memory, and metadata for it");
    home.store().init(touched(2 * bytes), far).expect("fresh memory, and metadata for it");
    let (from, to) = (touched(bytes), touched(bytes));
    progress.begin("evict", scale.orders.len() * rounds);
    for order in &scale.orders {
        let count = bytes / (PAGE << order.get());
        let buffers: Vec<Buffer<&Home>> = (0..count).map(|_| Buffer::new(&home, *order)).collect();
        // The first round warms up.
        for round in 0..=rounds {
            for (workload, how) in METHODS {
                renew(&buffers, round);
                let mut times = Times::new(workload, *order);
                evict(&home, &buffers, how, &mut times);
                check(&buffers, round);
                if round > 0 {
                    times.enter(durations);
                }
            }
            let mut times = Times::new("memcpy", *order);
            let block = if round == 0 { bytes } else { PAGE << order.get() };
            copy(from, to, block, &mut times);
            if round > 0 {
                times.enter_copies(durations);
                progress.step();
            }
        }
    }
    progress.end();
}

/// Memory whose pages were touched, so the system does not have to give them later.
fn touched(bytes: usize) -> &'static mut [u8] {
    let memory = arena(bytes);
    memory.fill(1);
    memory
}

/// Durations of batches of blocks.
struct Times {
    workload: &'static str,
    order: Order,
    /// Of evictions, or of copies.
    batches: Vec<(Duration, usize)>,
    /// Of writing out.
    later: Vec<(Duration, usize)>,
}

impl Times {
    fn new(workload: &'static str, order: Order) -> Self {
        Times { workload, order, batches: vec![], later: vec![] }
    }

    fn enter(&self, durations: &mut Durations) {
        self.add("forebay", self.workload, &self.batches, durations);
        self.add("forebay", "write-out", &self.later, durations);
    }

    /// The same copies stand beside each method.
    fn enter_copies(&self, durations: &mut Durations) {
        for workload in METHODS.map(|(workload, _)| workload).into_iter().chain(["write-out"]) {
            self.add("memcpy", workload, &self.batches, durations);
        }
    }

    fn add(&self, who: &str, workload: &str, batches: &[(Duration, usize)], durations: &mut Durations) {
        let order = self.order.get();
        let key = Key { workload: workload.into(), order, threads: 1, locked: true, who: who.into() };
        for (time, blocks) in batches {
            durations.add(&key, time.as_nanos() as f64 / *blocks as f64);
        }
    }
}

/// Blocks of a batch, so that there are several batches of each order.
fn batch(blocks: usize) -> usize {
    (blocks / 8).clamp(1, 32)
}

/// Writes to all buffers, so that no copy in the store is up to date.
fn renew(buffers: &[Buffer<&Home>], round: usize) {
    for (n, buffer) in buffers.iter().enumerate() {
        let mut guard = buffer.write().expect("there is memory for all of them");
        guard.write_at(0, &stamp(n, round));
    }
}

/// Restores all buffers, and checks that they have the same bytes as before.
fn check(buffers: &[Buffer<&Home>], round: usize) {
    for (n, buffer) in buffers.iter().enumerate() {
        let mut bytes = [0; 16];
        buffer.read().expect("there is memory for all of them").read_at(0, &mut bytes);
        assert_eq!(bytes, stamp(n, round), "a buffer came back different");
    }
}

fn stamp(n: usize, round: usize) -> [u8; 16] {
    ((n as u128) << 64 | round as u128).to_le_bytes()
}

/// Evicts all buffers. Where blocks are transferred, they are written out as soon as the store's table is full.
fn evict(home: &Home, buffers: &[Buffer<&Home>], how: Evict, times: &mut Times) {
    for some in buffers.chunks(TRANSFERS) {
        for batch in some.chunks(batch(some.len())) {
            let begin = Instant::now();
            for buffer in batch {
                let evicted = buffer.evict(Pages::MAX, how, Context::THREAD);
                debug_assert!(evicted.is_ok_and(|evicted| evicted.why.is_none()));
            }
            times.batches.push((begin.elapsed(), batch.len()));
        }
        if how == Evict::TRANSFER {
            let begin = Instant::now();
            while home.store().pending() > Pages::ZERO {
                let settled = home.settle(Pages::MAX, Context::THREAD);
                assert!(settled.error.is_none(), "plain RAM stores everything");
            }
            times.later.push((begin.elapsed(), some.len()));
        }
    }
    assert_eq!(home.platform().unused(), home.platform().total(), "all of it left");
}

/// Copies all bytes, block by block.
fn copy(from: &[u8], to: &mut [u8], block: usize, times: &mut Times) {
    let blocks = from.len() / block;
    let mut pairs = from.chunks(block).zip(to.chunks_mut(block));
    let ops = batch(blocks);
    for _ in 0..blocks / ops {
        let begin = Instant::now();
        for (from, to) in pairs.by_ref().take(ops) {
            to.copy_from_slice(from);
        }
        times.batches.push((begin.elapsed(), ops));
    }
    std::hint::black_box(to);
}
