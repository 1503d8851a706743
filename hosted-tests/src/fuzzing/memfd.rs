//! An arena in a machine: its stores, what must be true of it after every operation, and after a settle.

use super::alias::Alias;
use super::ops::Machine;
use super::plants::Plant;
use super::platform::{Hooks, LARGE, Source};
use super::tally::Tally;
use crate::World;
use crate::pages::{entries, page_size};
use forebay::{BackingStore, Context, OwnedBlock, Pages, StoreId, port::Settled, sync::NoopRawMutex};
use forebay_backends::shmem::{Arena, Copies, Swap, TakeBack, Unmap};
use std::cell::Cell;

pub(super) type Memory = Arena<LARGE, NoopRawMutex>;

/// A fault by a read also maps the pages around it that are in memory, in a window of this size: the default of Linux.
const FAULT_AROUND: usize = 64 << 10;

/// Pages of every arena: not more than a few buffers want.
const PAGES: usize = 48;

/// The arena for its own blocks.
pub(super) const OWN: StoreId = id(2);
/// The arena for copies.
pub(super) const COPIED: StoreId = id(3);

const fn id(number: u8) -> StoreId {
    match StoreId::new(number) {
        Some(id) => id,
        None => StoreId::DEFAULT,
    }
}

/// The arena that a machine describes.
pub(super) fn arena(machine: &Machine) -> Memory {
    let chunk = (machine.memfd.chunk_pages() * LARGE).max(page_size());
    let kind = machine.memfd;
    let arena = Arena::builder((PAGES * LARGE) as u64).chunk(chunk).mappings(2).id(OWN);
    let arena = arena.unmap(kind.unmap()).take_back(kind.take_back());
    let arena = match kind.limit() {
        Some(limit) => arena.limit(limit),
        None => arena,
    };
    let pinned = if kind.is_pinned() { arena.clone().pinned().create_as().ok() } else { None };
    let made = pinned.map_or_else(|| arena.create_as(), Ok).unwrap_or_else(|why| panic!("no arena: {why}"));
    assert!(kind.is_pinned() || !made.is_pinned());
    made
}

/// An arena, as a store for blocks of type `B`.
pub(super) struct Memfd<'a, B> {
    pub(super) arena: &'a Memory,
    /// Takes the blocks themselves, if they are the arena's.
    pub(super) own: &'a dyn BackingStore<B>,
    pub(super) copies: &'a dyn BackingStore<B>,
}

impl<B> Clone for Memfd<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Memfd<'_, B> {}

/// Makes the store for any kind of blocks, if there is one.
pub(super) trait Offer {
    fn memfd<B: OwnedBlock>(&self) -> Option<Memfd<'_, B>>;
}

/// There is no arena. (A store of copies does not even compile for blocks with other pages.)
pub(super) struct Nothing;

impl Offer for Nothing {
    fn memfd<B: OwnedBlock>(&self) -> Option<Memfd<'_, B>> {
        None
    }
}

impl Offer for Copies<'_, LARGE, NoopRawMutex> {
    fn memfd<B: OwnedBlock>(&self) -> Option<Memfd<'_, B>> {
        Some(Memfd { arena: self.arena(), own: self, copies: self })
    }
}

/// Where a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Free,
    /// In a block that is out.
    Resident,
    Stored,
}

/// What the harness knows of an arena.
pub(super) struct Inspector<'a> {
    arena: &'a Memory,
    alias: Alias<'a>,
    limit: Option<Pages>,
    /// A settle unmaps.
    unmaps: bool,
    is_source: bool,
    /// Stored pages are written out after a settle: of some machines, as it takes long.
    writes_out: bool,
    plant: Plant,
    /// It is part of the store that is settled.
    pub(super) is_settled: bool,
    /// At the last check, and how many settles there were.
    reclaimable: Cell<(Pages, usize)>,
}

impl<'a> Inspector<'a> {
    pub(super) fn new<S: Source>(memfd: Memfd<'a, S::Block>, machine: &Machine, plant: Plant) -> Self {
        Inspector {
            arena: memfd.arena,
            alias: Alias::of(memfd.arena),
            limit: machine.memfd.limit(),
            unmaps: machine.memfd.unmap() == Unmap::Always || memfd.arena.host_report().swap != Swap::None,
            is_source: !S::SOILED,
            writes_out: machine.memfd.is_pinned() || machine.memfd.take_back() == TakeBack::OnTouch,
            plant,
            is_settled: machine.store.has_memfd(),
            reclaimable: Cell::new((Pages::ZERO, 0)),
        }
    }

    fn first_frame(&self) -> usize {
        self.arena.mapping(0).expect("there is one").addr().get() / LARGE
    }

    /// Where each page of the arena is.
    fn places<B: OwnedBlock>(&self, world: &World, hooks: &Hooks, tally: &Tally<'_, B>) -> Vec<Place> {
        let mut places = vec![Place::Free; self.arena.total().get()];
        for (order, value) in [OWN, COPIED].into_iter().flat_map(|id| tally.live(id)) {
            for page in &mut places[value..value + order.pages().get()] {
                assert_eq!(*page, Place::Free, "two handles have one page");
                *page = Place::Stored;
            }
        }
        let first = self.first_frame();
        if self.is_source {
            let mut transferred = 0;
            for frame in world.frames() {
                match &mut places[frame - first] {
                    page @ Place::Free => *page = Place::Resident,
                    _ => transferred += 1,
                }
            }
            assert_eq!(transferred, tally.live_pages(OWN.into()), "a copy lies where a block is");
        }
        for frame in hooks.retired() {
            assert_eq!(places[frame - first], Place::Free, "a page that was exported has a second owner");
        }
        places
    }

    fn count(places: &[Place], of: Place) -> Pages {
        Pages::new(places.iter().filter(|page| **page == of).count())
    }

    fn chunks(&self, places: &[Place]) -> Vec<Vec<Place>> {
        places.chunks(self.arena.chunk_bytes() / LARGE).map(<[Place]>::to_vec).collect()
    }

    /// What is true after every operation.
    pub(super) fn check<B: OwnedBlock>(&self, world: &World, hooks: &Hooks, tally: &Tally<'_, B>) {
        let is = self.arena.usage();
        let used = is.resident + is.pending + is.reclaimable + is.retired;
        assert_eq!(used + is.free, is.total, "a page is in no place, or in two: {is}");
        let places = self.places(world, hooks, tally);
        assert_eq!(is.resident, Self::count(&places, Place::Resident), "{is}");
        assert_eq!(is.pending + is.reclaimable, Self::count(&places, Place::Stored), "{is}");
        assert_eq!(is.retired, Pages::new(hooks.retired().len()), "{is}");
        assert!(is.held <= is.free + is.retired, "{is}");
        if let Some(limit) = self.limit {
            assert!(is.resident <= limit, "{is}, and the limit is {limit}");
        }
        assert!(is.reclaimable <= self.unmappable(&places), "a page beside one that is resident: {is}");
        let (reclaimable, settles) = self.reclaimable.get();
        let settled = tally.settles() > settles;
        assert!(settled || is.reclaimable <= reclaimable, "reclaimable without a settle: {is}");
        self.reclaimable.set((is.reclaimable, tally.settles()));
    }

    /// Stored pages with nothing resident beside them.
    fn unmappable(&self, places: &[Place]) -> Pages {
        let quiet = self.chunks(places).into_iter().filter(|chunk| !chunk.contains(&Place::Resident));
        quiet.map(|chunk| Self::count(&chunk, Place::Stored)).sum()
    }

    /// Settles it alone.
    pub(super) fn flush(&self, cx: Context) -> Settled {
        self.arena.settle(Pages::ZERO, cx, &mut |_| panic!("it frees nothing by a settle"))
    }

    /// After a settle in that context.
    pub(super) fn check_settled<B: OwnedBlock>(
        &self,
        cx: Context,
        world: &World,
        hooks: &Hooks,
        tally: &Tally<'_, B>,
    ) {
        let is = self.arena.usage();
        if !cx.contains(Context::MAY_BLOCK) {
            return;
        }
        self.reclaimable.set((is.reclaimable, tally.settles()));
        if self.writes_out {
            let out = self.arena.page_out(Pages::new(1)).expect("there are addresses");
            let memory = self.arena.memory_bytes().expect("a system call that can't fail");
            assert!((out.get() * LARGE) as u64 <= memory, "more left memory than there was: {is}");
        }
        let places = self.places(world, hooks, tally);
        let unmapped = if self.unmaps { self.unmappable(&places) } else { Pages::ZERO };
        assert_eq!(is.reclaimable, unmapped, "a settle left something to do: {is}");
        let chunks = self.chunks(&places);
        let used = chunks.iter().filter(|chunk| chunk.iter().any(|page| *page != Place::Free)).count();
        let bytes = self.arena.memory_bytes().expect("a system call that can't fail");
        let most = (used * self.arena.chunk_bytes()) as u64;
        assert!(bytes <= most, "{bytes} bytes of memory, and {used} chunks are in use: {is}");
        if !self.unmaps || self.arena.chunk_bytes() < FAULT_AROUND {
            return; // a read of one chunk maps its neighbours
        }
        for mapping in (0..2).filter_map(|n| self.arena.mapping(n)) {
            let entries = entries(mapping).expect("there is /proc");
            let pages = self.arena.chunk_bytes() / page_size();
            for (n, (chunk, entries)) in chunks.iter().zip(entries.chunks(pages)).enumerate() {
                let mapped = entries.iter().any(|entry| entry.present);
                let open = chunk.contains(&Place::Resident);
                assert!(open || !mapped, "chunk {n} is mapped after a settle: {chunk:?}");
            }
        }
    }

    /// Shows a block of it to another party.
    pub(super) fn export<S: Source>(&self, source: &S, block: &S::Block) -> Option<u64> {
        if self.plant == Plant::ForgetsAnExport { source.offset(block) } else { source.export(block) }
    }

    /// Whether `more` pages more would exceed the limit.
    pub(super) fn is_over(&self, more: Pages) -> bool {
        self.limit.is_some_and(|limit| self.arena.resident() + more > limit)
    }

    /// The bytes of the arena from an offset on, through the second mapping.
    pub(super) fn read(&self, offset: u64, bytes: usize) -> Vec<u8> {
        self.alias.read(offset as usize, bytes)
    }

    /// The same, to write.
    pub(super) fn write(&self, offset: u64, bytes: &[u8]) {
        self.alias.write(offset as usize, bytes);
    }
}

/// After everything was dropped: all of it is free, and takes no memory.
pub(super) fn assert_nothing_left(arena: &Memory) {
    let settled = arena.settle(Pages::MAX, Context::THREAD, &mut |_| panic!("it frees nothing by a settle"));
    assert_eq!(settled, Settled::default());
    let is = arena.usage();
    assert_eq!(is.free + is.retired, is.total, "{is}");
    assert_eq!(arena.memory_bytes().ok(), Some(0), "memory that is not used: {is}");
}
