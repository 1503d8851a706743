//! Evictions into a store of RAM, by each method, beside a loop of `memcpy` over the same number of bytes.

use super::PAGE;
use super::arena::arena;
use super::meter::{Key, Meter, Pace};
use super::options::Scale;
use super::progress::Progress;
use crate::memory;
use forebay::sync::SpinRawMutex;
use forebay::{Buffer, Context, Evict, Forebay, Pages, StoreId};
use forebay_backends::{Ram, RamRegion};

type Near = Ram<SpinRawMutex, PAGE, 1>;
type Far = RamRegion<SpinRawMutex, PAGE, TRANSFERS>;
type Home = Forebay<Near, Far>;

/// Blocks that wait to be written out, at most.
const TRANSFERS: usize = 256;

/// Bytes of the buffers, at most: far more than the caches of the processor hold. Its pages are touched before.
const MOST: usize = 64 << 20;

/// Rounds, at most.
const ROUNDS: usize = 8;

/// The methods, each with the name that is printed.
const METHODS: [(&str, Evict); 3] =
    [("evict-transfer", Evict::TRANSFER), ("evict-copy", Evict::COPY), ("evict-split", Evict::SPLIT)];

/// What is done with blocks that were transferred.
const WRITE_OUT: &str = "write-out";

/// Runs all methods with all orders. An operation is a block. The same copies stand beside each method.
pub fn run(scale: &Scale, meter: &mut dyn Meter, progress: &mut Progress) {
    let bytes = scale.arena.min(MOST);
    let pace = meter.pace();
    let rounds = pace.warm_up + pace.rounds.min(ROUNDS);
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
        for round in 0..rounds {
            meter.counts_from_now(round);
            for (workload, how) in METHODS {
                renew(&buffers, round);
                evict(&home, &buffers, &Key::new(workload, *order, "forebay"), how, meter);
                check(&buffers, round);
            }
            for workload in METHODS.map(|(workload, _)| workload).into_iter().chain([WRITE_OUT]) {
                copy(from, to, PAGE << order.get(), &Key::new(workload, *order, "memcpy"), meter);
            }
            progress.step();
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

/// Blocks of a batch, so that there are several batches of each order.
fn batch(blocks: usize, pace: Pace) -> usize {
    (blocks / pace.batches.min(8)).clamp(1, pace.bulk)
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
fn evict(home: &Home, buffers: &[Buffer<&Home>], key: &Key, how: Evict, meter: &mut dyn Meter) {
    let out = Key { workload: WRITE_OUT.into(), ..key.clone() };
    for some in buffers.chunks(TRANSFERS) {
        let batches = some.chunks(batch(some.len(), meter.pace()));
        for batch in batches.clone() {
            meter.batch(key, batch.len(), &mut || {
                for buffer in batch {
                    let evicted = buffer.evict(Pages::MAX, how, Context::THREAD);
                    debug_assert!(evicted.is_ok_and(|evicted| evicted.why.is_none()));
                }
            });
        }
        for batch in batches.filter(|_| how == Evict::TRANSFER) {
            let pages = Pages::new(batch.len() << key.order);
            let mut written = Pages::ZERO;
            meter.batch(&out, batch.len(), &mut || written = home.settle(pages, Context::THREAD).written);
            assert_eq!(written, pages, "plain RAM stores everything");
        }
        assert_eq!(home.store().pending(), Pages::ZERO);
    }
    assert_eq!(home.platform().unused(), home.platform().total(), "all of it left");
}

/// Copies all bytes, block by block.
fn copy(from: &[u8], to: &mut [u8], block: usize, key: &Key, meter: &mut dyn Meter) {
    let ops = batch(from.len() / block, meter.pace());
    for (from, to) in from.chunks(ops * block).zip(to.chunks_mut(ops * block)) {
        meter.batch(key, from.len() / block, &mut || {
            for (from, to) in from.chunks(block).zip(to.chunks_mut(block)) {
                to.copy_from_slice(from);
            }
        });
    }
    std::hint::black_box(to);
}
