//! The operations that the fuzzer drives, over every kind of source and store, with the oracle beside them.
//!
//! Here and not in `fuzz/`, so that ordinary tests replay the committed corpus on stable Rust.

mod arena;
mod buffers;
mod direct;
mod engine;
mod ops;
mod platform;
mod rig;
mod steps;
mod stores;
mod tally;

use arbitrary::Unstructured;
use arena::Parts;
use forebay::{BackingStore, Forebay, NoLock, Pages, Place, Platform, StoreId, StoreIds};
use forebay_backends::{Faulty, HeapSource, Null, Ram, Region, Tiered};
use ops::{Machine, Op, SourceKind, StoreKind};
use platform::{Hooked, Hooks, PAGE, Source, Stubborn};
use rig::{Quiet, Rig};
pub use stores::Plant;
use stores::{Copying, Planted};
use tally::Tally;

use crate::{Contents, Watched, World};

/// Blocks that a region adopts.
const ADOPTIONS: usize = 3;
type Swap<B> = Region<NoLock, B, PAGE, ADOPTIONS>;
/// What a pool looks at: the source, its hooks, faults, and the oracle in front.
type Site<'w, S> = Watched<'w, Faulty<Hooked<'w, S>, NoLock>>;
type Home<'w, S> = Forebay<Site<'w, S>, Tally<'w, <S as Platform>::Block>>;

/// Operations of one input at most: an input that does more is slow and shows nothing new.
const OPERATIONS: usize = 160;

/// Builds the machine that the bytes describe, runs the operations that they describe on it, and takes it down.
///
/// # Panics
/// At the first violation, with the operations so far on standard error. (libFuzzer aborts before they are printed:
/// replay the input with the tests.)
pub fn ownership_transfer(data: &[u8]) {
    ownership_transfer_with(data, Plant::Nothing);
}

/// As [`ownership_transfer`], with a bug in the store: to show that bugs are found.
///
/// # Panics
/// At the first violation.
pub fn ownership_transfer_with(data: &[u8], plant: Plant) {
    let mut bytes = Unstructured::new(data);
    let Ok(machine) = bytes.arbitrary::<Machine>() else { return };
    let mut ops = Vec::new();
    while !bytes.is_empty() && ops.len() < OPERATIONS {
        let Ok(op) = bytes.arbitrary::<Op>() else { break };
        ops.push(op);
    }
    arena::with(|mut parts| match machine.source {
        SourceKind::Ram => {
            let ram = ram(&machine, &mut parts);
            on_source(&ram, &machine, &ops, plant, parts);
        }
        SourceKind::Stubborn => {
            let ram = Stubborn(ram(&machine, &mut parts));
            on_source(&ram, &machine, &ops, plant, parts);
        }
        SourceKind::Heap => {
            let heap = HeapSource::<NoLock, PAGE>::new();
            let memory = parts.memory(machine.first_piece() * PAGE + machine.skew(), machine.skew());
            heap.init(memory).expect("there are whole pages in it");
            on_source(&heap, &machine, &ops, plant, parts);
        }
    });
}

/// Two odd pieces.
fn ram(machine: &Machine, parts: &mut Parts) -> Ram<NoLock, PAGE> {
    let ram = Ram::new();
    for pages in [machine.first_piece(), machine.second_piece()] {
        let bytes = pages * PAGE + machine.skew();
        let memory = parts.memory(bytes, machine.skew() + PAGE * (pages & 3));
        let meta = parts.words(Ram::<NoLock, PAGE>::metadata_words(bytes));
        ram.add(memory, meta).expect("two pieces that share nothing");
    }
    ram
}

fn on_source<S: Source>(source: &S, machine: &Machine, ops: &[Op], plant: Plant, mut parts: Parts) {
    let second = StoreId::new(u8::from(!machine.same_id)).unwrap_or(StoreId::DEFAULT);
    let regions = [Swap::<S::Block>::new(StoreId::DEFAULT), Swap::new(second)];
    for (region, pages) in regions.iter().zip(machine.region_pages()) {
        let bytes = (pages + 1) * PAGE + machine.skew();
        let meta = parts.words(Swap::<S::Block>::metadata_words(bytes));
        region.init(parts.memory(bytes, machine.skew()), meta).expect("memory of its own");
    }
    let [a, b] = &regions;
    let copying = Copying::new(machine.copying, StoreId::DEFAULT);
    let two = Tiered(a, b);
    let behind_null = Tiered(Null, a);
    let behind_copying = Tiered(&copying, b);
    let (leaf, in_use): (&dyn BackingStore<S::Block>, &[Swap<S::Block>]) = match machine.store {
        StoreKind::Region => (a, std::slice::from_ref(a)),
        StoreKind::TwoRegions => (&two, &regions),
        StoreKind::RegionBehindNull => (&behind_null, std::slice::from_ref(a)),
        StoreKind::RegionBehindCopying => (&behind_copying, std::slice::from_ref(b)),
        StoreKind::Copying => (&copying, &[]),
        StoreKind::Null => (&Null, &[]),
    };
    let planted = Planted::new(leaf, plant);
    let store: &dyn BackingStore<S::Block> = if plant == Plant::Nothing { leaf } else { &planted };
    let world = World::new(Contents::Compared);
    let hooks = Hooks::default();
    let total = source.free_pages();
    let site = Watched::new(Faulty::new(Hooked::new(source, &hooks)), &world);
    let tally = Tally::new(Watched::new(Faulty::new(store), &world), plant == Plant::FlipsPastTheOracle);
    {
        let home = Quiet::new(Forebay::<_, _, [Place<_>; 26]>::new(site, tally, machine.depth()));
        Rig::new(&*home, &world, &hooks, source, in_use, machine).run(machine, ops);
    }
    rig::assert_nothing_left(&world, source, total, in_use, &copying);
}

/// What a store behind the ids can do, for the expectations.
fn splits(machine: &Machine) -> bool {
    match machine.store {
        StoreKind::Region | StoreKind::TwoRegions | StoreKind::RegionBehindNull => true,
        StoreKind::Copying | StoreKind::RegionBehindCopying => machine.copying.splits,
        StoreKind::Null => false,
    }
}

/// Which of the handles' values are a page and an entry.
fn region_ids<B: forebay::OwnedBlock>(regions: &[Swap<B>]) -> StoreIds {
    regions.iter().fold(StoreIds::NONE, |ids, r| ids.union(r.ids()))
}

/// What is free, for a check that must not go through the wrappers.
fn has_block<S: Source>(source: &S, order: forebay::Order) -> bool {
    match source.allocate(order, forebay::Context::THREAD) {
        Ok(block) => {
            source.release(block);
            true
        }
        Err(_) => false,
    }
}

fn pages(n: usize) -> Pages {
    Pages::new(n)
}
