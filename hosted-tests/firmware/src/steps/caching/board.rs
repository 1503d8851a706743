//! A board whose blocks have caching modes, and whose devices do not see the caches; and a store that looks at what it is given.

use crate::machine::{self, Attribute, PAGE, RawMutex};
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use forebay::{
    AllocError, AllocRequest, BackingStore, Caching, Context, FrameSource, Handle, Order, Pages, Refused,
    StoreError,
    frame::{Charge, DmaAddr, ModeRefused},
    port::{
        Accounting, CachingControl, Capabilities, DmaMap, EvictHooks, LinearMap, Settled, Space, StoreIds,
    },
};
use forebay_backends::{Ram, RamBlock, RamRegion};

pub type Block = RamBlock<PAGE>;
pub type Source = Ram<RawMutex, PAGE, 1>;
pub type Region = RamRegion<RawMutex, PAGE, 4>;

/// Blocks that source or store saw, and those of them that were not write-back.
static SEEN: AtomicUsize = AtomicUsize::new(0);
static SEEN_WRONG: AtomicUsize = AtomicUsize::new(0);
static LOGGED_AT_TRANSFER: AtomicUsize = AtomicUsize::new(0);

/// Blocks that source or store saw, and how many of them were not write-back.
pub fn seen() -> (usize, usize) {
    (SEEN.load(Ordering::Relaxed), SEEN_WRONG.load(Ordering::Relaxed))
}

/// How many operations the machine had logged when a block was last transferred.
pub fn logged_at_transfer() -> usize {
    LOGGED_AT_TRANSFER.load(Ordering::Relaxed)
}

/// What the MMU makes of these bytes, if tables and translation say the same of all of them.
pub fn attribute(bytes: &[u8]) -> Option<Attribute> {
    let in_tables = machine::in_tables(bytes)?;
    (machine::translated(bytes) == Some(in_tables)).then_some(in_tables)
}

pub const fn attribute_of(mode: Caching) -> Attribute {
    match mode {
        Caching::WriteBack => Attribute::WriteBack,
        Caching::WriteCombined => Attribute::NonCacheable,
        Caching::Uncached => Attribute::Device,
    }
}

/// Looks at a block on its way to source or store.
fn look_at(block: &Block) {
    SEEN.fetch_add(1, Ordering::Relaxed);
    if attribute(block) != Some(Attribute::WriteBack) {
        SEEN_WRONG.fetch_add(1, Ordering::Relaxed);
    }
}

/// Plain RAM behind an MMU, on a board whose devices do not see its caches. Used as `AllPorts(Board(..))`.
pub struct Board(pub Source);

impl FrameSource for Board {
    type Block = Block;
    type RawMutex = RawMutex;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.0.allocate(request, cx)
    }
    fn free(&self, block: Block) {
        look_at(&block);
        self.0.free(block);
    }
    fn join(&self, left: Block, right: Block) -> Result<Block, (Block, Block)> {
        self.0.join(left, right)
    }
}

impl CachingControl<Block> for Board {
    type Mode = Caching;

    fn set_mode(&self, block: &mut Block, _: Caching, to: Caching, _: Context) -> Result<(), ModeRefused> {
        machine::set_attribute(block, attribute_of(to));
        Ok(())
    }
    fn flush(&self, _: Context) {
        machine::complete_attributes();
    }
}

impl DmaMap<Block> for Board {
    fn map(&self, block: &Block, _: Context) -> Option<DmaAddr> {
        machine::clean(block);
        DmaAddr::new(address(block).start as u64)
    }
    fn unmap(&self, block: &Block, _: DmaAddr) {
        machine::clean_and_invalidate(block);
    }
    fn sync_for_device(&self, block: &Block, bytes: Range<usize>) {
        machine::clean(block.get(bytes).unwrap_or_default());
    }
    fn sync_for_cpu(&self, block: &Block, bytes: Range<usize>) {
        machine::clean_and_invalidate(block.get(bytes).unwrap_or_default());
    }
}

impl Accounting for Board {}
impl EvictHooks<Block> for Board {}
impl LinearMap<Block, Caching> for Board {}

/// A region that looks at the attribute of each block it is given.
pub struct Watched(pub Region);

impl BackingStore<Block> for Watched {
    fn ids(&self) -> StoreIds {
        self.0.ids()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }
    fn space(&self) -> Space {
        self.0.space()
    }
    fn save(
        &self,
        block: &Block,
        order: Order,
        payer: Option<Charge>,
        cx: Context,
    ) -> Result<Handle, StoreError> {
        look_at(block);
        self.0.save(block, order, payer, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        look_at(block);
        self.0.load(handle, block, at, cx)
    }
    fn transfer(&self, block: Block, payer: Option<Charge>) -> Result<Handle, Refused<Block, StoreError>> {
        look_at(&block);
        LOGGED_AT_TRANSFER.store(machine::logged(), Ordering::Relaxed);
        self.0.transfer(block, payer)
    }
    fn take_back(&self, handle: Handle, cx: Context) -> Result<Block, Refused<Handle, StoreError>> {
        self.0.take_back(handle, cx)
    }
    fn discard(&self, handle: Handle) -> Result<Option<Block>, Refused<Handle, StoreError>> {
        self.0.discard(handle)
    }
    fn split(&self, handle: Handle) -> Result<(Handle, Handle), Refused<Handle, StoreError>> {
        self.0.split(handle)
    }
    fn settle(&self, budget: Pages, cx: Context, owner: &mut dyn FnMut(Block)) -> Settled {
        self.0.settle(budget, cx, owner)
    }
}

/// Where they are.
pub fn address(bytes: &[u8]) -> Range<usize> {
    let Range { start, end } = bytes.as_ptr_range();
    start.addr()..end.addr()
}
