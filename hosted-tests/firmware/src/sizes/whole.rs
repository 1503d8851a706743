//! Everything that core and the region over plain RAM can do, as one program calls it. Linked for its size, never run.
//!
//! **What is measured.** Each public function is called once, or more often where other types make other code of it; the compiler
//! may put it where it is called, as it would in any program. One machine: plain RAM, a region, one caching mode, one lock;
//! buffers of one block, which is what `RamForebay` has; and a pool with free lists. No text for people (`Display`,
//! `Debug`), nothing of Linux, of flash, of tiers, of heaps. All arguments come from outside, so that nothing is known of
//! them. What the calls themselves take, and the `memcpy` of the compiler's library, is part of it.
#![no_std]
#![no_main]

mod start;

use core::arch::global_asm;
use core::hint::black_box;
use core::mem::forget;
use core::ops::{Deref, DerefMut};
use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::Evicted, sync::*, *};
use forebay_backends::{Cpu, Job, Ram, RamBlock, RamBuffer, RamForebay, RamRegion};

const PAGE: usize = 512;
#[cfg(not(any(feature = "no-lock", feature = "spin-lock")))]
type Lock = CriticalSectionRawMutex;
#[cfg(feature = "no-lock")]
type Lock = NoopRawMutex;
#[cfg(feature = "spin-lock")]
type Lock = SpinRawMutex;
type Plain = Ram<Lock, PAGE>;
type Slow = RamRegion<Lock, PAGE, 16>;
type Block = RamBlock<PAGE>;
type All = RamForebay<Lock, PAGE, 16>;
type Tile = RamBuffer<Lock, PAGE, 16>;
/// Blocks of all orders that plain RAM has, four of each.
type Ready = Pool<WithLists<&'static Plain, FreeListArray<Plain, 11, 4>>>;
type Index = EvictionIndex<Lock, &'static mut [usize]>;

// What a program keeps in statics, besides its metadata: symbols of that value, for `sizes`.
global_asm!(
    ".global home_bytes, buffer_bytes",
    ".set home_bytes, {}",
    ".set buffer_bytes, {}",
    const size_of::<All>(),
    const size_of::<Tile>(),
);

/// What comes from outside.
#[repr(C)]
struct Given {
    all: &'static All,
    pool: Ready,
    tile: Tile,
    tiles: &'static mut [Tile],
    index: Index,
    order: Order,
    pages: Pages,
    zones: Zones,
    how: Evict,
    cx: Context,
    purgeable: bool,
    target: ReclaimTarget,
    evict: EvictRequest,
    request: AllocRequest,
    at: usize,
    bytes: &'static mut [u8],
    memory: [Option<&'static mut [u8]>; 2],
    words: [Option<&'static mut [usize]>; 3],
    slots: Option<&'static mut [Slot<Plain>]>,
    addresses: &'static mut [Option<DmaAddr>],
    charges: &'static mut [Option<Charge>],
    block: Option<Block>,
    other: Option<Block>,
    pooled: Option<PooledBlock<Block, ()>>,
    handle: Option<Handle>,
    engine: Cpu<Block, PAGE>,
    job: Option<Job<Block, PAGE>>,
    buffer: Option<Tile>,
}

/// What becomes of a result: the program looks at it.
fn see<T>(value: T) {
    forget(black_box(value));
}

#[unsafe(no_mangle)]
extern "C" fn _start(given: &'static mut Given) -> ! {
    loop {
        let what = black_box(0);
        match what {
            0 => pool(given),
            1 => forebay(given),
            2 => buffer(given),
            3 => guards(given),
            4 => many(given),
            5 => source(given),
            6 => store(given),
            7 => region(given),
            _ => facade(given),
        }
    }
}

fn pool(g: &mut Given) {
    let (pool, cx) = (&g.pool, g.cx);
    see(Pool::take(pool, g.request, (), cx));
    if let Some(mut block) = g.pooled.take() {
        see(PooledBlock::write_at(&mut block, g.at, g.bytes));
        see(<PooledBlock<Block, ()> as Deref>::deref(&block).len());
        see(Pool::put(pool, block, cx));
    }
    see(Pool::trim(pool, g.zones, g.pages, cx));
    see(Pool::ready(pool, g.zones));
    see(Pool::lists(pool).map(|list| list.counts.ready).sum::<usize>());
}

fn forebay(g: &mut Given) {
    let home = All::home(g.all);
    let stats = Forebay::stats(home);
    see((stats.evicted.moved() - stats.evicted.transferred + stats.settled, stats.refusals.iter().count()));
    let tiles = &*g.tiles;
    see(Forebay::reclaim(home, tiles, g.target, g.how, g.cx));
    see(Forebay::keep_free(home, tiles, g.pages, g.how, g.cx));
    see(Forebay::or_reclaim(home, tiles, g.target, g.how, g.cx, || Buffer::write(&g.tile).map(forget)));
    see(Forebay::settle(home, g.pages, g.cx));
    see(Clock::new(tiles));
    g.block.take().into_iter().for_each(|block| Forebay::free_settled(home, block));
}

fn buffer(g: &mut Given) {
    let (tile, pages, how, cx) = (&mut g.tile, g.pages, g.how, g.cx);
    see(Buffer::restore(tile, pages, cx));
    see(Buffer::populate(tile, pages, cx));
    see(Buffer::evict(tile, pages, how, cx));
    see(Buffer::evict_mut(tile, pages, how, cx));
    see(Buffer::set_purgeable(tile, g.purgeable));
    see(Buffer::purge(tile, cx));
    see(Buffer::discard_copies(tile));
    see(Buffer::residency(tile));
    if let Some(handle) = g.handle.take() {
        see(Buffer::attach_stored(tile, g.at, handle, cx));
    }
    see(Buffer::id(tile));
    see(<Tile as Evictable>::evict_or_skip(tile, &g.evict, &mut Evicted::default()));
    drop(g.buffer.take());

    // Buffers of other shapes are made; what is done with them is the same code, for other types.
    see(Buffer::new(g.all, g.order).with_id(BufferId(g.at)).with_zones(g.zones));
    see(Buffer::<_, [Slot<Plain>; 8]>::inline(g.all, g.order));
    g.slots.take().into_iter().for_each(|slots| see(Buffer::with_slots(g.all, slots, g.order)));
    see(Addressed::new([const { Slot::<Plain>::EMPTY }; 1], g.addresses).is_ok());
    see(Charged::new([const { Slot::<Plain>::EMPTY }; 1], g.charges).is_ok());
}

fn guards(g: &mut Given) {
    let (tile, cx, at) = (&g.tile, g.cx, g.at);
    see(Buffer::read(tile).is_ok());
    if let Ok(guard) = Buffer::read_in(tile, cx) {
        see(Guard::read_at(&guard, at, g.bytes));
        see(Guard::bytes(&guard));
        see(Guard::blocks(&guard).map(|(at, block)| at + block.len()).sum::<usize>());
        see(Guard::contiguous(&guard, cx).is_some());
        see(Guard::segments(&guard).count());
        see(Guard::sync_for_device(&guard, 0..at) + Guard::sync_for_cpu(&guard, 0..at));
        see(Deref::deref(&guard).len());
    }
    see(Buffer::write(tile).is_ok());
    if let Ok(mut guard) = Buffer::write_in(tile, cx) {
        see(Guard::read_at(&guard, at, g.bytes));
        see(Guard::write_at(&mut guard, at, g.bytes));
        see(Guard::bytes(&guard));
        see(Guard::blocks(&guard).map(|(at, block)| at + block.len()).sum::<usize>());
        see(Guard::contiguous(&guard, cx).is_some());
        see(Guard::contiguous_mut(&mut guard, cx).is_some());
        see(Guard::segments(&guard).count());
        see(Guard::sync_for_device(&guard, 0..at) + Guard::sync_for_cpu(&guard, 0..at));
        see(DerefMut::deref_mut(&mut guard).len());
    }
}

fn many(g: &mut Given) {
    let index = &g.index;
    if let Ok(indexed) = EvictionIndex::indexed(index, g.at, [const { Slot::<Plain>::EMPTY }; 1]) {
        see(Slots::slots(&indexed).len());
        Slots::class_changed(&indexed, Class::all());
        drop(indexed);
    }
    let home = All::home(g.all);
    see(Forebay::reclaim(home, EvictionIndex::candidates(index, &*g.tiles), g.target, g.how, g.cx));
}

fn source(g: &mut Given) {
    let ram = g.all.platform();
    if let ([Some(memory), _], [Some(words), ..]) = (&mut g.memory, &mut g.words) {
        see(Plain::check(ram, memory, words));
    }
    if let (Some(memory), Some(words)) = (g.memory[0].take(), g.words[0].take()) {
        see(Plain::add(ram, memory, words));
    }
    see((Plain::unused(ram), Plain::total(ram)));
    see(<Plain as FrameSource>::allocate(ram, g.request, g.cx));
    g.block.take().into_iter().for_each(|block| <Plain as FrameSource>::free(ram, block));
    if let (Some(left), Some(right)) = (g.block.take(), g.other.take()) {
        see(<Plain as FrameSource>::join(ram, left, right));
    }
    g.block.take().into_iter().for_each(|block| see(Block::split(block)));
    g.other.take().into_iter().for_each(|mut block| {
        see(Block::read_at(&block, g.at, g.bytes) + Block::write_at(&mut block, g.at, g.bytes));
        Block::zero(&mut block);
        see((Block::pfn(&block), block));
    });
}

fn store(g: &mut Given) {
    let (store, cx) = (g.all.store(), g.cx);
    see(store.capabilities());
    see(BackingStore::<Block>::space(store));
    g.block.take().into_iter().for_each(|block| see(store.transfer(block, None)));
    if let Some(handle) = g.handle.take() {
        see(store.take_back(handle, cx));
    }
    if let (Some(block), Some(handle)) = (&mut g.other, &g.handle) {
        see(store.save(block, g.order, None, cx));
        see(store.load(handle, block, g.pages, cx));
    }
    if let Some(handle) = g.handle.take() {
        see(BackingStore::<Block>::split(store, handle));
    }
    if let Some(handle) = g.handle.take() {
        see(store.discard(handle));
    }
    see(store.settle(g.pages, cx, &mut |block| see(block)));
}

fn region(g: &mut Given) {
    let slow = g.all.store();
    if let ([_, Some(memory)], [_, Some(words), _]) = (&mut g.memory, &mut g.words) {
        see(Slow::check(slow, memory, words));
    }
    if let (Some(memory), Some(words)) = (g.memory[1].take(), g.words[1].take()) {
        see(Slow::init(slow, memory, words));
    }
    see((Slow::total(slow), Slow::pending(slow)));
    see(Slow::write_out(slow, &mut g.engine, g.at, &mut |block| see(block)));
    if let Some(mut job) = g.job.take() {
        Job::copy(&mut job);
        Job::fell_short(&mut job, g.at);
        see((Job::at(&job), Job::len(&job), Job::to(&mut job).len()));
        see(Slow::finish(slow, job, &mut |block| see(block)));
    }
    see(Slow::write_out_now(slow, g.at, &mut |block| see(block)));
}

fn facade(g: &mut Given) {
    let all = g.all;
    if let (Some(fast), Some(slow), Some(words)) = (g.memory[0].take(), g.memory[1].take(), g.words[2].take())
    {
        see(All::init(all, fast, slow, words));
    }
    see((All::free(all), All::pending(all)));
    see(All::make_room(all, &*g.tiles, g.at));
    see(All::transfer(all, &*g.tiles, g.at));
    see(All::write_out(all, g.at));
    see(All::buffer::<8192>(all));
}
