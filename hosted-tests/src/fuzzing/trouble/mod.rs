//! Machines whose ports and blocks panic or lie at a call that the input chooses.
//!
//! Everything that goes wrong stands in front of the oracle, which so sees what really happens to the frames. One call of an
//! operation goes wrong at most. It may cost the buffer that was in hand; all the others have their bytes.

mod acts;
mod platform;
mod rig;
mod script;
mod store;
mod tiles;
mod told;

use super::parts::{self, Parts};
use super::platform::SMALL;
use super::stores::Copying;
use super::trail::Quiet;
use super::{Index, Plant, Swap, ram_of};
use crate::{Contents, Watched, World};
use acts::{Machine, Mode, Step, StoreKind};
use arbitrary::Unstructured;
use forebay::{
    BackingStore, Forebay, StoreId,
    pool::FreeListArray,
    port::{AllPorts, WithLists},
};
use forebay_backends::{Null, Region, Rom, Tiered};
use rig::{Around, Rig};
use script::Script;
use store::Real;
use told::{Plain, Told};

/// The source, and the oracle in front.
type Site<'s> = AllPorts<Watched<'s, AllPorts<Plain<'s>>>>;
/// What panics or lies in front of it.
type Ports<'s> = AllPorts<platform::Unreliable<'s, Site<'s>>>;
/// Two blocks in each list: five orders, three modes, two zones.
type Lists<'s> = FreeListArray<Ports<'s>, 30, 2>;
type Stores<'r, 's> = store::Unreliable<'s, Watched<'s, Real<'r, 's>>, Site<'s>>;
type Home<'r, 's> = Forebay<WithLists<Ports<'s>, Lists<'s>>, Stores<'r, 's>>;

/// Operations of one input at most.
const STEPS: usize = 120;

/// Runs the operations that the bytes describe. In some of them a port or a block panics.
///
/// # Panics
/// At the first violation, with the operations so far on standard error.
pub fn panics(data: &[u8]) {
    run(data, Mode::Panics);
}

/// The same, where a port or a block lies.
///
/// # Panics
/// At the first violation.
pub fn lies(data: &[u8]) {
    run(data, Mode::Lies);
}

fn run(data: &[u8], mode: Mode) {
    let mut bytes = Unstructured::new(data);
    let Ok(machine) = bytes.arbitrary::<Machine>() else { return };
    let mut steps: Vec<Step> = Vec::new();
    while !bytes.is_empty() && steps.len() < STEPS {
        let Ok(step) = bytes.arbitrary() else { break };
        steps.push(step);
    }
    parts::with(|parts| on(&machine, &steps, mode, parts));
}

fn on(machine: &Machine, steps: &[Step], mode: Mode, mut parts: Parts) {
    let script = Script::new();
    // What a block says wrong to a store is in the store: there only the buffers' bytes are compared.
    let world = World::new(if mode == Mode::Lies { Contents::Ignored } else { Contents::Compared });
    let ram = ram_of::<SMALL>(&[machine.pages()], 0, &mut parts);
    let site = Watched::platform(AllPorts(Plain::new(&ram, &script)), &world);
    let ids = [StoreId::DEFAULT, StoreId::new(1).unwrap_or(StoreId::DEFAULT)];
    let regions = [0, 1].map(|n| {
        let region = Swap::<Told<'_>, SMALL>::new(ids[n]);
        let bytes = machine.region_pages()[n] * SMALL + SMALL;
        let meta = parts.words(Swap::<Told<'_>, SMALL>::metadata_words(bytes));
        let memory = parts.memory(bytes, 0);
        Region::check(&region, memory, meta).expect("it says before whether it takes them");
        region.init(memory, meta).expect("memory of its own");
        region
    });
    let [a, b] = &regions;
    let copying = Copying::new(machine.copying, StoreId::DEFAULT, SMALL);
    let rom = Rom::new(StoreId::new(5).unwrap_or(StoreId::DEFAULT), &tiles::ROM);
    let two = Tiered(a, b);
    let behind_null = Tiered(Null, a);
    let behind_copying = Tiered(&copying, b);
    let then_rom = Tiered(a, rom);
    let leaf: &dyn BackingStore<Told<'_>> = match machine.store {
        StoreKind::Region => a,
        StoreKind::TwoRegions => &two,
        StoreKind::RegionBehindNull => &behind_null,
        StoreKind::RegionBehindCopying => &behind_copying,
        StoreKind::Copying => &copying,
        StoreKind::RegionThenRom => &then_rom,
    };
    let index = Index::new(Plant::Nothing);
    let rom = (machine.store == StoreKind::RegionThenRom).then_some(&rom);
    let around =
        Around { mode, script: &script, world: &world, ram: &ram, regions: &regions, rom, index: &index };
    let ports = AllPorts(platform::Unreliable::new(&site, &script));
    let store = store::Unreliable::new(Watched::new(Real::new(leaf, &script), &world), &site, &script);
    let home = Quiet::new(Forebay::new(WithLists(ports, Lists::with_limit(machine.limit())), store));
    Rig::new(&home, around).run(machine, steps);
}
