//! What the bytes of an input mean: a machine, and what is done to it.

use arbitrary::Arbitrary;
use forebay::{Caching, Context, Evict, Order, Pages, ReclaimTarget, Zones};
use forebay_backends::shmem::{TakeBack, Unmap};

/// Where blocks come from.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum SourceKind {
    Ram,
    /// Blocks of two pages refuse to be split.
    Stubborn,
    Heap,
    /// The arena: a memfd.
    Memfd,
}

/// Where contents go.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) enum StoreKind {
    Region,
    TwoRegions,
    RegionBehindNull,
    RegionBehindCopying,
    Copying,
    Null,
    // In an arena, which is the source too, or else takes copies.
    Memfd,
    MemfdThenRegion,
    RegionThenMemfd,
    // In an arena, copied, whatever the source.
    Copies,
    CopiesThenRegion,
    RegionThenCopies,
}

impl StoreKind {
    /// Whether an arena is in it.
    pub(super) fn has_memfd(self) -> bool {
        use StoreKind::{
            Copies, CopiesThenRegion, Memfd, MemfdThenRegion, RegionThenCopies, RegionThenMemfd,
        };
        matches!(
            self,
            Memfd | MemfdThenRegion | RegionThenMemfd | Copies | CopiesThenRegion | RegionThenCopies
        )
    }
}

/// What an arena is like, where there is one.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) struct MemfdKind {
    chunk: u8,
    limit: u8,
}

impl MemfdKind {
    /// Pages of a chunk.
    pub(super) fn chunk_pages(self) -> usize {
        [1, 2, 4, 16][usize::from(self.chunk) % 4]
    }

    /// Few are pinned: where the process may lock memory.
    pub(super) fn is_pinned(self) -> bool {
        (224..240).contains(&self.chunk)
    }

    /// What taking back does: mostly it populates.
    pub(super) fn take_back(self) -> TakeBack {
        if self.chunk < 240 { TakeBack::Populate } else { TakeBack::OnTouch }
    }

    /// The most pages that blocks may have.
    pub(super) fn limit(self) -> Option<Pages> {
        [None, Some(40), Some(24), Some(10)][usize::from(self.limit) % 4].map(Pages::new)
    }

    /// When a settle unmaps: mostly always.
    pub(super) fn unmap(self) -> Unmap {
        if self.limit < 224 { Unmap::Always } else { Unmap::WithSwap }
    }
}

/// What the harness's own copying store does.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) struct CopyingKind {
    /// The largest order that it takes.
    pub(super) most: u8,
    /// It takes half of what is larger, instead of refusing.
    pub(super) short: bool,
    pub(super) splits: bool,
    pub(super) needs_io: bool,
    pub(super) pages: u8,
}

/// How a buffer is indexed: which layer of its slots is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Indexing {
    No,
    /// The slots themselves.
    Inside,
    /// What is around them, if there is something.
    Around,
}

/// One buffer.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub(super) struct Shape {
    many: bool,
    size: u8,
    unit: u8,
    mode: u8,
}

impl Shape {
    /// How many slots, or `None` for a contiguous buffer.
    pub(super) fn slots(self) -> Option<usize> {
        self.many.then_some(1 + usize::from(self.size) % 16)
    }

    pub(super) fn unit(self) -> Order {
        if self.many { order(self.unit % 3) } else { order(self.size % 5) }
    }

    pub(super) fn mode(self) -> Caching {
        mode(self.mode)
    }

    /// Whether it keeps addresses and charges, if it has several slots.
    pub(super) fn is_full(self) -> bool {
        self.many && self.mode / 3 % 2 == 1
    }

    pub(super) fn indexing(self) -> Indexing {
        [Indexing::No, Indexing::Inside, Indexing::Around][usize::from(self.mode) / 6 % 3]
    }

    pub(super) fn pages(self) -> usize {
        self.slots().unwrap_or(1) << self.unit().get()
    }

    /// The largest order that a block or a handle of it may have.
    pub(super) fn largest(self) -> Order {
        order(self.unit().get() + self.slots().unwrap_or(1).ilog2() as u8)
    }
}

/// Everything that stays as it is during a run.
#[derive(Clone, Debug, Arbitrary)]
pub(super) struct Machine {
    pub(super) source: SourceKind,
    pub(super) store: StoreKind,
    pub(super) copying: CopyingKind,
    pieces: [u8; 2],
    regions: [u8; 2],
    skew: u8,
    pub(super) same_id: bool,
    depth: u8,
    /// Whether residency is asked for after every operation. It should change nothing, so both ways are tried.
    pub(super) observed: bool,
    buffers: [Shape; 5],
    count: u8,
    pub(super) memfd: MemfdKind,
}

impl Machine {
    /// Whether there is an arena in it.
    pub(super) fn has_memfd(&self) -> bool {
        matches!(self.source, SourceKind::Memfd) || self.store.has_memfd()
    }

    pub(super) fn first_piece(&self) -> usize {
        17 + usize::from(self.pieces[0]) % 28
    }

    pub(super) fn second_piece(&self) -> usize {
        3 + usize::from(self.pieces[1]) % 17
    }

    /// Mostly few, so that they are full soon.
    pub(super) fn region_pages(&self) -> [usize; 2] {
        // Of a large one some pages may be kept ready, of several orders.
        self.regions.map(|n| 1 + usize::from(n) % 40 + if n < 200 { 0 } else { 64 })
    }

    pub(super) fn skew(&self) -> usize {
        usize::from(self.skew % 64) * 4
    }

    pub(super) fn depth(&self) -> Depth {
        [Depth::Zero, Depth::One, Depth::Two, Depth::Eight, Depth::Three][usize::from(self.depth) % 5]
    }

    pub(super) fn buffers(&self) -> &[Shape] {
        &self.buffers[..3 + usize::from(self.count) % 3]
    }
}

/// How many blocks a free list keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Depth {
    Zero,
    One,
    Two,
    Three,
    Eight,
}

/// One operation. A number is taken modulo the number of buffers, pages or the like. The bytes of an input choose by place, so the
/// places
/// stay as they are.
#[derive(Clone, Debug, Arbitrary)]
pub(super) enum Op {
    // The pool, and blocks outside buffers.
    Take {
        most: u8,
        least: u8,
        mode: u8,
        cx: u8,
    },
    Put {
        which: u8,
    },
    Trim {
        pages: u8,
    },
    /// Puts a block into the pool, and allocates one from the source.
    Unpool {
        which: u8,
    },
    /// Returns a block to the source, and takes one from the pool.
    Pool {
        which: u8,
    },
    Split {
        which: u8,
    },
    Join {
        left: u8,
        right: u8,
    },
    Free {
        which: u8,
    },
    Scribble {
        which: u8,
        byte: u8,
    },
    // Buffers.
    Read {
        buffer: u8,
        cx: u8,
    },
    Write {
        buffer: u8,
        at: u16,
        len: u16,
        byte: u8,
        cx: u8,
    },
    HoldRead {
        buffer: u8,
        cx: u8,
    },
    HoldWrite {
        buffer: u8,
        cx: u8,
    },
    WriteHeld {
        guard: u8,
        at: u16,
        len: u16,
        byte: u8,
    },
    LetGo {
        guard: u8,
    },
    Evict {
        buffer: u8,
        budget: u8,
        how: u8,
        cx: u8,
    },
    EvictMut {
        buffer: u8,
        budget: u8,
        how: u8,
        cx: u8,
    },
    EvictIfIdle {
        buffer: u8,
        budget: u8,
        how: u8,
        cx: u8,
    },
    Restore {
        buffer: u8,
        budget: u8,
        cx: u8,
    },
    /// Or says whether it is needed, if the number is large.
    Purge {
        buffer: u8,
    },
    Recreate {
        buffer: u8,
    },
    /// What kind of reclaim is in the upper half of `how`.
    Reclaim {
        want: u8,
        how: u8,
        cx: u8,
    },
    Settle {
        budget: u8,
        cx: u8,
    },
    // The store, past the buffers.
    Transfer {
        which: u8,
    },
    Save {
        which: u8,
        order: u8,
        cx: u8,
    },
    Load {
        handle: u8,
        which: u8,
        at: u8,
        cx: u8,
    },
    TakeBack {
        handle: u8,
    },
    SplitHandle {
        handle: u8,
    },
    Discard {
        handle: u8,
    },
    Forge {
        store: u8,
        order: u8,
        page: u8,
        entry: u8,
        call: u8,
    },
    // The engine, and faults.
    WriteOut {
        region: u8,
        bytes: u16,
        delay: u8,
        short: u8,
    },
    Faults {
        store: bool,
        kth: Option<u8>,
        per_mille: u16,
        seed: u8,
    },
    NoFaults,
    // The arena: another party is shown a block; writes through the second mapping; a settle past the pool's store.
    Export {
        which: u8,
    },
    Alias {
        which: u8,
        byte: u8,
    },
    SettleMemfd {
        cx: u8,
    },
}

pub(super) fn order(n: u8) -> Order {
    Order::new(n.min(10)).unwrap_or(Order::PAGE)
}

pub(super) fn mode(n: u8) -> Caching {
    [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached][usize::from(n) % 3]
}

/// Mostly a thread.
pub(super) fn context(n: u8) -> Context {
    if n < 160 { Context::THREAD } else { Context::from_bits_truncate(u16::from(n & 3)) }
}

/// What is said of a buffer instead of purging it: whether it is purgeable.
pub(super) fn purgeable(n: u8) -> Option<bool> {
    match n {
        192.. => Some(true),
        128.. => Some(false),
        _ => None,
    }
}

pub(super) fn methods(n: u8) -> Evict {
    Evict::from_bits_truncate(u16::from(n & 15))
}

pub(super) fn budget(n: u8) -> Pages {
    if n < 160 { Pages::new(usize::from(n) % 20) } else { Pages::MAX }
}

/// A kind of reclaim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Moved,
    Freed,
    Block,
    KeepFree,
    OrReclaim,
}

/// What a reclaim goes over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Over {
    Slice,
    Index,
    /// Two slices, one behind the other.
    Tuple,
}

/// A reclaim: an input of old, with nothing in the upper bits, has the one that there was then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    pub(super) over: Over,
    pub(super) zones: Zones,
    pub(super) pages: Pages,
    pub(super) how: Evict,
    pub(super) cx: Context,
    /// The order of the block, which buffer is meant besides, and how long the first slice of two is.
    pub(super) extra: u8,
}

impl Asked {
    pub(super) fn of(want: u8, how: u8, cx: u8) -> Self {
        let (kind, over) = match how >> 4 {
            4 => (Kind::Moved, Over::Index),
            5 => (Kind::Moved, Over::Tuple),
            6 => (Kind::Freed, Over::Slice),
            7 => (Kind::Freed, Over::Index),
            8 => (Kind::Block, Over::Slice),
            9 => (Kind::Block, Over::Index),
            10 => (Kind::KeepFree, Over::Tuple),
            11 => (Kind::KeepFree, Over::Index),
            12 => (Kind::OrReclaim, Over::Slice),
            13 | 14 => (Kind::OrReclaim, Over::Index),
            15 => (Kind::Block, Over::Tuple),
            _ => (Kind::Moved, Over::Slice),
        };
        let in_a_zone = matches!(how >> 4, 5 | 7 | 15);
        Asked {
            kind,
            over,
            zones: if in_a_zone { Zones::of(want >> 7) } else { Zones::ALL },
            pages: budget(want),
            how: methods(how),
            cx: context(cx),
            extra: want,
        }
    }

    /// The order of the block, if one is wanted.
    pub(super) fn order(&self) -> Option<Order> {
        (self.kind == Kind::Block).then(|| order(self.extra % 5))
    }

    /// Pages that are wanted, of a machine with `free` free pages.
    pub(super) fn wanted(&self, free: Pages) -> Pages {
        match self.kind {
            Kind::Block => order(self.extra % 5).pages(),
            Kind::KeepFree => self.pages - free,
            _ => self.pages,
        }
    }

    pub(super) fn target(&self) -> ReclaimTarget {
        let target = match self.kind {
            Kind::Moved => ReclaimTarget::moved(self.pages),
            Kind::Block => ReclaimTarget::block(order(self.extra % 5)),
            Kind::Freed | Kind::KeepFree | Kind::OrReclaim => ReclaimTarget::freed(self.pages),
        };
        target.within(self.zones)
    }
}
