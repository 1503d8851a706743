//! A source, a store and a pool put together with the oracle around them, and making room under pressure.

use super::bad::{Bad, Sabotage};
use super::options::EvictKind;
use super::parts::{Parts, Transferred};
use super::text::count;
use crate::world::Counts;
use crate::{Contents, Watched, World};
use forebay::{
    AccessError, AllocError, BackingStore, Buffer, Context, Evict, Evictable, Forebay, Order, Pages, Slot,
    StoreError,
    buffer::Slots,
    port::{AllPorts, EvictionPolicy, Settled},
    reclaim::ByPolicy,
    stats::{Evicted, RefusalReason, Stats},
};
use std::cell::Cell;
use std::fmt;

/// Pieces of a block that are written out before one is given up as stuck.
const STEPS: usize = 64;

/// The source, with the oracle around it.
pub type Source<'w, T> = AllPorts<Watched<'w, &'w <T as Parts>::Source>>;
type Store<'w, T> = Watched<'w, Bad<<T as Parts>::Store<'w>>>;

/// A slot of a chunk.
pub type ChunkSlot<'w, T> = Slot<Source<'w, T>>;
/// The buffer for a piece of a file.
pub type Chunk<'h, 'w, T> = Buffer<&'h Joined<'w, T>, &'h mut [ChunkSlot<'w, T>]>;
/// The two joined.
pub type Joined<'w, T> = Forebay<Source<'w, T>, Store<'w, T>>;

/// A source, a store, and the oracle; nothing in front of them yet.
#[derive(Debug)]
pub struct Rig<T> {
    world: World,
    parts: T,
}

impl<T: Parts> Rig<T> {
    /// Around these.
    pub fn new(parts: T) -> Self {
        Rig { world: World::new(Contents::Ignored), parts }
    }

    /// What the oracle stands around.
    pub fn parts(&self) -> &T {
        &self.parts
    }

    /// The two joined. No free lists: a page that is returned is in the source at once, where it is counted.
    pub fn join(&self, sabotage: Sabotage) -> Joined<'_, T> {
        let store = Watched::new(Bad::new(self.parts.store(), sabotage), &self.world);
        Forebay::new(Watched::platform(self.parts.source(), &self.world), store)
    }
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
    Stuck(Option<RefusalReason>),
    /// The buffers have room in their budget, but the system has no memory for that much in all.
    NoMemory,
    /// What had to leave did, and the source still has none, for this reason.
    Source(AllocError),
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
            RoomError::NoMemory => f.write_str(
                "the system has no memory left for what is evicted. Raise the limit of the control group that this runs \
                 in, add swap, or name a smaller directory",
            ),
            RoomError::Source(why) => write!(f, "room was made for the next buffer, and yet: {why}"),
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
    Contents(AccessError),
}

/// What the pool and the store went through.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// forebay's own counts.
    pub stats: Stats,
    /// The oracle's.
    pub counts: Counts,
    /// Transferred, and still in the blocks that the store received.
    pub transferred: Pages,
    /// Under handles, by the oracle's count.
    pub stored: Pages,
    /// The store, settled without writing anything out.
    pub settled: Settled,
    /// The most pages of the budget that were in use.
    pub peak_used: Pages,
    /// The most pages above the mark during a reclaim.
    pub peak_extra: Pages,
    /// The most pages above the mark while writing out.
    pub peak_write_out: Pages,
}

/// A buffer with such slots.
pub type Of<'h, 'w, T, Q> = Buffer<&'h Joined<'w, T>, Q>;

/// A forebay in use.
pub struct Machine<'h, 'w, T: Parts> {
    rig: &'w Rig<T>,
    home: &'h Joined<'w, T>,
    how: Evict,
    /// Which buffers leave; by a clock if `None`.
    policy: Option<&'h dyn EvictionPolicy>,
    /// How much is evicted at once, at least.
    ahead: Pages,
    /// How much room is asked for, at most: three quarters of the frames.
    most: Pages,
    peak_extra: Cell<Pages>,
    peak_write_out: Cell<Pages>,
}

impl<'h, 'w, T: Parts> Machine<'h, 'w, T> {
    /// Over this rig, joined.
    pub fn new(rig: &'w Rig<T>, home: &'h Joined<'w, T>, evict: EvictKind) -> Self {
        let frames = rig.parts.frames();
        Machine {
            rig,
            home,
            how: evict.methods(),
            policy: None,
            ahead: Pages::new(frames.get() / 8),
            most: frames - Pages::new(frames.get() / 4),
            peak_extra: Cell::new(Pages::ZERO),
            peak_write_out: Cell::new(Pages::ZERO),
        }
    }

    /// The same, but for what must leave at once: nothing goes ahead of that.
    pub fn page_by_page(self) -> Self {
        Machine { ahead: Pages::ZERO, ..self }
    }

    /// The same, and this policy, which follows the buffers, says which leave.
    pub fn by_policy(self, policy: Option<&'h dyn EvictionPolicy>) -> Self {
        Machine { policy, ..self }
    }

    /// What stands behind the buffers.
    pub fn parts(&self) -> &'w T {
        &self.rig.parts
    }

    /// A buffer of one page for each slot.
    pub fn chunk(&self, slots: &'h mut [ChunkSlot<'w, T>]) -> Chunk<'h, 'w, T> {
        Buffer::with_slots(self.home, slots, Order::PAGE)
    }

    /// A guard of buffer number `which`, for which room is made by evicting others: `first` so much, and whenever
    /// there is no frame left for it.
    ///
    /// # Errors
    /// [`OpenError`]. What was restored stays resident.
    ///
    /// # Panics
    /// If there is no such buffer.
    pub fn open<'c, Q: Slots<Platform = Source<'w, T>>, G>(
        &self,
        all: &'c [Of<'h, 'w, T, Q>],
        which: usize,
        first: Pages,
        guard: impl Fn(&'c Of<'h, 'w, T, Q>) -> Result<G, AccessError>,
    ) -> Result<G, OpenError> {
        const TRIES: usize = 16;
        let one = &all[which];
        self.make_room(all, first).map_err(OpenError::Room)?;
        let mut why = RoomError::Stuck(None);
        for attempt in 1..=TRIES {
            match guard(one) {
                Err(AccessError::Alloc(out @ (AllocError::Failed | AllocError::Unavailable))) => {
                    return Err(OpenError::Room(RoomError::Source(out))); // making room does not help
                }
                Err(AccessError::Alloc(out)) => why = self.refusal(out),
                Err(e) => return Err(OpenError::Contents(e)),
                Ok(guard) => return Ok(guard),
            }
            // What was to be taken back is resident by now. Where enough is free but in pieces that are too small,
            // more helps.
            let stored = one.residency().map_err(|busy| OpenError::Contents(busy.into()))?.stored;
            let need = Pages::new(stored.get().max(1) * attempt).min(self.most);
            self.make_room(all, need).map_err(OpenError::Room)?;
        }
        Err(OpenError::Room(why))
    }

    /// What it means if the source still refuses after room was made.
    fn refusal(&self, why: AllocError) -> RoomError {
        match (why, T::TRANSFERRED) {
            (AllocError::Exhausted, Transferred::OutsideBudget) => {
                RoomError::Full { region: self.parts().room() } // what is stored has all of it
            }
            (AllocError::NoHeadroom, _) => RoomError::NoMemory, // beyond the budget, which is kept
            (why, _) => RoomError::Source(why),
        }
    }

    /// Frees memory until the buffers may have `need` more. It evicts in batches, which costs nothing where blocks are transferred.
    /// Where blocks are freed by writing them out, it writes out no more than it must.
    fn make_room<E: Evictable>(&self, all: &[E], need: Pages) -> Result<(), RoomError> {
        let parts = self.parts();
        loop {
            let missing = need - parts.unused();
            if missing == Pages::ZERO {
                return Ok(());
            }
            let (mut progress, mut why) = (Pages::ZERO, None);
            if self.can_be_written_out() < missing {
                let evicted = self.reclaim(all, missing.max(self.ahead));
                (progress, why) = (evicted.moved(), evicted.why);
            }
            let missing = need - parts.unused();
            if missing == Pages::ZERO {
                return Ok(());
            }
            if self.can_be_written_out() > Pages::ZERO {
                progress += self.write_out(missing);
            }
            if progress == Pages::ZERO {
                return Err(match why {
                    Some(RefusalReason::Store(StoreError::Full)) => RoomError::Full { region: parts.room() },
                    Some(RefusalReason::Store(StoreError::NoHeadroom)) => RoomError::NoMemory,
                    why => RoomError::Stuck(why),
                });
            }
        }
    }

    /// What is in the budget still, and would leave it by being written out.
    fn can_be_written_out(&self) -> Pages {
        match T::TRANSFERRED {
            Transferred::InBudget => self.parts().transferred(),
            Transferred::OutsideBudget => Pages::ZERO,
        }
    }

    /// Evicts and, as every reclaim ends with that, settles once; writes nothing out.
    fn reclaim<E: Evictable>(&self, all: &[E], want: Pages) -> Evicted {
        // Each transferred block takes an entry of the store's table, and has a page at least: asking for no more
        // pages than there are entries is never refused for want of one.
        let want = match self.how.contains(Evict::TRANSFER) {
            true => want.min(Pages::new(self.home.store().space().transfers)),
            false => want,
        };
        self.rig.world.begin_shrink();
        let report = match self.policy {
            Some(policy) => self.home.reclaim(ByPolicy::new(all, policy), want, self.how, Context::THREAD),
            None => self.home.reclaim(all, want, self.how, Context::THREAD),
        };
        self.peak_extra.set(self.peak_extra.get().max(self.rig.world.peak_extra()));
        report.evicted
    }

    /// Writes out about `want` pages of what was transferred; returns how many frames that freed. It may end inside a
    /// block, so it goes on until one is done.
    fn write_out(&self, want: Pages) -> Pages {
        self.rig.world.begin_shrink();
        let mut freed = Pages::ZERO;
        for _ in 0..STEPS {
            let settled = self.home.settle(want, Context::THREAD);
            freed += settled.freed;
            let stopped = settled.pending == Pages::ZERO || settled.error.is_some();
            if freed > Pages::ZERO || stopped {
                break;
            }
        }
        self.peak_write_out.set(self.peak_write_out.get().max(self.rig.world.peak_extra()));
        freed
    }

    /// What it went through so far. Settles the store once, so that its figures are of now.
    pub fn figures(&self) -> Figures {
        let world = &self.rig.world;
        let settled = self.home.settle(Pages::ZERO, Context::THREAD);
        Figures {
            stats: self.home.stats(),
            counts: world.counts(),
            transferred: self.parts().transferred(),
            stored: world.stored(),
            settled,
            peak_used: match T::TRANSFERRED {
                Transferred::InBudget => world.peak_frames(),
                Transferred::OutsideBudget => world.peak_pool(),
            },
            peak_extra: self.peak_extra.get(),
            peak_write_out: self.peak_write_out.get(),
        }
    }

    /// Pages that left the buffers so far.
    pub fn evicted(&self) -> Pages {
        self.home.stats().evicted.moved()
    }

    /// The oracle's sums agree with its single facts.
    ///
    /// # Panics
    /// If they don't.
    pub fn validate(&self) {
        self.rig.world.validate();
    }

    /// Once all buffers are dropped: frames that are not in the source, and pages that are still stored or whose room is
    /// still taken.
    pub fn leaked(&self) -> Pages {
        let (own, seen) = self.missing();
        own.max(seen) + self.rig.world.stored() + self.parts().taken()
    }

    /// Frames that the source itself misses; the oracle must say the same.
    pub fn missing(&self) -> (Pages, Pages) {
        (self.parts().out(), self.rig.world.frames_out())
    }
}

impl<T: Parts> fmt::Debug for Machine<'_, '_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("home", &self.home).field("how", &self.how).finish_non_exhaustive()
    }
}
