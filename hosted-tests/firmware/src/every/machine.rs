//! A machine with everything: modes, zones, addresses, charges, hooks, free lists. The compiler can't foresee its answers.

use core::hint::black_box;
use core::ops::Range;
use critical_section::RawRestoreState;
use forebay::frame::{Charge, DmaAddr, ModeRefused};
use forebay::pool::FreeListArray;
use forebay::port::{
    Accounting, AllPorts, CachingControl, DmaMap, EvictHooks, FrameSource, LinearMap, WithLists,
};
use forebay::sync::CriticalSectionRawMutex;
use forebay::{AllocError, AllocRequest, BufferId, Busy, Caching, Context, Pages, Zones};
use forebay_backends::{Ram, RamBlock, RamRegion, Rom, Tiered};

pub const PAGE: usize = 512;
pub type Block = RamBlock<PAGE>;
pub type Plain = Ram<CriticalSectionRawMutex, PAGE>;
pub type Slow = RamRegion<CriticalSectionRawMutex, PAGE, 16>;
pub type Tiers = Tiered<Slow, Rom<'static, PAGE>>;
/// Plain RAM with free lists.
pub type Listed = WithLists<Plain, FreeListArray<Plain, 4, 2>>;
/// Four orders, three modes, three zones.
pub type Full = WithLists<AllPorts<Card>, FreeListArray<AllPorts<Card>, 36, 2>>;

pub struct Card(pub Plain);

impl FrameSource for Card {
    type Block = Block;
    type RawMutex = CriticalSectionRawMutex;
    const ZONES: u8 = 3;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.0.allocate(black_box(request), cx)
    }
    fn free(&self, block: Block) {
        self.0.free(block);
    }
    fn join(&self, left: Block, right: Block) -> Result<Block, (Block, Block)> {
        self.0.join(left, right)
    }
    fn zone(&self, _: &Block) -> u8 {
        black_box(0)
    }
    fn is_zeroed(&self, _: &Block) -> bool {
        black_box(false)
    }
    fn is_poolable(&self, _: &Block) -> bool {
        black_box(true)
    }
}

impl CachingControl<Block> for Card {
    type Mode = Caching;
    fn set_mode(&self, _: &mut Block, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        black_box(Ok(()))
    }
    fn flush(&self, cx: Context) {
        black_box(cx);
    }
    fn zones_for(&self, _: Caching) -> Zones {
        black_box(Zones::ALL)
    }
    fn pools(&self, _: Caching) -> bool {
        black_box(true)
    }
}

impl DmaMap<Block> for Card {
    fn map(&self, _: &Block, _: Context) -> Option<DmaAddr> {
        black_box(None)
    }
    fn unmap(&self, _: &Block, at: DmaAddr) {
        black_box(at);
    }
    fn sync_for_device(&self, _: &Block, bytes: Range<usize>) {
        black_box(bytes);
    }
    fn sync_for_cpu(&self, _: &Block, bytes: Range<usize>) {
        black_box(bytes);
    }
}

impl Accounting for Card {
    fn charge(&self, _: BufferId, _: Pages, _: Context) -> Option<Charge> {
        black_box(None)
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        black_box((charge, pages));
    }
}

impl EvictHooks<Block> for Card {
    fn before_evict(
        &self,
        _: BufferId,
        _: &mut dyn Iterator<Item = &mut Block>,
        _: Context,
    ) -> Result<(), Busy> {
        black_box(Ok(()))
    }
    fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        black_box(Ok(()))
    }
}

impl LinearMap<Block, Caching> for Card {}

struct Interrupts;
critical_section::set_impl!(Interrupts);

// SAFETY: the image is never run.
unsafe impl critical_section::Impl for Interrupts {
    unsafe fn acquire() -> RawRestoreState {
        black_box(RawRestoreState::default())
    }
    unsafe fn release(were_on: RawRestoreState) {
        black_box(were_on);
    }
}
