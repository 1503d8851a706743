//! What single operations cost: means over at least a thousand.

use crate::cost::Cost;
use crate::home::{self, Block, FIRMWARE, Firmware, Home, Tile, WAITING, source};
use crate::usual::{self, UNZEROED, USUAL, WITHOUT_LISTS};
use core::array;
use core::fmt::{self, Write};
use core::hint::black_box;
use forebay::frame::Mode;
use forebay::pool::Pool;
use forebay::{
    AllocRequest, BackingStore, Buffer, Context, Evict, FrameSource, Order, Pages, Platform, Zones,
};

const TIMES: usize = 1000;

/// What the limits are about.
pub struct Found {
    pub take: Cost,
    pub put: Cost,
    /// Of the source.
    pub allocate: Cost,
    pub free: Cost,
    /// By order: in a fresh region, and in one that is in pieces, but for the room that it has ready from before.
    pub transfer: [[Cost; 11]; 2],
    pub evict: [[Cost; 11]; 2],
    pub restore: [[Cost; 11]; 2],
}

pub fn run(out: &mut dyn Write) -> Option<Found> {
    let home = USUAL;
    writeln!(out, "| operation | mean | least | most | times |").ok()?;
    writeln!(out, "| --- | --- | --- | --- | --- |").ok()?;
    let [[take, put], [allocate, free]] = free_lists(out)?;
    let fresh = transfers(home);
    let mut kept = [const { None }; 8192];
    let page = source(home).allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok()?;
    usual::fragment(home.store(), &page, &mut kept);
    let in_pieces = transfers(home); // of each order, room is ready from the first time
    kept.iter_mut().filter_map(Option::take).for_each(|kept| drop(home.store().discard(kept)));
    source(home).free(page);
    for order in home::orders() {
        let Moved { first, .. } = &fresh[usize::from(order.get())];
        row(out, format_args!("the first `BackingStore::transfer`, order {}", order.get()), first)?;
    }
    for (region, moved) in [("fresh", &fresh), ("in pieces", &in_pieces)] {
        for order in home::orders() {
            let Moved { transfer, take_back, evict, restore, .. } = &moved[usize::from(order.get())];
            let what = format_args!("order {}, region {region}", order.get());
            row(out, format_args!("`BackingStore::transfer`, {what}"), transfer)?;
            row(out, format_args!("`BackingStore::take_back`, {what}"), take_back)?;
            row(out, format_args!("evict step by transfer, {what}"), evict)?;
            row(out, format_args!("restore step by taking back, {what}"), restore)?;
        }
    }
    transferred(out)?;
    for order in home::orders() {
        copies(out, home, order)?;
    }
    guards(out, home)?;
    let by_order = |f: fn(&Moved) -> Cost| [fresh.each_ref().map(f), in_pieces.each_ref().map(f)];
    Some(Found {
        take,
        put,
        allocate,
        free,
        transfer: by_order(|m| m.transfer),
        evict: by_order(|m| m.evict),
        restore: by_order(|m| m.restore),
    })
}

pub fn row(out: &mut dyn Write, what: fmt::Arguments, cost: &Cost) -> Option<()> {
    writeln!(out, "| {what} | {cost} |").ok()
}

/// `Pool::take` and `Pool::put`. Returns what they cost without zeroing, where a block is ready; and what the source costs.
fn free_lists(out: &mut dyn Write) -> Option<[[Cost; 2]; 2]> {
    let cx = Context::THREAD;
    let unzeroed = ready(&UNZEROED)?;
    let zeroed = ready(USUAL.pool())?;
    UNZEROED.trim(Zones::ALL, Pages::MAX, cx);
    for ([take, put], how) in [(&unzeroed, "without zeroing"), (&zeroed, "zeroed")] {
        row(out, format_args!("`Pool::take` from a free list, {how}"), take)?;
        row(out, format_args!("`Pool::put` to a free list, {how}"), put)?;
    }
    let (mut allocate, mut free) = (Cost::new(), Cost::new());
    for _ in 0..TIMES {
        let request = black_box(AllocRequest::new(Order::PAGE));
        let block = allocate.of(|| source(USUAL).allocate(request, cx)).ok()?;
        free.of(|| source(USUAL).free(block));
    }
    row(out, format_args!("`Ram::allocate`, order 0"), &allocate)?;
    row(out, format_args!("`Ram::free`, order 0"), &free)?;
    for order in [0, 3, 10].into_iter().filter_map(Order::new) {
        let (mut take, mut put) = (Cost::new(), Cost::new());
        for _ in 0..TIMES {
            let request = black_box(AllocRequest::new(order));
            let block = take.of(|| WITHOUT_LISTS.take(request, (), cx)).ok()?;
            put.of(|| WITHOUT_LISTS.put(block, cx)).ok()?;
        }
        row(
            out,
            format_args!("`Pool::take` from the source, order {}, without zeroing", order.get()),
            &take,
        )?;
        row(out, format_args!("`Pool::put` to the source, order {}", order.get()), &put)?;
    }
    Some([unzeroed, [allocate, free]])
}

/// To take a page from a free list, and to put it back.
fn ready<P: Platform>(pool: &Pool<P>) -> Option<[Cost; 2]> {
    let (mut take, mut put) = (Cost::new(), Cost::new());
    let request = || AllocRequest::new(black_box(Order::PAGE));
    pool.put(pool.take(request(), P::Mode::CACHED, Context::THREAD).ok()?, Context::THREAD).ok()?;
    for _ in 0..TIMES {
        let block = take.of(|| pool.take(request(), P::Mode::CACHED, Context::THREAD)).ok()?;
        put.of(|| pool.put(block, Context::THREAD)).ok()?;
    }
    Some([take, put])
}

/// One order, out by transfer and back.
struct Moved {
    /// The first transfer looks for room in the region, and leaves it ready for the next one of its order.
    first: Cost,
    transfer: Cost,
    take_back: Cost,
    evict: Cost,
    restore: Cost,
}

fn transfers(home: &'static Home) -> [Moved; 11] {
    array::from_fn(|order| {
        let order = Order::new(order as u8).unwrap_or(Order::TEN);
        let (mut first, mut transfer, mut take_back) = (Cost::new(), Cost::new(), Cost::new());
        let mut block = source(home).allocate(AllocRequest::new(order), Context::THREAD).ok();
        for n in 0..=TIMES {
            let cost = if n == 0 { &mut first } else { &mut transfer };
            let Some(handle) =
                block.take().and_then(|b| cost.of(|| home.store().transfer(black_box(b), None)).ok())
            else {
                break;
            };
            block = take_back.of(|| home.store().take_back(black_box(handle), Context::INTERRUPT)).ok();
        }
        block.into_iter().for_each(|block| source(home).free(block));

        let (mut evict, mut restore) = (Cost::new(), Cost::new());
        let tile = Tile::new(home, order);
        drop(tile.write());
        let _ = tile.evict(Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);
        let _ = tile.restore(Pages::MAX, Context::INTERRUPT);
        for _ in 0..TIMES {
            let left = evict.of(|| tile.evict(black_box(Pages::MAX), Evict::TRANSFER, Context::INTERRUPT));
            let came = restore.of(|| tile.restore(black_box(Pages::MAX), Context::INTERRUPT));
            if left.map(|left| left.transferred) != Ok(order.pages()) || came.taken_back != order.pages() {
                return Moved { first, transfer, take_back, evict: Cost::new(), restore }; // noticed by its count
            }
        }
        Moved { first, transfer, take_back, evict, restore }
    })
}

/// What each buffer costs that a timer interrupt transfers, among many.
fn transferred(out: &mut dyn Write) -> Option<()> {
    let tiles: [Buffer<&Firmware>; 64] = array::from_fn(|_| FIRMWARE.buffer::<{ home::PAGE }>());
    let (mut used, mut idle) = (Cost::new(), Cost::new());
    while used.times() < TIMES as u32 {
        tiles.iter().for_each(|tile| drop(tile.write()));
        for time in 0..4 {
            let cost = if time == 0 { &mut used } else { &mut idle };
            cost.of_several(|| FIRMWARE.transfer(black_box(&tiles), WAITING * home::PAGE) / home::PAGE);
            FIRMWARE.write_out(usize::MAX);
        }
    }
    let what = "`RamForebay::transfer` of 16 of 64 buffers, each of them";
    row(out, format_args!("{what}; all were used lately"), &used)?;
    row(out, format_args!("{what}; none was"), &idle)
}

/// Out by copying and back by loading, and what of that the copying itself is.
fn copies(out: &mut dyn Write, home: &'static Home, order: Order) -> Option<()> {
    let (mut evict, mut restore, mut copy) = (Cost::new(), Cost::new(), Cost::new());
    let tile = Tile::new(home, order);
    drop(tile.write());
    for _ in 0..TIMES {
        let left = evict.of(|| tile.evict(black_box(Pages::MAX), Evict::COPY, Context::THREAD)).ok()?;
        let came = restore.of(|| tile.restore(black_box(Pages::MAX), Context::THREAD));
        tile.discard_copies().ok()?; // or it would leave without copying
        (left.copied == order.pages() && came.loaded == order.pages()).then_some(())?;
    }
    let (mut to, from) = (block(home, order)?, block(home, order)?);
    for _ in 0..TIMES {
        copy.of(|| black_box(&mut *to).copy_from_slice(black_box(&from)));
    }
    source(home).free(to);
    source(home).free(from);
    let order = order.get();
    row(out, format_args!("evict step by copying, order {order}"), &evict)?;
    row(out, format_args!("restore step by loading, order {order}"), &restore)?;
    row(out, format_args!("`copy_from_slice` alone, order {order}"), &copy)?;
    row(out, format_args!("evict step by copying, order {order}, without that"), &evict.without(&copy))?;
    row(out, format_args!("restore step by loading, order {order}, without that"), &restore.without(&copy))
}

fn block(home: &Home, order: Order) -> Option<Block> {
    source(home).allocate(AllocRequest::new(order), Context::THREAD).ok()
}

/// Guards of a buffer that is resident.
fn guards(out: &mut dyn Write, home: &'static Home) -> Option<()> {
    let (mut read, mut write) = (Cost::new(), Cost::new());
    let tile = Tile::new(home, Order::PAGE);
    drop(tile.write());
    for _ in 0..TIMES {
        let both =
            [read.of(|| black_box(&tile).read().is_ok()), write.of(|| black_box(&tile).write().is_ok())];
        (both == [true; 2]).then_some(())?;
    }
    row(out, format_args!("a read guard on what is resident, and its end"), &read)?;
    row(out, format_args!("a write guard on what is resident, and its end"), &write)
}
