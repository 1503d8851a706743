//! Kinds of blocks: by zone and mode, what a source is asked for, the limit, zeroing, and batches of mode changes.

use forebay::frame::ModeRefused;
use forebay::pool::{FreeList, FreeListArray, Pool};
use forebay::port::{CachingControl, FrameSource, PooledBlock, WithCaching, WithLists};
use forebay::sync::SpinRawMutex;
use forebay::{
    AccessError, AllocError, AllocRequest, Buffer, Caching, Context, Evict, Forebay, Order, OwnedBlock,
    Pages, Slot, Zones,
};
use forebay_backends::{Ram, RamBlock};
use hosted_tests::conformance::order;
use hosted_tests::memory::{leak, words};
use std::cell::{Cell, RefCell};
use std::ops::Range;

pub(crate) const CX: Context = Context::THREAD;
pub(crate) const PAGE: usize = 512;
pub(crate) const LOW: u8 = 0;
pub(crate) const HIGH: u8 = 1;
const WB: Caching = Caching::WriteBack;
pub(crate) const WC: Caching = Caching::WriteCombined;
pub(crate) const UC: Caching = Caching::Uncached;

pub(crate) fn pages(n: usize) -> Pages {
    Pages::new(n)
}

/// RAM of `pages` pages, and their frame numbers.
pub(crate) fn ram(pages: usize) -> (Ram<SpinRawMutex, PAGE>, Range<usize>) {
    let memory = leak(pages * PAGE, 0);
    let first = memory.as_ptr().addr() / PAGE;
    let ram = Ram::new();
    ram.add(memory, words(Ram::<SpinRawMutex, PAGE>::metadata_words(pages * PAGE))).expect("good memory");
    (ram, first..first + pages)
}

pub(crate) type Far = forebay_backends::RamRegion<SpinRawMutex, PAGE, 32>;

pub(crate) fn far(pages: usize) -> Far {
    let far = Far::new(forebay::StoreId::DEFAULT);
    let bytes = pages * PAGE;
    far.init(leak(bytes, 0), words(Far::metadata_words(bytes))).expect("good memory");
    far
}

/// Two zones. Only the high one can be uncached.
pub(crate) struct Zoned {
    pub(crate) low: Ram<SpinRawMutex, PAGE>,
    pub(crate) low_frames: Range<usize>,
    pub(crate) high: Ram<SpinRawMutex, PAGE>,
    /// Whether cached blocks are pooled.
    pub(crate) pools_cached: bool,
    /// No block of this order is poolable.
    pub(crate) not_poolable: Cell<Option<Order>>,
    pub(crate) asked: RefCell<Vec<AllocRequest>>,
    pub(crate) flushes: Cell<usize>,
    pub(crate) changes: Cell<usize>,
    /// What it does instead of changing a mode.
    pub(crate) no: Cell<No>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum No {
    Never,
    /// Refuses wherever it may not wait.
    Interrupt,
    /// Refuses for the block at this frame.
    At(usize),
    Panic,
}

impl Zoned {
    pub(crate) fn new(low: usize, high: usize) -> Zoned {
        let ((low, low_frames), (high, _)) = (ram(low), ram(high));
        Zoned {
            low,
            low_frames,
            high,
            pools_cached: true,
            not_poolable: Cell::new(None),
            asked: RefCell::default(),
            flushes: Cell::new(0),
            changes: Cell::new(0),
            no: Cell::new(No::Never),
        }
    }

    pub(crate) fn unused(&self) -> (usize, usize) {
        (self.low.unused().get(), self.high.unused().get())
    }
}

impl FrameSource for Zoned {
    type Block = RamBlock<PAGE>;
    type RawMutex = SpinRawMutex;
    const ZONES: u8 = 2;

    fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
        self.asked.borrow_mut().push(request);
        let zones = [(LOW, &self.low), (HIGH, &self.high)];
        let mut there = zones.into_iter().filter(|(zone, _)| request.zones.contains(Zones::of(*zone)));
        there.find_map(|(_, ram)| ram.allocate(request, cx).ok()).ok_or(AllocError::Exhausted)
    }
    fn free(&self, block: RamBlock<PAGE>) {
        if self.zone(&block) == LOW { self.low.free(block) } else { self.high.free(block) }
    }
    fn zone(&self, block: &RamBlock<PAGE>) -> u8 {
        if self.low_frames.contains(&block.pfn().0) { LOW } else { HIGH }
    }
    fn is_poolable(&self, block: &RamBlock<PAGE>) -> bool {
        self.not_poolable.get() != Some(block.order())
    }
}

impl CachingControl<RamBlock<PAGE>> for Zoned {
    type Mode = Caching;
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
            No::At(frame) if frame == block.pfn().0 => return Err(ModeRefused),
            No::Panic => panic!("a platform's own fault"),
            _ => {}
        }
        self.changes.set(self.changes.get() + 1);
        Ok(())
    }
    fn flush(&self, _: Context) {
        self.flushes.set(self.flushes.get() + 1);
    }
    fn zones_for(&self, mode: Caching) -> Zones {
        if mode == UC { Zones::of(HIGH) } else { Zones::ALL }
    }
    fn pools(&self, mode: Caching) -> bool {
        mode != WB || self.pools_cached
    }
}

/// The machine with its modes, without free lists.
type Modal<'p> = WithCaching<&'p Zoned, &'p Zoned>;
pub(crate) type Lists<'p, const LISTS: usize, const DEPTH: usize> = FreeListArray<Modal<'p>, LISTS, DEPTH>;
type InLists<'p, const LISTS: usize, const DEPTH: usize> = WithLists<Modal<'p>, Lists<'p, LISTS, DEPTH>>;

pub(crate) fn modal(machine: &Zoned) -> Modal<'_> {
    WithCaching(machine, machine)
}

/// Orders 0 to 3, three modes, two zones, two of each.
pub(crate) fn listed(machine: &Zoned) -> InLists<'_, 24, 2> {
    WithLists(modal(machine), FreeListArray::new())
}

/// The same with at most `limit` pages in all.
fn limited(machine: &Zoned, limit: usize) -> InLists<'_, 24, 2> {
    WithLists(modal(machine), FreeListArray::with_limit(pages(limit)))
}

pub(crate) fn request(k: u8, zones: Zones) -> AllocRequest {
    AllocRequest::new(order(k)).within(zones)
}

/// The list of that kind.
pub(crate) fn list(pool: &Pool<InLists<'_, 24, 2>>, k: u8, mode: Caching, zone: u8) -> Option<FreeList> {
    let number = |mode| forebay::frame::Mode::index(mode);
    pool.lists().find(|list| (list.order, list.mode, list.zone) == (order(k), number(mode), zone))
}

fn is_zeros(block: &PooledBlock<RamBlock<PAGE>, Caching>) -> bool {
    block.iter().all(|byte| *byte == 0)
}

/// Rule: a block is found in the zone that it is in, and not for another zone; the preferred zone comes first.
#[test]
fn a_block_stays_in_its_zone() {
    let machine = Zoned::new(8, 8);
    let pool = Pool::new(listed(&machine));
    let low = pool.take(request(1, Zones::of(LOW)), WC, CX).expect("there is room");
    let high = pool.take(request(1, Zones::of(HIGH)), WC, CX).expect("there is room");
    assert_eq!([machine.zone(&low), machine.zone(&high)], [LOW, HIGH]);
    let (low_pfn, high_pfn) = (low.pfn(), high.pfn());
    pool.put(high, CX).expect("there is a list");
    pool.put(low, CX).expect("there is a list");
    machine.asked.take();
    let high = pool.take(request(1, Zones::of(HIGH)), WC, CX).expect("it is in its list");
    let low = pool.take(AllocRequest::new(order(1)), WC, CX).expect("it is in its list");
    assert_eq!([low.pfn(), high.pfn()], [low_pfn, high_pfn]);
    assert_eq!(machine.asked.take(), [], "both were in their lists");
    pool.put(low, CX).expect("there is a list");
    // The other zone is empty: the block of this one is not taken for it.
    let other = pool.take(request(1, Zones::of(HIGH)), WC, CX).expect("there is room");
    assert_eq!(machine.zone(&other), HIGH);
    assert_eq!(machine.asked.take().len(), 1);
    for block in [high, other] {
        pool.put(block, CX).expect("there is a list");
    }
    let first = pool.take(request(1, Zones::ALL), WC, CX).expect("it is in its list");
    assert_eq!(machine.zone(&first), LOW, "the preferred zone comes first");
    pool.put(first, CX).expect("there is a list");
    drop(pool);
    assert_eq!(machine.unused(), (8, 8));
}

/// Rule: a list is a stack: the newest block is taken first. A trim returns the oldest first.
#[test]
fn a_list_is_a_stack() {
    let machine = Zoned::new(8, 8);
    let pool = Pool::new(WithLists(modal(&machine), Lists::<'_, 6, 4>::new()));
    let four = [(); 4].map(|()| pool.take(request(0, Zones::of(LOW)), WC, CX).expect("there is room"));
    let frames = four.each_ref().map(|block| block.pfn());
    four.into_iter().for_each(|block| pool.put(block, CX).expect("there is a list"));
    assert_eq!(pool.trim(Zones::ALL, pages(1), CX), pages(1));
    let three = [(); 3].map(|()| pool.take(request(0, Zones::of(LOW)), WC, CX).expect("it is in its list"));
    assert_eq!(three.each_ref().map(|block| block.pfn()), [frames[3], frames[2], frames[1]]);
    let oldest = machine.low.allocate(AllocRequest::new(order(0)), CX).expect("it was trimmed");
    assert_eq!(oldest.pfn(), frames[0]);
    machine.free(oldest);
    three.into_iter().for_each(|block| pool.put(block, CX).expect("there is a list"));
    drop(pool);
    assert_eq!(machine.unused(), (8, 8));
}

/// Rule: a mode that only some zones can have is looked for there; a source that gives a block from elsewhere is not
/// believed.
#[test]
fn modes_that_are_fixed_to_zones() {
    let machine = Zoned::new(4, 1);
    let pool = Pool::new(listed(&machine));
    let block = pool.take(AllocRequest::new(Order::PAGE), UC, CX).expect("there is room");
    assert_eq!(machine.zone(&block), HIGH);
    assert_eq!(pool.take(AllocRequest::new(Order::PAGE), UC, CX).err(), Some(AllocError::Exhausted));
    assert_eq!(pool.take(request(0, Zones::of(LOW)), UC, CX).err(), Some(AllocError::Exhausted));
    assert_eq!(machine.unused(), (4, 0));
    pool.put(block, CX).expect("there is a list");

    /// Gives whatever there is.
    struct Careless<'m>(&'m Zoned);
    impl FrameSource for Careless<'_> {
        type Block = RamBlock<PAGE>;
        type RawMutex = SpinRawMutex;
        const ZONES: u8 = 2;
        fn allocate(&self, request: AllocRequest, cx: Context) -> Result<RamBlock<PAGE>, AllocError> {
            self.0.low.allocate(request, cx)
        }
        fn free(&self, block: RamBlock<PAGE>) {
            self.0.free(block);
        }
        fn zone(&self, block: &RamBlock<PAGE>) -> u8 {
            self.0.zone(block)
        }
    }
    let pool = Pool::new(Careless(&machine));
    let refused = pool.take(request(0, Zones::of(HIGH)), (), CX);
    assert_eq!(refused.err(), Some(AllocError::Exhausted));
    assert_eq!(machine.low.unused(), pages(4), "it was returned");
}

/// Rule: a source may reclaim for single pages only; it gives up on a larger block at once, as smaller ones will do.
#[test]
fn what_a_source_may_do() {
    let (machine, far) = (Zoned::new(64, 0x10), far(64));
    let home = Forebay::new(modal(&machine), &far);
    let asked = || -> Vec<_> {
        machine.asked.take().iter().map(|asked| (asked.order.get(), asked.may_reclaim)).collect()
    };
    for k in 0..5 {
        let block = home.pool().take(AllocRequest::new(order(k)), WB, CX).expect("there is room");
        home.pool().put(block, CX).expect("it is returned");
        assert_eq!(asked(), [(k, k == 0)]);
        let tile = Buffer::new(&home, order(k));
        drop(tile.read().expect("there is room"));
        assert_eq!(asked(), [(k, k == 0)], "also if just that order will do");
    }
    // Where a smaller block will do, each order is asked for with its own right.
    let taken = [5, 4].map(|k| machine.allocate(AllocRequest::new(order(k)), CX).expect("there is room"));
    let high = machine.high.allocate(AllocRequest::new(order(4)), CX).expect("there is room");
    asked();
    let mut slots = [const { Slot::EMPTY }; 32];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE);
    assert_eq!(buffer.populate(pages(32), CX).why, Some(AccessError::Alloc(AllocError::Exhausted)));
    let falls = [(5, false), (4, false)].into_iter();
    let rest = [(4, false), (3, false), (2, false), (1, false), (0, true)];
    assert_eq!(asked(), falls.chain(rest).collect::<Vec<_>>());
    drop(buffer);
    taken.into_iter().chain([high]).for_each(|block| machine.free(block));
    assert_eq!(machine.unused(), (64, 16));
}

/// Rule: no more is ready than the limit permits, in whichever zone it is: a block over the limit is returned to the source,
/// and what is ready stays.
#[test]
fn the_limit_holds_for_all_zones() {
    let machine = Zoned::new(64, 64);
    let pool = Pool::new(limited(&machine, 10));
    let mut blocks = Vec::new();
    for k in [0, 1, 2] {
        for zone in [LOW, HIGH] {
            for mode in [WC, WB] {
                blocks.push(pool.take(request(k, Zones::of(zone)), mode, CX).expect("there is room"));
            }
        }
    }
    let mut ready = 0;
    for block in blocks {
        let (more, unused) = (block.order().pages().get(), machine.unused());
        pool.put(block, CX).expect("it is kept or returned");
        let kept = if ready + more <= 10 { more } else { 0 };
        ready += kept;
        assert_eq!(pool.ready(Zones::ALL), pages(ready));
        let returned = machine.unused().0 + machine.unused().1 - (unused.0 + unused.1);
        assert_eq!(returned, more - kept);
    }
    assert_eq!(ready, 10, "4 single pages and 3 pairs");
    // More than the limit at once is not kept at all.
    let large = pool.take(AllocRequest::new(order(3)), WC, CX).expect("there is room");
    let small = Pool::new(limited(&machine, 7));
    let before = machine.unused();
    small.put(large, CX).expect("it is returned");
    let after = machine.unused();
    assert_eq!((small.ready(Zones::ALL), after.0 + after.1), (pages(0), before.0 + before.1 + 8));
}

/// Rule: buffers use the pool with the limit and the lists that it was made with; what they receive from it is zeros.
#[test]
fn buffers_use_the_pool_as_it_was_made() {
    let (machine, far) = (Zoned::new(64, 0x10), far(64));
    let home = Forebay::new(limited(&machine, 5), &far);
    let mut slots = [const { Slot::EMPTY }; 7]; // blocks of orders 2, 1 and 0
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    buffer.write().expect("there is room").write_at(0, &[0x5e; 7 * PAGE]);
    let asked: Vec<_> = machine.asked.take().iter().map(|ask| (ask.order.get(), ask.may_reclaim)).collect();
    assert_eq!(asked, [(2, false), (1, false), (0, true)]);
    buffer.purge(CX).expect("it is not in use");
    let ready: Vec<_> = home.pool().lists().map(|list| (list.order.get(), list.counts.ready)).collect();
    let ready: Vec<_> = ready.into_iter().filter(|(_, ready)| *ready > 0).collect();
    assert_eq!(ready, [(0, 1), (2, 1)], "six pages would be over the limit");
    let page = home.pool().take(AllocRequest::new(Order::PAGE), WC, CX).expect("it is in its list");
    assert!(machine.asked.take().is_empty() && is_zeros(&page));
    home.pool().put(page, CX).expect("there is a list");
    let mut bytes = [0xA5; 7 * PAGE];
    assert_eq!(buffer.read().expect("there is room").read_at(0, &mut bytes), 7 * PAGE);
    assert_eq!(bytes, [0; 7 * PAGE]);
    let asked: Vec<_> = machine.asked.take().iter().map(|ask| ask.order.get()).collect();
    assert_eq!(asked, [1], "the others were in their lists");
}

/// Rule: trimming takes from each kind in turn, and goes on where it ended.
#[test]
fn trimming_takes_from_each_kind_in_turn() {
    let machine = Zoned::new(64, 64);
    let pool = Pool::new(listed(&machine));
    let kinds = [(WC, LOW), (UC, HIGH), (WB, LOW), (WC, HIGH)];
    let blocks: Vec<_> = kinds
        .iter()
        .flat_map(|(mode, zone)| [(); 2].map(|()| pool.take(request(1, Zones::of(*zone)), *mode, CX)))
        .map(|block| block.expect("there is room"))
        .collect();
    blocks.into_iter().for_each(|block| pool.put(block, CX).expect("there is a list"));
    let ready = || kinds.map(|(mode, zone)| list(&pool, 1, mode, zone).expect("a list").counts.ready);
    assert_eq!(ready(), [2; 4]);
    let trim = |n| pool.trim(Zones::ALL, n, CX);
    for n in 1..=4 {
        assert_eq!(trim(pages(1)), pages(2), "less than a block too much");
        assert_eq!(ready().iter().filter(|ready| **ready == 1).count(), n, "one of each: {:?}", ready());
    }
    assert_eq!((trim(pages(5)), trim(Pages::MAX)), (pages(6), pages(2)));
    assert_eq!((machine.unused(), trim(Pages::MAX)), ((64, 64), pages(0)));
}

/// Rule: blocks are zeroed when they are taken: putting one into its list writes nothing, and needs no mode change, also in an
/// interrupt that may not change modes. The next owner reads zeros.
#[test]
fn blocks_are_zeroed_when_they_are_taken() {
    let machine = Zoned::new(8, 0x10);
    machine.no.set(No::Interrupt);
    let pool = Pool::new(listed(&machine));
    for cx in [CX, Context::INTERRUPT] {
        let mut block = pool.take(AllocRequest::new(order(1)), WC, CX).expect("there is room");
        assert_eq!(block.write_at(0, &[0x5e; 2 * PAGE]), 2 * PAGE);
        let at = block.as_ptr();
        machine.changes.take();
        pool.put(block, cx).expect("there is a list");
        // SAFETY: the memory is leaked, and the block is not in use.
        assert_eq!(unsafe { at.read() }, 0x5e);
        assert_eq!((pool.ready(Zones::ALL), machine.changes.take()), (pages(2), 0));
        let block = pool.take(AllocRequest::new(order(1)), WC, cx).expect("it is in its list");
        assert!(block.as_ptr() == at && is_zeros(&block), "{cx:?}");
        pool.put(block, CX).expect("there is a list");
        assert_eq!(pool.trim(Zones::ALL, Pages::MAX, CX), pages(2));
    }
    drop(pool);
    assert_eq!(machine.unused(), (8, 16));
}

/// Rule: blocks of a mode that is not pooled, and blocks that are not poolable, are returned to the source.
#[test]
fn what_is_not_pooled() {
    let mut machine = Zoned::new(8, 8);
    machine.pools_cached = false;
    let pool = Pool::new(listed(&machine));
    for (mode, ready) in [(WB, 0), (WC, 1), (UC, 2)] {
        let block = pool.take(AllocRequest::new(Order::PAGE), mode, CX).expect("there is room");
        pool.put(block, CX).expect("it is kept or returned");
        assert_eq!(pool.ready(Zones::ALL), pages(ready), "{mode:?}");
    }
    machine.not_poolable.set(Some(order(1)));
    for (k, ready) in [(1, 2), (2, 6)] {
        let block = pool.take(AllocRequest::new(order(k)), WC, CX).expect("there is room");
        pool.put(block, CX).expect("it is kept or returned");
        assert_eq!(pool.ready(Zones::ALL), pages(ready), "order {k}");
    }
    let unused = machine.unused();
    assert_eq!(unused.0 + unused.1, 16 - 6);
}

/// Rule: lists count what was taken from them and how often they were found empty.
#[test]
fn lists_count() {
    let machine = Zoned::new(8, 8);
    let pool = Pool::new(listed(&machine));
    let counts = |k, mode, zone| {
        let counts = list(&pool, k, mode, zone).expect("there is one").counts;
        (counts.ready, counts.hits, counts.misses)
    };
    let take = || pool.take(AllocRequest::new(order(1)), WC, CX);
    let blocks = [0; 3].map(|_| take().expect("there is room"));
    assert_eq!((counts(1, WC, LOW), counts(1, WC, HIGH)), ((0, 0, 3), (0, 0, 3)));
    blocks.into_iter().for_each(|block| pool.put(block, CX).expect("it is kept or returned"));
    assert_eq!(counts(1, WC, LOW), (2, 0, 3), "the third was returned");
    let block = take().expect("it is in its list");
    assert_eq!(counts(1, WC, LOW), (1, 1, 3));
    pool.put(block, CX).expect("there is a list");
    assert_eq!((counts(0, WC, LOW), counts(1, UC, LOW)), ((0, 0, 0), (0, 0, 0)));
    assert_eq!(list(&pool, 4, WC, LOW), None);
    let table = "order mode zone  ready   hits misses\n    \
                 1    1    0      2      1      3\n    \
                 1    1    1      0      0      3\n\
                 4 pages ready";
    assert_eq!(pool.to_string(), table);
    assert_eq!(list(&pool, 0, WC, 2), None);
    assert_eq!(pool.lists().count(), 24, "each kind once");
}

/// Rule: the modes of many blocks change with one flush: all of a guard's, and those of an eviction in batches;
/// nothing is flushed where nothing changed.
#[test]
fn one_flush_for_a_batch() {
    let machine = Zoned::new(64, 0x10);
    let far = far(64);
    let home = Forebay::new(modal(&machine), &far);
    // Twelve single pages: odd ones are in use.
    let singles: Vec<_> = (0..24)
        .map(|_| machine.low.allocate(AllocRequest::new(Order::PAGE), CX).expect("there is room"))
        .collect();
    let rest = machine.low.allocate(AllocRequest::new(order(5)), CX).expect("there is room");
    let more: Vec<_> = (0..8)
        .map(|_| machine.low.allocate(AllocRequest::new(Order::PAGE), CX).expect("there is room"))
        .collect();
    let high = machine.high.allocate(AllocRequest::new(order(4)), CX).expect("there is room");
    let mut kept = Vec::new();
    for (n, block) in singles.into_iter().enumerate() {
        if n % 2 == 0 { machine.free(block) } else { kept.push(block) }
    }
    let mut slots = [const { Slot::EMPTY }; 12];
    let buffer = Buffer::with_slots(&home, &mut slots[..], Order::PAGE).with_mode(WC);
    let counted = || (machine.changes.take(), machine.flushes.take());
    drop(buffer.write().expect("there is room"));
    assert_eq!(counted(), (12, 1), "one flush for all of a guard's");
    drop(buffer.read().expect("it is resident"));
    assert_eq!(counted(), (0, 0));
    let evicted = buffer.evict(Pages::MAX, Evict::TRANSFER, CX).expect("it is not in use");
    assert_eq!(evicted.transferred, pages(12));
    assert_eq!(counted(), (12, 2), "batches of eight");
    drop(buffer.read().expect("the region has the blocks"));
    assert_eq!(counted(), (12, 1));
    assert_eq!(buffer.evict(Pages::MAX, Evict::empty(), CX).expect("it is not in use").moved(), pages(0));
    assert_eq!(counted(), (0, 0), "nothing is tried without a method");
    drop(buffer);
    home.settle(Pages::MAX, CX);
    for block in kept.into_iter().chain(more).chain([rest, high]) {
        machine.free(block);
    }
    assert_eq!(machine.unused(), (64, 16));
}
