//! Two cores at once on one pool, one store and the same buffers, each with a timer interrupt on top.
//!
//! Each write to a buffer is counted next to it while its guard is alive, so every later guard, on either core, knows which
//! bytes it must find. A block of the pool has its holder's own bytes until it is put back.
//!
//! - ONE HOLDER: on one core a handler runs to its end, and the program has one guard at a time. So when the program is told
//!   `Busy`, it is because of the other core.

use super::{Failure, check, pattern};
use crate::machine::{self, Masked};
use core::array;
use core::fmt::Write;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use forebay::{
    AccessError, AllocRequest, BackingStore, Buffer, Context, Evict, Forebay, Order, Pages, StoreId, Zones,
    pool::{FreeListArray, PooledBlock},
    port::WithLists,
    sync::{IrqGuard, SpinRawMutex},
};
use forebay_backends::{Ram, RamBlock, RamRegion};
use static_cell::ConstStaticCell;

const PAGE: usize = 512;
const BUFFERS: usize = 12;
/// Fewer pages than the buffers have.
const FAST_PAGES: usize = 24;
const SLOW_PAGES: usize = 128;
const BACKLOG: usize = 8;
/// Orders with a free list, and places in each.
const ORDERS: usize = 3;
const DEPTH: usize = 2;

/// What each core does at least.
const OPERATIONS: u32 = 100_000;
/// How often each meets the other at least: one more operation until then.
const MEETINGS: u32 = 200;
/// Where it ends if they never meet.
const OPERATIONS_AT_MOST: u32 = 4_000_000;
const TIMER_HZ: u32 = 1000;

type RawMutex = SpinRawMutex<Counted>;
type Source = Ram<RawMutex, PAGE, 1>;
type Store = RamRegion<RawMutex, PAGE, BACKLOG>;
type Lists = FreeListArray<Source, ORDERS, DEPTH>;
type Home = Forebay<WithLists<Source, Lists>, Store>;
type Tile = Buffer<&'static Home>;

static HOME: Home = Forebay::new(WithLists(Source::new(), Lists::new()), Store::new(StoreId::DEFAULT));
static TILES: [Tile; BUFFERS] = [
    tile(0),
    tile(1),
    tile(2),
    tile(0),
    tile(1),
    tile(2),
    tile(0),
    tile(1),
    tile(2),
    tile(0),
    tile(1),
    tile(2),
];

const fn tile(order: usize) -> Tile {
    Tile::new(&HOME, ORDER[order])
}

const ORDER: [Order; ORDERS] =
    [Order::PAGE, Order::new(1).expect("an order"), Order::new(2).expect("an order")];

/// How often each was written, and by which core last. Changed only under a guard to write.
static WRITTEN: [AtomicU32; BUFFERS] = [const { AtomicU32::new(0) }; BUFFERS];
static LAST_WRITER: [AtomicUsize; BUFFERS] = [const { AtomicUsize::new(0) }; BUFFERS];

#[repr(C, align(2048))]
struct Aligned<T>(T);

static FAST: ConstStaticCell<Aligned<[u8; FAST_PAGES * PAGE]>> = ConstStaticCell::new(Aligned([0; _]));
static SLOW: ConstStaticCell<Aligned<[u8; SLOW_PAGES * PAGE]>> = ConstStaticCell::new(Aligned([0; _]));
static FAST_META: ConstStaticCell<[usize; Source::metadata_words(FAST_PAGES * PAGE)]> =
    ConstStaticCell::new([0; _]);
static SLOW_META: ConstStaticCell<[usize; Store::metadata_words(SLOW_PAGES * PAGE)]> =
    ConstStaticCell::new([0; _]);

/// Interrupts masked, and a count of the cores that are at some lock. As no core is at two of them, a core that finds another
/// one there has met the other core.
struct Counted;

static AT_A_LOCK: AtomicUsize = AtomicUsize::new(0);
static AT_LOCKS_TOGETHER: AtomicU32 = AtomicU32::new(0);

impl IrqGuard for Counted {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        Masked::with(|| {
            if AT_A_LOCK.fetch_add(1, Ordering::Relaxed) > 0 {
                AT_LOCKS_TOGETHER.fetch_add(1, Ordering::Relaxed);
            }
            let result = f();
            AT_A_LOCK.fetch_sub(1, Ordering::Relaxed);
            result
        })
    }
}

/// What a core did, and what befell it.
struct Tally {
    operations: AtomicU32,
    /// Blocks taken, and put back.
    taken: AtomicU32,
    put: AtomicU32,
    reads: AtomicU32,
    writes: AtomicU32,
    /// Told `Busy`: by ONE HOLDER the other core had it.
    busy: AtomicU32,
    /// Found what the other core wrote last.
    from_the_other: AtomicU32,
    ticks: AtomicU32,
    /// Pages that its interrupt transferred.
    transferred: AtomicU32,
    wrong_bytes: AtomicU32,
    /// Answers that must not be.
    errors: AtomicU32,
    finished: AtomicU32,
}

static TALLIES: [Tally; 2] = [const {
    const ZERO: AtomicU32 = AtomicU32::new(0);
    Tally {
        operations: ZERO,
        taken: ZERO,
        put: ZERO,
        reads: ZERO,
        writes: ZERO,
        busy: ZERO,
        from_the_other: ZERO,
        ticks: ZERO,
        transferred: ZERO,
        wrong_bytes: ZERO,
        errors: ZERO,
        finished: ZERO,
    }
}; 2];

impl Tally {
    fn mine() -> &'static Tally {
        &TALLIES[machine::core_number()]
    }

    fn has_met_enough(&self) -> bool {
        self.operations.load(Ordering::Relaxed) >= OPERATIONS
            && self.busy.load(Ordering::Relaxed) >= MEETINGS
            && self.from_the_other.load(Ordering::Relaxed) >= MEETINGS
    }
}

fn add(count: &AtomicU32) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// What was written `version` times; zeros at first.
fn compare(bytes: &[u8], version: u32) {
    let wrong = match version {
        0 => bytes.iter().filter(|b| **b != 0).count(),
        _ => pattern::wrong(bytes, version as usize),
    };
    Tally::mine().wrong_bytes.fetch_add(wrong as u32, Ordering::Relaxed);
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as usize % n
    }
}

/// A block that a core holds, and what it wrote there.
type Held = Option<(PooledBlock<RamBlock<PAGE>, ()>, u32)>;

/// What a core does until both have done enough, and met often enough.
fn work() {
    let me = machine::core_number();
    let tally = Tally::mine();
    let mut random = Random(0x9e37_79b9_7f4a_7c15 + me as u64);
    let mut held: [Held; 3] = array::from_fn(|_| None);
    machine::start_timer(TIMER_HZ, tick);
    while !TALLIES.iter().all(Tally::has_met_enough)
        && tally.operations.load(Ordering::Relaxed) < OPERATIONS_AT_MOST
    {
        add(&tally.operations);
        let tile = random.below(BUFFERS);
        match random.below(16) {
            0..4 => take_or_put(&mut held[random.below(3)], me, &mut random),
            4..8 => write(tile, me),
            8..12 => read(tile, me),
            12 => evict(tile, Evict::TRANSFER),
            13 => evict(tile, Evict::COPY),
            14 => judge(TILES[tile].restore(Pages::MAX, Context::THREAD).why.map_or(Ok(()), Err)),
            _ => settle(),
        }
    }
    machine::stop_timer();
    held.iter_mut().for_each(put_back);
    tally.finished.store(1, Ordering::Release);
}

/// In the interrupt: transfers what is idle.
fn tick() {
    let tally = Tally::mine();
    add(&tally.ticks);
    let report = HOME.reclaim(&TILES, Pages::new(2), Evict::TRANSFER, Context::INTERRUPT);
    tally.transferred.fetch_add(report.evicted.transferred.get() as u32, Ordering::Relaxed);
}

fn take_or_put(held: &mut Held, me: usize, random: &mut Random) {
    if held.is_some() {
        return put_back(held);
    }
    match HOME.pool().take(AllocRequest::new(ORDER[random.below(ORDERS)]), (), Context::THREAD) {
        Ok(mut block) => {
            compare(&block, 0);
            let version = 2 * Tally::mine().taken.fetch_add(1, Ordering::Relaxed) + me as u32 + 1;
            fill(&mut block, version as usize);
            *held = Some((block, version));
        }
        Err(why) => judge::<()>(Err(AccessError::Alloc(why))),
    }
}

fn put_back(held: &mut Held) {
    let Some((block, version)) = held.take() else { return };
    compare(&block, version);
    add(&Tally::mine().put);
    if HOME.pool().put(block, Context::THREAD).is_err() {
        add(&Tally::mine().errors);
    }
}

/// [`pattern::fill`] for a block of the pool.
fn fill(block: &mut PooledBlock<RamBlock<PAGE>, ()>, seed: usize) {
    for at in (0..block.len()).step_by(PAGE) {
        let bytes: [u8; PAGE] = array::from_fn(|n| pattern::byte(seed, at + n));
        block.write_at(at, &bytes);
    }
}

fn write(tile: usize, me: usize) {
    match TILES[tile].write() {
        Ok(mut guard) => {
            meet(tile, me);
            compare(&guard, WRITTEN[tile].load(Ordering::Relaxed));
            pattern::fill(&mut guard, WRITTEN[tile].fetch_add(1, Ordering::Relaxed) as usize + 1);
            LAST_WRITER[tile].store(me + 1, Ordering::Relaxed);
            add(&Tally::mine().writes);
        }
        Err(why) => judge::<()>(Err(why)),
    }
}

fn read(tile: usize, me: usize) {
    match TILES[tile].read() {
        Ok(guard) => {
            meet(tile, me);
            compare(&guard, WRITTEN[tile].load(Ordering::Relaxed));
            add(&Tally::mine().reads);
        }
        Err(why) => judge::<()>(Err(why)),
    }
}

/// Whether the other core wrote it last.
fn meet(tile: usize, me: usize) {
    if LAST_WRITER[tile].load(Ordering::Relaxed) == 2 - me {
        add(&Tally::mine().from_the_other);
    }
}

fn evict(tile: usize, how: Evict) {
    judge(TILES[tile].evict(Pages::MAX, how, Context::THREAD).map_err(AccessError::from));
}

fn settle() {
    if HOME.settle(Pages::new(4), Context::THREAD).error.is_some() {
        add(&Tally::mine().errors);
    }
}

/// Busy and out of frames are answers; anything else is an error. For want of frames it makes room.
fn judge<T>(result: Result<T, AccessError>) {
    match result {
        Ok(_) => {}
        Err(AccessError::Busy) => add(&Tally::mine().busy),
        Err(AccessError::Alloc(_)) => {
            HOME.reclaim(&TILES, Pages::new(4), Evict::ANY, Context::THREAD);
            settle();
        }
        Err(_) => add(&Tally::mine().errors),
    }
}

pub fn step(out: &mut dyn Write) -> Result<(), Failure> {
    let (fast, slow) = (&mut FAST.take().0, &mut SLOW.take().0);
    HOME.platform().0.add(fast, FAST_META.take()).map_err(|refused| refused.why)?;
    HOME.store().init(slow, SLOW_META.take()).map_err(|refused| refused.why)?;
    check(machine::start_second(work), "there is no second core")?;
    work();
    while TALLIES.iter().any(|tally| tally.finished.load(Ordering::Acquire) == 0) {
        spin_loop();
    }

    let both = |count: fn(&Tally) -> &AtomicU32| {
        TALLIES.each_ref().map(|tally| count(tally).load(Ordering::Relaxed))
    };
    let sum = |count| both(count).into_iter().sum::<u32>();
    let together = AT_LOCKS_TOGETHER.load(Ordering::Relaxed);
    write!(
        out,
        "{:?} operations, told busy {:?} times, found the other's bytes {:?} times, at some lock together {together} times; \
         {:?} blocks taken, {:?} reads, {:?} writes, {:?} ticks; {} wrong bytes",
        both(|t| &t.operations),
        both(|t| &t.busy),
        both(|t| &t.from_the_other),
        both(|t| &t.taken),
        both(|t| &t.reads),
        both(|t| &t.writes),
        both(|t| &t.ticks),
        sum(|t| &t.wrong_bytes),
    )?;
    check(sum(|t| &t.wrong_bytes) == 0, "bytes are wrong")?;
    check(sum(|t| &t.errors) == 0, "an answer was neither busy nor out of frames")?;
    check(
        TALLIES.iter().all(Tally::has_met_enough) && together >= MEETINGS,
        "the cores did not meet often enough",
    )?;
    check(both(|t| &t.ticks).iter().all(|ticks| *ticks > 0), "a core was not interrupted")?;
    check(both(|t| &t.transferred).iter().all(|pages| *pages > 0), "an interrupt transferred nothing")?;
    check(sum(|t| &t.taken) == sum(|t| &t.put), "not every block was put back")?;
    let written: u32 = WRITTEN.iter().map(|count| count.load(Ordering::Relaxed)).sum();
    check(written == sum(|t| &t.writes), "writes are missing")?;
    counts_add_up()?;
    all_is_returned()
}

/// What left is what came back and what is still away, in pages; and each way was used.
fn counts_add_up() -> Result<(), Failure> {
    let stats = HOME.stats();
    let (evicted, restored) = (stats.evicted, stats.restored);
    let mut resident = Pages::ZERO;
    for tile in &TILES {
        resident += tile.residency()?.resident;
    }
    let each_way = [evicted.transferred, evicted.copied, evicted.clean, restored.taken_back, restored.loaded];
    check(each_way.iter().all(|pages| *pages > Pages::ZERO), "a way out or back was never used")?;
    let away = restored.taken_back + stats.settled + HOME.store().pending();
    check(evicted.transferred == away, "what was transferred does not add up")?;
    check(restored.total() == evicted.moved() + resident, "what is resident does not add up")
}

/// Each buffer is read once more; then all are dropped, and source and store have every page again.
fn all_is_returned() -> Result<(), Failure> {
    for (tile, written) in TILES.iter().zip(&WRITTEN) {
        HOME.reclaim(&TILES, Pages::new(8), Evict::ANY, Context::THREAD);
        settle();
        compare(&*tile.read()?, written.load(Ordering::Relaxed));
    }
    check(Tally::mine().wrong_bytes.load(Ordering::Relaxed) == 0, "bytes are wrong at the end")?;
    for tile in &TILES {
        tile.purge(Context::THREAD)?;
    }
    HOME.settle(Pages::MAX, Context::THREAD);
    HOME.pool().trim(Zones::ALL, Pages::MAX, Context::THREAD);
    let source = &HOME.platform().0;
    check(source.unused() == source.total(), "pages of the source are missing")?;
    check(HOME.store().space().pages == HOME.store().total(), "pages of the store are missing")
}
