//! A machine with everything: modes, zones, addresses, charges, hooks. What it answers the compiler can't foresee.

use core::hint::black_box;
use core::ops::Range;
use critical_section::RawRestoreState;
use forebay::{AllocRequest, BufferId, Busy, Caching, Context, Order, AllocError, Pages, Platform, Zones, frame::{Charge, DmaAddr, ModeRefused}, sync::CriticalSectionRawMutex};
use forebay_backends::{Ram, RamBlock, RamRegion, Rom, Tiered};

pub const PAGE: usize = 512;
pub type Block = RamBlock<PAGE>;
pub type Plain = Ram<CriticalSectionRawMutex, PAGE>;
pub type Slow = RamRegion<CriticalSectionRawMutex, PAGE, 16>;
pub type Tiers = Tiered<Slow, Rom<'static, PAGE>>;

pub struct Card(pub Plain);

impl Platform for Card {
    type Block = Block;
    type RawMutex = CriticalSectionRawMutex;
    type Mode = Caching;
    const ZONES: u8 = 3;

    fn allocate(&self, order: Order, cx: Context) -> Result<Block, AllocError> {
        self.0.allocate(AllocRequest::new(order), cx)
    }
    fn zone(&self, _: &Block) -> Zone {
        black_box(Zone::ONLY)
    }
    fn zones_for(&self, _: Caching) -> Zones {
        black_box(Zones::ALL)
    }
    fn keep(&self, _: &Block, _: Caching) -> Keep {
        black_box(Keep::Shelf)
    }
    fn wiped(&self, _: &Block) -> Wiped {
        black_box(Wiped::Unknown)
    }
    fn allocate(&self, ask: AllocRequest, cx: Context) -> Result<Block, AllocError> {
        self.0.allocate(AllocRequest::new(black_box(ask).order), cx)
    }
    fn release(&self, block: Block) {
        self.0.free(block);
    }
    fn join(&self, left: Block, right: Block) -> Result<Block, (Block, Block)> {
        self.0.join(left, right)
    }
    fn set_mode(&self, _: &mut Block, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        black_box(Ok(()))
    }
    fn flush(&self, cx: Context) {
        black_box(cx);
    }
    fn map(&self, _: &Block, _: Context) -> Result<DmaAddr, MapRefused> {
        black_box(Err(MapRefused))
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
    fn charge(&self, _: BufferId, _: Pages, _: Context) -> Result<Charge, OverLimit> {
        black_box(Err(OverLimit))
    }
    fn uncharge(&self, charge: Charge, pages: Pages) {
        black_box((charge, pages));
    }
    fn before_evict(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        black_box(Ok(()))
    }
    fn after_restore(&self, _: BufferId, _: Context) -> Result<(), Busy> {
        black_box(Ok(()))
    }
}

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
