//! What a scenario works on, and the sweep over it: each call of each port fails once.

use crate::card::*;
use crate::gate::*;
use crate::stops::*;
use forebay_backends::*;
use hosted_tests::kit::*;
use std::fmt::Debug;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The platform without free lists.
pub(crate) type Base<'w> = WatchedPlatform<'w, AllPorts<Faulty<AllPorts<Card<'w>>, SpinRawMutex>>>;
pub(crate) type Plat<'w> = WithLists<Base<'w>, FreeListArray<Base<'w>, LISTS, DEPTH>>;
pub(crate) type Store<'w> = Watched<'w, Faulty<Entrance<'w>, SpinRawMutex>>;
pub(crate) type Home<'w> = Forebay<Plat<'w>, Store<'w>>;
pub(crate) type Buf<'h, 'w, T> = Buffer<&'h Home<'w>, T>;

/// So deep that there is room for everything whose mode is refused.
const DEPTH: usize = 16;
/// Orders, modes, zones.
pub(crate) const LISTS: usize = 4 * 3 * 3;

/// Why a scenario ended before its end. Without faults none does.
#[derive(PartialEq, Debug)]
pub(crate) enum Failure {
    Alloc(AllocError),
    Access(AccessError),
    Busy,
    Mode,
    Store(StoreError),
    Attach(AttachError),
    /// The result is not that of a run without faults.
    Differs(String),
    /// A sweep stopped it, and it is to end there.
    Stopped,
}

impl From<AllocError> for Failure {
    fn from(why: AllocError) -> Self {
        Failure::Alloc(why)
    }
}

impl From<AccessError> for Failure {
    fn from(why: AccessError) -> Self {
        Failure::Access(why)
    }
}

impl From<Busy> for Failure {
    fn from(_: Busy) -> Self {
        Failure::Busy
    }
}

impl From<ModeRefused> for Failure {
    fn from(_: ModeRefused) -> Self {
        Failure::Mode
    }
}

impl From<StoreError> for Failure {
    fn from(why: StoreError) -> Self {
        Failure::Store(why)
    }
}

pub(crate) type Tried<T = ()> = Result<T, Failure>;

/// What was restored, if nothing failed.
pub(crate) fn whole(restored: Restored) -> Tried<Restored> {
    restored.why.map_or(Ok(restored), |why| Err(why.into()))
}

/// For what holds unless a port failed; what always holds is asserted.
#[track_caller]
pub(crate) fn same<T: PartialEq + Debug>(got: T, expected: T) -> Tried {
    if got == expected {
        return Ok(());
    }
    Err(Failure::Differs(format!("{got:?}, not {expected:?}, in {}", std::panic::Location::caller())))
}

/// Platform, pool and store, each of whose calls may be made to fail, with the oracle between.
pub(crate) struct Rig<'w> {
    pub(crate) world: &'w World,
    pub(crate) ground: &'w Ground,
    home: Home<'w>,
    ids: AtomicUsize,
    /// Where a walk is stopped.
    pub(crate) stops: Stops,
}

impl<'w> Rig<'w> {
    pub(crate) fn new(ground: &'w Ground, world: &'w World) -> Self {
        let platform = Watched::platform(AllPorts(Faulty::new(AllPorts(Card::new(ground)))), world);
        let store = Watched::new(Faulty::new(Entrance(ground)), world);
        let home = Forebay::new(WithLists(platform, FreeListArray::new()), store);
        Rig { world, ground, home, ids: AtomicUsize::new(0), stops: Stops::default() }
    }

    pub(crate) fn home(&self) -> &Home<'w> {
        &self.home
    }

    pub(crate) fn pool(&self) -> &Pool<Plat<'w>> {
        self.home().pool()
    }

    pub(crate) fn card(&self) -> &Card<'w> {
        self.platform().inner()
    }

    /// The platform without free lists.
    pub(crate) fn base(&self) -> &Base<'w> {
        &self.home.platform().0
    }

    pub(crate) fn platform(&self) -> &Faulty<AllPorts<Card<'w>>, SpinRawMutex> {
        self.base().inner()
    }

    pub(crate) fn store(&self) -> &Faulty<Entrance<'w>, SpinRawMutex> {
        self.home.store().inner()
    }

    /// A buffer with a number of its own.
    pub(crate) fn buffer<T: Slots<Platform = Plat<'w>>>(&self, slots: T) -> Buf<'_, 'w, T> {
        self.buffer_of(slots, Order::PAGE)
    }

    /// The same with slots of that size.
    pub(crate) fn buffer_of<T: Slots<Platform = Plat<'w>>>(&self, slots: T, unit: Order) -> Buf<'_, 'w, T> {
        Buffer::with_slots(self.home(), slots, unit).with_id(self.id())
    }

    /// A number that no buffer of this rig has yet.
    pub(crate) fn id(&self) -> BufferId {
        BufferId(self.ids.fetch_add(1, Ordering::Relaxed))
    }

    /// A block from the source, past the free lists; its bytes are arbitrary.
    pub(crate) fn allocate(&self, order: Order) -> Result<Piece, AllocError> {
        self.base().allocate(AllocRequest::new(order), CX)
    }

    /// Returns a block to the source.
    pub(crate) fn free(&self, block: Piece) {
        self.base().free(block);
    }

    /// Pages of contents, wherever they are: neither in the source nor in a free list.
    pub(crate) fn in_use(&self) -> Pages {
        self.world.frames_out() - self.pool().ready(Zones::ALL)
    }

    /// Blocks that are ready in that list.
    pub(crate) fn ready(&self, k: u8, mode: Caching, zone: u8) -> usize {
        list_of(self.pool(), k, mode, zone).unwrap().ready
    }

    /// Everything about platform, pool and store that is said once and for all.
    pub(crate) fn settings(&self) -> String {
        let (pool, store) = (self.pool(), self.home.store());
        let lists: Vec<_> = pool.lists().map(|list| (list.order, list.mode, list.zone)).collect();
        let zones = MODES.map(|mode| self.platform().zones_for(mode));
        format!("{zones:?} {lists:?} {pool:?} {:?} {:?}", store.ids(), store.capabilities())
    }

    /// Returns what is in the free lists. Then nothing is left that a scenario made.
    #[track_caller]
    pub(crate) fn clear(&self) {
        let ready = self.pool().ready(Zones::ALL);
        assert_eq!(self.pool().trim(Zones::ALL, ALL, CX), ready);
        self.world.validate();
        self.world.assert_empty();
        self.ground.assert_home();
        assert_eq!((self.pool().ready(Zones::ALL), self.home.stats().leaked), (NONE, NONE));
    }
}

/// What a pool has in the list of that kind.
pub(crate) fn list_of<P: Platform<Mode = Caching>>(
    pool: &Pool<P>,
    k: u8,
    mode: Caching,
    zone: u8,
) -> Option<FreeListCounts> {
    let is = |list: &FreeList| (list.order, list.mode, list.zone) == (order(k), mode.index(), zone);
    pool.lists().find(is).map(|list| list.counts)
}

/// Zeros that take no memory.
pub(crate) fn slots<'w>(n: usize) -> Vec<Slot<Plat<'w>>> {
    (0..n).map(|_| Slot::EMPTY).collect()
}

/// Bytes of which no two pages are alike, others for each seed below 256; made once, as there are many runs.
pub(crate) fn bytes(seed: usize, len: usize) -> &'static [u8] {
    static ALL: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(0, (256 + 64) * PAGE));
    &ALL[seed * PAGE..][..len]
}

pub(crate) fn write<'w, T: Slots<Platform = Plat<'w>>>(buffer: &Buf<'_, 'w, T>, seed: usize) -> Tried {
    let mut guard = buffer.write()?;
    let bytes = bytes(seed, guard.bytes());
    assert_eq!(guard.write_at(0, bytes), bytes.len());
    Ok(())
}

pub(crate) fn read<'w, T: Slots<Platform = Plat<'w>>>(buffer: &Buf<'_, 'w, T>) -> Tried<Vec<u8>> {
    let guard = buffer.read()?;
    let mut bytes = vec![0xA5; guard.bytes()];
    assert_eq!(guard.read_at(0, &mut bytes), bytes.len());
    Ok(bytes)
}

/// Once the contents can be reached, they are what [`write`] wrote.
pub(crate) fn compare<'w, T: Slots<Platform = Plat<'w>>>(buffer: &Buf<'_, 'w, T>, seed: usize) -> Tried {
    let there = read(buffer)?;
    assert!(there == bytes(seed, there.len()), "other bytes than were written");
    Ok(())
}

/// A block that a [`Hand`] has.
pub(crate) type Taken<P> = PooledBlock<<P as Platform>::Block, <P as Platform>::Mode>;

/// Blocks in the hands of a test. They go back to their pool at the end, however it comes.
pub(crate) struct Hand<'p, P: Platform> {
    pool: &'p Pool<P>,
    blocks: Vec<Taken<P>>,
}

impl<'p, P: Platform> Hand<'p, P> {
    pub(crate) fn new(pool: &'p Pool<P>) -> Self {
        Hand { pool, blocks: Vec::new() }
    }

    /// The one that is put back next.
    pub(crate) fn first(&self) -> Option<&Taken<P>> {
        self.blocks.first()
    }

    /// Makes another one the next, and looks at it.
    pub(crate) fn turn<T>(&mut self, n: usize, look: impl FnOnce(&Taken<P>) -> T) -> T {
        let n = n % self.blocks.len();
        self.blocks.rotate_left(n);
        look(&self.blocks[0])
    }

    pub(crate) fn pages(&self) -> Pages {
        self.blocks.iter().map(|block| block.order().pages()).sum()
    }

    pub(crate) fn take(&mut self, request: AllocRequest, mode: P::Mode) -> Tried<&mut Taken<P>> {
        let block = self.pool.take(request, mode, CX)?;
        self.blocks.push(block);
        Ok(self.blocks.last_mut().unwrap())
    }

    /// Puts back the block that was taken first. One that is refused stays in the hand.
    pub(crate) fn put(&mut self) -> Tried {
        let Err(refused) = self.pool.put(self.blocks.remove(0), CX) else { return Ok(()) };
        self.blocks.insert(0, refused.item);
        Err(refused.why.into())
    }

    pub(crate) fn put_all(&mut self) -> Tried {
        while !self.blocks.is_empty() {
            self.put()?;
        }
        Ok(())
    }
}

impl<P: Platform> Drop for Hand<'_, P> {
    fn drop(&mut self) {
        while !self.blocks.is_empty() && !std::thread::panicking() {
            if self.put().is_err() {
                assert_eq!(self.put(), Ok(()), "just one call fails");
            }
        }
    }
}

/// What may fail, one call after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Port {
    /// Allocation, change of mode, mapping, charge, hooks.
    Platform,
    /// Transfer, taking back, saving, loading, splitting, settling.
    Store,
    /// A block's split, half way perhaps.
    Split,
    /// The same, and its halves can't be joined.
    SplitForGood,
}

/// How many calls of each port failed in a sweep, or have to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) platform: u32,
    pub(crate) store: u32,
    /// Splits of blocks.
    pub(crate) splits: u32,
    /// Joins that failed after them.
    pub(crate) joins: u32,
}

/// One run of a scenario on a new machine: first as `disturb` says, until `end`, which returns the result and looks at the
/// outcome; then, on the same machine, without. After each the oracle is content, and everything is where it was.
#[track_caller]
pub(crate) fn run_twice<'w, R>(
    ground: &'w Ground,
    world: &'w World,
    disturb: impl FnOnce(&Rig<'w>),
    end: impl FnOnce(&Rig<'w>, Tried) -> R,
    scenario: &impl Fn(&Rig<'_>) -> Tried,
) -> R {
    let rig = Rig::new(ground, world);
    let settings = rig.settings();
    disturb(&rig);
    let outcome = scenario(&rig);
    let result = end(&rig, outcome);
    rig.clear();
    assert_eq!(rig.settings(), settings);
    assert_eq!(scenario(&rig), Ok(()), "undisturbed, on the same machine");
    rig.clear();
    drop(rig);
    ground.assert_home();
    result
}

/// Runs the scenario again and again, while the k-th call of a port fails, for each port and k, until none fails any more:
/// then it runs as it is.
///
/// Returns what the scenario said of its faults. Fails if fewer calls failed than `at_least`: then it does not reach what it
/// is to test.
#[track_caller]
pub(crate) fn each_call_fails(
    ground: &Ground,
    at_least: Calls,
    scenario: impl Fn(&Rig<'_>) -> Tried,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut swept = |port| {
        sweep(port, |world, k| {
            let disturb = |rig: &Rig<'_>| match port {
                Port::Platform => rig.platform().set(kth(k)),
                Port::Store => rig.store().set(kth(k)),
                Port::Split => CUTS.set(Cuts::new(k, Joins::All)),
                Port::SplitForGood => CUTS.set(Cuts::new(k, Joins::None)),
            };
            let end = |rig: &Rig<'_>, outcome| {
                let failed = rig.platform().failed() + rig.store().failed() + CUTS.take().failed;
                rig.platform().set(NEVER);
                rig.store().set(NEVER);
                match outcome {
                    Err(why) if failed > 0 => failures.push(why),
                    outcome => assert_eq!(outcome, Ok(())),
                }
                failed
            };
            run_twice(ground, world, disturb, end, &scenario)
        })
    };
    let [platform, store, splits] = [Port::Platform, Port::Store, Port::Split].map(|port| swept(port).runs);
    let for_good = swept(Port::SplitForGood);
    let calls = Calls { platform, store, splits, joins: for_good.disturbances - for_good.runs };
    println!("failed: {calls:?}");
    let Calls { platform, store, splits, joins } = at_least;
    let enough = calls.platform >= platform && calls.store >= store;
    assert!(enough && calls.splits >= splits && calls.joins >= joins, "only {calls:?}");
    failures
}
