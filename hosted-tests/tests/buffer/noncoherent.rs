//! Devices next to a CPU whose caches are not coherent: whatever is evicted and restored, each sees what the other wrote.
//! The machine is simulated; with a seed, its CPU fetches, writes back and evicts cache lines on its own.

use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::world::noncoherent::*;

mod forgets;
mod model;
mod moves;
mod oracle;

const LINE: usize = 64;
/// Pages of the source: the free lists may have most of them.
const SOURCE: usize = 256;
const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];

type Block = CachedBlock<RamBlock<PAGE>>;
type Machine = AllPorts<NonCoherent<&'static Near>>;
type Slow = Scripted<Region<SpinRawMutex, Block, PAGE, 16>, Block>;
type WatchedMachine<'w> = AllPorts<Watched<'w, &'w Machine>>;
type Plat<'w> = WithLists<WatchedMachine<'w>, FreeListArray<WatchedMachine<'w>, { 4 * 3 }, 4>>;
type Store<'w> = Watched<'w, &'w Slow>;
type Pooled<'w> = Forebay<Plat<'w>, Store<'w>>;
type Slots8<'m, 'w> = &'m mut [Slot<Plat<'w>>];
type Shared<'h, 'm, 'w> = Buffer<&'h Pooled<'w>, Addressed<'m, Slots8<'m, 'w>>>;
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

    /// Runs a test, after which every block is in the source again.
    fn run<R>(&self, test: impl for<'w> FnOnce(&Pooled<'w>) -> R) -> R {
        let free = self.near.unused();
        let platform = with_lists(Watched::platform(&self.machine, &self.world));
        let home = Pooled::new(platform, Watched::new(&self.store, &self.world));
        let result = test(&home);
        home.pool().trim(Zones::ALL, ALL, CX);
        drop(home);
        self.world.validate();
        self.world.assert_empty();
        assert_eq!(self.near.unused(), free, "frames of the source");
        assert_eq!(self.store.inner.space(), Space { pages: pages(64), transfers: 16 }, "room in the region");
        result
    }

    /// Transferred blocks are written out into the store's own memory.
    fn write_out(&self, home: &Pooled<'_>, by: By) {
        match by {
            By::None => {}
            By::Cpu => {
                home.settle(ALL, CX);
            }
            By::Engine => {
                let mut engine = self.machine.engine();
                let mut free = |block: Block| {
                    home.store().note_settled(&block);
                    home.free_settled(block);
                };
                while self.store.inner.write_out(&mut engine, 3 * PAGE / 2, &mut free).is_pending() {}
            }
        }
    }
}

/// What writes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum By {
    None,
    Cpu,
    Engine,
}

fn arrays<'w>() -> Arrays<'w> {
    ([const { Slot::EMPTY }; 8], [None; 8])
}

/// A buffer that the CPU shares with a device.
fn shared<'h, 'm, 'w>(home: &'h Pooled<'w>, arrays: &'m mut Arrays<'w>) -> Shared<'h, 'm, 'w> {
    let slots: Slots8<'_, '_> = &mut arrays.0;
    Buffer::with_slots(home, Addressed::new(slots, &mut arrays.1).unwrap(), Order::PAGE)
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

/// A device writes to all of the buffer, as its driver has to do it, but without the sync after it.
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
