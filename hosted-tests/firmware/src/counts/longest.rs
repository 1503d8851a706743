//! How long interrupts are masked at most, by operation and by size.

use crate::home::{self, Block, HOMES, Home, Machine, PAGE, SIZES, Tile, source};
use crate::noted::longest_masked;
use core::array;
use core::fmt::Write;
use core::hint::black_box;
use forebay::reclaim::{Clock, EvictionIndex, Indexed};
use forebay::sync::CriticalSectionRawMutex;
use forebay::{
    AllocRequest, BackingStore, Buffer, Context, Evict, Evictable, FrameSource, Handle, Order, OwnedBlock,
    Pages, ReclaimTarget, Slot, Zones,
};
use forebay_backends::Cpu;
use static_cell::ConstStaticCell;

/// At most. One more panics.
const OPERATIONS: usize = 48;
const COLUMNS: usize = SIZES.len();

/// The longest sections, a row for each operation and a column for each size.
pub struct Longest {
    rows: [Option<(&'static str, [u32; COLUMNS])>; OPERATIONS],
    column: usize,
}

impl Longest {
    fn of<T>(&mut self, what: &'static str, f: impl FnOnce() -> T) -> T {
        let (value, masked) = longest_masked(|| black_box(f()));
        let row = self.rows.iter_mut().find(|row| row.as_ref().is_none_or(|(name, _)| *name == what));
        let (_, row) = row.expect("a row for each operation").get_or_insert((what, [0; COLUMNS]));
        row[self.column] = row[self.column].max(masked);
        value
    }

    pub fn rows(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.rows.iter().flatten().map(|(what, row)| (*what, row.iter().copied().max().unwrap_or(0)))
    }

    pub fn print(&self, out: &mut dyn Write) -> Option<()> {
        write!(out, "| longest with interrupts masked |").ok()?;
        for (fast, slow) in SIZES {
            write!(out, " {} KiB, region {} KiB |", fast >> 10, slow >> 10).ok()?;
        }
        write!(out, "\n| --- |").ok()?;
        SIZES.iter().try_for_each(|_| write!(out, " --- |").ok())?;
        writeln!(out).ok()?;
        for (what, row) in self.rows.iter().flatten() {
            write!(out, "| {what} |").ok()?;
            row.iter().try_for_each(|most| write!(out, " {most} |").ok())?;
            writeln!(out).ok()?;
        }
        Some(())
    }
}

/// What is held while memory is in pieces.
const HELD: usize = 4096;
static BLOCKS: ConstStaticCell<[Option<Block>; HELD]> = ConstStaticCell::new([const { None }; HELD]);
static HANDLES: ConstStaticCell<[Option<Handle>; HELD]> = ConstStaticCell::new([const { None }; HELD]);

pub fn run() -> Option<Longest> {
    let mut longest = Longest { rows: [None; OPERATIONS], column: 0 };
    let (blocks, handles) = (BLOCKS.take(), HANDLES.take());
    for (column, home) in HOMES.iter().enumerate() {
        longest.column = column;
        frames(&mut longest, home, blocks);
        free_lists(&mut longest, home)?;
        region(&mut longest, home, blocks, handles)?;
        buffers(&mut longest, home);
        several_blocks(&mut longest, home);
        attached(&mut longest, home)?;
        reclaims(&mut longest, home);
    }
    Some(longest)
}

/// Blocks come and go so that they are split and joined through all orders.
fn frames(m: &mut Longest, home: &'static Home, held: &mut [Option<Block>]) {
    let cx = Context::INTERRUPT;
    for order in home::orders() {
        let block = m.of("allocate", || source(home).allocate(AllocRequest::new(black_box(order)), cx));
        block.into_iter().for_each(|block| m.of("free", || source(home).free(block)));
    }
    held.fill_with(|| m.of("allocate", || source(home).allocate(AllocRequest::new(Order::PAGE), cx)).ok());
    let _ = m.of("unused", || source(home).unused());
    for _ in 0..2 {
        for block in held.iter_mut().step_by(2).filter_map(Option::take) {
            m.of("free", || source(home).free(block));
        }
        for order in home::orders() {
            let block = m.of("allocate", || source(home).allocate(AllocRequest::new(black_box(order)), cx));
            block.into_iter().for_each(|block| m.of("free", || source(home).free(block)));
        }
        held.rotate_left(1);
    }
    if let Ok(block) = source(home).allocate(AllocRequest::new(Order::new(3).unwrap_or(Order::PAGE)), cx)
        && let Ok((lower, upper)) = block.split()
    {
        match m.of("join", || source(home).join(lower, upper)) {
            Ok(joined) => source(home).free(joined),
            Err((lower, upper)) => [lower, upper].into_iter().for_each(|half| source(home).free(half)),
        }
    }
}

fn free_lists(m: &mut Longest, home: &'static Home) -> Option<()> {
    let (pool, cx) = (home.pool(), Context::THREAD);
    for order in home::orders() {
        for _ in 0..2 {
            let request = AllocRequest::new(order);
            let blocks: [_; home::DEPTH + 1] =
                array::from_fn(|_| m.of("take", || pool.take(request, (), cx)).ok());
            for block in blocks.into_iter().flatten() {
                m.of("put", || pool.put(block, cx)).ok()?;
            }
        }
    }
    m.of("ready", || pool.ready(Zones::ALL));
    m.of("lists", || pool.lists().map(black_box).count());
    m.of("trim", || pool.trim(Zones::of(0), Pages::new(3), cx));
    m.of("trim", || pool.trim(Zones::ALL, Pages::MAX, cx));
    Some(())
}

/// The store by itself: whole, then in pieces.
fn region(
    m: &mut Longest,
    home: &'static Home,
    blocks: &mut [Option<Block>],
    handles: &mut [Option<Handle>],
) -> Option<()> {
    let store = home.store();
    let page = source(home).allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok()?;
    for _ in 0..2 {
        for order in home::orders() {
            let _ = one_block(m, home, order);
        }
        handles.fill_with(|| m.of("save", || store.save(&page, Order::PAGE, None, Context::THREAD)).ok());
        for hole in handles.iter_mut().step_by(2).filter_map(Option::take) {
            let _ = m.of("discard", || store.discard(hole));
        }
        for order in home::orders() {
            let _ = one_block(m, home, order);
        }
        // More than can wait.
        for (block, handle) in blocks.iter_mut().zip(handles.iter_mut().step_by(2)).take(home::WAITING + 1) {
            *block = source(home).allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok();
            match block.take().map(|block| m.of("transfer", || store.transfer(block, None))) {
                Some(Ok(stored)) => *handle = Some(stored),
                Some(Err(refused)) => source(home).free(refused.item),
                None => {}
            }
        }
        m.of("space", || store.space());
        m.of("pending", || store.pending());
        m.of("settle", || home.settle(Pages::new(1), Context::THREAD));
        let mut engine = Cpu::IDLE;
        for _ in 0..3 {
            let _ = m.of("write_out by an engine", || {
                store.write_out(&mut engine, PAGE / 2, &mut |block| home.free_settled(block))
            });
        }
        m.of("write_out", || {
            store.write_out_now(PAGE / 2, &mut |block| home.free_settled(block));
            store.write_out_now(usize::MAX, &mut |block| home.free_settled(block))
        });
        for handle in handles.iter_mut().filter_map(Option::take) {
            let _ = m.of("discard", || store.discard(handle));
        }
    }
    source(home).free(page);
    Some(())
}

/// Every way out and back, for one block; nothing, if none of that order is free.
fn one_block(m: &mut Longest, home: &'static Home, order: Order) -> Option<()> {
    let (store, cx) = (home.store(), Context::THREAD);
    let block = source(home).allocate(AllocRequest::new(order), cx).ok()?;
    let block = match m.of("transfer", || store.transfer(block, None)) {
        Ok(handle) => m.of("take_back", || store.take_back(handle, cx)).ok()?,
        Err(refused) => refused.item,
    };
    let mut block = match store.transfer(block, None) {
        Ok(handle) => m.of("discard", || store.discard(handle)).ok()??,
        Err(refused) => refused.item,
    };
    if let Ok(handle) = m.of("save", || store.save(&block, order, None, cx)) {
        m.of("load", || store.load(&handle, &mut block, Pages::ZERO, cx)).ok()?;
        match m.of("split", || store.split(handle)) {
            Ok((lower, upper)) => {
                for half in [lower, upper] {
                    let _ = m.of("discard", || store.discard(half));
                }
            }
            Err(refused) => {
                let _ = m.of("discard", || store.discard(refused.item));
            }
        }
    }
    match store.transfer(block, None) {
        Ok(handle) => {
            m.of("write_out", || store.write_out_now(usize::MAX, &mut |block| home.free_settled(block)));
            let _ = m.of("discard", || store.discard(handle));
        }
        Err(refused) => source(home).free(refused.item),
    }
    Some(())
}

/// One buffer at a time.
fn buffers(m: &mut Longest, home: &'static Home) {
    let cx = Context::THREAD;
    for order in home::orders() {
        let tile = Tile::new(home, order);
        let _ = m.of("populate", || tile.populate(Pages::MAX, cx));
        for how in [Evict::TRANSFER, Evict::COPY, Evict::SPLIT, Evict::ANY] {
            m.of("write guard", || drop(tile.write()));
            let _ = m.of("evict", || tile.evict(Pages::MAX, how, cx));
            let _ = m.of("restore", || tile.restore(Pages::MAX, cx));
            m.of("read guard", || drop(tile.read()));
            let _ = m.of("residency", || tile.residency());
            let _ = m.of("evict", || tile.evict(Pages::MAX, how, cx)); // clean, if it was copied
            m.of("read guard", || drop(tile.read()));
            let _ = m.of("discard copies", || tile.discard_copies());
        }
        let _ = m.of("set_purgeable", || tile.set_purgeable(true));
        let _ = m.of("evict", || tile.evict(Pages::MAX, Evict::PURGE, cx));
        m.of("write guard", || drop(tile.write()));
        let _ = m.of("purge", || tile.purge(cx));
        m.of("drop a buffer", || drop(tile));
        home.pool().trim(Zones::ALL, Pages::MAX, cx);
    }
}

/// A buffer of several blocks.
fn several_blocks(m: &mut Longest, home: &'static Home) {
    let cx = Context::THREAD;
    let mut slots = [const { Slot::<Machine>::EMPTY }; 16];
    let mut buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
    let _ = m.of("populate", || buffer.populate(Pages::MAX, cx));
    for how in [Evict::TRANSFER, Evict::COPY, Evict::ANY] {
        m.of("write guard", || drop(buffer.write()));
        let _ = m.of("evict", || buffer.evict_mut(Pages::MAX, how, cx));
        let _ = m.of("restore", || buffer.restore(Pages::new(5), cx));
        m.of("read guard", || drop(buffer.read()));
        let _ = m.of("residency", || buffer.residency());
        let _ = m.of("discard copies", || buffer.discard_copies());
    }
    let _ = m.of("evict", || buffer.evict(Pages::MAX, Evict::TRANSFER, cx));
    m.of("drop a buffer", || drop(buffer));
    home.settle(Pages::MAX, cx);
}

/// A buffer that begins with stored contents.
fn attached(m: &mut Longest, home: &'static Home) -> Option<()> {
    let cx = Context::THREAD;
    let page = source(home).allocate(AllocRequest::new(Order::PAGE), cx).ok()?;
    let handle = home.store().save(&page, Order::PAGE, None, cx).ok()?;
    source(home).free(page);
    let tile = Tile::new(home, Order::PAGE);
    m.of("attach_stored", || tile.attach_stored(0, handle, cx)).ok()?;
    m.of("read guard", || drop(tile.read()));
    Some(())
}

/// Many buffers: as slices of several types, and in an index.
fn reclaims(m: &mut Longest, home: &'static Home) {
    let tiles: [Tile; 16] =
        array::from_fn(|n| Tile::new(home, Order::new(n as u8 % 3).unwrap_or(Order::PAGE)));
    reclaim(m, home, &tiles);
    reclaim_two_types(m, home, &tiles);
    indexed(m, home);
}

fn reclaim(m: &mut Longest, home: &'static Home, tiles: &[Tile]) {
    let cx = Context::THREAD;
    let pages = Pages::new(5);
    for target in targets(pages, Order::new(2).unwrap_or(Order::PAGE)) {
        for how in [Evict::TRANSFER, Evict::COPY, Evict::ANY] {
            tiles.iter().for_each(|tile| drop(tile.write()));
            m.of("reclaim", || home.reclaim(tiles, target, how, cx));
            m.of("settle", || home.settle(Pages::new(2), cx));
            m.of("settle", || home.settle(Pages::MAX, cx));
        }
    }
    m.of("keep_free", || home.keep_free(tiles, source(home).total(), Evict::ANY, cx));
    let _ =
        m.of("or_reclaim", || home.or_reclaim(tiles, pages, Evict::ANY, cx, || tiles[0].write().map(drop)));
    m.of("stats", || home.stats());
}

fn targets(pages: Pages, block: Order) -> [ReclaimTarget; 3] {
    [ReclaimTarget::moved(pages), ReclaimTarget::freed(pages), ReclaimTarget::block(block)]
}

fn reclaim_two_types(m: &mut Longest, home: &'static Home, tiles: &[Tile]) {
    let inline = Buffer::<_, [Slot<Machine>; 4]>::inline(home, Order::PAGE);
    let any: [&dyn Evictable; 2] = [&inline, &tiles[0]];
    let clock = Clock::new((tiles, &any));
    for target in targets(Pages::new(3), Order::PAGE) {
        tiles.iter().for_each(|tile| drop(tile.write()));
        drop(inline.write());
        m.of("reclaim of several lists", || home.reclaim(&clock, target, Evict::ANY, Context::THREAD));
    }
    home.settle(Pages::MAX, Context::THREAD);
}

const ENTRIES: usize = 4096;
/// Between the entries that have a buffer.
const APART: usize = 97;
const WORDS: usize = EvictionIndex::<CriticalSectionRawMutex>::words(ENTRIES);
type Entry<'r> = Indexed<'r, [Slot<Machine>; 1], CriticalSectionRawMutex, [usize; WORDS]>;

fn indexed(m: &mut Longest, home: &'static Home) {
    let index = EvictionIndex::<CriticalSectionRawMutex, _>::new([0; WORDS]);
    let indexed = |n: usize| -> Option<Buffer<_, Entry>> {
        let slots = index.indexed(n * APART, [Slot::EMPTY]).ok()?;
        Some(Buffer::with_slots(home, slots, Order::PAGE))
    };
    let tiles: [Option<Buffer<_, Entry>>; 16] = array::from_fn(|n| m.of("index", || indexed(n)));
    let nothing = Tile::new(home, Order::PAGE);
    let mut all: [&dyn Evictable; ENTRIES] = [&nothing; ENTRIES];
    for (entry, tile) in all.iter_mut().step_by(APART).zip(tiles.iter().flatten()) {
        *entry = tile;
    }
    for tile in tiles.iter().flatten() {
        m.of("index", || drop(tile.write()));
    }
    for target in targets(Pages::new(3), Order::PAGE) {
        m.of("reclaim by an index", || {
            home.reclaim(&index.candidates(&all), target, Evict::ANY, Context::THREAD)
        });
    }
    m.of("index", || drop(tiles));
}
