//! Caching modes that are really set: in the page tables, with the maintenance that goes with it.
//!
//! What a mode is for the MMU is asked twice: of the page tables, and of the MMU itself. In which order caches, tables and
//! translations were maintained the machine's log tells, for an emulator has no cache that could miss it.

use crate::machine::{self, Attribute, LINE, Operation};
use core::fmt::Write;
use core::ops::Range;
use core::sync::atomic::{AtomicUsize, Ordering};
use forebay::{
    Addressed, BackingStore, Buffer, Caching, Capabilities, Context, DmaAddr, Evict, Forebay, Handle,
    MapRefused, ModeRefused, Order, OutOfFrames, Pages, Place, Platform, Pooled, Refused, Settled, Slot,
    Space, StoreError, StoreId, StoreIds,
};
use forebay_backends::{Ram, RamBlock, RamRegion};
use static_cell::ConstStaticCell;

const PAGE: usize = machine::PAGE;
const FAST_BYTES: usize = 32 * PAGE;
const SLOW_BYTES: usize = 64 * PAGE;
const ORDERS: [Order; 3] = [Order::PAGE, Order::new(1).expect("an order"), Order::new(2).expect("an order")];
const MODES: [Caching; 3] = [Caching::WriteBack, Caching::WriteCombined, Caching::Uncached];
const DEPTH: usize = 2;

type Block = RamBlock<PAGE>;
type Source = Ram<machine::Lock, PAGE, 1>;
type Region = RamRegion<machine::Lock, PAGE, 4>;

static HOME: Forebay<Board, Watched, [Place<Board>; ORDERS.len() * MODES.len() * DEPTH]> =
    Forebay::new(Board(Source::new()), Watched(Region::new(StoreId::DEFAULT)), DEPTH);

#[repr(C, align(16384))]
struct Aligned<T>(T);

static FAST: ConstStaticCell<Aligned<[u8; FAST_BYTES]>> = ConstStaticCell::new(Aligned([0; _]));
static SLOW: ConstStaticCell<Aligned<[u8; SLOW_BYTES]>> = ConstStaticCell::new(Aligned([0; _]));
static FAST_META: ConstStaticCell<[usize; Source::metadata_words(FAST_BYTES)]> = ConstStaticCell::new([0; _]);
static SLOW_META: ConstStaticCell<[usize; Region::metadata_words(SLOW_BYTES)]> = ConstStaticCell::new([0; _]);

/// Blocks that source or store were given, and those of them that were not write-back.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static LEFT_WRONG: AtomicUsize = AtomicUsize::new(0);
/// How many operations the machine had logged when a block was last transferred.
static LOGGED_AT_TRANSFER: AtomicUsize = AtomicUsize::new(0);

/// What the MMU makes of these bytes, if tables and translation say the same of all of them.
fn attribute(bytes: &[u8]) -> Option<Attribute> {
    let in_tables = machine::in_tables(bytes)?;
    (machine::translated(bytes) == Some(in_tables)).then_some(in_tables)
}

const fn attribute_of(mode: Caching) -> Attribute {
    match mode {
        Caching::WriteBack => Attribute::WriteBack,
        Caching::WriteCombined => Attribute::NonCacheable,
        Caching::Uncached => Attribute::Device,
    }
}

/// Looks at a block on its way to source or store.
fn look_at(block: &Block) {
    LEFT.fetch_add(1, Ordering::Relaxed);
    if attribute(block) != Some(Attribute::WriteBack) {
        LEFT_WRONG.fetch_add(1, Ordering::Relaxed);
    }
}

/// Plain RAM behind an MMU, on a board whose devices do not see its caches.
struct Board(Source);

impl Platform for Board {
    type Block = Block;
    type Lock = machine::Lock;
    type Mode = Caching;

    fn allocate(&self, order: Order, cx: Context) -> Result<Block, OutOfFrames> {
        self.0.allocate(order, cx)
    }
    fn release(&self, block: Block) {
        look_at(&block);
        self.0.release(block);
    }
    fn join(&self, left: Block, right: Block) -> Result<Block, (Block, Block)> {
        self.0.join(left, right)
    }
    fn set_mode(&self, block: &mut Block, _: Caching, to: Caching, _: Context) -> Result<(), ModeRefused> {
        machine::set_attribute(block, attribute_of(to));
        Ok(())
    }
    fn flush_modes(&self, _: Context) {
        machine::complete_attributes();
    }
    fn map(&self, block: &Block, _: Context) -> Result<DmaAddr, MapRefused> {
        machine::clean(block);
        DmaAddr::new(address(block).start as u64).ok_or(MapRefused)
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

/// A region that looks at the attribute of each block it is given.
struct Watched(Region);

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
    fn save(&self, block: &Block, order: Order, cx: Context) -> Result<Handle, StoreError> {
        look_at(block);
        self.0.save(block, order, cx)
    }
    fn load(&self, handle: &Handle, block: &mut Block, at: Pages, cx: Context) -> Result<(), StoreError> {
        look_at(block);
        self.0.load(handle, block, at, cx)
    }
    fn transfer(&self, block: Block) -> Result<Handle, Refused<Block, StoreError>> {
        look_at(&block);
        LOGGED_AT_TRANSFER.store(machine::logged(), Ordering::Relaxed);
        self.0.transfer(block)
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
    fn settle(&self, budget: Pages, cx: Context, home: &mut dyn FnMut(Block)) -> Settled {
        self.0.settle(budget, cx, home)
    }
}

fn address(bytes: &[u8]) -> Range<usize> {
    let Range { start, end } = bytes.as_ptr_range();
    start.addr()..end.addr()
}

/// What a pattern has at place `n`.
fn byte(seed: usize, n: usize) -> u8 {
    (seed * 37 + n * 5 + (n >> 8)) as u8
}

fn pattern(bytes: &mut [u8], seed: usize) {
    bytes.iter_mut().enumerate().for_each(|(n, b)| *b = byte(seed, n));
}

fn is_pattern(bytes: &[u8], seed: usize) -> bool {
    bytes.iter().enumerate().all(|(n, b)| *b == byte(seed, n))
}

/// Every line of these addresses.
fn lines(at: Range<usize>, operation: fn(usize) -> Operation) -> impl Iterator<Item = Operation> {
    at.step_by(LINE).map(operation)
}

/// What a change of mode is, for one block: its lines go before its pages, and nothing is mapped in two ways at a time.
fn change(at: Range<usize>) -> impl Iterator<Item = Operation> {
    let pages = at.clone().step_by(PAGE);
    lines(at, Operation::CleanInvalidate)
        .chain([Operation::Wait])
        .chain(pages.clone().map(Operation::Unmap))
        .chain([Operation::Wait])
        .chain(pages.clone().map(Operation::Forget))
        .chain([Operation::Wait])
        .chain(pages.map(Operation::Map))
}

/// What completes one or several.
const COMPLETE: [Operation; 2] = [Operation::Wait, Operation::Refetch];

/// Whether just that was done since the log had `begin` operations.
fn was_done(begin: usize, expected: impl Iterator<Item = Operation>) -> bool {
    machine::log_since(begin).eq(expected)
}

/// All of it; whether all was well.
pub fn run(out: &mut dyn Write) -> bool {
    let (fast, slow) = (&mut FAST.take().0, &mut SLOW.take().0);
    if HOME.platform().0.add(fast, FAST_META.take()).is_err()
        || HOME.store().0.init(slow, SLOW_META.take()).is_err()
    {
        let _ = writeln!(out, "caching: no memory");
        return false;
    }
    let parts: [(&str, fn() -> bool); 6] = [
        ("blocks are handed out in their mode, and keep it on the shelf", shelves_keep_modes),
        ("a trim resets modes, with one completion for a run", a_trim_resets),
        ("buffers leave write-back and come back in their mode", buffers_leave_plain),
        ("one completion for a buffer of several blocks", one_completion),
        ("a device finds lines cleaned, and they are gone before the mode changes", a_device),
        ("all memory is home, and write-back", all_is_home),
    ];
    let mut all_well = true;
    for (what, part) in parts {
        let begin = machine::logged();
        let well = part();
        all_well &= well;
        let _ = writeln!(out, "caching: {what}: {well} ({} operations)", machine::logged() - begin);
    }
    let (left, wrong) = (LEFT.load(Ordering::Relaxed), LEFT_WRONG.load(Ordering::Relaxed));
    let _ = writeln!(out, "caching: {left} blocks seen by source and store, {wrong} of them not write-back");
    all_well && left > 0 && wrong == 0
}

/// A fresh block of each order and mode, what was done to make it so, and the same block from its shelf, as it is.
fn shelves_keep_modes() -> bool {
    let each = |order: Order, mode: Caching| {
        let take = || HOME.pool().take(order, mode, Context::THREAD).ok();
        let is_right = |block: &Pooled<Board>| {
            attribute(block.block()) == Some(attribute_of(mode)) && block.block().iter().all(|b| *b == 0)
        };
        let begin = machine::logged();
        let mut block = take()?;
        let at = address(block.block());
        let made = match mode {
            Caching::WriteBack => machine::logged() == begin,
            _ => was_done(begin, change(at.clone()).chain(COMPLETE)),
        };
        let fresh = is_right(&block);
        pattern(block.bytes_mut(), at.start);
        let kept = is_pattern(block.block(), at.start);
        let begin = machine::logged();
        HOME.pool().give(block, Context::THREAD).ok()?;
        let block = take()?;
        let same = address(block.block()) == at && is_right(&block) && machine::logged() == begin;
        HOME.pool().give(block, Context::THREAD).ok()?;
        Some(made && fresh && kept && same)
    };
    ORDERS.iter().all(|order| MODES.iter().all(|mode| each(*order, *mode) == Some(true)))
}

/// Two blocks of each mode go home from their shelves: each change as it should be, completed together.
fn a_trim_resets() -> bool {
    HOME.pool().trim(Pages::MAX, Context::THREAD);
    let each = |mode: Caching| {
        let take = || HOME.pool().take(ORDERS[1], mode, Context::THREAD).ok();
        let (one, other) = (take()?, take()?);
        let (at, other_at) = (address(one.block()), address(other.block()));
        HOME.pool().give(one, Context::THREAD).ok()?;
        HOME.pool().give(other, Context::THREAD).ok()?;
        let begin = machine::logged();
        HOME.pool().trim(Pages::MAX, Context::THREAD);
        Some(was_done(begin, change(at).chain(change(other_at)).chain(COMPLETE)))
    };
    [Caching::WriteCombined, Caching::Uncached].into_iter().all(|mode| each(mode) == Some(true))
}

/// Each mode, order and rung: what the store sees is told at the end.
fn buffers_leave_plain() -> bool {
    let each = |mode: Caching, order: Order, how: Evict, seed: usize| {
        let buffer = Buffer::new(&HOME, order).with_mode(mode);
        pattern(&mut *buffer.write().ok()?, seed);
        let before = LEFT.load(Ordering::Relaxed);
        let evicted = buffer.evict(Pages::MAX, how, Context::THREAD).ok()?;
        let left = evicted.moved() == order.pages() && LEFT.load(Ordering::Relaxed) > before;
        let all_before =
            how != Evict::TRANSFER || LOGGED_AT_TRANSFER.load(Ordering::Relaxed) == machine::logged();
        HOME.settle(Pages::new(seed % 2 * 64), Context::THREAD); // written out, or only taken back
        let guard = buffer.read().ok()?;
        Some(left && all_before && attribute(&guard) == Some(attribute_of(mode)) && is_pattern(&guard, seed))
    };
    let mut seed = 0;
    let mut well = true;
    for mode in MODES {
        for order in ORDERS {
            for how in [Evict::TRANSFER, Evict::COPY, Evict::SPLIT] {
                for _ in 0..2 {
                    seed += 1;
                    well &= each(mode, order, how, seed) == Some(true);
                }
            }
        }
    }
    HOME.pool().trim(Pages::MAX, Context::THREAD);
    well
}

/// Four blocks get their mode one by one, and are completed together: when they are made, and when they come back.
fn one_completion() -> bool {
    let mut slots = [const { Slot::EMPTY }; 4];
    let buffer = Buffer::over(&mut slots, &HOME).with_unit(Order::PAGE).with_mode(Caching::WriteCombined);
    let completions = |begin| machine::log_since(begin).filter(|o| *o == Operation::Refetch).count();
    let maps = |begin| machine::log_since(begin).filter(|o| matches!(o, Operation::Map(_))).count();
    let once = |begin| completions(begin) == 1 && maps(begin) == 4;
    let begin = machine::logged();
    let made = buffer.populate(Pages::MAX, Context::THREAD).why.is_none() && once(begin);
    let begin = machine::logged();
    let evicted = buffer
        .evict(Pages::MAX, Evict::TRANSFER, Context::THREAD)
        .is_ok_and(|e| e.handed_over == Pages::new(4));
    let gone = evicted && maps(begin) == 4;
    let begin = machine::logged();
    let back = buffer.restore(Pages::MAX, Context::THREAD).taken_back == Pages::new(4) && once(begin);
    made && gone && back
}

/// A buffer that a device uses: made, synced, evicted.
fn a_device() -> bool {
    let each = |mode: Caching| {
        let mut addresses = [None];
        let slots = Addressed::new([Slot::EMPTY], &mut addresses).ok()?;
        let buffer = Buffer::of(slots, &HOME).with_unit(ORDERS[1]).with_mode(mode);
        let changes = |at: Range<usize>| change(at).filter(move |_| mode != Caching::WriteBack);
        let completes = COMPLETE.into_iter().filter(|_| mode != Caching::WriteBack);

        let begin = machine::logged();
        let mut guard = buffer.write().ok()?;
        let (_, block) = guard.blocks().next()?;
        let at = address(block);
        let mapped = guard.address(0).is_some_and(|a| a.get() == at.start as u64)
            && was_done(
                begin,
                changes(at.clone())
                    .chain(completes)
                    .chain(lines(at.clone(), Operation::Clean))
                    .chain([Operation::Wait]),
            );
        pattern(&mut guard, 5);
        let (begin, part) = (machine::logged(), 100..300);
        guard.sync_for_device(part.clone());
        guard.sync_for_cpu(part);
        let touched = at.start + 64..at.start + 320;
        let synced = was_done(
            begin,
            lines(touched.clone(), Operation::Clean)
                .chain([Operation::Wait])
                .chain(lines(touched, Operation::CleanInvalidate))
                .chain([Operation::Wait]),
        );
        drop(guard);

        let begin = machine::logged();
        let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, Context::THREAD).ok()?;
        let unmapped = evicted.handed_over == Pages::new(2)
            && LOGGED_AT_TRANSFER.load(Ordering::Relaxed) == machine::logged()
            && was_done(
                begin,
                lines(at.clone(), Operation::CleanInvalidate)
                    .chain([Operation::Wait])
                    .chain(changes(at))
                    .chain(COMPLETE), // of the unmapping, if of nothing else
            );
        Some(mapped && synced && unmapped && is_pattern(&buffer.read().ok()?, 5))
    };
    MODES.into_iter().all(|mode| each(mode) == Some(true))
}

/// The source has every page, and each is write-back.
fn all_is_home() -> bool {
    HOME.settle(Pages::MAX, Context::THREAD);
    HOME.pool().trim(Pages::MAX, Context::THREAD);
    let source = HOME.platform();
    let mut blocks = [const { None }; FAST_BYTES / PAGE];
    blocks.iter_mut().for_each(|place| *place = source.allocate(Order::PAGE, Context::THREAD).ok());
    let all = blocks.iter().flatten().filter(|block| attribute(block) == Some(Attribute::WriteBack)).count();
    blocks.into_iter().flatten().for_each(|block| source.release(block));
    all == FAST_BYTES / PAGE && source.0.free() == source.0.total()
}
