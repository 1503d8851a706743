//! W5 and W9: how much of the free memory is blocks of order 9 and 10 after a mix of orders. Nothing is timed, so traces run on
//! all cores.

use super::PAGE;
use super::arena::arena;
use super::forebay::{Source, source};
use super::mix::{Mix, Mixed, Step};
use super::options::Scale;
use super::progress::Progress;
use super::row::ShareRow;
use super::subject::{Kind, Subject};
use crate::memory;
use forebay::sync::NoopRawMutex;
use forebay::{
    AllocRequest, Buffer, Context, Evict, Forebay, FrameSource, Order, Pages, ReclaimTarget, StoreId,
};
use forebay_backends::{RamBlock, Region};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Steps of a trace for each page of the arena: 2 Mi for a GiB.
const STEPS: usize = 8;

/// Bytes of the arena of W9, at most. It is smaller, as the contents are really moved.
const W9_MOST: usize = 256 << 20;

/// The result of one allocator with one trace.
type Found = (&'static str, Mixed);

/// W5 of all allocators for pages, in the variant that several threads may use. The lock makes no difference here.
pub fn w5(subjects: &[Subject], scale: &Scale, seeds: &[u64], progress: &mut Progress) -> Vec<ShareRow> {
    let pages = scale.pages();
    let subjects: Vec<Subject> =
        subjects.iter().filter(|one| one.kind == Kind::Pages && one.locked).copied().collect();
    // A fresh one for each trace, so that a figure depends on its seed only.
    let worker = || {
        |seed| {
            let trace = Mix::new(pages, steps(pages, scale), seed);
            let run = |subject: &Subject| (subject.who, (subject.make)(scale.arena).mix(&trace, pages));
            subjects.iter().map(run).collect()
        }
    };
    rows("W5", seeds, on_all_cores("W5", seeds, progress, worker))
}

/// W9: the same trace with buffers of forebay. A reclaim evicts them by transfer until half of all pages are free. (Buffers leave as
/// a whole, so copies would free the same pages.)
pub fn w9(scale: &Scale, seeds: &[u64], progress: &mut Progress) -> Vec<ShareRow> {
    let bytes = scale.arena.min(W9_MOST);
    let pages = bytes / PAGE;
    let worker = || {
        // After each trace all of the store is free again. Where it keeps contents makes no difference.
        let store = Store::new(StoreId::DEFAULT);
        let words = memory::words(Store::metadata_words(bytes));
        store.init(arena(bytes), words).expect("fresh memory, and metadata for it");
        move |seed| {
            let trace = Mix::new(pages, steps(pages, scale), seed);
            vec![("forebay", evicted(&Home::new(source(bytes), &store), &trace, pages))]
        }
    };
    rows("W9", seeds, on_all_cores("W9", seeds, progress, worker))
}

type Store = Region<NoopRawMutex, RamBlock<PAGE>, PAGE, TRANSFERS>;
type Home<'s> = Forebay<Source<NoopRawMutex>, &'s Store>;

/// Blocks that wait to be written out, at most.
const TRANSFERS: usize = 256;

fn steps(pages: usize, scale: &Scale) -> usize {
    pages * if scale.quick { 1 } else { STEPS }
}

/// The share of free pages in large blocks, after buffers with half of all pages were evicted. At the end all buffers are
/// dropped.
fn evicted(home: &Home<'_>, trace: &Mix, pages: usize) -> Mixed {
    let mut places: Vec<Option<Buffer<&Home<'_>>>> = Vec::new();
    places.resize_with(trace.places(), || None);
    let mut failed = 0;
    let mut held = 0;
    for step in trace.busy_steps() {
        match step {
            Step::Allocate(at, order) => {
                let buffer = Buffer::new(home, order);
                if buffer.populate(Pages::MAX, Context::THREAD).why.is_some() {
                    failed += 1;
                    continue;
                }
                held += order.pages().get();
                places[at] = Some(buffer);
            }
            Step::Free(at) => held -= places[at].take().map_or(0, |buffer| pages_of(&buffer)),
        }
    }
    let buffers: Vec<Buffer<&Home<'_>>> = places.into_iter().flatten().collect();
    while held > pages / 2 {
        // No more pages than the store's table has room for: a block has at least one page.
        let most = Pages::new((held - pages / 2).min(TRANSFERS));
        let report = home.reclaim(&buffers, ReclaimTarget::moved(most), Evict::TRANSFER, Context::THREAD);
        let moved = report.evicted.moved();
        assert!(moved > Pages::ZERO, "the store has room for all");
        held -= moved.get();
        home.settle(Pages::MAX, Context::THREAD);
    }
    let percent = Mixed::ORDERS.map(|order| 100.0 * obtainable(home, order) as f64 / (pages - held) as f64);
    drop(buffers);
    home.settle(Pages::MAX, Context::THREAD);
    Mixed { failed, percent }
}

fn pages_of(buffer: &Buffer<&Home<'_>>) -> usize {
    buffer.residency().map_or(0, |residency| residency.resident.get())
}

/// Pages in blocks of that order that the source has.
fn obtainable(home: &Home<'_>, order: Order) -> usize {
    let source = home.platform();
    let request = AllocRequest::new(order);
    let all: Vec<_> =
        std::iter::from_fn(|| FrameSource::allocate(source, request, Context::THREAD).ok()).collect();
    let pages = all.len() << order.get();
    all.into_iter().for_each(|block| FrameSource::free(source, block));
    pages
}

/// Gives each seed to one of the workers, of which there is one for each core. The results are in the order of the seeds.
fn on_all_cores<W: FnMut(u64) -> Vec<Found>>(
    what: &str,
    seeds: &[u64],
    progress: &mut Progress,
    worker: impl Fn() -> W + Sync,
) -> Vec<Vec<Found>> {
    progress.begin(what, seeds.len());
    let cores = thread::available_parallelism().map_or(1, usize::from).min(seeds.len());
    let (next, found) = (AtomicUsize::new(0), Mutex::new(vec![vec![]; seeds.len()]));
    let bar = &*progress;
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut run = worker();
                while let Some(n) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < seeds.len()) {
                    let one = run(seeds[n]);
                    found.lock().expect("no worker failed")[n] = one;
                    bar.step();
                }
            });
        }
    });
    progress.end();
    found.into_inner().expect("no worker failed")
}

/// The means over the seeds.
fn rows(workload: &str, seeds: &[u64], found: Vec<Vec<Found>>) -> Vec<ShareRow> {
    let names: Vec<&str> = found.first().into_iter().flatten().map(|(who, _)| *who).collect();
    let row = |(n, who): (usize, &str), counted: usize| {
        let all: Vec<&Mixed> = found.iter().map(|of_seed| &of_seed[n].1).collect();
        let sum: f64 = all.iter().map(|mixed| mixed.percent[counted]).sum();
        ShareRow {
            workload: workload.into(),
            order: Mixed::ORDERS[counted].get(),
            who: who.into(),
            percent: (100.0 * sum / all.len() as f64).round() / 100.0,
            failed: all.iter().map(|mixed| mixed.failed).sum(),
            seeds: seeds.to_vec(),
        }
    };
    let orders = 0..Mixed::ORDERS.len();
    orders
        .flat_map(|counted| names.iter().copied().enumerate().map(move |name| (name, counted)))
        .map(|(name, counted)| row(name, counted))
        .collect()
}
