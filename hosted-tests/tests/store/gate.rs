//! A gate in front of a store whose memory can't be reached for some time (N10).

use forebay::sync::SpinRawMutex;
use forebay::{
    AccessError, AllocError, BackingStore, Busy, Context, Evict, Handle, Order, OwnedBlock, Pages, Pfn,
    StoreError, StoreId,
};
use forebay_backends::{
    Checksum, Event, Faults, Faulty, Gate, InitErrorKind, MemoryError, RamBlock, RamBuffer, RamForebay,
    RamRegion, Region, RegionBacked, Traced,
};
use hosted_tests::conformance::{order, pattern};
use hosted_tests::kit::Crc32;
use hosted_tests::memory::{leak, words};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

const PAGE: usize = 512;
const T: Context = Context::THREAD;
type Lock = SpinRawMutex;
type Slow = Gate<Lock, RamRegion<Lock, PAGE, 4>>;
type Home = RamForebay<Lock, PAGE, 4, 0, 2, Slow>;
type Unit = RamBuffer<Lock, PAGE, 4, 0, 2, Slow>;

const LEN: usize = 2 * PAGE;

/// 16 pages of fast RAM, 32 of slow RAM, with the metadata of both in fast RAM.
fn init<S: RegionBacked<Lock, PAGE, 4>, const LOBBY: usize, const RANGES: usize>(
    home: &'static RamForebay<Lock, PAGE, 4, LOBBY, RANGES, S>,
) {
    let (fast, slow) = (16 * PAGE, 32 * PAGE);
    let meta = words(RamForebay::<Lock, PAGE, 4, LOBBY, RANGES, S>::metadata_words_apart(fast, slow));
    assert_eq!(home.init_apart(leak(fast, 0), leak(slow, 0), meta).unwrap(), (fast, slow));
}

/// Rule: while the gate is closed, what is stored is busy and nothing is written out; what is in fast RAM is used, transferred, taken
/// back and purged as always, and purging what is stored frees its room. Afterwards every byte is there.
#[test]
fn what_goes_on_while_it_is_closed() {
    static HOME: Home = RamForebay::with_store(Gate::new(RamRegion::new(StoreId::DEFAULT)));
    static UNITS: [Unit; 8] = [const { HOME.buffer::<LEN>() }; 8];
    init(&HOME);
    let is = |unit: &Unit, seed| unit.read().map(|guard| guard[..] == pattern(seed, LEN));
    for (unit, seed) in UNITS.iter().zip(0..) {
        unit.write().unwrap().copy_from_slice(&pattern(seed, LEN));
    }
    // Two are stored, two wait, four are resident.
    assert_eq!(HOME.transfer(&UNITS[..2], 2 * LEN), 2 * LEN);
    assert_eq!(HOME.write_out(usize::MAX), 2 * LEN);
    assert_eq!(HOME.transfer(&UNITS[2..4], 2 * LEN), 2 * LEN);
    let space = HOME.store().space();

    let closed = HOME.store().close().unwrap();
    assert!(matches!(HOME.store().close(), Err(Busy)), "it is closed already");
    assert!(format!("{:?}", HOME.store()).contains("closed: true"));
    assert_eq!(is(&UNITS[0], 0), Err(AccessError::Busy));
    assert!(matches!(UNITS[1].write(), Err(AccessError::Busy)));
    assert_eq!(HOME.write_out(usize::MAX), 0);
    let settled = HOME.settle(Pages::MAX, T);
    assert_eq!(
        (settled.error, settled.freed, settled.pending),
        (Some(StoreError::Busy), Pages::ZERO, Pages::new(4))
    );
    assert_eq!(is(&UNITS[2], 2), Ok(true), "taken back");
    let report = HOME.reclaim(&UNITS[4..5], Pages::new(2), Evict::TRANSFER, Context::INTERRUPT);
    assert_eq!(report.evicted.transferred, Pages::new(2), "in an interrupt");
    let copied = UNITS[5].evict(Pages::MAX, Evict::COPY | Evict::SPLIT, T).unwrap();
    assert_eq!((copied.copied, copied.refused), (Pages::ZERO, Pages::new(2)));
    UNITS[5].write().unwrap().fill(5);
    UNITS[1].purge(T).unwrap();
    UNITS[3].purge(T).unwrap();
    assert_eq!(HOME.store().space().pages, space.pages + Pages::new(2 + 2 + 2 - 2));
    assert_eq!(HOME.stats().leaked, Pages::ZERO);

    assert!(HOME.store().is_closed());
    drop(closed);
    assert!(!HOME.store().is_closed());
    assert!(format!("{:?}", HOME.store()).contains("closed: false"));
    assert_eq!(HOME.write_out(usize::MAX), LEN);
    for n in [0, 2, 4, 6, 7] {
        assert_eq!(is(&UNITS[n], n as u64), Ok(true), "unit {n}");
    }
    assert!(UNITS[5].read().unwrap().iter().all(|byte| *byte == 5));
    UNITS.iter().for_each(|unit| unit.purge(T).unwrap());
    assert_eq!(HOME.platform().unused(), HOME.platform().total());
    assert_eq!(HOME.store().space().pages, Pages::new(32));
}

/// Rule: with a lobby and a full store, an exchange is refused while the gate is closed, loses nothing, and succeeds afterwards.
#[test]
fn exchanges_wait_for_it() {
    const LOBBY: usize = 4 * PAGE;
    type Home = RamForebay<Lock, PAGE, 4, LOBBY, 3, Slow>;
    static HOME: Home = RamForebay::with_store(Gate::new(RamRegion::new(StoreId::DEFAULT)));
    static UNITS: [RamBuffer<Lock, PAGE, 4, LOBBY, 3, Slow>; 22] = [const { HOME.buffer::<LEN>() }; 22];
    init(&HOME);
    for (unit, seed) in UNITS.iter().zip(0..) {
        HOME.write(unit, &UNITS).unwrap().copy_from_slice(&pattern(seed, LEN));
    }
    let stored = UNITS.iter().position(|unit| unit.read().is_err()).expect("some are stored");
    let closed = HOME.store().close().unwrap();
    let refused = HOME.read(&UNITS[stored], &UNITS).map(drop);
    assert!(
        matches!(refused, Err(AccessError::Busy | AccessError::Alloc(AllocError::Exhausted))),
        "{refused:?}"
    );
    drop(closed);
    for (unit, seed) in UNITS.iter().zip(0..) {
        assert!(HOME.read(unit, &UNITS).unwrap()[..] == pattern(seed, LEN), "unit {seed}");
    }
}

thread_local! {
    /// What a [`Nosy`] block does when it is copied.
    static DOES: Cell<Option<&'static dyn Fn()>> = const { Cell::new(None) };
}

/// A block that calls the test when it is read or written.
struct Nosy(RamBlock<PAGE>);

impl OwnedBlock for Nosy {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        if let Some(does) = DOES.get() {
            does();
        }
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        if let Some(does) = DOES.get() {
            does();
        }
        self.0.write_at(at, from)
    }
}

fn nosy(source: &forebay_backends::Ram<Lock, PAGE>) -> Nosy {
    Nosy(forebay::FrameSource::allocate(source, forebay::AllocRequest::new(order(0)), T).unwrap())
}

/// Rule: a gate is not closed under a call that copies; a call that panics is over.
#[test]
fn it_is_not_closed_while_something_copies() {
    type Store = Gate<Lock, Region<Lock, Nosy, PAGE, 4>>;
    let gate: &'static Store = Box::leak(Box::new(Gate::new(Region::new(StoreId::DEFAULT))));
    gate.inner().init(leak(8 * PAGE, 0), words(8)).unwrap();
    let source = forebay_backends::Ram::<Lock, PAGE>::new();
    source
        .add(leak(8 * PAGE, 0), words(forebay_backends::Ram::<Lock, PAGE>::metadata_words(8 * PAGE)))
        .unwrap();
    let asked: &'static Cell<u32> = Box::leak(Box::new(Cell::new(0)));
    let asks: &'static dyn Fn() = Box::leak(Box::new(move || {
        asked.set(asked.get() + 1);
        assert!(gate.close().is_err());
    }));
    let panics: &'static dyn Fn() = &|| resume_unwind(Box::new("copy")); // no message
    for does in [asks, panics] {
        DOES.set(Some(does));
        let run = |call: &mut dyn FnMut()| {
            let before = asked.get();
            let panicked = catch_unwind(AssertUnwindSafe(call)).is_err();
            assert!(panicked || asked.get() > before, "it copied");
            drop(gate.close().expect("the call is over"));
        };
        let mut block = nosy(&source);
        run(&mut || drop(gate.save(&block, order(0), None, T).map(|handle| gate.discard(handle))));
        DOES.set(None);
        let handle = gate.save(&block, order(0), None, T).unwrap();
        DOES.set(Some(does));
        run(&mut || gate.load(&handle, &mut block, Pages::ZERO, T).unwrap());
        let rooms = gate.rooms().unwrap();
        let room = rooms.reserve(order(0)).unwrap();
        run(&mut || rooms.save_into(&room, &block, T).unwrap());
        let waits = gate.transfer(nosy(&source), None).map_err(|_| ()).unwrap();
        run(&mut || _ = gate.settle(Pages::MAX, T, &mut |_| ()));
        DOES.set(None);
        for handle in [handle, room, waits] {
            gate.discard(handle).map_err(|_| ()).unwrap();
        }
    }
    assert_eq!(BackingStore::<Nosy>::space(gate).pages, Pages::new(8));
}

/// Rule: closed, each call that copies is refused with `Busy`, and those that move no bytes are not.
#[test]
fn which_calls_pass_a_closed_gate() {
    let gate: Slow = Gate::new(RamRegion::new(StoreId::DEFAULT));
    gate.inner().init(leak(8 * PAGE, 0), words(8)).unwrap();
    let source = forebay_backends::Ram::<Lock, PAGE>::new();
    source
        .add(leak(8 * PAGE, 0), words(forebay_backends::Ram::<Lock, PAGE>::metadata_words(8 * PAGE)))
        .unwrap();
    let block = |k| forebay::FrameSource::allocate(&source, forebay::AllocRequest::new(order(k)), T).unwrap();
    let mut page = block(0);
    let stored = gate.save(&block(1), order(1), None, T).unwrap();
    let closed = gate.close().unwrap();
    assert_eq!(gate.save(&page, order(0), None, T), Err(StoreError::Busy));
    assert_eq!(gate.load(&stored, &mut page, Pages::ZERO, T), Err(StoreError::Busy));
    let rooms = gate.rooms().unwrap();
    let room: Handle = rooms.reserve(order(0)).unwrap();
    assert_eq!(rooms.save_into(&room, &page, T), Err(StoreError::Busy));
    let room = rooms.transfer_into(room, page).unwrap();
    let (room, page) = rooms.take_back_from(room, T).unwrap();
    let waits = gate.transfer(page, None).unwrap();
    assert_eq!(gate.take_back(waits, T).unwrap().order(), order(0));
    let (lower, upper) = gate.split(stored).unwrap();
    for handle in [room, lower, upper] {
        assert!(gate.discard(handle).unwrap().is_none());
    }
    assert_eq!(BackingStore::<RamBlock<PAGE>>::space(&gate).pages, Pages::new(8));
    drop(closed);
}

/// Rule: `RamForebay` runs over any store in between: here a trace, faults, a gate and a checksum. A write-out goes through all of them.
#[test]
fn a_forebay_over_four_stores() {
    fn count(event: &Event) {
        let n = match event {
            Event::Returned(..) => 0,
            Event::Load(..) => 1,
            _ => return,
        };
        SEEN.with(|seen| seen[n].set(seen[n].get() + 1));
    }
    thread_local! {
        static SEEN: [Cell<u32>; 2] = const { [const { Cell::new(0) }; 2] };
    }
    type Far = Region<Lock, RamBlock<PAGE>, PAGE, 4, Crc32>;
    type Store = Traced<Faulty<Gate<Lock, Far>, Lock>, fn(&Event)>;
    type Home = RamForebay<Lock, PAGE, 4, 0, 2, Store>;
    static HOME: Home =
        RamForebay::with_store(Traced::new(Faulty::new(Gate::new(Region::new(StoreId::DEFAULT))), count));
    static UNITS: [RamBuffer<Lock, PAGE, 4, 0, 2, Store>; 4] = [const { HOME.buffer::<LEN>() }; 4];
    init(&HOME);
    for (unit, seed) in UNITS.iter().zip(0..) {
        unit.write().unwrap().copy_from_slice(&pattern(seed, LEN));
    }
    let gate = HOME.store().inner().inner();
    let closed = gate.close().unwrap();
    HOME.transfer(&UNITS, 4 * LEN);
    assert_eq!((HOME.pending(), HOME.write_out(usize::MAX)), (4 * LEN, 0));
    drop(closed);
    assert_eq!((HOME.write_out(usize::MAX), HOME.pending()), (4 * LEN, 0));
    HOME.store().inner().set(Faults { kth: Some(0), per_mille: 0, seed: 0 });
    // The first take-back fails, so the store is asked to load.
    for (unit, seed) in UNITS.iter().zip(0..) {
        assert!(unit.read().unwrap()[..] == pattern(seed, LEN));
    }
    assert_eq!(SEEN.with(|seen| [seen[0].get(), seen[1].get()]), [4, 4], "the take-back failed");
    let region: &Far = HOME.store().region();
    assert_eq!(region.total(), Pages::new(32));
    fn has_sums<S: RegionBacked<Lock, PAGE, 4>>(_: &S) -> bool {
        S::Checksum::KEPT && !S::META_IN_SLOW
    }
    assert!(has_sums(HOME.store()));
}

/// Rule: whatever is wrong with the memory, all of it comes back, and a right init works afterwards.
#[test]
fn bad_memory_comes_back() {
    static HOME: Home = RamForebay::with_store(Gate::new(RamRegion::new(StoreId::DEFAULT)));
    let (fast, slow) = (16 * PAGE, 32 * PAGE);
    let (all, of_fast) = (Home::metadata_words_apart(fast, slow), Home::metadata_words(fast));
    assert_eq!(all, of_fast + 32);
    let refused = |fast: &'static mut [u8], slow: &'static mut [u8], meta: &'static mut [usize], why| {
        let lens = (fast.len(), slow.len(), meta.len());
        let error = HOME.init_apart(fast, slow, meta).unwrap_err();
        assert_eq!((error.why, (error.fast.len(), error.slow.len(), error.meta.len())), (why, lens));
        assert_eq!((HOME.free(), HOME.store().region().total()), (0, Pages::ZERO), "nothing was kept");
    };
    use InitErrorKind::{Fast, Slow};
    refused(leak(PAGE - 1, 0), leak(slow, 0), words(all), Fast(MemoryError::NoWholePage));
    refused(leak(fast, 0), leak(PAGE - 1, 0), words(all), Slow(MemoryError::NoWholePage));
    refused(leak(fast, 0), leak(slow, 0), words(0), Fast(MemoryError::Metadata { words: all }));
    refused(leak(fast, 0), leak(slow, 0), words(of_fast - 1), Fast(MemoryError::Metadata { words: all }));
    refused(leak(fast, 0), leak(slow, 0), words(all - 1), Slow(MemoryError::Metadata { words: all }));
    assert_eq!(HOME.init_apart(leak(fast, 0), leak(slow, 5), words(all)).unwrap(), (fast, slow - PAGE));
    let error = HOME.init_apart(leak(fast, 0), leak(slow, 0), words(all)).unwrap_err();
    assert_eq!((error.why, error.fast.len()), (Slow(MemoryError::Already), fast));
}
