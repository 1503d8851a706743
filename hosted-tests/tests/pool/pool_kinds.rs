//! Kinds of blocks: by zone and mode, what a source is asked for, the limit, wiping, and runs of mode changes.

use forebay::{
    AllocError, AllocRequest, Buffer, Caching, Context, Evict, Forebay, Order, OwnedBlock, Pages, Platform,
    Slot, Zones, frame::ModeRefused, pool::Pool, sync::SpinRawMutex,
};
use forebay_backends::{Ram, RamBlock};
use hosted_tests::conformance::{content, order};
use hosted_tests::memory::{leak, words};
use std::cell::{Cell, RefCell};
use std::ops::Range;

const CX: Context = Context::THREAD;
const PAGE: usize = 512;
const LOW: Zone = Zone::new(0).expect("below 16");
const HIGH: Zone = Zone::new(1).expect("below 16");
const WB: Caching = Caching::WriteBack;
const WC: Caching = Caching::WriteCombined;
const UC: Caching = Caching::Uncached;

fn pages(n: usize) -> Pages {
    Pages::new(n)
}

/// So many pages, and their frame numbers.
fn ram(pages: usize) -> (Ram<SpinRawMutex, PAGE>, Range<usize>) {
    let memory = leak(pages * PAGE, 0);
    let first = memory.as_ptr().addr() / PAGE;
    let ram = Ram::new();
    ram.add(memory, words(Ram::<SpinRawMutex, PAGE>::metadata_words(pages * PAGE))).expect("good memory");
    (ram, first..first + pages)
}

/// Two zones. Only the high one can be uncached; plain blocks are not worth keeping if `keeps_plain` says so.
struct Zoned {
    low: Ram<SpinRawMutex, PAGE>,
    low_frames: Range<usize>,
    high: Ram<SpinRawMutex, PAGE>,
    keep_plain: Keep,
    asked: RefCell<Vec<AllocRequest>>,
    flushes: Cell<usize>,
    changes: Cell<usize>,
    /// What it does instead of changing a mode.
    no: Cell<No>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum No {
    Never,
    /// Refuses wherever it may not wait.
    Interrupt,
    /// Refuses for the block at this frame.
    At(usize),
    Panic,
}

impl Zoned {
    fn new(low: usize, high: usize) -> Zoned {
        let ((low, low_frames), (high, _)) = (ram(low), ram(high));
        Zoned {
            low,
            low_frames,
            high,
            keep_plain: Keep::Shelf,
            asked: RefCell::default(),
            flushes: Cell::new(0),
            changes: Cell::new(0),
            no: Cell::new(No::Never),
        }
    }

    fn free(&self) -> (usize, usize) {
        (self.low.free().get(), self.high.free().get())
    }
}

impl Platform for Zoned {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    type Mode = Caching;
    const ZONES: u8 = 2;

    fn allocate(&self, order: Order, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.allocate(AllocRequest::new(order), cx)
    }
    fn allocate(&self, ask: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.asked.borrow_mut().push(ask);
        let zones = [(LOW, &self.low), (HIGH, &self.high)];
        let mut there = zones.into_iter().filter(|(zone, _)| ask.zones.contains(*zone));
        there
            .find_map(|(_, ram)| ram.allocate(AllocRequest::new(ask.order), cx).ok())
            .ok_or(AllocError::Exhausted)
    }
    fn release(&self, block: RamBlock<PAGE>) {
        if self.zone(&block) == LOW { self.low.free(block) } else { self.high.free(block) }
    }
    fn zone(&self, block: &RamBlock<PAGE>) -> Zone {
        if self.low_frames.contains(&block.pfn().get()) { LOW } else { HIGH }
    }
    fn zones_for(&self, mode: Caching) -> Zones {
        if mode == UC { HIGH.only() } else { Zones::ALL }
    }
    fn keep(&self, _: &RamBlock<PAGE>, mode: Caching) -> Keep {
        if mode == WB { self.keep_plain } else { Keep::Shelf }
    }
    fn set_mode(
        &self,
        block: &mut RamBlock<PAGE>,
        from: Caching,
        to: Caching,
        cx: Context,
    ) -> Result<(), ModeRefused> {
        assert_ne!(from, to);
        match self.no.get() {
            No::Interrupt if !cx.contains(Context::MAY_BLOCK) => return Err(ModeRefused),
            No::At(frame) if frame == block.pfn().get() => return Err(ModeRefused),
            No::Panic => panic!("a platform's own fault"),
            _ => {}
        }
        self.changes.set(self.changes.get() + 1);
        Ok(())
    }
    fn flush(&self, _: Context) {
        self.flushes.set(self.flushes.get() + 1);
    }
}

/// Orders 0 to 3, three modes, two zones, two of each.
type Shelves<'p> = Pool<&'p Zoned, [Place<&'p Zoned>; 48]>;

fn ask(k: u8, zones: Zones) -> AllocRequest {
    AllocRequest::new(order(k)).within(zones)
}

/// Rule: a block is found in the zone that it is in, whoever gives it back; one of another zone will not do, and the
/// preferred zone comes first.
#[test]
fn a_block_stays_in_its_zone() {
    let machine = Zoned::new(8, 8);
    let pool = Shelves::new(&machine, 2);
    let low = pool.take_for(ask(1, LOW.only()), WC, CX).expect("there is room");
    let high = pool.take_for(ask(1, HIGH.only()), WC, CX).expect("there is room");
    assert_eq!([machine.zone(low.block()), machine.zone(high.block())], [LOW, HIGH]);
    let (low_pfn, high_pfn) = (low.block().pfn(), high.block().pfn());
    pool.give(high, CX).expect("there is a shelf");
    pool.give(low, CX).expect("there is a shelf");
    machine.asked.take();
    let high = pool.take_for(ask(1, HIGH.only()), WC, CX).expect("it is on its shelf");
    let low = pool.take(order(1), WC, CX).expect("it is on its shelf");
    assert_eq!([low.block().pfn(), high.block().pfn()], [low_pfn, high_pfn]);
    assert_eq!(machine.asked.take(), [], "both were on their shelves");
    pool.give(low, CX).expect("there is a shelf");
    // The other zone is empty: the block of this one is not taken for it.
    let other = pool.take_for(ask(1, HIGH.only()), WC, CX).expect("there is room");
    assert_eq!(machine.zone(other.block()), HIGH);
    assert_eq!(machine.asked.take().len(), 1);
    for block in [high, other] {
        pool.give(block, CX).expect("there is a shelf");
    }
    let both = Zones::ALL;
    let first = pool.take_for(ask(1, both), WC, CX).expect("it is on its shelf");
    assert_eq!(machine.zone(first.block()), LOW, "the preferred zone comes first");
    pool.give(first, CX).expect("there is a shelf");
    drop(pool);
    assert_eq!(machine.free(), (8, 8));
}

/// Rule: a mode that only some zones can have is looked for there; a source that gives a block from elsewhere is not
/// believed.
#[test]
fn modes_that_are_fixed_to_zones() {
    let machine = Zoned::new(4, 1);
    let pool = Shelves::new(&machine, 2);
    let block = pool.take(Order::PAGE, UC, CX).expect("there is room");
    assert_eq!(machine.zone(block.block()), HIGH);
    assert_eq!(pool.take(Order::PAGE, UC, CX).err(), Some(AllocError::Exhausted));
    assert_eq!(pool.take_for(ask(0, LOW.only()), UC, CX).err(), Some(AllocError::Exhausted));
    assert_eq!(machine.free(), (4, 0));
    pool.give(block, CX).expect("there is a shelf");

    /// Gives whatever there is.
    struct Careless<'m>(&'m Zoned);
    impl Platform for Careless<'_> {
        type Block = RamBlock<PAGE>;
        type RawMutex = SpinRawMutex;
        type Mode = Caching;
        const ZONES: u8 = 2;
        fn allocate(&self, order: Order, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
            self.0.low.allocate(AllocRequest::new(order), cx)
        }
        fn release(&self, block: RamBlock<PAGE>) {
            self.0.free(block);
        }
        fn zone(&self, block: &RamBlock<PAGE>) -> Zone {
            self.0.zone(block)
        }
    }
    let pool = Pool::<_, [Place<_>; 0]>::new(Careless(&machine), 0);
    let refused = pool.take_for(ask(0, HIGH.only()), WB, CX);
    assert_eq!(refused.err(), Some(AllocError::Exhausted));
    assert_eq!(machine.low.free(), pages(4), "it is home again");
}

/// Rule: reserves are never used above order 0; reclaiming is for single pages and for the order that is worth it, which
/// is an order and no flag.
#[test]
fn what_a_source_may_do() {
    let machine = Zoned::new(64, 0x10);
    let plain = Pool::<_, [Place<_>; 0]>::new(&machine, 0);
    let worth = Pool::<_, [Place<_>; 0]>::new(&machine, 0).with_beneficial_order(order(2));
    let efforts = |pool: &Pool<_, [Place<_>; 0]>| -> Vec<Effort> {
        (0..5)
            .map(|k| {
                let block = pool.take_up_to(order(k), order(k), WB, CX).expect("there is room");
                pool.give(block, CX).expect("it goes home");
                machine.asked.take()[0].effort
            })
            .collect()
    };
    let none = Effort::empty();
    assert_eq!(efforts(&plain), [Effort::all(), none, none, none, none]);
    assert_eq!(efforts(&worth), [Effort::all(), none, Effort::RECLAIM, none, none]);
    worth.give(worth.take(order(2), WB, CX).expect("there is room"), CX).expect("it goes home");
    assert_eq!(machine.asked.take()[0].effort, Effort::RECLAIM, "also if just that order will do");
    // Falling back asks for each order what that order may have.
    let hogged = machine.allocate(AllocRequest::new(order(5)), CX).expect("there is room");
    let hogged = [hogged, machine.allocate(AllocRequest::new(order(4)), CX).expect("there is room")];
    machine.asked.take();
    let block = worth.take_up_to(order(5), Order::PAGE, WB, CX).expect("smaller ones are free");
    assert_eq!(block.block().order(), order(4));
    let asked: Vec<_> = machine.asked.take().iter().map(|ask| (ask.order.get(), ask.effort)).collect();
    assert_eq!(asked, [(5, none), (4, none)]);
    worth.give(block, CX).expect("it goes home");
    hogged.into_iter().for_each(|block| machine.free(block));
}

/// Rule: after a block was given, no more is ready than the limit permits, in whichever zone it is; what goes home goes
/// round robin over the kinds, and less than a block too much.
#[test]
fn the_limit_holds_for_all_zones() {
    let machine = Zoned::new(64, 64);
    let pool = Shelves::new(&machine, 2).with_limit(pages(10));
    let mut blocks = Vec::new();
    for k in [0, 1, 2] {
        for zone in [LOW, HIGH] {
            for mode in [WC, WB] {
                blocks.push(pool.take_for(ask(k, zone.only()), mode, CX).expect("there is room"));
            }
        }
    }
    for block in blocks {
        pool.give(block, CX).expect("it has somewhere to go");
        assert!(pool.ready() <= pages(10), "{:?}", pool.ready());
    }
    assert!(pool.ready() > pages(6), "it did not send home more than a block too much: {:?}", pool.ready());
    // More than the limit at once is not kept at all.
    let large = pool.take(order(3), WC, CX).expect("there is room");
    let small = Shelves::new(&machine, 2).with_limit(pages(7));
    let before = machine.free();
    small.give(large, CX).expect("it goes home");
    assert_eq!((small.ready(), machine.free().0 + machine.free().1), (pages(0), before.0 + before.1 + 8));
}

/// Rule: buffers use the pool as it was made: its limit, the order that is worth reclaiming for, and when it wipes.
#[test]
fn buffers_use_the_pool_as_it_was_made() {
    let (machine, far) = (Zoned::new(64, 0x10), far(64));
    let pool = Shelves::new(&machine, 2).with_limit(pages(5)).with_beneficial_order(order(2));
    let home = Forebay::of(pool.with_wipe(Wipe::OnGive), &far);
    let mut slots = [const { Slot::EMPTY }; 7]; // blocks of orders 2, 1 and 0
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    buffer.write().expect("there is room").write_at(0, &[0x5e; 7 * PAGE]);
    let asked: Vec<_> = machine.asked.take().iter().map(|ask| (ask.order.get(), ask.effort)).collect();
    assert_eq!(asked, [(2, Effort::RECLAIM), (1, Effort::empty()), (0, Effort::all())]);
    buffer.purge(CX).expect("nobody has it");
    assert!(home.pool().ready() <= pages(5) && home.pool().ready() > pages(1), "{:?}", home.pool().ready());
    let [low, high] =
        [LOW, HIGH].map(|zone| home.pool().shelf(Order::PAGE, WC, zone).expect("a shelf").ready);
    assert_eq!(low + high, 1);
    let page = home.pool().take(Order::PAGE, WC, CX).expect("it is on its shelf");
    assert!(content(page.block()).iter().all(|byte| *byte == 0), "and was wiped there");
    home.pool().give(page, CX).expect("there is a shelf");
    drop(buffer);
}

/// Rule: trimming goes round robin over the kinds, and goes on where it ended.
#[test]
fn trimming_takes_from_each_kind_in_turn() {
    let machine = Zoned::new(64, 64);
    let pool = Shelves::new(&machine, 2);
    let kinds = [(WC, LOW), (UC, HIGH), (WB, LOW), (WC, HIGH)];
    let blocks: Vec<_> = kinds
        .iter()
        .flat_map(|(mode, zone)| [(); 2].map(|()| pool.take_for(ask(1, zone.only()), *mode, CX)))
        .map(|block| block.expect("there is room"))
        .collect();
    blocks.into_iter().for_each(|block| pool.give(block, CX).expect("there is a shelf"));
    let ready = || kinds.map(|(mode, zone)| pool.shelf(order(1), mode, zone).expect("a shelf").ready);
    assert_eq!(ready(), [2; 4]);
    for n in 1..=4 {
        assert_eq!(pool.trim(pages(1), CX), pages(2), "less than a block too much");
        assert_eq!(ready().iter().filter(|ready| **ready == 1).count(), n, "one of each: {:?}", ready());
    }
    assert_eq!((pool.trim(pages(5), CX), pool.trim(Pages::MAX, CX)), (pages(6), pages(2)));
    assert_eq!((machine.free(), pool.trim(Pages::MAX, CX)), ((64, 64), pages(0)));
}

/// Rule: wiped when given, a block is zeros on its shelf, and taking it writes nothing; where the context does not permit
/// that, it goes home. Wiped when taken, giving writes nothing. Either way the next owner reads zeros.
#[test]
fn wiping() {
    for wipe in [Wipe::OnTake, Wipe::OnGive] {
        let machine = Zoned::new(8, 0x10);
        let pool = Shelves::new(&machine, 2).with_wipe(wipe);
        for cx in [CX, Context::INTERRUPT] {
            let mut block = pool.take(order(1), WC, CX).expect("there is room");
            block.bytes_mut().fill(0x5e);
            let at = block.block().as_ptr();
            pool.give(block, cx).expect("it has somewhere to go");
            // SAFETY: the memory is leaked, and the block is not in use.
            let seen = unsafe { at.read() };
            let home = wipe == Wipe::OnGive && cx == Context::INTERRUPT;
            assert_eq!(seen, if wipe == Wipe::OnGive && !home { 0 } else { 0x5e });
            assert_eq!(pool.ready(), if home { pages(0) } else { pages(2) });
            let block = pool.take(order(1), WC, CX).expect("there is room");
            assert!(content(block.block()).iter().all(|byte| *byte == 0), "{wipe:?} {cx:?}");
            pool.give(block, CX).expect("there is a shelf");
            pool.trim(Pages::MAX, CX);
        }
    }
}

/// Rule: where a platform keeps no blocks of a mode, they go home.
#[test]
fn kept_for_nobody() {
    let mut machine = Zoned::new(8, 8);
    machine.keep_plain = Keep::Home;
    let pool = Shelves::new(&machine, 2);
    for (mode, ready) in [(WB, 0), (WC, 1), (UC, 2)] {
        let block = pool.take(Order::PAGE, mode, CX).expect("there is room");
        pool.give(block, CX).expect("it has somewhere to go");
        assert_eq!(pool.ready(), pages(ready), "{mode:?}");
    }
}

/// Rule: shelves count what was taken from them and who found them empty.
#[test]
fn shelves_count() {
    let machine = Zoned::new(8, 8);
    let pool = Shelves::new(&machine, 2);
    let stats = |k, mode, zone| {
        let s = pool.shelf(order(k), mode, zone).expect("there is one");
        (s.ready, s.hits, s.misses)
    };
    let blocks = [0; 3].map(|_| pool.take(order(1), WC, CX).expect("there is room"));
    assert_eq!((stats(1, WC, LOW), stats(1, WC, HIGH)), ((0, 0, 3), (0, 0, 3)));
    blocks.into_iter().for_each(|block| pool.give(block, CX).expect("it has somewhere to go"));
    assert_eq!(stats(1, WC, LOW), (2, 0, 3), "the third went home");
    let block = pool.take(order(1), WC, CX).expect("it is on its shelf");
    assert_eq!(stats(1, WC, LOW), (1, 1, 3));
    pool.give(block, CX).expect("there is a shelf");
    assert_eq!((stats(0, WC, LOW), stats(1, UC, LOW)), ((0, 0, 0), (0, 0, 0)));
    assert_eq!(pool.shelf(order(4), WC, LOW), None);
    let table = "order mode zone  ready   hits misses\n    \
                 1    1    0      2      1      3\n    \
                 1    1    1      0      0      3\n\
                 4 pages ready";
    assert_eq!(pool.table().to_string(), table);
    assert_eq!(pool.shelf(order(0), WC, Zone::new(2).expect("below 16")), None);
}

/// Rule: the modes of many blocks change with one flush: all of a guard's, and those of an eviction in runs; nothing is
/// flushed where nothing changed.
#[test]
fn one_flush_for_a_run() {
    let machine = Zoned::new(64, 0x10);
    let far = forebay_backends::RamRegion::<SpinRawMutex, PAGE, 32>::new(forebay::StoreId::DEFAULT);
    let bytes = 64 * PAGE;
    let meta = words(forebay_backends::RamRegion::<SpinRawMutex, PAGE, 32>::metadata_words(bytes));
    far.init(leak(bytes, 0), meta).expect("good memory");
    let home = Forebay::new(&machine, &far);
    // Twelve single pages: odd ones are hogged.
    let hogged: Vec<_> = (0..24)
        .map(|_| machine.low.allocate(AllocRequest::new(Order::PAGE), CX).expect("there is room"))
        .collect();
    let rest = machine.low.allocate(AllocRequest::new(order(5)), CX).expect("there is room");
    let more: Vec<_> = (0..8)
        .map(|_| machine.low.allocate(AllocRequest::new(Order::PAGE), CX).expect("there is room"))
        .collect();
    let high = machine.high.allocate(AllocRequest::new(order(4)), CX).expect("there is room");
    let mut kept = Vec::new();
    for (n, block) in hogged.into_iter().enumerate() {
        if n % 2 == 0 { machine.free(block) } else { kept.push(block) }
    }
    let mut slots = [const { Slot::EMPTY }; 12];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    let counted = || (machine.changes.take(), machine.flushes.take());
    drop(buffer.write().expect("there is room"));
    assert_eq!(counted(), (12, 1), "one flush for all of a guard's");
    drop(buffer.read().expect("it is resident"));
    assert_eq!(counted(), (0, 0));
    let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, CX).expect("nobody has it");
    assert_eq!(evicted.transferred, pages(12));
    assert_eq!(counted(), (12, 2), "runs of eight");
    drop(buffer.read().expect("the region has the blocks"));
    assert_eq!(counted(), (12, 1));
    assert_eq!(buffer.evict(Pages::MAX, Evict::empty(), CX).expect("nobody has it").moved(), pages(0));
    assert_eq!(counted(), (0, 0), "nothing is tried without a rung");
    drop(buffer);
    home.settle(Pages::MAX, CX);
    for block in kept.into_iter().chain(more).chain([rest, high]) {
        machine.free(block);
    }
    assert_eq!(machine.free(), (64, 16));
}

type Far = forebay_backends::RamRegion<SpinRawMutex, PAGE, 32>;

fn far(pages: usize) -> Far {
    let far = Far::new(forebay::StoreId::DEFAULT);
    let bytes = pages * PAGE;
    far.init(leak(bytes, 0), words(Far::metadata_words(bytes))).expect("good memory");
    far
}

/// Rule: a walk tries each block once, also behind one that is cut; and the run has its one flush all the same.
#[test]
fn a_block_behind_one_that_is_cut_is_tried_once() {
    let (machine, far) = (Zoned::new(16, 0x10), far(64));
    let home = Forebay::new(&machine, &far);
    let mut slots = [const { Slot::EMPTY }; 14];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    buffer.write().expect("there is room").write_at(0, &[0xC7; 14 * PAGE]);
    let guard = buffer.read().expect("it is there");
    let all: Vec<_> = guard.blocks().map(|(_, block)| (block.order().get(), block.pfn().get())).collect();
    drop(guard);
    assert_eq!(all.iter().map(|(order, _)| *order).collect::<Vec<_>>(), [3, 2, 1]);
    machine.no.set(No::At(all[1].1));
    machine.changes.take();
    machine.flushes.take();
    let evicted = buffer.evict(Pages::MAX, Evict::SPLIT, CX).expect("nobody has it");
    assert_eq!((evicted.copied, evicted.refused, evicted.splits), (pages(10), pages(4), 8));
    assert_eq!((machine.changes.take(), machine.flushes.take()), (2, 1), "a run, none of which stayed");
    machine.no.set(No::Never);
    let mut seen = [0; 14 * PAGE];
    buffer.read().expect("it is stored").read_at(0, &mut seen);
    assert_eq!(seen, [0xC7; 14 * PAGE]);
    drop(buffer);
    assert_eq!(machine.free(), (16, 16));
}

/// Rule: a walk tries each block once, pieces of one that it cut included.
#[test]
fn a_piece_that_stays_is_tried_once() {
    let (machine, far) = (Zoned::new(16, 0x10), far(3));
    let home = Forebay::new(&machine, &far);
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    drop(buffer.write().expect("there is room"));
    let evicted = buffer.evict(pages(8), Evict::SPLIT, CX).expect("nobody has it");
    assert_eq!((evicted.copied, evicted.refused, evicted.splits), (pages(3), pages(5), 4));
    drop(buffer);
    assert_eq!(machine.free(), (16, 16));
}

/// Rule: nothing is shown that is not there: what a platform had in its hands when it panicked is said to be lost, and is
/// no zeros.
#[test]
fn a_platform_that_panics_in_a_restore() {
    let (machine, far) = (Zoned::new(16, 0x10), far(64));
    let home = Forebay::new(&machine, &far);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    buffer.write().expect("there is room").write_at(0, &[0xC7; 6 * PAGE]);
    assert_eq!(buffer.evict(Pages::MAX, Evict::TRANSFER, CX).expect("nobody has it").moved(), pages(6));
    machine.no.set(No::Panic);
    let read = std::panic::AssertUnwindSafe(|| buffer.read().map(drop));
    assert!(std::panic::catch_unwind(read).is_err(), "it panicked");
    machine.no.set(No::Never);
    assert_eq!(buffer.read().err(), Some(forebay::AccessError::Lost));
    buffer.purge(CX).expect("nobody has it");
    assert!(buffer.read().is_ok());
}

/// Rule: what a thread has populated or restored to its end is in its mode, so that a guard in an interrupt has nothing to
/// change.
#[test]
fn what_was_populated_is_in_its_mode() {
    let (machine, far) = (Zoned::new(16, 0x10), far(64));
    machine.no.set(No::Interrupt);
    let home = Forebay::new(&machine, &far);
    let mut slots = [const { Slot::EMPTY }; 6];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    assert_eq!(buffer.populate(pages(4), CX).total(), pages(4));
    assert_eq!(buffer.populate(Pages::MAX, CX).into_result().expect("there is room").populated, pages(2));
    assert_eq!((machine.changes.take(), machine.flushes.take()), (2, 1));
    drop(buffer.read_in(Context::INTERRUPT).expect("it is there, in its mode"));
    for how in [Evict::TRANSFER, Evict::COPY] {
        assert_eq!(buffer.evict(Pages::MAX, how, CX).expect("nobody has it").moved(), pages(6));
        assert_eq!(buffer.restore(Pages::MAX, CX).into_result().expect("it is stored").total(), pages(6));
        drop(buffer.read_in(Context::INTERRUPT).expect("it is there, in its mode"));
    }
}

/// Rule: no block is lost that could be kept: one that could not go home in this context is wiped after all.
#[test]
fn wiping_is_better_than_losing() {
    let (machine, far) = (Zoned::new(8, 0x10), far(64));
    machine.no.set(No::Interrupt);
    let pool = Shelves::new(&machine, 2).with_wipe(Wipe::OnGive);
    let mut block = pool.take(order(1), WC, CX).expect("there is room");
    block.bytes_mut().fill(0x5e);
    pool.give(block, Context::INTERRUPT).expect("it has somewhere to go");
    assert_eq!(pool.ready(), pages(2));
    let block = pool.take(order(1), WC, CX).expect("it is on its shelf");
    assert!(content(block.block()).iter().all(|byte| *byte == 0));
    pool.give(block, CX).expect("there is a shelf");
    assert_eq!(pool.trim(Pages::MAX, CX), pages(2));
    drop(pool);
    assert_eq!((machine.free(), far.total()), ((8, 16), pages(64)));
}

/// Rule: a block is on no shelf of another order, whatever zone a platform says that it is in.
#[test]
fn a_zone_that_there_is_not() {
    struct Liar(Ram<SpinRawMutex, PAGE>);
    impl Platform for Liar {
        type Block = RamBlock<PAGE>;
        type RawMutex = SpinRawMutex;
        type Mode = ();
        fn allocate(&self, order: Order, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
            self.0.allocate(AllocRequest::new(order), cx)
        }
        fn release(&self, block: RamBlock<PAGE>) {
            self.0.free(block);
        }
        fn zone(&self, _: &RamBlock<PAGE>) -> Zone {
            HIGH
        }
    }
    let pool = Pool::<_, [Place<_>; 4]>::new(Liar(ram(8).0), 2);
    let block = pool.take(Order::PAGE, (), CX).expect("there is room");
    pool.give(block, CX).expect("it goes home");
    assert_eq!(pool.ready(), pages(0));
    assert_eq!(pool.take(order(1), (), CX).expect("there is room").block().order(), order(1));
}

/// Rule: a buffer's blocks are where it may have them, fresh, from a shelf, or for a copy that comes back.
#[test]
fn buffers_stay_in_their_zones() {
    let machine = Zoned::new(16, 16);
    let far = forebay_backends::RamRegion::<SpinRawMutex, PAGE, 4>::new(forebay::StoreId::DEFAULT);
    let meta = words(forebay_backends::RamRegion::<SpinRawMutex, PAGE, 4>::metadata_words(64 * PAGE));
    far.init(leak(64 * PAGE, 0), meta).expect("good memory");
    let home = Forebay::<_, _, [Place<_>; 48]>::new(&machine, &far, 2);
    for zone in [HIGH, LOW, HIGH] {
        let tile = Buffer::new(&home, order(2)).within(zone.only()).with_mode(WC);
        let place = |tile: &Buffer<'_, _, _>| {
            tile.read()
                .expect("there is room")
                .blocks()
                .map(|(_, block)| machine.zone(block))
                .collect::<Vec<_>>()
        };
        tile.write().expect("there is room").write_at(0, b"here");
        assert_eq!(place(&tile), [zone]);
        assert_eq!(tile.evict(Pages::MAX, Evict::COPY, CX).expect("nobody has it").copied, pages(4));
        assert_eq!(place(&tile), [zone], "loaded");
        let mut text = [0; 4];
        tile.read().expect("it is resident").read_at(0, &mut text);
        assert_eq!(&text, b"here");
    }
    let uncached = Buffer::new(&home, Order::PAGE).within(LOW.only()).with_mode(UC);
    assert!(uncached.read().is_err(), "that zone can't have this mode");
}

/// Rule: a platform that panics costs the block that it had in its hands, and no place on a shelf.
#[test]
fn a_platform_that_panics_in_a_trim() {
    let machine = Zoned::new(8, 0x10);
    let pool = Pool::<_, [Place<_>; 6]>::new(&machine, 1);
    for _ in 0..2 {
        pool.give(pool.take(Order::PAGE, WC, CX).expect("there is room"), CX).expect("there is a shelf");
        assert_eq!(pool.ready(), pages(1), "its place is there");
        machine.no.set(No::Panic);
        let trim = std::panic::AssertUnwindSafe(|| pool.trim(Pages::MAX, CX));
        assert!(std::panic::catch_unwind(trim).is_err(), "it panicked");
        machine.no.set(No::Never);
        assert_eq!(pool.ready(), pages(0));
    }
}

/// Rule: what a store refuses has its mode again, with one flush each way for a run.
#[test]
fn what_is_refused_changes_back_in_runs() {
    let machine = Zoned::new(16, 0x10);
    let far = forebay_backends::RamRegion::<SpinRawMutex, PAGE, 32>::new(forebay::StoreId::DEFAULT);
    let meta = words(forebay_backends::RamRegion::<SpinRawMutex, PAGE, 32>::metadata_words(PAGE));
    far.init(leak(PAGE, 0), meta).expect("a page");
    let home = Forebay::new(&machine, &far);
    let kept: Vec<_> = (0..16)
        .map(|_| machine.low.allocate(AllocRequest::new(Order::PAGE), CX).expect("there is room"))
        .collect();
    let (odd, even): (Vec<_>, Vec<_>) = kept.into_iter().partition(|block| block.pfn().get() % 2 == 1);
    even.into_iter().for_each(|block| machine.free(block));
    let mut slots = [const { Slot::EMPTY }; 8];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC).within(LOW.only());
    buffer.write().expect("there is room").write_at(0, &[7; 8 * PAGE]);
    machine.changes.take();
    machine.flushes.take();
    let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, CX).expect("nobody has it");
    assert_eq!((evicted.transferred, evicted.refused), (pages(1), pages(7)), "the region has one page");
    assert_eq!((machine.changes.take(), machine.flushes.take()), (8 + 7, 2));
    let mut bytes = [0; 8 * PAGE];
    buffer.read().expect("the region has the block").read_at(0, &mut bytes);
    assert!(bytes == [7; 8 * PAGE]);
    assert_eq!((machine.changes.take(), machine.flushes.take()), (1, 1), "just the one that was away");
    drop(buffer);
    odd.into_iter().for_each(|block| machine.free(block));
    assert_eq!(machine.free(), (16, 16));
}
