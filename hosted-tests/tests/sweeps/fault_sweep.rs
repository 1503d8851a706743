//! Every call that may fail fails once: whatever the result is, the oracle stays silent, every byte is there
//! afterwards, and everything is in the source at the end (`ttm-semantics.md` §5.4 a, b, d and g; B6, B14).

use forebay_backends::*;
use hosted_tests::kit::*;

type Base<'w> = WatchedPlatform<'w, AllPorts<Faulty<AllPorts<Machine<&'w Near>>, SpinRawMutex>>>;
/// Free lists for three modes and orders 0 to 3, deep enough that no block has to be leaked since its mode is refused.
type Plat<'w> = WithLists<Base<'w>, FreeListArray<Base<'w>, 12, 16>>;
type Store<'w> = Watched<'w, Faulty<&'w Far, SpinRawMutex>>;
type Home<'w> = Forebay<Plat<'w>, Store<'w>>;
type Buf<'h, 'w, T> = Buffer<&'h Home<'w>, T>;

const SLOTS: usize = 8;

/// What a buffer should have in it.
struct Model<'b, 'h, 'w, T: Slots<Platform = Plat<'w>>> {
    buffer: &'b Buf<'h, 'w, T>,
    bytes: Vec<u8>,
}

impl<'b, 'h, 'w, T: Slots<Platform = Plat<'w>>> Model<'b, 'h, 'w, T> {
    fn new(buffer: &'b Buf<'h, 'w, T>, pages: usize) -> Self {
        Model { buffer, bytes: vec![0; pages * PAGE] }
    }

    fn write(&mut self, seed: u8) {
        if let Ok(mut guard) = self.buffer.write() {
            self.bytes = pattern(seed, self.bytes.len());
            assert_eq!(guard.write_at(0, &self.bytes), self.bytes.len());
        }
    }

    /// Compares, if the contents can be reached.
    fn read(&self) -> Result<(), AccessError> {
        let guard = self.buffer.read()?;
        let mut bytes = vec![0xA5; self.bytes.len()];
        assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
        assert!(bytes == self.bytes, "{:?} has other bytes", self.buffer.id());
        Ok(())
    }

    fn purge(&mut self) {
        if self.buffer.purge(Context::THREAD) == Ok(()) {
            self.bytes.fill(0);
        }
    }
}

/// Populates, writes, evicts by every method, settles, reads, splits and purges; goes on after every error.
/// How many calls failed, of platform and store.
fn scenario<'w>(world: &World, near: &Near, home: &Home<'w>) -> [u32; 2] {
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let many = Buffer::with_slots(home, &mut slots[..], Order::PAGE)
        .with_id(BufferId(0))
        .with_mode(Caching::WriteCombined);
    let tile = Buffer::new(home, order(2)).with_id(BufferId(1));
    let page = Buffer::new(home, order(0)).with_id(BufferId(2)).with_mode(Caching::Uncached);
    let all: [&dyn Evictable; 3] = [&many, &tile, &page];
    let mut models = (Model::new(&many, SLOTS), Model::new(&tile, 4), Model::new(&page, 1));
    for (seed, how) in METHODS.into_iter().enumerate() {
        let seed = seed as u8;
        models.0.write(seed);
        models.1.write(seed + 100);
        models.2.write(seed + 200);
        let _ = many.evict(pages(3), how, CX);
        world.validate();
        home.reclaim(all, ALL, how, CX);
        home.settle(pages(2), CX);
        world.validate();
        let _ = tile.restore(pages(1), CX);
        let _ = many.restore(pages(1), CX);
        let _ = many.evict(ALL, how, CX);
        home.settle(ALL, CX);
        // Only single pages are free now, so copies of large blocks have to be split.
        let hogged = leave(near, (0..64).step_by(2));
        let _ = (models.0.read(), models.1.read(), models.2.read());
        world.validate();
        give_back(near, hogged);
        let _ = (models.0.read(), models.1.read(), models.2.read());
        home.reclaim(all, pages(5), how, Context::INTERRUPT);
        match seed % 3 {
            0 => models.0.purge(),
            1 => models.1.purge(),
            _ => models.2.purge(),
        }
        home.pool().trim(Zones::ALL, pages(4), Context::THREAD);
        world.validate();
    }
    let failed = [home.platform().0.inner().failed(), home.store().inner().failed()];
    home.platform().0.inner().set(Faults::default());
    home.store().inner().set(Faults::default());
    assert_eq!((models.0.read(), models.1.read(), models.2.read()), (Ok(()), Ok(()), Ok(())));
    assert_eq!(home.stats().leaked, NONE);
    drop((many, tile, page));
    world.validate();
    home.pool().trim(Zones::ALL, ALL, Context::THREAD);
    failed
}

/// Runs the scenario with these faults; how many calls failed, of platform and store.
fn run(near: &Near, far: &Far, world: &World, [of_platform, of_store]: [Faults; 2]) -> [u32; 2] {
    let platform = Watched::platform(AllPorts(Faulty::new(Machine::new(near))), world);
    let platform = WithLists(platform, FreeListArray::new());
    let home: Home<'_> = Forebay::new(platform, Watched::new(Faulty::new(far), world));
    home.platform().0.inner().set(of_platform);
    home.store().inner().set(of_store);
    let failed = scenario(world, near, &home);
    drop(home);
    all_returned(world, near, far);
    failed
}

/// Rule: any one call of the platform may fail (allocation, change of mode, hook), and any one of the store (transfer, take
/// back, save, load, split, settle).
#[test]
fn each_call_fails_once() {
    let (near, far) = (near(64), far(64));
    let swept = sweep_calls("scenario", |world, _, faults| run(&near, &far, world, faults));
    println!("{swept:?}");
    swept.into_iter().for_each(|swept| swept.at_least(101));
}

/// Rule: however many fail, on both sides at once.
#[test]
fn many_calls_fail() {
    let (near, far) = (near(64), far(64));
    for seed in 1..=120 {
        let per_mille = [30, 150, 400, 800][seed as usize % 4];
        let faults = |seed| Faults { per_mille, seed, ..NEVER };
        let world = World::new(Contents::Compared);
        let [platform, store] = run(&near, &far, &world, [faults(seed), faults(seed * 7919)]);
        assert!(platform + store > 0);
    }
}
