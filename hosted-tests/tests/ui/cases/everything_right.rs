//! The right use of everything that the others misuse.
use forebay::frame::{Caching, ModeRefused};
use forebay::pool::FreeListArray;
use forebay::port::{CachingControl, EvictHooks, WithCaching, WithHooks, WithLists};
use forebay::reclaim::Clock;
use forebay::sync::{CriticalSectionRawMutex, NoopRawMutex, SpinRawMutex};
use forebay::{
    AllocRequest, BackingStore, Buffer, Context, Evict, Evictable, Forebay, FrameSource, Order, OwnedBlock,
    Pages, Slot, StoreId,
};
use forebay_backends::{Ram, RamBlock, RamBuffer, RamForebay, RamRegion};
use std::sync::Arc;

type Block = RamBlock<512>;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;
type Platform =
    WithLists<WithHooks<WithCaching<Source, Mtrr>, Pager>, FreeListArray<WithCaching<Source, Mtrr>, 12, 2>>;
type Home = Forebay<Platform, Store>;

struct Pager;
impl<B> EvictHooks<B> for Pager {}

struct Mtrr;
impl<B> CachingControl<B> for Mtrr {
    type Mode = Caching;
    fn set_mode(&self, _: &mut B, _: Caching, _: Caching, _: Context) -> Result<(), ModeRefused> {
        Ok(())
    }
}

static HOME: Home = Forebay::new(
    WithLists(WithHooks(WithCaching(Ram::new(), Mtrr), Pager), FreeListArray::new()),
    RamRegion::new(StoreId::DEFAULT),
);
static MANY: Buffer<&'static Home, [Slot<Platform>; 4]> =
    Buffer::inline(&HOME, Order::PAGE).with_mode(Caching::WriteCombined);

static RAM: RamForebay<CriticalSectionRawMutex, 512, 4> = RamForebay::new();
static TILES: [RamBuffer<CriticalSectionRawMutex, 512, 4>; 4] = [const { RAM.buffer::<512>() }; 4];

/// Owns its forebay and its buffers.
struct Decoder {
    home: Arc<Forebay<Source, Store>>,
    tile: Buffer<Arc<Forebay<Source, Store>>>,
}

fn there_and_back(block: Block, store: &dyn BackingStore<Block>) -> Option<Block> {
    match store.transfer(block, None) {
        Ok(handle) => match store.take_back(handle, Context::THREAD) {
            Ok(block) => Some(block),
            Err(refused) => store.discard(refused.item).unwrap_or_default(),
        },
        Err(refused) => Some(refused.item),
    }
}

fn halves(block: Block, source: &Source) -> Block {
    match block.split() {
        Ok((lower, upper)) => source.join(lower, upper).unwrap_or_else(|(lower, _)| lower),
        Err(block) => block,
    }
}

fn main() {
    let mut slots = [const { Slot::EMPTY }; 4];
    {
        let mut buffer = Buffer::with_slots(&HOME, &mut slots[..], Order::PAGE);
        if let Ok(mut guard) = buffer.write() {
            guard.write_at(0, &[1]);
        }
        buffer.evict_mut(Pages::MAX, Evict::ANY, Context::THREAD);
    }
    slots[0] = Slot::EMPTY;
    assert_eq!(slots.len(), 4);
    let tile = Buffer::new(&HOME, Order::PAGE);
    if let Ok(mut guard) = tile.write() {
        guard[0] = guard[1];
        guard.fill(1);
    }
    std::thread::scope(|s| {
        s.spawn(|| HOME.reclaim((&[&tile], &[&MANY]), Pages::MAX, Evict::ANY, Context::THREAD));
        s.spawn(|| RAM.reclaim(&TILES, Pages::new(1), Evict::TRANSFER, Context::INTERRUPT));
    });
    let mixed: [&(dyn Evictable + Sync); 2] = [&tile, &MANY];
    HOME.reclaim(&Clock::new(&mixed), Pages::new(1), Evict::ANY, Context::THREAD);
    HOME.reclaim(core::slice::from_ref(&tile), Pages::new(1), Evict::ANY, Context::THREAD);

    let home = Arc::new(Forebay::new(Ram::new(), RamRegion::new(StoreId::DEFAULT)));
    let tile = Buffer::new(home.clone(), Order::PAGE);
    let decoder = Decoder { home, tile };
    std::thread::spawn(move || drop((decoder.tile.read().map(drop), decoder.home.stats())));

    let source = Ram::<NoopRawMutex, 512>::new();
    let local = Forebay::new(&source, RamRegion::<NoopRawMutex, 512, 4>::new(StoreId::DEFAULT));
    drop(Buffer::new(&local, Order::PAGE).read().map(drop));

    let source = Source::new();
    if let Ok(pooled) = HOME.pool().take(AllocRequest::new(Order::PAGE), Caching::Uncached, Context::THREAD) {
        drop(HOME.pool().put(pooled, Context::THREAD));
    }
    if let Ok(block) = source.allocate(AllocRequest::new(Order::PAGE), Context::THREAD) {
        let block = there_and_back(block, HOME.store());
        block.map(|block| source.free(halves(block, &source)));
    }
}
