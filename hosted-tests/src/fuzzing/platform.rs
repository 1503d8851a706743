//! A platform with caching modes and hooks that check how they are called.

use super::ops::Depth;
use forebay::{
    AllocError, AllocRequest, BufferId, Busy, Caching, Context, FrameSource, Order, OwnedBlock, Pages, Pfn,
    Platform, Zones,
    frame::{Mode, ModeRefused},
    pool::FreeListArray,
    port::{
        Accounting, CachingControl, DmaMap, EvictHooks, FreeListCounts, FreeListId, FreeLists, LinearMap,
        PooledBlock, Supply,
    },
    sync::NoopRawMutex,
};
use forebay_backends::shmem::{Arena, ArenaBlock};
use forebay_backends::{HeapSource, Ram, RamBlock};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

/// Bytes of a page, where nothing asks for more: so that a run is fast.
pub(super) const SMALL: usize = 256;

/// Bytes of a page where there is an arena.
pub(super) const LARGE: usize = 4096;

/// Pages of a zone that lie together: the largest block.
const ZONE: usize = 16;

/// Where blocks come from, and how many are left there.
pub(super) trait Source: FrameSource<RawMutex = NoopRawMutex> {
    /// Whether the harness writes other bytes into blocks before they are handed out. Not where the source knows which
    /// are zeros, as writing would tell it that they are not.
    const SOILED: bool = true;

    /// Pages that are free, or retired.
    fn unused(&self) -> Pages;

    /// These blocks as one slice, if there is one.
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b Self::Block>,
    ) -> Option<&'b [u8]>
    where
        Self::Block: 'b,
    {
        let _ = (id, blocks);
        None
    }

    /// The same, to write.
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b mut Self::Block>,
    ) -> Option<&'b mut [u8]>
    where
        Self::Block: 'b,
    {
        let _ = (id, blocks);
        None
    }

    /// Shows a block to another party; where it begins in the memfd, if it is in one.
    fn export(&self, block: &Self::Block) -> Option<u64> {
        let _ = block;
        None
    }

    /// Where a block begins in the memfd, if it is in one.
    fn offset(&self, block: &Self::Block) -> Option<u64> {
        let _ = block;
        None
    }
}

impl Source for Arena<LARGE, NoopRawMutex> {
    const SOILED: bool = false;

    fn unused(&self) -> Pages {
        self.unused() + self.usage().retired
    }

    fn export(&self, block: &ArenaBlock<LARGE>) -> Option<u64> {
        Arena::export(self, block)
    }

    fn offset(&self, block: &ArenaBlock<LARGE>) -> Option<u64> {
        Arena::offset(self, block)
    }
}

impl<const PAGE: usize> Source for Ram<NoopRawMutex, PAGE, 2> {
    fn unused(&self) -> Pages {
        self.unused()
    }

    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b RamBlock<PAGE>>,
    ) -> Option<&'b [u8]> {
        LinearMap::contiguous(self, id, (), blocks, Context::INTERRUPT)
    }

    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        blocks: impl Iterator<Item = &'b mut RamBlock<PAGE>>,
    ) -> Option<&'b mut [u8]> {
        LinearMap::contiguous_mut(self, id, (), blocks, Context::INTERRUPT)
    }
}

impl<const PAGE: usize> Source for HeapSource<NoopRawMutex, PAGE> {
    fn unused(&self) -> Pages {
        self.unused()
    }
}

/// A block that can be split down to two pages, and no further.
pub(super) struct StubbornBlock<const PAGE: usize>(RamBlock<PAGE>);

impl<const PAGE: usize> OwnedBlock for StubbornBlock<PAGE> {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        if self.order().get() < 2 {
            return Err(self);
        }
        match self.0.split() {
            Ok((lower, upper)) => Ok((StubbornBlock(lower), StubbornBlock(upper))),
            Err(whole) => Err(StubbornBlock(whole)),
        }
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// A source of those.
pub(super) struct Stubborn<const PAGE: usize>(pub(super) Ram<NoopRawMutex, PAGE, 2>);

impl<const PAGE: usize> FrameSource for Stubborn<PAGE> {
    type Block = StubbornBlock<PAGE>;
    type RawMutex = NoopRawMutex;
    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<StubbornBlock<PAGE>, AllocError> {
        self.0.allocate(request, cx).map(StubbornBlock)
    }
    fn supply(&self, request: &AllocRequest) -> Supply {
        self.0.supply(request)
    }
    fn free(&self, block: StubbornBlock<PAGE>) {
        self.0.free(block.0);
    }
    fn join(
        &self,
        left: StubbornBlock<PAGE>,
        right: StubbornBlock<PAGE>,
    ) -> Result<StubbornBlock<PAGE>, (StubbornBlock<PAGE>, StubbornBlock<PAGE>)> {
        match self.0.join(left.0, right.0) {
            Ok(both) => Ok(StubbornBlock(both)),
            Err((left, right)) => Err((StubbornBlock(left), StubbornBlock(right))),
        }
    }
}

impl<const PAGE: usize> Source for Stubborn<PAGE> {
    fn unused(&self) -> Pages {
        self.0.unused()
    }
}

/// What the hooks know of each buffer, and how many pages are in each mode.
#[derive(Debug, Default)]
pub(super) struct Hooks {
    unmapped: RefCell<[bool; 8]>,
    guards: RefCell<[usize; 8]>,
    /// How often `before_evict` was called.
    asked: RefCell<[usize; 8]>,
    in_mode: [Cell<usize>; 3],
    shown: RefCell<Shown>,
}

/// Frames that another party saw.
#[derive(Debug, Default)]
struct Shown {
    exported: BTreeSet<usize>,
    /// Those that were returned since: they must not be given out again.
    retired: BTreeSet<usize>,
}

fn frames<B: OwnedBlock>(block: &B) -> std::ops::Range<usize> {
    block.pfn().0..block.pfn().0 + block.order().pages().get()
}

impl Hooks {
    /// Whether `before_evict` ran, and `after_restore` did not yet.
    pub(super) fn is_unmapped(&self, id: BufferId) -> bool {
        self.unmapped.borrow()[id.0]
    }

    /// The buffer is new.
    pub(super) fn forget(&self, id: BufferId) {
        self.unmapped.borrow_mut()[id.0] = false;
    }

    /// How often `before_evict` was called for a buffer.
    pub(super) fn asked(&self, id: BufferId) -> usize {
        self.asked.borrow()[id.0]
    }

    /// How many guards the harness holds of a buffer.
    pub(super) fn set_guards(&self, id: BufferId, guards: usize) {
        self.guards.borrow_mut()[id.0] = guards;
    }

    /// Pages outside the source that are in that mode.
    pub(super) fn in_mode(&self, mode: Caching) -> usize {
        self.in_mode[mode.index()].get()
    }

    /// Another party sees a block from now on.
    pub(super) fn export<B: OwnedBlock>(&self, block: &B) {
        self.shown.borrow_mut().exported.extend(frames(block));
    }

    /// Frames that must not be given out again.
    pub(super) fn retired(&self) -> Vec<usize> {
        self.shown.borrow().retired.iter().copied().collect()
    }

    fn allocated<B: OwnedBlock>(&self, block: &B) {
        let again = self.shown.borrow().retired.range(frames(block)).next().copied();
        assert_eq!(again, None, "a frame that was exported has a second owner");
        self.moved(block.order().pages(), None, Some(Caching::WriteBack));
    }

    fn freed<B: OwnedBlock>(&self, block: &B) {
        let mut shown = self.shown.borrow_mut();
        for frame in frames(block) {
            if shown.exported.remove(&frame) {
                shown.retired.insert(frame);
            }
        }
        self.moved(block.order().pages(), Some(Caching::WriteBack), None);
    }

    fn moved(&self, pages: Pages, from: Option<Caching>, to: Option<Caching>) {
        if let Some(from) = from {
            let count = &self.in_mode[from.index()];
            count.set(count.get().checked_sub(pages.get()).expect("more pages leave a mode than are in it"));
        }
        if let Some(to) = to {
            let count = &self.in_mode[to.index()];
            count.set(count.get() + pages.get());
        }
    }
}

/// A source with modes and hooks. Blocks come with stale bytes and leave with others.
#[derive(Debug)]
pub(super) struct Hooked<'w, S> {
    source: &'w S,
    hooks: &'w Hooks,
}

impl<'w, S> Hooked<'w, S> {
    pub(super) const fn new(source: &'w S, hooks: &'w Hooks) -> Self {
        Hooked { source, hooks }
    }
}

fn fill<B: OwnedBlock>(block: &mut B, byte: u8) {
    for page in 0..block.order().pages().get() {
        let bytes = &[byte; LARGE][..B::PAGE];
        assert_eq!(block.write_at(page * B::PAGE, bytes), B::PAGE);
    }
}

impl<S: Source> FrameSource for Hooked<'_, S> {
    type Block = S::Block;
    type RawMutex = NoopRawMutex;
    const MAX_ORDER: Order = match Order::new(3) {
        Some(order) => order,
        None => Order::PAGE,
    };

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<S::Block, AllocError> {
        let mut block = self.source.allocate(request, cx)?;
        if S::SOILED {
            fill(&mut block, 0xdb);
        }
        self.hooks.allocated(&block);
        Ok(block)
    }

    fn free(&self, mut block: S::Block) {
        fill(&mut block, 0xee);
        self.hooks.freed(&block);
        self.source.free(block);
    }

    fn is_poolable(&self, block: &S::Block) -> bool {
        self.source.is_poolable(block)
    }

    fn is_zeroed(&self, block: &S::Block) -> bool {
        !S::SOILED && self.source.is_zeroed(block)
    }

    const ZONES: u8 = 2;

    /// Runs of pages, in turn.
    fn zone(&self, block: &S::Block) -> u8 {
        let page = match self.source.offset(block) {
            Some(offset) => offset as usize / S::Block::PAGE,
            None => block.pfn().0,
        };
        (page / ZONE % 2) as u8
    }

    /// How much is free in one zone it does not know.
    fn supply(&self, request: &AllocRequest) -> Supply {
        if request.zones == Zones::ALL { self.source.supply(request) } else { Supply::default() }
    }

    /// No block reaches into another zone.
    fn join(&self, left: S::Block, right: S::Block) -> Result<S::Block, (S::Block, S::Block)> {
        if left.order().pages() >= Pages::new(ZONE) {
            Err((left, right))
        } else {
            self.source.join(left, right)
        }
    }
}

impl<S: Source> CachingControl<S::Block> for Hooked<'_, S> {
    type Mode = Caching;

    fn set_mode(
        &self,
        block: &mut S::Block,
        from: Caching,
        to: Caching,
        _: Context,
    ) -> Result<(), ModeRefused> {
        assert_ne!(from, to, "a change of mode that changes nothing");
        self.hooks.moved(block.order().pages(), Some(from), Some(to));
        Ok(())
    }
}

impl<S: Source> DmaMap<S::Block> for Hooked<'_, S> {}
impl<S: Source> Accounting for Hooked<'_, S> {}

impl<S: Source> LinearMap<S::Block, Caching> for Hooked<'_, S> {
    fn contiguous<'b>(
        &'b self,
        id: BufferId,
        _: Caching,
        blocks: impl Iterator<Item = &'b S::Block>,
        _: Context,
    ) -> Option<&'b [u8]>
    where
        S::Block: 'b,
    {
        self.source.contiguous(id, blocks)
    }
    fn contiguous_mut<'b>(
        &'b self,
        id: BufferId,
        _: Caching,
        blocks: impl Iterator<Item = &'b mut S::Block>,
        _: Context,
    ) -> Option<&'b mut [u8]>
    where
        S::Block: 'b,
    {
        self.source.contiguous_mut(id, blocks)
    }
}

impl<S: Source> EvictHooks<S::Block> for Hooked<'_, S> {
    fn before_evict(
        &self,
        id: BufferId,
        blocks: &mut dyn Iterator<Item = &mut S::Block>,
        _: Context,
    ) -> Result<(), Busy> {
        self.hooks.asked.borrow_mut()[id.0] += 1;
        let mut frames = blocks.flat_map(|block| frames(block)).collect::<Vec<_>>();
        frames.sort_unstable();
        assert!(frames.is_sorted_by(|a, b| a < b), "{id:?} has a frame twice");
        assert_eq!(self.hooks.guards.borrow()[id.0], 0, "{id:?} is evicted under a guard");
        let was = std::mem::replace(&mut self.hooks.unmapped.borrow_mut()[id.0], true);
        assert!(!was, "{id:?} is unmapped twice");
        Ok(())
    }

    fn after_restore(&self, id: BufferId, _: Context) -> Result<(), Busy> {
        let was = std::mem::replace(&mut self.hooks.unmapped.borrow_mut()[id.0], false);
        assert!(was, "{id:?} is mapped twice");
        Ok(())
    }
}

/// Free lists as deep as a machine wants them; 26 blocks in all.
#[expect(clippy::large_enum_variant, reason = "there is one")]
pub(super) enum Lists<P: Platform> {
    Zero,
    One(FreeListArray<P, 26, 1>),
    Two(FreeListArray<P, 13, 2>),
    Three(FreeListArray<P, 8, 3>),
    Eight(FreeListArray<P, 3, 8>),
}

impl<P: Platform> Lists<P> {
    pub(super) fn new(depth: Depth) -> Self {
        match depth {
            Depth::Zero => Lists::Zero,
            Depth::One => Lists::One(FreeListArray::new()),
            Depth::Two => Lists::Two(FreeListArray::new()),
            Depth::Three => Lists::Three(FreeListArray::new()),
            Depth::Eight => Lists::Eight(FreeListArray::new()),
        }
    }
}

macro_rules! each {
    ($of:expr, $lists:ident => $do:expr) => {
        match $of {
            Lists::Zero => {
                let $lists = &();
                $do
            }
            Lists::One($lists) => $do,
            Lists::Two($lists) => $do,
            Lists::Three($lists) => $do,
            Lists::Eight($lists) => $do,
        }
    };
}

type Pooled<P> = PooledBlock<<P as Platform>::Block, <P as Platform>::Mode>;

impl<P: Platform> FreeLists<P::Block, P::Mode> for Lists<P> {
    fn take(&self, list: FreeListId) -> Option<Pooled<P>> {
        each!(self, lists => lists.take(list))
    }
    fn put(&self, list: FreeListId, block: Pooled<P>) -> Result<(), Pooled<P>> {
        each!(self, lists => lists.put(list, block))
    }
    fn take_reserved(&self, list: FreeListId) -> Option<Pooled<P>> {
        each!(self, lists => lists.take_reserved(list))
    }
    fn unreserve(&self, list: FreeListId, block: Option<Pooled<P>>) -> Result<(), Option<Pooled<P>>> {
        each!(self, lists => lists.unreserve(list, block))
    }
    fn counts(&self, list: FreeListId) -> Option<FreeListCounts> {
        each!(self, lists => FreeLists::<P::Block, P::Mode>::counts(lists, list))
    }
}
