//! A `linked_list_allocator` heap next to the pool, over the memory of a tile that it keeps for ever; and a pool over that
//! heap.

use super::home::{self, HOME, TILE_PAGES, TILES, Tile};
use super::{Failure, check, flash, pattern};
use crate::machine::{PAGE, RawMutex};
use core::fmt::Write;
use forebay::{AllocRequest, Buffer, Context, Evict, Forebay, Order, Pages, WriteGuard, port::PooledBlock};
use forebay_backends::{HeapBlock, HeapSource, Rom};
use static_cell::StaticCell;

type Heap = HeapSource<RawMutex, PAGE>;
/// As many pages as the heap has, and one more.
const COUNT: usize = TILE_PAGES.get() + 1;

static HEAP: Forebay<Heap, Rom<'static, PAGE>> =
    Forebay::new(Heap::new(), Rom::new(flash::ID, &flash::TABLE));
static TABLE: Buffer<&Forebay<Heap, Rom<PAGE>>> = Buffer::new(&HEAP, Order::PAGE);

/// The tile whose memory the heap has.
static LENT: Tile = Tile::new(&HOME, home::TILE);
static GUARD: StaticCell<WriteGuard<'static, home::Home>> = StaticCell::new();

/// Pages of the pool that the heap has.
pub fn taken() -> Pages {
    // The guard makes it busy.
    LENT.residency().map_or(TILE_PAGES, |residency| residency.resident)
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let guard = GUARD.init(LENT.write()?);
    let bytes = HEAP.platform().init(guard).map_err(|refused| refused.why)?;
    let free = HEAP.platform().free_bytes();

    // Pages out of the heap, until it is empty; then they go back.
    let mut pages: [Option<PooledBlock<HeapBlock<PAGE>, ()>>; COUNT] = [const { None }; COUNT];
    let mut count = 0;
    for (n, place) in pages.iter_mut().enumerate() {
        let Ok(mut page) = HEAP.pool().take(AllocRequest::new(Order::PAGE), (), Context::THREAD) else {
            break;
        };
        pattern::fill_page(&mut page, 8000 + n);
        *place = Some(page);
        count += 1;
    }
    let mut wrong = 0;
    for (n, page) in pages.into_iter().flatten().enumerate() {
        wrong += pattern::wrong(&page, 8000 + n);
        check(HEAP.pool().put(page, Context::THREAD).is_ok(), "a page was not returned to the heap")?;
    }

    // A buffer of the heap, with contents in flash. It leaves clean.
    let table =
        HEAP.store().handle(Pages::ZERO, Order::PAGE).ok_or(Failure::Check("the table has no handle"))?;
    TABLE.attach_stored(0, table, Context::THREAD)?;
    wrong += TABLE.read()?.iter().zip(&flash::TABLE).filter(|(is, was)| is != was).count();
    let report = HEAP.reclaim([&TABLE], Pages::new(1), Evict::ANY, Context::THREAD);

    // The pool goes on next to it, and skips the heap's tile.
    home::fill(&TILES[..1], 8500)?;
    let pool = HOME.reclaim([&LENT, &TILES[0]], Pages::MAX, Evict::TRANSFER, Context::INTERRUPT);
    wrong += home::wrong(&TILES[..1], 8500)?;

    TABLE.purge(Context::THREAD)?;
    write!(
        out,
        "{count} pages out of a heap of {bytes} bytes, {} left clean; {wrong} wrong bytes",
        report.evicted.clean
    )?;
    check(count == bytes / PAGE && count < COUNT, "another number of pages fits into the heap")?;
    check(report.evicted.clean == Pages::new(1), "what is in flash did not leave")?;
    check(pool.evicted.transferred == TILE_PAGES, "the heap's tile left, or the other one did not")?;
    check(HEAP.platform().free_bytes() == free, "bytes of the heap are missing")?;
    check(wrong == 0, "bytes are wrong")
}
