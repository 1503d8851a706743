//! The operations that the fuzzer drives, over every kind of source and store, with the oracle beside them.
//!
//! Here and not in `fuzz/`, so that ordinary tests replay the committed corpus on stable Rust.

mod alias;
mod buffers;
mod direct;
mod engine;
mod index;
mod lobby;
mod memfd;
mod nested;
mod ops;
mod parts;
mod plants;
mod platform;
mod reclaims;
mod rig;
mod rooms;
mod steps;
mod stores;
mod tally;
mod trail;
mod trouble;

use arbitrary::Unstructured;
use forebay::{
    AllocRequest, BackingStore, Context, Forebay, FrameSource, Outcome, Pages, Report, StoreId,
    port::{AllPorts, StoreIds, WithLists},
    sync::NoopRawMutex,
};
use forebay_backends::{Faulty, HeapSource, Null, Ram, Region, Tiered};
use index::Index;
pub use lobby::{lobby, many_in_a_lobby};
use memfd::{Inspector, Memfd, Offer};
pub use nested::nested;
use ops::{Machine, Op, SourceKind, StoreKind};
use parts::Parts;
pub use plants::Plant;
use plants::Planted;
use platform::{Hooked, Hooks, LARGE, Lists, SMALL, Source, Stubborn};
use rig::{Rig, Seen};
use rooms::Rooms;
use std::fmt::Debug;
use std::slice;
use stores::Copying;
use tally::Tally;
use trail::Quiet;
pub use trouble::{lies, panics};

use crate::{Contents, Watched, World};

/// Transferred blocks that wait in a region, at most.
const TRANSFERS: usize = 3;
type Swap<B, const PAGE: usize> = Region<NoopRawMutex, B, PAGE, TRANSFERS>;
/// The source, its hooks, faults, and the oracle in front.
type Site<'w, S> = AllPorts<Watched<'w, AllPorts<Faulty<AllPorts<Hooked<'w, S>>, NoopRawMutex>>>>;
/// The same with free lists.
type Machinery<'w, S> = WithLists<Site<'w, S>, Lists<Site<'w, S>>>;
type Home<'w, S> = Forebay<Machinery<'w, S>, Tally<'w, <S as FrameSource>::Block>>;

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

/// As [`ownership_transfer`], with a bug in the machine: to show that bugs are found.
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
    if !machine.has_memfd() {
        return parts::with(|parts| on_memory::<SMALL>(&machine, &ops, plant, parts, &memfd::Nothing));
    }
    let arena = memfd::arena(&machine);
    let copies = arena.copies(memfd::COPIED);
    parts::with(|parts| match machine.source {
        SourceKind::Memfd => {
            let memfd = Memfd { arena: &arena, own: &arena, copies: &copies };
            on_source::<_, LARGE>(&arena, &machine, &ops, plant, parts, Some(memfd));
        }
        _ => on_memory::<LARGE>(&machine, &ops, plant, parts, &copies),
    });
}

/// With one of the sources that are given memory.
fn on_memory<const PAGE: usize>(
    machine: &Machine,
    ops: &[Op],
    plant: Plant,
    mut parts: Parts,
    offer: &impl Offer,
) {
    match machine.source {
        SourceKind::Ram | SourceKind::Memfd => {
            let ram = ram::<PAGE>(machine, &mut parts);
            on_source::<_, PAGE>(&ram, machine, ops, plant, parts, offer.memfd());
        }
        SourceKind::Stubborn => {
            let ram = Stubborn(ram::<PAGE>(machine, &mut parts));
            on_source::<_, PAGE>(&ram, machine, ops, plant, parts, offer.memfd());
        }
        SourceKind::Heap => {
            let heap = HeapSource::<NoopRawMutex, PAGE>::new();
            let memory = parts.memory(machine.first_piece() * PAGE + machine.skew(), machine.skew());
            heap.init(memory).expect("there are whole pages in it");
            assert!(heap.free_bytes() >= heap.unused().get() * PAGE);
            on_source::<_, PAGE>(&heap, machine, ops, plant, parts, offer.memfd());
        }
    }
}

/// Two odd pieces.
fn ram<const PAGE: usize>(machine: &Machine, parts: &mut Parts) -> Ram<NoopRawMutex, PAGE, 2> {
    ram_of(&[machine.first_piece(), machine.second_piece()], machine.skew(), parts)
}

/// Pieces with these numbers of pages, which begin at odd places.
fn ram_of<const PAGE: usize>(pieces: &[usize], skew: usize, parts: &mut Parts) -> Ram<NoopRawMutex, PAGE, 2> {
    let ram = Ram::new();
    for pages in pieces {
        let bytes = pages * PAGE + skew;
        let memory = parts.memory(bytes, skew + PAGE * (pages & 3));
        let meta = parts.words(Ram::<NoopRawMutex, PAGE>::metadata_words(bytes));
        Ram::check(&ram, memory, meta).expect("it says before whether it takes them");
        Ram::add(&ram, memory, meta).expect("pieces that share nothing");
    }
    ram
}

fn on_source<S: Source, const PAGE: usize>(
    source: &S,
    machine: &Machine,
    ops: &[Op],
    plant: Plant,
    mut parts: Parts,
    memfd: Option<Memfd<'_, S::Block>>,
) {
    let second = StoreId::new(u8::from(!machine.same_id)).unwrap_or(StoreId::DEFAULT);
    let regions = [Swap::<S::Block, PAGE>::new(StoreId::DEFAULT), Swap::new(second)];
    let rooms = [0, 1].map(|n| {
        let bytes = (machine.region_pages()[n] + 1) * PAGE + machine.skew();
        let meta = parts.words(Swap::<S::Block, PAGE>::metadata_words(bytes));
        let memory = parts.memory(bytes, machine.skew());
        regions[n].init(memory, meta).expect("memory of its own");
        Rooms::new(&regions[n], plant)
    });
    let [a, b] = &rooms;
    let [first, second] = regions.each_ref().map(slice::from_ref);
    let copying = Copying::new(machine.copying, StoreId::DEFAULT, PAGE);
    let two = Tiered(a, b);
    let behind_null = Tiered(Null, a);
    let behind_copying = Tiered(&copying, b);
    let null: &dyn BackingStore<S::Block> = &Null; // not reached: machines with these kinds have an arena
    let (own, copies) = memfd.as_ref().map_or((null, null), |memfd| (memfd.own, memfd.copies));
    let own_then = Tiered(own, a);
    let then_own = Tiered(a, own);
    let copies_then = Tiered(copies, a);
    let then_copies = Tiered(a, copies);
    let (leaf, in_use): (&dyn BackingStore<S::Block>, &[Swap<S::Block, PAGE>]) = match machine.store {
        StoreKind::Region => (a, first),
        StoreKind::TwoRegions => (&two, &regions),
        StoreKind::RegionBehindNull => (&behind_null, first),
        StoreKind::RegionBehindCopying => (&behind_copying, second),
        StoreKind::Copying => (&copying, &[]),
        StoreKind::Null => (&Null, &[]),
        StoreKind::Memfd => (own, &[]),
        StoreKind::MemfdThenRegion => (&own_then, first),
        StoreKind::RegionThenMemfd => (&then_own, first),
        StoreKind::Copies => (copies, &[]),
        StoreKind::CopiesThenRegion => (&copies_then, first),
        StoreKind::RegionThenCopies => (&then_copies, first),
    };
    let planted = Planted::new(leaf, plant, memfd.map(|memfd| memfd.arena));
    let store: &dyn BackingStore<S::Block> = if plant == Plant::Nothing { leaf } else { &planted };
    let world = World::new(Contents::Compared);
    let hooks = Hooks::default();
    let total = source.unused();
    let site = Watched::platform(AllPorts(Faulty::new(AllPorts(Hooked::new(source, &hooks)))), &world);
    let tally = Tally::new(Watched::new(Faulty::new(store), &world), plant == Plant::FlipsPastTheOracle);
    let index = Index::new(plant);
    let seen = Seen { world: &world, hooks: &hooks, index: &index };
    let inspector = memfd.map(|memfd| Inspector::new::<S>(memfd, machine, plant));
    {
        let home = Quiet::new(Forebay::new(WithLists(site, Lists::new(machine.depth())), tally));
        Rig::<S, PAGE>::new(&*home, seen, source, in_use, inspector, machine).run(machine, ops);
    }
    rig::assert_nothing_left(&world, source, total, in_use, &copying);
    if let Some(memfd) = memfd.filter(|_| world.frames_out() == Pages::ZERO) {
        memfd::assert_nothing_left(memfd.arena);
    }
}

/// Reclaims. After the outcome `Nothing` the same call at once moves nothing either.
fn nothing_means_nothing(reclaim: impl Fn() -> Report, asked: &dyn Debug) {
    if reclaim().outcome == Outcome::Nothing {
        let again = reclaim();
        let is = (again.outcome, again.evicted.moved(), again.gained);
        assert_eq!(is, (Outcome::Nothing, Pages::ZERO, Pages::ZERO), "{again:?} for {asked:?}");
    }
}

/// What a store behind the ids can do, for the expectations.
fn splits(machine: &Machine) -> bool {
    match machine.store {
        StoreKind::Region | StoreKind::TwoRegions | StoreKind::RegionBehindNull => true,
        StoreKind::Copying | StoreKind::RegionBehindCopying => machine.copying.splits,
        StoreKind::Null => false,
        kind => kind.has_memfd(),
    }
}

/// Which of the handles' values are a page and an entry.
fn region_ids<B: forebay::OwnedBlock, const PAGE: usize>(regions: &[Swap<B, PAGE>]) -> StoreIds {
    regions.iter().fold(StoreIds::empty(), |ids, r| ids.union(r.ids()))
}

/// What is free, for a check that must not go through the wrappers.
fn has_block<S: Source>(source: &S, order: forebay::Order, cx: Context) -> bool {
    match source.allocate(AllocRequest::new(order), cx) {
        Ok(block) => {
            source.free(block);
            true
        }
        Err(_) => false,
    }
}

fn pages(n: usize) -> Pages {
    Pages::new(n)
}
