//! After initialisation nothing is allocated: not by populating, evicting by any method, reclaiming, settling, writing out,
//! restoring, purging or dropping; nor by a refusal or a fault. The allocator of this binary counts.

use forebay_backends::*;
use hosted_tests::kit::*;
use hosted_tests::memory;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

fn count() {
    // A thread that ends has no such variables any more, and is not armed.
    if ARMED.try_with(Cell::get) == Ok(true) {
        COUNT.with(|c| c.set(c.get() + 1));
    }
}

// SAFETY: everything is the system's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is the system's condition.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count();
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, bytes) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often this thread asked the allocator for something while `f` ran.
fn counted(f: impl FnOnce()) -> usize {
    COUNT.set(0);
    ARMED.set(true);
    f();
    ARMED.set(false);
    COUNT.get()
}

/// A byte that tells its place.
fn byte(seed: u8, at: usize) -> u8 {
    ((at as u32).wrapping_mul(2_654_435_761) >> 24) as u8 ^ seed
}

fn put<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, seed: u8) {
    let mut guard = buffer.write().expect("room");
    for at in (0..guard.bytes()).step_by(16) {
        let piece: [u8; 16] = std::array::from_fn(|i| byte(seed, at + i));
        assert_eq!(guard.write_at(at, &piece), 16);
    }
}

fn same<H: Home, T: Slots<Platform = H::Platform>>(buffer: &Buffer<H, T>, seed: u8) {
    let guard = buffer.read().expect("room");
    for at in (0..guard.bytes()).step_by(16) {
        let mut piece = [0; 16];
        assert_eq!(guard.read_at(at, &mut piece), 16);
        assert!(piece.iter().enumerate().all(|(i, b)| *b == byte(seed, at + i)), "other bytes at {at}");
    }
}

/// How long a text is.
struct Length(usize);

impl std::fmt::Write for Length {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

/// Everything that a program does with buffers.
fn live<P, S>(home: &Forebay<P, S>, slots: &mut [Slot<P>], write_out: impl Fn())
where
    P: Platform<Mode = ()>,
    S: BackingStore<P::Block>,
{
    let many = Buffer::with_slots(home, slots, Order::PAGE);
    let tiles: [Buffer<_>; 2] = std::array::from_fn(|i| Buffer::new(home, order(i as u8)));
    let all: [&dyn Evictable; 3] = [&many, &tiles[0], &tiles[1]];
    for (n, how) in METHODS.into_iter().enumerate() {
        let seed = n as u8;
        put(&many, seed);
        tiles.iter().for_each(|t| put(t, seed));
        assert!(many.evict(pages(3), how, CX).is_ok());
        home.reclaim(all, ALL, how, CX);
        home.reclaim(all, ALL, how, Context::INTERRUPT);
        home.settle(pages(2), CX);
        write_out();
        let _ = many.restore(pages(1), CX);
        same(&many, seed);
        tiles.iter().for_each(|t| same(t, seed));
        home.reclaim(all, pages(5), Evict::ANY, CX); // clean ones too
        home.reclaim((&tiles, Clock::new([&many])), pages(3), how, CX);
        same(&many, seed);
        home.reclaim(all, ReclaimTarget::freed(pages(3)), how, CX);
        home.reclaim(all, ReclaimTarget::freed(pages(2)), how, Context::INTERRUPT);
        home.reclaim(all, ReclaimTarget::block(order(4)), how, CX);
        let _ = home.keep_free(all, pages(30), how, CX);
        assert!(home.or_reclaim(all, pages(2), Evict::ANY, CX, || many.read().map(drop)).is_ok());
        same(&many, seed);
        assert!(tiles[n % 2].purge(Context::THREAD).is_ok());
        home.pool().trim(Zones::ALL, pages(2), Context::THREAD);
    }
    drop((many, tiles));
    home.pool().trim(Zones::ALL, ALL, Context::THREAD);
}

/// Rule: the counter counts, or the other tests would prove nothing.
#[test]
fn the_allocator_counts() {
    assert!(counted(|| drop(std::hint::black_box(Box::new(1)))) == 2);
    assert_eq!(counted(|| ()), 0);
}

/// Rule: nothing is allocated after initialisation, with a region, by any method, with an engine, up to the
/// drop of the pool.
#[test]
fn a_region_allocates_nothing() {
    let (near, far) = (near(32), far(64));
    let home = Forebay::new(with_lists::<_, 4, 3>(&near), &far);
    let mut slots = [const { Slot::EMPTY }; 8];
    let allocations = counted(|| {
        let home = &home;
        let mut engine = Cpu::IDLE;
        while far.write_out(&mut engine, 700, &mut |b| near.free(b)).is_pending() {}
        live(home, &mut slots, || {
            let mut engine = Cpu::IDLE;
            while far.write_out(&mut engine, 700, &mut |b| near.free(b)).is_pending() {}
        });
        let mut text = Length(0);
        write!(text, "{}", home).expect("it only counts");
        assert!(text.0 > 100);
    });
    assert_eq!(allocations, 0);
    assert_eq!(counted(|| drop(home)), 0);
    assert_eq!((near.unused(), far.space().pages), (near.total(), far.total()));
}

/// Rule: the same for buffers in an index that come and go, in the caller's memory.
#[test]
fn an_index_allocates_nothing() {
    const ENTRIES: usize = 70;
    let (near, far) = (near(32), far(64));
    let home = Forebay::new(with_lists::<_, 4, 3>(&near), &far);
    let home = &home;
    let allocations = counted(|| {
        let index = EvictionIndex::<SpinRawMutex, _>::new([0; EvictionIndex::<SpinRawMutex>::words(ENTRIES)]);
        let empty = Buffer::new(home, Order::PAGE);
        for round in 0..3 {
            let at = [1, 64, 69];
            let buffers = at.map(|i| {
                let slots = index.indexed(i, [Slot::EMPTY]).expect("an entry");
                Buffer::with_slots(home, slots, Order::PAGE)
            });
            buffers.iter().for_each(|buffer| put(buffer, round));
            let mut all: [&dyn Evictable; ENTRIES] = [&empty; ENTRIES];
            at.iter().zip(&buffers).for_each(|(i, buffer)| all[*i] = buffer);
            for (n, how) in METHODS.into_iter().enumerate() {
                home.reclaim(index.candidates(&all), ReclaimTarget::freed(pages(n)), how, CX);
                home.reclaim(all, pages(n), how, Context::INTERRUPT);
            }
            buffers.iter().for_each(|buffer| same(buffer, round));
        }
    });
    assert_eq!(allocations, 0);
    let ready = home.pool().ready(Zones::ALL);
    assert_eq!((near.unused() + ready, far.space().pages), (near.total(), far.total()));
}

/// Rule: the same for tiers, of which one is full, and under faults and a trace.
#[test]
fn tiers_and_middleware_allocate_nothing() {
    let (near, first, second) = (near(32), region::<2>(4, 1), far_with_id(64, 2));
    let seen = Cell::new(0);
    let note = |_: &Event| seen.set(seen.get() + 1);
    let store = Faulty::<_, SpinRawMutex>::new(Tiered(&first, &second));
    let home = Forebay::new(AllPorts(Traced::new(&near, &note)), Traced::new(&store, &note));
    let mut slots = [const { Slot::EMPTY }; 8];
    let allocations = counted(|| {
        live(&home, &mut slots, || ());
        // And what is refused, now and then.
        let home = &home;
        let buffer = Buffer::with_slots(home, &mut slots[..], Order::PAGE);
        for seed in 1..50 {
            put(&buffer, seed as u8);
            store.set(Faults { kth: None, per_mille: 300, seed });
            let _ = buffer.evict(ALL, METHODS[seed as usize % 6], CX);
            let _ = buffer.read().is_ok();
            let _ = buffer.restore(ALL, CX);
            store.set(Faults::default());
            same(&buffer, seed as u8);
        }
    });
    assert_eq!(allocations, 0);
    assert!(seen.get() > 100);
    drop(home);
    assert_eq!((near.unused(), first.space().pages, second.space().pages), (pages(32), pages(4), pages(64)));
}

/// Rule: the same over a heap source, whose blocks are never split.
#[test]
fn a_heap_source_allocates_nothing() {
    type Heap = HeapSource<CriticalSectionRawMutex, PAGE>;
    type HeapFar = Region<CriticalSectionRawMutex, HeapBlock<PAGE>, PAGE, 8>;
    let (near, far) = (Heap::new(), HeapFar::new(StoreId::DEFAULT));
    near.init(memory::leak(64 * PAGE, 0)).unwrap();
    far.init(memory::leak(64 * PAGE, 0), memory::words(HeapFar::metadata_words(64 * PAGE))).unwrap();
    let free = near.free_bytes();
    let home = Forebay::new(with_lists::<_, 4, 1>(&near), &far);
    let mut slots = [const { Slot::EMPTY }; 8];
    assert_eq!(counted(|| live(&home, &mut slots, || ())), 0);
    drop(home);
    assert_eq!((near.free_bytes(), far.space().pages), (free, far.total()));
}

static HOME: RamForebay<CriticalSectionRawMutex, PAGE, 4> = RamForebay::new();
static TILES: [RamBuffer<CriticalSectionRawMutex, PAGE, 4>; 3] = [const { HOME.buffer::<{ 2 * PAGE }>() }; 3];

/// Rule: the same for the facade in a static, from `init` on.
#[test]
fn the_facade_allocates_nothing() {
    let words = RamForebay::<CriticalSectionRawMutex, PAGE, 4>::metadata_words(4 * PAGE);
    let (fast, slow, meta) = (memory::leak(4 * PAGE, 0), memory::leak(16 * PAGE, 0), memory::words(words));
    let allocations = counted(|| {
        assert!(HOME.init(fast, slow, meta).is_ok());
        for round in 0..4 {
            for (i, tile) in TILES.iter().enumerate() {
                HOME.transfer(&TILES, 2 * PAGE);
                HOME.write_out(2 * PAGE);
                put(tile, (round + i) as u8);
            }
            for (i, tile) in TILES.iter().enumerate() {
                for _ in 0..4 {
                    if tile.read().is_err() {
                        HOME.transfer(&TILES, 2 * PAGE);
                        HOME.write_out(2 * PAGE);
                    }
                }
                same(tile, (round + i) as u8);
            }
        }
        TILES.iter().for_each(|t| assert!(t.purge(Context::THREAD).is_ok()));
    });
    assert_eq!(allocations, 0);
    assert_eq!(HOME.platform().unused(), HOME.platform().total());
}
