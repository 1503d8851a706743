//! Devices beside a CPU whose caches are not coherent: whatever is evicted and restored, each sees what the other wrote.
//! The machine is simulated; with a seed, its CPU fetches, writes back and evicts cache lines on its own.

use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::world::noncoherent::*;
use hosted_tests::{Contents, Watched, World};

mod forgets;
mod model;
mod moves;
mod oracle;

const LINE: usize = 64;
/// Pages of the source: the shelves may have most of them.
const SOURCE: usize = 256;
const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];

type Block = CachedBlock<RamBlock<PAGE>>;
type Machine = NonCoherent<&'static Near>;
type Slow = Scripted<Region<SpinRawMutex, Block, PAGE, 16>, Block>;
type Plat<'w> = Watched<'w, &'w Machine>;
type Store<'w> = Watched<'w, &'w Slow>;
type Shelved<'w> = Forebay<Plat<'w>, Store<'w>, [Place<Plat<'w>>; 3 * 4 * 4]>;
type Slots8<'m, 'w> = &'m mut [Slot<Plat<'w>>];
type Shared<'h, 'm, 'w> = Buffer<'h, Plat<'w>, Store<'w>, Addressed<'m, Slots8<'m, 'w>>>;
type Arrays<'w> = ([Slot<Plat<'w>>; 8], [Option<DmaAddr>; 8]);

/// Bytes of a buffer of eight pages.
const BYTES: usize = 8 * PAGE;

/// A machine, a store and an oracle, for a test that puts a forebay in front of them.
struct Rig {
    near: &'static Near,
    machine: Machine,
    store: Slow,
    world: World,
}

impl Rig {
    fn new(adversary: Adversary) -> Self {
        let near: &Near = forever(near(SOURCE));
        Rig {
            near,
            machine: NonCoherent::new(near, LINE, adversary),
            store: Scripted::new(far_of(64)),
            world: World::new(Contents::Ignored), // each test has its own bytes to compare
        }
    }

    /// Runs a test, after which everything is home.
    fn run<R>(&self, test: impl for<'w> FnOnce(&Shelved<'w>) -> R) -> R {
        let free = self.near.unused();
        let home =
            Shelved::new(Watched::new(&self.machine, &self.world), Watched::new(&self.store, &self.world), 4);
        let result = test(&home);
        home.pool().trim(ALL, CX);
        drop(home);
        self.world.validate();
        self.world.assert_empty();
        assert_eq!(self.near.unused(), free, "frames of the source");
        assert_eq!(self.store.inner.space(), Space { pages: pages(64), transfers: 16 }, "room in the region");
        result
    }

    /// What the store adopted goes into memory of its own.
    fn write_out(&self, home: &Shelved<'_>, by: By) {
        match by {
            By::Nobody => {}
            By::Cpu => {
                home.settle(ALL, CX);
            }
            By::Engine => {
                let mut engine = self.machine.engine();
                let mut go_home = |block: Block| {
                    home.store().gave_home(&block);
                    home.free_settled(block);
                };
                while self.store.inner.write_out(&mut engine, 3 * PAGE / 2, &mut go_home).is_pending() {}
            }
        }
    }
}

/// Who writes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    Nobody,
    Cpu,
    Engine,
}

fn arrays<'w>() -> Arrays<'w> {
    ([const { Slot::EMPTY }; 8], [None; 8])
}

/// A buffer that the CPU shares with a device.
fn shared<'h, 'm, 'w>(home: &'h Shelved<'w>, arrays: &'m mut Arrays<'w>) -> Shared<'h, 'm, 'w> {
    let slots: Slots8<'_, '_> = &mut arrays.0;
    Buffer::of(Addressed::new(slots, &mut arrays.1).unwrap(), home)
}

/// The scatter list as it is now.
#[track_caller]
fn list(buffer: &Shared<'_, '_, '_>) -> Vec<Segment> {
    buffer.read().unwrap().segments().collect()
}

/// What a device sees of a buffer now, without any sync.
#[track_caller]
fn seen_by(device: &Device, buffer: &Shared<'_, '_, '_>) -> Vec<u8> {
    let guard = buffer.read().unwrap();
    device.gather(&guard.segments().collect::<Vec<_>>(), 0..BYTES)
}

/// A device writes to all of the buffer, as its driver ought to do it; it does not say when it is done.
#[track_caller]
fn overwrite(device: &Device, buffer: &Shared<'_, '_, '_>, seed: u8) {
    let guard = buffer.write().unwrap();
    assert_eq!(guard.sync_for_device(0..BYTES), BYTES);
    device.scatter(&guard.segments().collect::<Vec<_>>(), 0, &pattern(seed, BYTES));
}

/// For a test with each adversary: none, and some that are busy.
fn adversaries() -> impl Iterator<Item = Adversary> {
    std::iter::once(Adversary::Idle).chain((0..4).map(Adversary::of))
}
