//! The right use of everything that the others misuse.
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
use forebay_backends::*;
type Block = RamBlock<512>;
type Source = Ram<SpinRawMutex, 512>;
type Store = RamRegion<SpinRawMutex, 512, 4>;

static HOME: Forebay<Source, Store, [Place<Source>; 8]> =
    Forebay::new(Ram::new(), RamRegion::new(StoreId::DEFAULT), 2);

fn there_and_back(block: Block, store: &dyn BackingStore<Block>) -> Option<Block> {
    match store.transfer(block, None) {
        Ok(handle) => match store.take_back(handle, Context::THREAD) {
            Ok(block) => Some(block),
            Err(refused) => store.discard(refused.item).unwrap_or_default(),
        },
        Err(refused) => Some(refused.item),
    }
}

fn halves(block: Block, platform: &Source) -> Block {
    match block.split() {
        Ok((lower, upper)) => platform.join(lower, upper).unwrap_or_else(|(lower, _)| lower),
        Err(block) => block,
    }
}

fn main() {
    let home: &Forebay<Source, Store> = &HOME;
    let mut slots = [const { Slot::EMPTY }; 4];
    {
        let mut buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
        if let Ok(mut guard) = buffer.write() {
            guard.write_at(0, &[1]);
        }
        buffer.evict_mut(Pages::MAX, Evict::ANY, Context::THREAD);
    }
    slots[0] = Slot::EMPTY;
    assert_eq!(slots.len(), 4);
    let tile = Buffer::new(home, Order::PAGE);
    if let Ok(mut guard) = tile.write() {
        guard[0] = guard[1];
    }
    std::thread::scope(|s| {
        s.spawn(|| home.reclaim(&[&tile], Pages::MAX, Evict::ANY, Context::THREAD));
    });
    if let Ok(pooled) = home.pool().take(Order::PAGE, (), Context::THREAD) {
        if let Ok(block) = pooled.into_plain(home.platform(), Context::THREAD) {
            let block = there_and_back(block, home.store());
            block.map(|b| home.pool().free(halves(b, home.platform())));
        }
    }
}
