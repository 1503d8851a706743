//! Source, region and pool put together with the oracle around them, and making room under pressure.

use super::bad::{Bad, Sabotage};
use super::options::{EvictKind, PAGE};
use super::text::{count, human};
use crate::world::Counts;
use crate::{Contents, Watched, World, memory};
use forebay::{
    BackingStore, Buffer, Context, Evict, Evicted, Forebay, Pages, PinError, Place, Slot, Spin, Stats,
    StayReason, StoreError, StoreId, TakeError,
};
use forebay_backends::{MemoryError, Ram, RamRegion};
use std::cell::Cell;
use std::fmt;

/// Blocks that wait to be written out, at most.
pub const ADOPTIONS: usize = 256;

/// Pages of a buffer, at most: 256 KiB.
const CHUNK: usize = 64;

type Near = Ram<Spin, PAGE, 1>;
type Far = RamRegion<Spin, PAGE, ADOPTIONS>;
type Source<'w> = Watched<'w, &'w Near>;
type Store<'w> = Watched<'w, Bad<&'w Far>>;

/// A slot of a chunk.
pub type ChunkSlot<'w> = Slot<Source<'w>>;
/// The buffer for a piece of a file.
pub type Chunk<'h, 'w> = Buffer<'h, Source<'w>, Store<'w>, &'h mut [ChunkSlot<'w>]>;

/// How large everything is, in pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// What the files take.
    pub data: usize,
    /// What the buffers may take.
    pub budget: usize,
    /// What the swap region has.
    pub region: usize,
    /// The largest buffer: a quarter of the budget, so that there is always something else to evict.
    pub chunk: usize,
}

impl Shape {
    /// For files of so many pages. `budget` is in bytes; a tenth of the files if `None`.
    pub fn new(data: usize, budget: Option<u64>, region: Option<usize>) -> Shape {
        let asked = budget.map_or(data / 10, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX) / PAGE);
        let budget = asked.max(1);
        let most = (budget / 4).clamp(1, CHUNK);
        Shape {
            data,
            budget,
            region: region.unwrap_or_else(|| data.saturating_add(data / 2).saturating_add(CHUNK)),
            chunk: 1 << most.ilog2(),
        }
    }
}

/// Why there is no machine to run on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MachineError {
    /// The computer has not so much memory.
    NoMemory {
        /// What is needed.
        bytes: u64,
        /// What there is, if that is known.
        available: Option<u64>,
    },
    /// The computer may have it, but the system does not give this program so many bytes of addresses.
    Refused {
        /// What was asked for.
        bytes: u64,
    },
    /// The memory for the buffers was refused.
    Source(MemoryError),
    /// The memory for the swap region was refused.
    Region(MemoryError),
}

impl fmt::Display for MachineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MachineError::NoMemory { bytes, available } => {
                write!(
                    f,
                    "the store keeps everything in memory and needs {} for these files",
                    human(*bytes)
                )?;
                if let Some(available) = available {
                    write!(f, ", of which {} are available", human(*available))?;
                }
                f.write_str(": name a directory with less in it")
            }
            MachineError::Refused { bytes } => write!(
                f,
                "the system refused {} of address space: raise the limit (ulimit -v), or name a directory with less \
                 in it",
                human(*bytes)
            ),
            MachineError::Source(e) => write!(f, "memory for the buffers: {e}"),
            MachineError::Region(e) => write!(f, "memory for the swap region: {e}"),
        }
    }
}

impl std::error::Error for MachineError {}

/// Fast and slow memory, and the oracle; nothing in front of them yet.
#[derive(Debug)]
pub struct Parts {
    world: World,
    near: Near,
    far: Far,
}

impl Parts {
    /// Memory for this shape, leaked: sources and stores want it for ever. What is not used of it takes none.
    ///
    /// # Errors
    /// [`MachineError`].
    pub fn new(shape: &Shape) -> Result<Parts, MachineError> {
        // More frames than data would never be touched; a page there must be.
        let near_bytes = bytes(shape.budget.min(shape.data.max(1)))?;
        let far_bytes = bytes(shape.region)?;
        let needed = bytes(shape.data.min(shape.region).saturating_add(near_bytes / PAGE))?;
        let available = available();
        if available.is_some_and(|has| has < needed as u64) {
            return Err(MachineError::NoMemory { bytes: needed as u64, available });
        }
        // All that grows with the files, tried at once: what is refused later ends the program.
        let all = [
            near_bytes,
            far_bytes,
            (Near::metadata_words(near_bytes) + Far::metadata_words(far_bytes)) * size_of::<usize>(),
            shape.data.saturating_mul(size_of::<ChunkSlot<'_>>()),
        ]
        .into_iter()
        .fold(8 << 20, usize::saturating_add); // the region is aligned, and the oracle takes notes
        if Vec::<u8>::new().try_reserve_exact(all).is_err() {
            return Err(MachineError::Refused { bytes: all as u64 });
        }
        let parts = Parts {
            world: World::new(Contents::Ignored),
            near: Near::new(),
            far: Far::new(StoreId::DEFAULT),
        };
        parts
            .near
            .add(memory::leak(near_bytes, 0), memory::words(Near::metadata_words(near_bytes)))
            .map_err(|refused| MachineError::Source(refused.why))?;
        parts
            .far
            .init(memory::leak(far_bytes, 0), memory::words(Far::metadata_words(far_bytes)))
            .map_err(|refused| MachineError::Region(refused.why))?;
        Ok(parts)
    }

    /// The two joined. No shelves: a page that comes home is in the source at once, where it is counted.
    pub fn join(&self, sabotage: Sabotage) -> Joined<'_> {
        let store = Watched::new(Bad::new(&self.far, sabotage), &self.world);
        Forebay::new(Watched::new(&self.near, &self.world), store, 0)
    }
}

/// A forebay whose size is known, as it is made.
pub type Joined<'w> = Forebay<Source<'w>, Store<'w>, [Place<Source<'w>>; 0]>;

fn bytes(pages: usize) -> Result<usize, MachineError> {
    let most = isize::MAX as usize / 2; // with room for an alignment
    pages
        .checked_mul(PAGE)
        .filter(|bytes| *bytes <= most)
        .ok_or(MachineError::NoMemory { bytes: u64::MAX, available: available() })
}

/// What Linux says is available; other systems are not asked.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib << 10)
}

/// Why there is no room for a buffer, and none can be made. Nothing is lost by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomError {
    /// The store has no room for what would have to leave.
    Full {
        /// What the store has in all.
        region: Pages,
    },
    /// Nothing leaves, for this reason if one is known.
    Stuck(Option<StayReason>),
}

impl fmt::Display for RoomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoomError::Full { region } => write!(
                f,
                "the store is full: its {} and the budget do not hold these files. Pass a larger --budget \
                 or name a smaller directory (from the library: a larger region_pages)",
                count(region.get(), "page")
            ),
            RoomError::Stuck(why) => {
                f.write_str("no room can be made for the next buffer")?;
                if let Some(why) = why {
                    write!(f, ": {why}")?;
                }
                f.write_str(". Pass a larger --budget or another --evict")
            }
        }
    }
}

impl std::error::Error for RoomError {}

/// Why a buffer can't be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OpenError {
    /// There is no memory for it.
    Room(RoomError),
    /// The store does not give it back.
    Contents(PinError),
}

/// What the pool and the store went through.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// forebay's own counts.
    pub stats: Stats,
    /// The oracle's.
    pub counts: Counts,
    /// Adopted, and not written out.
    pub pending: Pages,
    /// The most frames that were out of the source.
    pub peak_frames: Pages,
    /// The most pages above the mark during a reclaim.
    pub peak_extra: Pages,
    /// The most pages above the mark while writing out.
    pub peak_write_out: Pages,
}

/// A forebay in use.
pub struct Machine<'h, 'w> {
    parts: &'w Parts,
    home: &'h Forebay<Source<'w>, Store<'w>>,
    how: Evict,
    /// How much is evicted at once, at least.
    ahead: Pages,
    /// How much room is asked for, at most: three quarters of the frames.
    most: Pages,
    peak_extra: Cell<Pages>,
    peak_write_out: Cell<Pages>,
}

impl<'h, 'w> Machine<'h, 'w> {
    /// Over these parts, joined.
    pub fn new(parts: &'w Parts, home: &'h Joined<'w>, evict: EvictKind) -> Self {
        let frames = parts.near.total();
        Machine {
            parts,
            home,
            how: evict.rungs(),
            ahead: Pages::new(frames.get() / 8),
            most: frames - Pages::new(frames.get() / 4),
            peak_extra: Cell::new(Pages::ZERO),
            peak_write_out: Cell::new(Pages::ZERO),
        }
    }

    /// A buffer of one page for each slot.
    pub fn chunk(&self, slots: &'h mut [ChunkSlot<'w>]) -> Chunk<'h, 'w> {
        Buffer::over(slots, self.home)
    }

    /// A guard of buffer number `which`, for which room is made by evicting others: `first` so much, and whenever
    /// there is no frame left for it.
    ///
    /// # Errors
    /// [`OpenError`]. What was restored stays resident.
    ///
    /// # Panics
    /// If there is no such buffer.
    pub fn open<'c, G>(
        &self,
        all: &'c [Chunk<'h, 'w>],
        which: usize,
        first: Pages,
        guard: impl Fn(&'c Chunk<'h, 'w>) -> Result<G, PinError>,
    ) -> Result<G, OpenError> {
        const TRIES: usize = 16;
        let one = &all[which];
        self.make_room(all, first).map_err(OpenError::Room)?;
        for attempt in 1..=TRIES {
            match guard(one) {
                Err(PinError::Take(TakeError::OutOfFrames(_))) => {}
                Err(e) => return Err(OpenError::Contents(e)),
                Ok(guard) => return Ok(guard),
            }
            // What was to be taken back is resident by now. Where enough is free but in pieces that are too small,
            // more helps.
            let stored = one.residency().map_err(|busy| OpenError::Contents(busy.into()))?.stored;
            let need = Pages::new(stored.get().max(1) * attempt).min(self.most);
            self.make_room(all, need).map_err(OpenError::Room)?;
        }
        Err(OpenError::Room(RoomError::Stuck(None)))
    }

    /// Frees frames until the source has `need`. Evicting comes in batches, which costs nothing where blocks are
    /// handed over; writing out only as far as it must.
    fn make_room(&self, all: &[Chunk<'h, 'w>], need: Pages) -> Result<(), RoomError> {
        loop {
            let missing = need - self.parts.near.free();
            if missing == Pages::ZERO {
                return Ok(());
            }
            let (mut moved, mut why) = (Pages::ZERO, None);
            if self.parts.far.pending() < missing {
                let report = self.reclaim(all, missing.max(self.ahead));
                (moved, why) = (report.moved(), report.why);
            }
            let missing = need - self.parts.near.free();
            if missing == Pages::ZERO {
                return Ok(());
            }
            let freed = self.write_out(missing);
            if moved == Pages::ZERO && freed == Pages::ZERO {
                return Err(match why {
                    Some(StayReason::Store(StoreError::Full)) => {
                        RoomError::Full { region: self.parts.far.total() }
                    }
                    why => RoomError::Stuck(why),
                });
            }
        }
    }

    fn reclaim(&self, all: &[Chunk<'h, 'w>], want: Pages) -> Evicted {
        // Each block that is handed over takes an entry of the store's table, and has a page at least: asking for
        // no more pages than there are entries is never refused for want of one.
        let want = match self.how.contains(Evict::TRANSFER) {
            true => want.min(Pages::new(self.home.store().space().adoptions)),
            false => want,
        };
        self.parts.world.begin_shrink();
        let evicted = self.home.reclaim(all, want, self.how, Context::THREAD).evicted;
        self.peak_extra.set(self.peak_extra.get().max(self.parts.world.peak_extra()));
        evicted
    }

    /// Writes out about `want` pages of what was adopted; returns how many frames that freed. It may end inside a
    /// block, so it goes on until one is done.
    fn write_out(&self, want: Pages) -> Pages {
        self.parts.world.begin_shrink();
        let mut freed = Pages::ZERO;
        for _ in 0..CHUNK {
            let settled = self.home.settle(want, Context::THREAD);
            freed += settled.freed;
            let stopped = settled.pending == Pages::ZERO || settled.error.is_some();
            if freed > Pages::ZERO || stopped {
                break;
            }
        }
        self.peak_write_out.set(self.peak_write_out.get().max(self.parts.world.peak_extra()));
        freed
    }

    /// What it went through so far.
    pub fn figures(&self) -> Figures {
        Figures {
            stats: self.home.stats(),
            counts: self.parts.world.counts(),
            pending: self.parts.far.pending(),
            peak_frames: self.parts.world.peak_frames(),
            peak_extra: self.peak_extra.get(),
            peak_write_out: self.peak_write_out.get(),
        }
    }

    /// The oracle's sums agree with its single facts.
    ///
    /// # Panics
    /// If they don't.
    pub fn validate(&self) {
        self.parts.world.validate();
    }

    /// Once all buffers are dropped: frames that are not home, and pages that are still stored or whose room is
    /// still taken.
    pub fn leaked(&self) -> Pages {
        let taken = self.parts.far.total() - self.home.store().space().pages;
        self.parts.world.frames_out() + self.parts.world.stored() + taken
    }

    /// Frames that the source itself misses; the oracle must say the same.
    pub fn missing(&self) -> (Pages, Pages) {
        (self.parts.near.total() - self.parts.near.free(), self.parts.world.frames_out())
    }
}

impl fmt::Debug for Machine<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("home", &self.home).field("how", &self.how).finish_non_exhaustive()
    }
}
