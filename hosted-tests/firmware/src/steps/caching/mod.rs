//! Caching modes that are really set: in the page tables, with the maintenance that goes with it.
//!
//! What a mode is for the MMU is asked twice: of the page tables, and of the MMU itself. In which order caches, tables and
//! translations were maintained the machine's log tells, for an emulator has no cache that could miss it.

mod board;

use super::{Failure, check, pattern};
use crate::machine::{self, Attribute, LINE, Operation, PAGE};
use board::{
    Block, Board, Region, Source, Watched, address, attribute, attribute_of, logged_at_transfer, seen,
};
use core::array;
use core::fmt::Write;
use core::ops::Range;
use forebay::{
    AccessError, AllocRequest, Buffer, Caching, Context, Evict, Forebay, FrameSource, Order, Pages, Slot,
    StoreId, Zones,
    buffer::Addressed,
    pool::{FreeListArray, PooledBlock},
    port::{AllPorts, WithLists},
};
use static_cell::ConstStaticCell;

const FAST_BYTES: usize = 32 * PAGE;
const SLOW_BYTES: usize = 64 * PAGE;
const ORDERS: [Order; 3] = [Order::PAGE, Order::new(1).expect("an order"), Order::new(2).expect("an order")];
const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];
const DEPTH: usize = 2;

type Lists = FreeListArray<AllPorts<Board>, { ORDERS.len() * MODES.len() }, DEPTH>;
type Home = Forebay<WithLists<AllPorts<Board>, Lists>, Watched>;
/// A block of the pool.
type Taken = PooledBlock<Block, Caching>;

static HOME: Home = Forebay::new(
    WithLists(AllPorts(Board(Source::new())), Lists::new()),
    Watched(Region::new(StoreId::DEFAULT)),
);

#[repr(C, align(16384))]
struct Aligned<T>(T);

static FAST: ConstStaticCell<Aligned<[u8; FAST_BYTES]>> = ConstStaticCell::new(Aligned([0; _]));
static SLOW: ConstStaticCell<Aligned<[u8; SLOW_BYTES]>> = ConstStaticCell::new(Aligned([0; _]));
static FAST_META: ConstStaticCell<[usize; Source::metadata_words(FAST_BYTES)]> = ConstStaticCell::new([0; _]);
static SLOW_META: ConstStaticCell<[usize; Region::metadata_words(SLOW_BYTES)]> = ConstStaticCell::new([0; _]);

/// Every line of these addresses.
fn lines(at: Range<usize>, operation: fn(usize) -> Operation) -> impl Iterator<Item = Operation> {
    at.step_by(LINE).map(operation)
}

fn all_clean(at: Range<usize>) -> impl Iterator<Item = Operation> {
    lines(at, Operation::Clean).chain([Operation::Wait])
}

fn all_clean_and_invalid(at: Range<usize>) -> impl Iterator<Item = Operation> {
    lines(at, Operation::CleanInvalidate).chain([Operation::Wait])
}

/// What a change of mode is, for one block: its lines go before its pages, and nothing is mapped in two ways at a time.
fn change(at: Range<usize>) -> impl Iterator<Item = Operation> {
    let pages = at.clone().step_by(PAGE);
    all_clean_and_invalid(at)
        .chain(pages.clone().map(Operation::Unmap))
        .chain([Operation::Wait])
        .chain(pages.clone().map(Operation::Forget))
        .chain([Operation::Wait])
        .chain(pages.map(Operation::Map))
}

/// What completes one or several.
const COMPLETE: [Operation; 2] = [Operation::Wait, Operation::Refetch];

/// A fresh block is made one of that mode.
fn change_to(mode: Caching, at: Range<usize>) -> impl Iterator<Item = Operation> {
    change(at).chain(COMPLETE).filter(move |_| mode != Caching::WriteBack)
}

/// Whether just that was done since the log had `begin` operations.
fn was_done(begin: usize, expected: impl Iterator<Item = Operation>) -> bool {
    machine::log_since(begin).eq(expected)
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let (fast, slow) = (&mut FAST.take().0, &mut SLOW.take().0);
    board().0.add(fast, FAST_META.take()).map_err(|refused| refused.why)?;
    HOME.store().0.init(slow, SLOW_META.take()).map_err(|refused| refused.why)?;
    free_lists_keep_modes()?;
    a_trim_resets()?;
    buffers_leave_write_back()?;
    one_completion()?;
    a_device()?;
    all_is_free()?;
    let (blocks, wrong) = seen();
    write!(
        out,
        "{} operations on caches, page tables and translations, in order; source and store saw {blocks} blocks, {wrong} of \
         them not write-back",
        machine::logged()
    )?;
    check(blocks > 0 && wrong == 0, "a block left in another mode")
}

fn board() -> &'static Board {
    &HOME.platform().0.0
}

fn take(order: Order, mode: Caching) -> Result<Taken, Failure> {
    Ok(HOME.pool().take(AllocRequest::new(order), mode, Context::THREAD).map_err(AccessError::Alloc)?)
}

fn put(block: Taken) -> Result<(), Failure> {
    HOME.pool().put(block, Context::THREAD).map_err(|_| Failure::Check("a mode was refused"))
}

/// Returns every block in the free lists to the source.
fn trim() {
    HOME.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
}

/// [`pattern::fill`] for a block of the pool.
fn fill(block: &mut Taken, seed: usize) {
    for at in (0..block.len()).step_by(PAGE) {
        let bytes: [u8; PAGE] = array::from_fn(|n| pattern::byte(seed, at + n));
        block.write_at(at, &bytes);
    }
}

/// A fresh block of each order and mode, what was done to make it so, and the same block from its free list, as it is.
fn free_lists_keep_modes() -> Result<(), Failure> {
    for order in ORDERS {
        for mode in MODES {
            let begin = machine::logged();
            let mut block = take(order, mode)?;
            let at = address(&block);
            check(
                was_done(begin, change_to(mode, at.clone())),
                "a fresh block was not made as it should be",
            )?;
            check(attribute(&block) == Some(attribute_of(mode)), "a fresh block is in another mode")?;
            check(block.iter().all(|b| *b == 0), "a fresh block is not zeros")?;
            fill(&mut block, at.start);
            check(pattern::wrong(&block, at.start) == 0, "bytes are wrong")?;

            let begin = machine::logged();
            put(block)?;
            let block = take(order, mode)?;
            check(address(&block) == at, "it is not the block from the free list")?;
            check(attribute(&block) == Some(attribute_of(mode)), "the free list did not keep the mode")?;
            check(block.iter().all(|b| *b == 0), "a block from a free list is not zeros")?;
            check(machine::logged() == begin, "something was done to a block in a free list")?;
            put(block)?;
        }
    }
    trim();
    Ok(())
}

/// Two blocks of each mode return to the source from their free lists: each change as it should be, completed together.
fn a_trim_resets() -> Result<(), Failure> {
    for mode in [Caching::WriteCombined, Caching::Uncached] {
        let (one, other) = (take(ORDERS[1], mode)?, take(ORDERS[1], mode)?);
        let (at, other_at) = (address(&one), address(&other));
        put(one)?;
        put(other)?;
        let begin = machine::logged();
        trim();
        let reset = was_done(begin, change(at).chain(change(other_at)).chain(COMPLETE));
        check(reset, "a trim did not reset two blocks as it should")?;
    }
    Ok(())
}

/// Each mode, order and method, written out or taken back. What the store saw is asked at the end.
fn buffers_leave_write_back() -> Result<(), Failure> {
    let mut seed = 0;
    for mode in MODES {
        for order in ORDERS {
            for how in [Evict::TRANSFER, Evict::COPY, Evict::SPLIT] {
                for written_out in [Pages::ZERO, Pages::MAX] {
                    seed += 1;
                    there_and_back(order, mode, how, written_out, seed)?;
                }
            }
        }
    }
    trim();
    Ok(())
}

fn there_and_back(
    order: Order,
    mode: Caching,
    how: Evict,
    written_out: Pages,
    seed: usize,
) -> Result<(), Failure> {
    let buffer = Buffer::new(&HOME, order).with_mode(mode);
    pattern::fill(&mut buffer.write()?, seed);
    let (before, _) = seen();
    let evicted = buffer.evict(Pages::MAX, how, Context::THREAD)?;
    check(evicted.moved() == order.pages() && seen().0 > before, "it did not leave")?;
    if how == Evict::TRANSFER {
        check(logged_at_transfer() == machine::logged(), "something was done after the store had the block")?;
    }
    HOME.settle(written_out, Context::THREAD);
    let guard = buffer.read()?;
    check(attribute(&guard) == Some(attribute_of(mode)), "it came back in another mode")?;
    check(pattern::wrong(&guard, seed) == 0, "bytes are wrong")
}

/// Four blocks get their mode one by one, and are completed together: when they are made, and when they come back.
fn one_completion() -> Result<(), Failure> {
    const FOUR: Pages = Pages::new(4);
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::with_slots(&HOME, &mut slots[..], Order::PAGE).with_mode(Caching::WriteCombined);
    let completed = |begin| machine::log_since(begin).filter(|o| *o == Operation::Refetch).count();
    let mapped = |begin| machine::log_since(begin).filter(|o| matches!(o, Operation::Map(_))).count();

    let begin = machine::logged();
    check(buffer.populate(Pages::MAX, Context::THREAD).populated == FOUR, "it was not populated")?;
    check((mapped(begin), completed(begin)) == (4, 1), "four fresh blocks were not completed together")?;
    let begin = machine::logged();
    let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, Context::THREAD)?;
    check(evicted.transferred == FOUR && mapped(begin) == 4, "not all four were reset")?;
    let begin = machine::logged();
    check(buffer.restore(Pages::MAX, Context::THREAD).taken_back == FOUR, "not all four came back")?;
    check((mapped(begin), completed(begin)) == (4, 1), "four restored blocks were not completed together")
}

/// A buffer that a device uses: made, synced, evicted.
fn a_device() -> Result<(), Failure> {
    for mode in MODES {
        let mut addresses = [None];
        let too_short = |_| Failure::Check("an address for a slot is too short");
        let slots = Addressed::new([Slot::EMPTY], &mut addresses).map_err(too_short)?;
        let buffer = Buffer::with_slots(&HOME, slots, ORDERS[1]).with_mode(mode);

        let begin = machine::logged();
        let mut guard = buffer.write()?;
        let at = guard.blocks().map(|(_, block)| address(block)).next().unwrap_or_default();
        let segments = guard.segments().map(|segment| (segment.at, segment.address.get(), segment.bytes));
        check(segments.eq([(0, at.start as u64, at.len())]), "the device has another address")?;
        let made = change_to(mode, at.clone()).chain(all_clean(at.clone()));
        check(was_done(begin, made), "it was not cleaned for the device, after its mode was set")?;

        pattern::fill(&mut guard, 7);
        let begin = machine::logged();
        guard.sync_for_device(100..300);
        guard.sync_for_cpu(100..300);
        let touched = at.start + 64..at.start + 320;
        let synced = all_clean(touched.clone()).chain(all_clean_and_invalid(touched));
        check(was_done(begin, synced), "a sync is of other lines")?;
        drop(guard);

        let begin = machine::logged();
        let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, Context::THREAD)?;
        check(evicted.transferred == ORDERS[1].pages(), "it did not leave")?;
        check(logged_at_transfer() == machine::logged(), "something was done after the store had the block")?;
        let reset = change(at.clone()).filter(|_| mode != Caching::WriteBack);
        let unmapped = all_clean_and_invalid(at).chain(reset).chain(COMPLETE);
        check(was_done(begin, unmapped), "it was not unmapped before its mode was reset, as it should be")?;
        check(pattern::wrong(&buffer.read()?, 7) == 0, "bytes are wrong")?;
    }
    Ok(())
}

/// The source has every page, and each is write-back.
fn all_is_free() -> Result<(), Failure> {
    HOME.settle(Pages::MAX, Context::THREAD);
    trim();
    let source = board();
    let mut blocks = [const { None }; FAST_BYTES / PAGE];
    blocks
        .iter_mut()
        .for_each(|place| *place = source.allocate(AllocRequest::new(Order::PAGE), Context::THREAD).ok());
    let write_back =
        blocks.iter().flatten().filter(|block| attribute(block) == Some(Attribute::WriteBack)).count();
    blocks.into_iter().flatten().for_each(|block| source.free(block));
    check(source.0.unused() == source.0.total(), "pages of the source are missing")?;
    check(write_back == FAST_BYTES / PAGE, "a page of the source is not write-back")
}
