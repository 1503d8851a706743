//! The oracle: it knows the owner, the caching mode and the contents of every frame, and panics at the first
//! violation.
//!
//! It stands around a platform and a store and counts what passes between them and forebay, so it shares nothing
//! with the code under test. One [`World`] watches one source and any stores in front of which the same buffers
//! work.

pub mod noncoherent;
mod watched;

pub use watched::Watched;

use forebay::{
    Handle, Order, OwnedBlock, Pages, Pfn,
    frame::{Charge, DmaAddr},
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// Whether contents are compared too; that costs a copy of everything stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Contents {
    /// Every byte that comes back is compared with what went in.
    Compared,
    /// Only owners, modes and counts.
    Ignored,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    /// Pool, buffers, or the caller.
    Pool,
    Store,
}

#[derive(Debug)]
struct Frame {
    owner: Owner,
    mode: usize,
}

#[derive(Debug)]
struct Stored {
    order: Order,
    bytes: Option<Vec<u8>>,
    /// The block, as long as that is what is stored.
    block: Option<Pfn>,
    /// The payer, if the store was told.
    charge: Option<Charge>,
}

type Key = (u8, u8, usize);

fn key(h: &Handle) -> Key {
    (h.store().into(), h.order().get(), h.value())
}

#[derive(Debug, Default)]
struct State {
    frames: BTreeMap<usize, Frame>,
    /// Frames whose mode was changed, or which were unmapped, and no flush came yet.
    unflushed: BTreeSet<usize>,
    /// Frames that a device can reach: the block that was mapped, and its address.
    mapped: BTreeMap<usize, (Pfn, Order, DmaAddr)>,
    /// How many pages each payer pays for.
    charged: BTreeMap<Charge, usize>,
    stored: BTreeMap<Key, Stored>,
    /// Room of resident blocks, without contents.
    rooms: BTreeSet<Key>,
    pool_frames: usize,
    stored_pages: usize,
    peak_frames: usize,
    peak_pool: usize,
    base: usize,
    peak: usize,
    counts: Counts,
}

/// What passed the oracle, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Blocks that a store took.
    pub transferred: usize,
    /// Blocks taken back.
    pub taken_back: usize,
    /// Copied into a store.
    pub saved: usize,
    /// Copied out of a store.
    pub loaded: usize,
    /// Returned by a settle or a write-out: their contents are in the store's own memory now.
    pub written_out: usize,
    /// Returned to the source.
    pub freed: usize,
    /// Refused by a transfer or a save.
    pub refused: usize,
    /// Returned by a discard.
    pub discarded: usize,
    /// How often changes of mode were flushed.
    pub flushes: usize,
}

/// Everything that is known of one source and the stores beside it.
#[derive(Debug)]
pub struct World {
    contents: Contents,
    state: Mutex<State>,
}

impl World {
    /// Nothing is known yet.
    pub fn new(contents: Contents) -> Self {
        World { contents, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// What passed since the beginning.
    pub fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// Frames that are not in the source.
    pub fn frames_out(&self) -> Pages {
        Pages::new(self.lock().frames.len())
    }

    /// How many blocks have room in a store without contents there.
    pub fn rooms(&self) -> usize {
        self.lock().rooms.len()
    }

    /// Numbers of the frames that are not in the source, in no order.
    pub fn frames(&self) -> Vec<usize> {
        self.lock().frames.keys().copied().collect()
    }

    /// The most frames that were ever out of the source.
    pub fn peak_frames(&self) -> Pages {
        Pages::new(self.lock().peak_frames)
    }

    /// The most frames that ever were neither in the source nor with a store.
    pub fn peak_pool(&self) -> Pages {
        Pages::new(self.lock().peak_pool)
    }

    /// Pages under handles.
    pub fn stored(&self) -> Pages {
        Pages::new(self.lock().stored_pages)
    }

    /// Pages that a device can reach.
    pub fn mapped(&self) -> Pages {
        Pages::new(self.lock().mapped.len())
    }

    /// Where a device finds the block that begins there, if it can reach it.
    pub fn address(&self, pfn: Pfn) -> Option<DmaAddr> {
        self.lock().mapped.get(&pfn.0).filter(|(first, ..)| *first == pfn).map(|(.., at)| *at)
    }

    /// Pages of contents that this token pays for.
    pub fn charged(&self, charge: Charge) -> Pages {
        Pages::new(self.lock().charged.get(&charge).copied().unwrap_or(0))
    }

    /// Pages in stores for which the store was told that this token pays.
    pub fn stored_for(&self, charge: Charge) -> Pages {
        let s = self.lock();
        s.stored
            .values()
            .filter(|stored| stored.charge == Some(charge))
            .map(|stored| stored.order.pages())
            .sum()
    }

    /// A shrink begins: the ledger (pages of pool and buffers, and pages stored) is measured from here.
    pub fn begin_shrink(&self) {
        let mut s = self.lock();
        s.base = s.ledger();
        s.peak = s.base;
    }

    /// The most pages that the ledger was above its mark since [`begin_shrink`](World::begin_shrink).
    pub fn peak_extra(&self) -> Pages {
        let s = self.lock();
        Pages::new(s.peak - s.base)
    }

    /// Every frame is in the source, and nothing is stored, mapped or charged.
    ///
    /// # Panics
    /// If something leaked.
    #[track_caller]
    pub fn assert_empty(&self) {
        let s = self.lock();
        assert!(s.frames.is_empty(), "{} frames were never returned: {:?}", s.frames.len(), s.sample());
        assert!(s.mapped.is_empty(), "{} frames are still mapped for a device", s.mapped.len());
        assert!(s.charged.is_empty(), "there are still charges: {:?}", s.charged);
        assert!(
            s.stored.is_empty(),
            "{} handles were never discarded: {:?}",
            s.stored.len(),
            s.stored.keys()
        );
    }

    /// The sums agree with the single facts.
    ///
    /// # Panics
    /// If they don't.
    #[track_caller]
    pub fn validate(&self) {
        let s = self.lock();
        assert_eq!(s.pool_frames, s.frames.values().filter(|f| f.owner == Owner::Pool).count());
        assert_eq!(s.stored_pages, s.stored.values().map(|h| h.order.pages().get()).sum::<usize>());
        let in_stores: usize =
            s.stored.values().filter(|h| h.block.is_some()).map(|h| h.order.pages().get()).sum();
        let owned = s.frames.len() - s.pool_frames;
        assert!(owned <= in_stores, "stores own {owned} frames, but only {in_stores} are under a handle");
    }

    fn bytes<B: OwnedBlock>(&self, block: &B, at: usize, len: usize) -> Option<Vec<u8>> {
        (self.contents == Contents::Compared).then(|| {
            let mut bytes = vec![0; len];
            assert_eq!(block.read_at(at, &mut bytes), len, "a block shorter than it says");
            bytes
        })
    }
}

impl State {
    fn ledger(&self) -> usize {
        self.pool_frames + self.stored_pages
    }

    fn measure(&mut self) {
        self.peak = self.peak.max(self.ledger());
        self.peak_frames = self.peak_frames.max(self.frames.len());
        self.peak_pool = self.peak_pool.max(self.pool_frames);
    }

    fn sample(&self) -> Vec<(&usize, &Frame)> {
        self.frames.iter().take(4).collect()
    }

    #[track_caller]
    fn pass(&mut self, pfn: Pfn, order: Order, from: Owner, to: Owner) {
        for n in frames(pfn, order) {
            let frame = self.frames.get_mut(&n).unwrap_or_else(|| panic!("frame {n:x} is in the source"));
            assert_eq!(frame.owner, from, "frame {n:x} is passed on by another than its owner");
            assert_eq!(frame.mode, 0, "frame {n:x} is passed on in mode {}", frame.mode);
            assert!(!self.unflushed.contains(&n), "frame {n:x} is passed on before its mode was flushed");
            assert!(!self.mapped.contains_key(&n), "frame {n:x} is passed on, and a device can reach it");
            frame.owner = to;
        }
        let pages = order.pages().get();
        match to {
            Owner::Pool => self.pool_frames += pages,
            Owner::Store => self.pool_frames -= pages,
        }
    }

    /// No device can reach the block, also none with an old translation.
    #[track_caller]
    fn assert_unmapped(&self, pfn: Pfn, order: Order, what: &str) {
        self.assert_unmapped_now(pfn, order, what);
        let late = frames(pfn, order).find(|n| self.unflushed.contains(n));
        assert_eq!(late, None, "{pfn:?} {what} before a flush");
    }

    #[track_caller]
    fn assert_unmapped_now(&self, pfn: Pfn, order: Order, what: &str) {
        let mapped = frames(pfn, order).find(|n| self.mapped.contains_key(n));
        assert_eq!(mapped, None, "{pfn:?} {what}, and a device can reach it");
    }

    #[track_caller]
    fn put(&mut self, handle: &Handle, stored: Stored) {
        self.stored_pages += stored.order.pages().get();
        let old = self.stored.insert(key(handle), stored);
        assert!(old.is_none(), "{handle:?} was made twice");
    }

    /// Room that something is about to be written into. What it had is out of date, or it had nothing.
    #[track_caller]
    fn leave_room(&mut self, room: Key) -> Option<Stored> {
        if self.rooms.remove(&room) { None } else { Some(self.take(room)) }
    }

    /// The same room with what it had, or with nothing.
    fn enter_room(&mut self, room: &Handle, had: Option<Stored>) {
        match had {
            Some(stored) => self.put(room, stored),
            None => assert!(self.rooms.insert(key(room)), "{room:?} was made twice"),
        }
    }

    #[track_caller]
    fn take(&mut self, handle: Key) -> Stored {
        let stored =
            self.stored.remove(&handle).unwrap_or_else(|| panic!("nothing is stored under {handle:?}"));
        self.stored_pages -= stored.order.pages().get();
        stored
    }
}

fn frames(pfn: Pfn, order: Order) -> std::ops::Range<usize> {
    pfn.0..pfn.0 + order.pages().get()
}
