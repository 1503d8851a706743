//! The machine that the scenarios run on: a graphics card's driver, with three zones, three caching modes, addresses for
//! devices, hooks, and blocks that may refuse to be split.

use crate::gate::*;
use forebay_backends::{RamBlock, Region};
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What most memory is.
pub(crate) const ORDINARY: u8 = 0;
/// What every device reaches.
pub(crate) const LOW: u8 = 1;
/// What has an address for devices from the beginning.
pub(crate) const COHERENT: u8 = 2;
pub(crate) const ZONES: [u8; 3] = [ORDINARY, LOW, COHERENT];

pub(crate) const WB: Caching = Caching::WriteBack;
pub(crate) const WC: Caching = Caching::WriteCombined;
pub(crate) const UC: Caching = Caching::Uncached;
pub(crate) const MODES: [Caching; 3] = [WB, WC, UC];

/// Of a block of a [`Card`].
pub(crate) const LARGEST: Order = Order::new(3).expect("below 16");

/// What a device adds to a physical address in the coherent zone.
const BUS: u64 = 1 << 40;

/// A block that refuses to be split when it is told to.
pub(crate) struct Piece(RamBlock<PAGE>);

impl OwnedBlock for Piece {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        if CUTS.with_borrow_mut(Cuts::split_fails) {
            return Err(self);
        }
        self.0.split().map(|(lower, upper)| (Piece(lower), Piece(upper))).map_err(Piece)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// Whether two halves of what could not be cut on become one again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Joins {
    #[default]
    All,
    None,
}

/// Which splits fail, and the result; of this thread.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cuts {
    kth: Option<u32>,
    joins: Joins,
    calls: u32,
    /// Splits and joins that failed.
    pub(crate) failed: u32,
}

thread_local! {
    /// A block has no room for a reference to its machine.
    pub(crate) static CUTS: RefCell<Cuts> = RefCell::default();
}

impl Cuts {
    pub(crate) fn new(kth: u32, joins: Joins) -> Self {
        Cuts { kth: Some(kth), joins, ..Cuts::default() }
    }

    fn split_fails(&mut self) -> bool {
        let fails = self.kth == Some(self.calls);
        self.calls += 1;
        self.failed += u32::from(fails);
        fails
    }
}

/// Memory of a machine, and of a region that is further away. It serves one test, run after run.
pub(crate) struct Ground {
    /// Each with its frames.
    zones: [(Near, Range<usize>); 3],
    pub(crate) far: Depot,
    /// Rings while a port is called.
    pub(crate) bell: Bell,
    /// On which terms the region takes something.
    pub(crate) door: Door,
}

/// A region for such blocks.
pub(crate) type Depot = Region<SpinRawMutex, Piece, PAGE, 16>;

impl Ground {
    /// With `far` pages in the region, and 64 near pages in each zone.
    pub(crate) fn new(far: usize) -> Ground {
        let zones = [64; 3].map(|pages| {
            let memory = memory::leak(pages * PAGE, 0);
            let first = memory.as_ptr().addr() / PAGE;
            let near = Near::new();
            near.add(memory, memory::words(Near::metadata_words(pages * PAGE))).unwrap();
            (near, first..first + pages)
        });
        Ground { zones, far: far_of(far), bell: Bell::default(), door: Door::new() }
    }

    pub(crate) fn near(&self, zone: u8) -> &Near {
        &self.zones[usize::from(zone)].0
    }

    /// The zone of that frame.
    fn zone(&self, pfn: Pfn) -> u8 {
        let of = self.zones.iter().position(|(_, frames)| frames.contains(&pfn.0));
        ZONES[of.unwrap()]
    }

    /// Pages that are free, in all zones.
    pub(crate) fn free(&self) -> Pages {
        self.zones.iter().map(|(near, _)| near.unused()).sum()
    }

    /// Takes pages of that zone until `free` are left, those of the highest numbers. The others are in use elsewhere then.
    pub(crate) fn leave(&self, zone: u8, free: usize) -> Hogged<'_> {
        let (near, there) = (self.near(zone), self.near(zone).unused().get());
        Hogged { near, pages: leave(near, there - free..there) }
    }

    #[track_caller]
    pub(crate) fn assert_home(&self) {
        for (near, _) in &self.zones {
            assert_eq!(near.unused(), near.total(), "frames of the source");
        }
        assert_eq!(self.far.space(), Space { pages: self.far.total(), transfers: 16 }, "room in the region");
    }
}

/// Pages that are in use elsewhere, until this is dropped.
pub(crate) struct Hogged<'g> {
    near: &'g Near,
    pages: Vec<Option<RamBlock<PAGE>>>,
}

impl Drop for Hogged<'_> {
    fn drop(&mut self) {
        give_back(self.near, std::mem::take(&mut self.pages));
    }
}

struct State {
    largest: Order,
    asked: Vec<u8>,
    /// Changes of mode.
    changes: usize,
    /// Blocks that are not write-back, by their first frame.
    modes: HashMap<Pfn, Caching>,
    addresses: HashMap<Pfn, DmaAddr>,
    maps: usize,
    /// Where the next address begins that is made for a mapping.
    window: u64,
    revoked: HashSet<usize>,
    /// How often each hook did not refuse.
    hooks: (usize, usize),
}

/// The platform.
pub(crate) struct Card<'g> {
    pub(crate) ground: &'g Ground,
    state: Mutex<State>,
}

impl<'g> Card<'g> {
    pub(crate) fn new(ground: &'g Ground) -> Self {
        let state = State {
            largest: LARGEST,
            asked: Vec::new(),
            changes: 0,
            modes: HashMap::new(),
            addresses: HashMap::new(),
            maps: 0,
            window: 0x4000,
            revoked: HashSet::new(),
            hooks: (0, 0),
        };
        Card { ground, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // one panic is enough
    }

    /// From now on it has no block above that order.
    pub(crate) fn refuse_above(&self, order: Order) {
        self.lock().largest = order;
    }

    /// Orders that it was asked for since the last time.
    pub(crate) fn asked(&self) -> Vec<u8> {
        std::mem::take(&mut self.lock().asked)
    }

    /// Changes of mode since the last time.
    pub(crate) fn changes(&self) -> usize {
        std::mem::take(&mut self.lock().changes)
    }

    /// How often `before_evict` and `after_restore` did not refuse, since the beginning.
    pub(crate) fn hooks(&self) -> (usize, usize) {
        self.lock().hooks
    }

    /// Blocks that were mapped since the last time.
    pub(crate) fn maps(&self) -> usize {
        std::mem::take(&mut self.lock().maps)
    }

    /// The mode that the block was changed to last.
    pub(crate) fn mode(&self, block: &Piece) -> Caching {
        self.lock().modes.get(&block.pfn()).copied().unwrap_or(WB)
    }

    /// The address that a coherent block has from the beginning.
    pub(crate) fn fixed(block: &Piece) -> Option<DmaAddr> {
        DmaAddr::new(BUS + (block.pfn().0 * PAGE) as u64)
    }
}

impl FrameSource for Card<'_> {
    type Block = Piece;
    type RawMutex = SpinRawMutex;
    const MAX_ORDER: Order = LARGEST;
    const ZONES: u8 = 3;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Piece, AllocError> {
        self.ground.bell.call();
        let mut s = self.lock();
        s.asked.push(request.order.get());
        if request.order > s.largest {
            return Err(AllocError::Exhausted);
        }
        let mut there = ZONES.into_iter().filter(|zone| request.zones.contains(Zones::of(*zone)));
        let found =
            there.find_map(|zone| self.ground.near(zone).allocate(AllocRequest::new(request.order), cx).ok());
        found.map(Piece).ok_or(AllocError::Exhausted)
    }
    fn free(&self, block: Piece) {
        self.ground.bell.call();
        self.ground.near(self.zone(&block)).free(block.0);
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        let there = ZONES.into_iter().filter(|zone| request.zones.contains(Zones::of(*zone)));
        let there = there.filter(|_| request.order <= LARGEST);
        together(there.map(|zone| self.ground.near(zone).supply(&request.within(Zones::ALL))))
    }
    fn join(&self, left: Piece, right: Piece) -> Result<Piece, (Piece, Piece)> {
        let joins = CUTS.with_borrow_mut(|cuts| {
            cuts.failed += u32::from(cuts.joins == Joins::None);
            cuts.joins
        });
        if joins == Joins::None {
            return Err((left, right));
        }
        let zone = self.zone(&left);
        self.ground.near(zone).join(left.0, right.0).map(Piece).map_err(|(l, r)| (Piece(l), Piece(r)))
    }
    fn zone(&self, block: &Piece) -> u8 {
        self.ground.zone(block.pfn())
    }
    /// Ordinary cached memory costs nothing to make. Coherent memory does.
    fn is_poolable(&self, block: &Piece) -> bool {
        self.mode(block) != WB || self.zone(block) == COHERENT
    }
}

impl CachingControl<Piece> for Card<'_> {
    type Mode = Caching;
    fn set_mode(&self, block: &mut Piece, _: Caching, to: Caching, _: Context) -> Result<(), ModeRefused> {
        self.ground.bell.call();
        let mut s = self.lock();
        s.changes += 1;
        match to {
            WB => s.modes.remove(&block.pfn()),
            to => s.modes.insert(block.pfn(), to),
        };
        Ok(())
    }
}

impl DmaMap<Piece> for Card<'_> {
    fn map(&self, block: &Piece, _: Context) -> Option<DmaAddr> {
        self.ground.bell.call();
        let mut s = self.lock();
        s.maps += 1;
        let window = DmaAddr::new(s.window);
        let at = if self.zone(block) == COHERENT { Card::fixed(block) } else { window }?;
        s.window += 2 * block.bytes() as u64; // no two blocks are neighbours for the device
        assert_eq!(s.addresses.insert(block.pfn(), at), None, "{:?} is mapped twice", block.pfn());
        Some(at)
    }
    fn unmap(&self, block: &Piece, at: DmaAddr) {
        self.ground.bell.call();
        assert_eq!(self.lock().addresses.remove(&block.pfn()), Some(at), "{:?} is unmapped", block.pfn());
    }
}

impl EvictHooks<Piece> for Card<'_> {
    fn before_evict(
        &self,
        id: BufferId,
        _: &mut dyn Iterator<Item = &mut Piece>,
        _: Context,
    ) -> Result<(), Busy> {
        self.ground.bell.call();
        let mut s = self.lock();
        assert!(s.revoked.insert(id.0), "before_evict twice for {id:?}");
        s.hooks.0 += 1;
        Ok(())
    }
    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        self.ground.bell.call();
        let mut s = self.lock();
        assert!(s.revoked.remove(&id.0), "after_restore for {id:?}, without before_evict");
        s.hooks.1 += 1;
        Ok(())
    }
}

impl Accounting for Card<'_> {}
impl LinearMap<Piece, Caching> for Card<'_> {}
