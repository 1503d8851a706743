//! What a log says of a program, and that no lock is held while it is said. With the feature `log`:
//! `cargo test -p hosted-tests --features log --test events`.

use forebay_backends::{Faults, Faulty, Ram, RamBlock, RamRegion};
use hosted_tests::kit::*;
use hosted_tests::memory;
use log::{Level, LevelFilter, Metadata, Record};
use std::cell::{Cell, RefCell};
use std::sync::Once;

thread_local! {
    /// How many locks this thread is inside.
    static LOCKS: Cell<usize> = const { Cell::new(0) };
    /// How often it was inside one.
    static ENTERED: Cell<usize> = const { Cell::new(0) };
    static HEARD: RefCell<Vec<Heard>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Heard {
    level: Level,
    target: String,
    text: String,
    /// That were held meanwhile.
    locks: usize,
}

struct Listener;

impl log::Log for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn log(&self, record: &Record<'_>) {
        let (level, target) = (record.level(), record.target().to_owned());
        let heard = Heard { level, target, text: record.args().to_string(), locks: LOCKS.get() };
        HEARD.with_borrow_mut(|all| all.push(heard));
    }
    fn flush(&self) {}
}

fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Listener).unwrap();
        log::set_max_level(LevelFilter::Trace);
    });
    heard();
}

/// All that this thread said since the last time.
fn heard() -> Vec<Heard> {
    HEARD.take()
}

/// The same as lines of a log.
fn lines() -> Vec<String> {
    heard().iter().map(|h| format!("{} {}: {}", h.level, h.target, h.text)).collect()
}

/// Around the locks of everything in here.
struct Noticing;

impl IrqGuard for Noticing {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        LOCKS.set(LOCKS.get() + 1);
        ENTERED.set(ENTERED.get() + 1);
        let result = f();
        LOCKS.set(LOCKS.get() - 1);
        result
    }
}

type Lock = SpinRawMutex<Noticing>;
type Source = AllPorts<Machine<Ram<Lock, PAGE>>>;
type Store = Faulty<Scripted<RamRegion<Lock, PAGE, 16>, RamBlock<PAGE>>, Lock>;

fn source() -> Source {
    let (ram, bytes) = (Ram::new(), 16 * PAGE);
    let words = Ram::<Lock, PAGE>::metadata_words(bytes);
    assert_eq!(ram.add(memory::leak(bytes, 0), memory::words(words)).unwrap(), bytes);
    Machine::new(ram)
}

fn store() -> Store {
    let (region, bytes) = (RamRegion::new(StoreId::DEFAULT), 16 * PAGE);
    let words = RamRegion::<Lock, PAGE, 16>::metadata_words(bytes);
    assert_eq!(region.init(memory::leak(bytes, 0), memory::words(words)).unwrap(), bytes);
    Faulty::new(Scripted::new(region))
}

fn refuses(why: StoreError) -> Script {
    Script { transfer: Some(why), ..Script::default() }
}

/// Out by every method, back both ways, and whatever else is told of a buffer that loses nothing.
fn out_and_back() {
    let home = &Forebay::new(with_lists::<_, 9, 1>(source()), store());
    let tile = Buffer::new(home, order(1)).with_id(BufferId(7));
    fill(&tile, 1);
    assert_eq!(home.reclaim([&tile], pages(2), Evict::TRANSFER, CX).evicted.moved(), pages(2));
    check(&tile, 1);
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    home.settle(ALL, CX);
    check(&tile, 1);
    tile.evict(ALL, Evict::COPY, CX).unwrap();
    fill(&tile, 2);
    home.store().inner().answer(refuses(StoreError::Full));
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    tile.evict(ALL, Evict::SPLIT, CX).unwrap();
    assert_eq!(tile.restore(ALL, CX).loaded, pages(2));
    tile.purge(CX).unwrap();
    assert_eq!(home.pool().trim(Zones::ALL, ALL, CX), pages(2));
    home.store().set(Faults { per_mille: 1000, ..Faults::default() });
    home.settle(ALL, CX);
    home.reclaim([&tile], ALL, Evict::TRANSFER, CX);
}

/// Rule: a reader of the log reads what moved, in which buffer, by which way, in order, and why not.
#[test]
fn the_log_tells_the_story() {
    listen();
    out_and_back();
    let (full, io) = (StoreError::Full, StoreError::Io);
    assert_eq!(
        lines(),
        [
            "TRACE forebay: buffer 7: restored: 2 pages populated",
            "TRACE forebay: buffer 7: evicted: 2 pages transferred",
            "DEBUG forebay: reclaim: reached; evicted: 2 pages transferred; store: 2 pages pending",
            "TRACE forebay: buffer 7: restored: 2 pages taken back",
            "TRACE forebay: buffer 7: evicted: 2 pages transferred",
            "DEBUG forebay: settle: 2 pages freed",
            "TRACE forebay: buffer 7: restored: 2 pages loaded",
            "TRACE forebay: buffer 7: evicted: 2 pages clean",
            "TRACE forebay: buffer 7: restored: 2 pages loaded",
            &format!("TRACE forebay: buffer 7: evicted: 2 pages refused ({full})"),
            "TRACE forebay: buffer 7: evicted: 2 pages copied",
            "TRACE forebay: buffer 7: restored: 2 pages loaded",
            "TRACE forebay: buffer 7: purged",
            "DEBUG forebay: pool: 2 pages trimmed",
            &format!("DEBUG forebay: settle: nothing ({io})"),
            &format!("DEBUG forebay: reclaim: {}; evicted: nothing; store: nothing ({io})", Outcome::Nothing),
        ]
    );
}

/// Takes the block, and gives a handle that it does not know.
struct Forgetful;

impl BackingStore<RamBlock<PAGE>> for Forgetful {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::TRANSFER
    }
    fn transfer(
        &self,
        _: RamBlock<PAGE>,
        _: Option<Charge>,
    ) -> Result<Handle, Refused<RamBlock<PAGE>, StoreError>> {
        Ok(Handle::new(StoreId::DEFAULT, Order::PAGE, 0).unwrap())
    }
    fn discard(&self, handle: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        Err(Refused { item: handle, why: StoreError::NotStored })
    }
}

/// A store that takes what it does not keep, one that gives back less than it took, and a block that its mode keeps
/// from going anywhere.
fn losses() {
    let forgetful = &Forebay::new(source(), Forgetful);
    let tile = Buffer::new(forgetful, order(1)).with_id(BufferId(1));
    fill(&tile, 1);
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();

    let home = &Forebay::new(source(), store());
    let tile = Buffer::new(home, order(1)).with_id(BufferId(2));
    fill(&tile, 1);
    tile.evict(ALL, Evict::TRANSFER, CX).unwrap();
    home.store().inner().answer(Script { steals: true, ..Script::default() });
    for _ in 0..2 {
        assert_eq!(tile.read().err(), Some(AccessError::Lost)); // told once
    }

    let tile = Buffer::new(home, order(2)).with_id(BufferId(3)).with_mode(Caching::Uncached);
    fill(&tile, 1);
    home.platform().say_no(No::Mode);
    drop(tile);
}

/// Rule: what is lost is a warning, said once, with the buffer or the pages that it is about.
#[test]
fn losses_are_warnings() {
    listen();
    losses();
    assert_eq!(
        lines(),
        [
            "TRACE forebay: buffer 1: restored: 2 pages populated",
            "WARN forebay: buffer 1: contents lost by the store",
            "TRACE forebay: buffer 2: restored: 2 pages populated",
            "TRACE forebay: buffer 2: evicted: 2 pages transferred",
            "WARN forebay: buffer 2: contents lost by the store",
            "TRACE forebay: buffer 3: restored: 4 pages populated",
            "WARN forebay: 4 pages leaked: their caching mode can't be changed",
        ]
    );
}

/// Rule: what did nothing is not worth a line, except for a reclaim: that one was asked for is.
#[test]
fn nothing_is_said_of_nothing() {
    let home = &Forebay::new(with_lists::<_, 9, 1>(source()), store());
    let (tile, empty) = (Buffer::new(home, order(1)), Buffer::new(home, order(1)));
    fill(&tile, 1);
    listen();
    check(&tile, 1);
    assert!(tile.restore(ALL, CX).why.is_none());
    assert_eq!(empty.evict(ALL, Evict::ANY, CX), Ok(Evicted::default()));
    assert_eq!((home.settle(ALL, CX), home.pool().trim(Zones::ALL, ALL, CX)), (Settled::default(), NONE));
    let guard = tile.read().unwrap();
    assert!(tile.evict(ALL, Evict::ANY, CX).is_err() && tile.purge(CX).is_err());
    let report = home.reclaim([&tile], ALL, Evict::ANY, CX);
    assert_eq!((report.evicted, report.outcome), (Evicted::default(), Outcome::Nothing));
    drop(guard);
    let nothing = Outcome::Nothing;
    assert_eq!(lines(), [format!("DEBUG forebay: reclaim: {nothing}; evicted: nothing; store: nothing")]);
}

/// Rule: `no-calls-under-lock`, not even of a logger, which may take as long as it likes.
#[test]
fn nothing_is_said_under_a_lock() {
    listen();
    out_and_back();
    losses();
    let heard = heard();
    assert!(ENTERED.get() > 0 && heard.len() > 20, "there are locks, and much is said");
    for event in &heard {
        assert_eq!(event.locks, 0, "{event:?}");
    }
}
