//! Interrupts, and other cores, between two steps of a source or a region.
//!
//! The lock is free between two steps, so another call may run there. Here one runs before each step in turn.

use forebay::{
    AllocRequest, BackingStore, Context, FrameSource, Order, OwnedBlock, Pages, Pfn, StoreError, StoreId,
    sync::{IrqGuard, SpinRawMutex},
};
use forebay_backends::{InitError, Ram, RamBlock, RamForebay, Region};
use hosted_tests::conformance::{content, fill, order, pattern};
use hosted_tests::kit::sweep;
use hosted_tests::memory::{leak, words};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

mod nested;

const PAGE: usize = 512;

type Other = Box<dyn FnOnce()>;

thread_local! {
    /// The other call, and after how many steps it runs.
    static NEXT: RefCell<Option<(u32, Other)>> = const { RefCell::new(None) };
}

/// Lets something in before the lock is taken.
struct Between;

impl IrqGuard for Between {
    fn with<R>(f: impl FnOnce() -> R) -> R {
        nested::interrupt();
        let now = NEXT.with_borrow_mut(|next| match next {
            Some((0, _)) => next.take(),
            Some((steps, _)) => {
                *steps -= 1;
                None
            }
            None => None,
        });
        if let Some((_, come_in)) = now {
            come_in();
        }
        f()
    }
}

type Raw = SpinRawMutex<Between>;
type Source = Ram<Raw, PAGE, 2>;
type Slow<B, const N: usize> = Region<Raw, B, PAGE, N>;

/// Before step number `step` of what follows.
fn before_step(step: u32, come_in: impl FnOnce() + 'static) {
    NEXT.set(Some((step, Box::new(come_in))));
}

/// Whether it came in: else there were fewer steps.
fn came_in() -> u32 {
    u32::from(NEXT.take().is_none())
}

fn source(pages: usize) -> &'static Source {
    let ram = Box::leak(Box::new(Source::new()));
    ram.add(leak(pages * PAGE, 0), words(Source::metadata_words(pages * PAGE))).expect("good memory");
    ram
}

fn region<B: OwnedBlock, const N: usize>(pages: usize) -> &'static Slow<B, N> {
    let region = Box::leak(Box::new(Slow::new(StoreId::DEFAULT)));
    let meta = words(Slow::<B, N>::metadata_words(pages * PAGE));
    region.init(leak(pages * PAGE, 0), meta).expect("good memory");
    region
}

fn block(source: &Source, k: u8, seed: u64) -> RamBlock<PAGE> {
    let mut block =
        source.allocate(AllocRequest::new(order(k)), Context::THREAD).expect("the source has enough");
    fill(&mut block, seed);
    block
}

/// Rule: memory may be given while another context looks for some: that finds it or not, and never anything else.
#[test]
fn memory_is_given_while_another_looks_for_it() {
    let swept = sweep("step of an allocation", |_, step| {
        let ram: &'static Source = Box::leak(Box::new(Source::new()));
        let memory = leak(9 * PAGE, 0);
        let addresses = memory.as_ptr_range();
        before_step(step, || {
            ram.add(memory, words(Source::metadata_words(9 * PAGE))).expect("good memory");
        });
        let found = ram.allocate(AllocRequest::new(order(1)), Context::THREAD);
        let came = came_in();
        if let Ok(mut block) = found {
            assert!(addresses.contains(&block.as_ptr()), "{block:?} is none of {addresses:?}");
            fill(&mut block, 1);
            ram.free(block);
        }
        assert_eq!(ram.unused(), Pages::new(if came > 0 { 9 } else { 0 }));
        came
    });
    swept.at_least(2);
}

/// Rule: two may give memory at once: each piece is there then, or comes back.
#[test]
fn two_give_memory_at_once() {
    let swept = sweep("step of giving memory", |_, step| {
        let ram: &'static Source = Box::leak(Box::new(Source::new()));
        let add = |pages| ram.add(leak(pages * PAGE, 0), words(Source::metadata_words(pages * PAGE)));
        before_step(step, move || assert_eq!(add(3).unwrap(), 3 * PAGE));
        assert_eq!(add(5).unwrap(), 5 * PAGE);
        let came = came_in();
        let pages = Pages::new(if came > 0 { 8 } else { 5 });
        assert_eq!((ram.unused(), ram.total()), (pages, pages));
        assert_eq!(add(1).is_err(), came > 0);
        came
    });
    swept.at_least(2);
}

/// Rule: where two initialise one `RamForebay` at once, it has the slow RAM of one of them, and a range that it does not use
/// comes back whole; it works then.
#[test]
fn two_initialise_a_forebay_at_once() {
    type Home = RamForebay<Raw, PAGE, 2, 0, 2>;
    // Fast RAM may be in two pieces.
    for pieces in [0, 1] {
        let swept = sweep("step of an init", |_, step| {
            let home: &'static Home = Box::leak(Box::new(Home::new()));
            for _ in 0..pieces {
                let meta = words(Source::metadata_words(PAGE));
                home.platform().add(leak(PAGE, 0), meta).expect("good memory");
            }
            // Returns the bytes of both that it gave.
            let init = move |fast: usize, slow: usize| {
                const WITH_WORD: usize = PAGE + size_of::<usize>();
                let (fast, slow) = (leak(fast * PAGE, 0), leak(slow * WITH_WORD, 0));
                let meta = words(Home::metadata_words(fast.len()));
                let places = (fast.as_ptr_range(), slow.as_ptr_range());
                let lengths = (fast.len(), slow.len() / WITH_WORD * PAGE);
                let Err(InitError { fast, slow, .. }) = home.init(fast, slow, meta) else { return lengths };
                assert!(fast.is_empty() || fast.as_ptr_range() == places.0, "a part of it comes back");
                assert!(slow.is_empty() || slow.as_ptr_range() == places.1, "a part of it comes back");
                (lengths.0 - fast.len(), if slow.is_empty() { lengths.1 } else { 0 })
            };
            let others = Rc::new(Cell::new((0, 0)));
            let gave = others.clone();
            before_step(step, move || gave.set(init(4, 8)));
            let mine = init(2, 16);
            let came = came_in();
            let others = others.get();
            assert!((mine.1 == 0) != (others.1 == 0), "one of the two gives the slow RAM");
            assert_eq!(home.store().total().get() * PAGE, mine.1 + others.1);
            assert_eq!((home.platform().total().get() - pieces) * PAGE, mine.0 + others.0);
            let tile = home.buffer::<PAGE>();
            tile.write().expect("there is memory").fill(step as u8);
            assert_eq!(home.transfer([&tile], PAGE), PAGE);
            assert_eq!(home.write_out(PAGE), PAGE);
            assert!(tile.read().expect("it is stored").iter().all(|byte| *byte == step as u8));
            came
        });
        swept.at_least(6);
    }
}

/// Rule: a region has one piece of memory, from the first that gives it, and what comes too late comes back whole.
#[test]
fn two_give_a_region_memory_at_once() {
    let swept = sweep("step of giving memory", |_, step| {
        let region: &'static Slow<RamBlock<PAGE>, 2> = Box::leak(Box::new(Slow::new(StoreId::DEFAULT)));
        let init = |pages| {
            let meta = words(Slow::<RamBlock<PAGE>, 2>::metadata_words(pages * PAGE));
            region.init(leak(pages * PAGE, 0), meta).map_err(|refused| refused.item.0.len())
        };
        let first = Rc::new(Cell::new(None));
        let other = Rc::clone(&first);
        before_step(step, move || other.set(Some(init(3))));
        let second = init(5);
        let came = came_in();
        match (first.get(), second) {
            (None, Ok(given)) => assert_eq!((came, given), (0, 5 * PAGE)),
            (Some(Ok(given)), Err(back)) | (Some(Err(back)), Ok(given)) => {
                assert_eq!((given + back, region.total().get() * PAGE), (8 * PAGE, given));
            }
            other => panic!("{other:?}"),
        }
        came
    });
    swept.at_least(3);
}

/// A block that stops in the middle of being copied into, where it is told to.
#[derive(Debug)]
struct Stops {
    block: RamBlock<PAGE>,
    /// Where it says that it is there, and waits for a word to go on.
    there: Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>,
}

impl OwnedBlock for Stops {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.block.pfn()
    }
    fn order(&self) -> Order {
        self.block.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        Err(self)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.block.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        if let Some((there, go_on)) = &self.there {
            there.send(()).unwrap();
            go_on.recv().unwrap();
        }
        self.block.write_at(at, from)
    }
}

/// Rule: of two that read the same at once, one may hear that it is busy, and neither that it is not there, whenever the
/// other begins and ends.
#[test]
fn what_another_reads_is_busy_or_there() {
    let source = source(8);
    let block = |seed| Stops { block: block(source, 1, seed), there: None };
    let region = region::<Stops, 2>(8);
    let saved = block(1);
    let handle: &'static _ =
        Box::leak(Box::new(region.save(&saved, order(1), None, Context::THREAD).unwrap()));
    let load = |mut block: Stops| {
        let loaded = region.load(handle, &mut block, Pages::ZERO, Context::THREAD);
        assert!(loaded != Ok(()) || content(&block) == pattern(1, 2 * PAGE));
        source.free(block.block);
        loaded
    };
    let (mut busy, mut whole) = (0, 0);
    for (begins, ends) in (0..12).flat_map(|ends| (0..=ends).map(move |begins| (begins, ends))) {
        let (there, is_there) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel();
        let other = Stops { there: Some((there, may_go_on)), ..block(2) };
        let mine = block(3);
        before_step(begins, move || {
            let other = thread::spawn(move || load(other));
            if is_there.recv().is_err() {
                assert_eq!(other.join().unwrap(), Err(StoreError::Busy), "it was being read already");
                return;
            }
            before_step(ends - begins, move || {
                go_on.send(()).unwrap();
                assert_eq!(other.join().unwrap(), Ok(()), "no other has it");
            });
        });
        match load(mine) {
            Ok(()) => whole += 1,
            Err(StoreError::Busy) => busy += 1,
            Err(why) => panic!("{why:?}, with another from step {begins} to {ends}"),
        }
        while let Some((_, late)) = NEXT.take() {
            late();
        }
    }
    assert!(busy > 2 && whole > 0, "{busy} {whole}");
}

/// Rule: between two steps everything free is there for the other call, but for what it keeps itself: no more entries, no more room.
#[test]
fn room_and_entries_that_are_free_are_there_for_others() {
    let source = source(1 << 14);
    // A write-out ends while one page is left.
    let swept = sweep("step of a write-out", |_, step| {
        let two = region::<_, 2>(2);
        let _first = two.transfer(block(source, 0, 1), None).unwrap();
        let next = block(source, 0, 2);
        before_step(step, move || {
            let _second = two.transfer(next, None).map_err(|r| r.why).expect("one page is left");
        });
        two.write_out_now(usize::MAX, &mut |b| source.free(b));
        came_in()
    });
    swept.at_least(3);
    // A save takes room, and no entry.
    let swept = sweep("step of a save", |_, step| {
        let region = region::<RamBlock<PAGE>, 1>(32);
        let first = region.transfer(block(source, 0, 1), None).unwrap();
        source.free(region.take_back(first, Context::THREAD).unwrap());
        let _most =
            [4, 3, 2, 1].map(|k| region.save(&block(source, k, 2), order(k), None, Context::THREAD).unwrap());
        let (large, next) = (block(source, 1, 3), block(source, 0, 4));
        before_step(step, move || {
            let came = region.transfer(next, None).map_err(|r| r.why);
            assert!(!matches!(came, Err(StoreError::Backlog)), "nothing waits: {came:?}");
        });
        let _ = region.save(&large, order(1), None, Context::THREAD);
        came_in()
    });
    swept.at_least(2);
}
