//! Any call of a region before any step of any other, and of those again.

use super::*;
use forebay::{Handle, Refused};
use forebay_backends::{CopyEngine, Job};
use hosted_tests::conformance::Rng;
use std::collections::{BTreeMap, VecDeque};
use std::task::Poll;

const ENTRIES: usize = 4;
type Nested = Slow<RamBlock<PAGE>, ENTRIES>;

thread_local! {
    static INTERRUPTED: Cell<Option<&'static Core>> = const { Cell::new(None) };
}

/// What may come in before each step.
pub(crate) fn interrupt() {
    if let Some(core) = INTERRUPTED.get()
        && core.depth.get() < 3
        && core.random(12) == 0
    {
        core.work();
    }
}

/// An engine that copies at its second poll, and falls short at times.
#[derive(Default)]
struct Dma {
    job: Option<Job<RamBlock<PAGE>, PAGE>>,
    polls: u32,
    short: bool,
}

impl CopyEngine<RamBlock<PAGE>, PAGE> for Dma {
    fn start(&mut self, job: Job<RamBlock<PAGE>, PAGE>) {
        (self.job, self.polls) = (Some(job), 0);
    }
    fn poll(&mut self) -> Poll<Option<Job<RamBlock<PAGE>, PAGE>>> {
        self.polls += 1;
        if self.job.is_some() && self.polls < 2 {
            return Poll::Pending;
        }
        if let Some(job) = &mut self.job {
            job.copy();
            if self.short {
                job.fell_short(job.len() / 2);
            }
        }
        Poll::Ready(self.job.take())
    }
}

/// What was stored, as its handle says.
struct Stored {
    handle: Handle,
    bytes: Vec<u8>,
}

/// One core with interrupts that nest.
struct Core {
    source: Ram<SpinRawMutex, PAGE>,
    region: &'static Nested,
    stored: RefCell<Vec<Rc<Stored>>>,
    engines: RefCell<VecDeque<Dma>>,
    /// Calls that write out, and have not returned.
    writers: Cell<u32>,
    depth: Cell<u32>,
    rng: RefCell<Rng>,
    /// How often each function was called, and the results.
    tally: RefCell<BTreeMap<String, u32>>,
}

impl Core {
    fn random(&self, below: u64) -> u64 {
        self.rng.borrow_mut().next() % below
    }

    fn block(&self, most: u64) -> (RamBlock<PAGE>, Vec<u8>) {
        let k = order(self.random(most) as u8);
        let mut block =
            self.source.allocate(AllocRequest::new(k), Context::THREAD).expect("the source has enough");
        let bytes = fill(&mut block, self.random(u64::MAX));
        (block, bytes)
    }

    fn keep(&self, handle: Handle, bytes: Vec<u8>) {
        assert_eq!(handle.order().pages().get() * PAGE, bytes.len());
        self.stored.borrow_mut().push(Rc::new(Stored { handle, bytes }));
    }

    /// Something that no other call has in hand.
    fn any(&self) -> Option<Stored> {
        let mut stored = self.stored.borrow_mut();
        let n = stored.len() as u64;
        let at = self.random(n.max(1)) as usize;
        if Rc::strong_count(stored.get(at)?) > 1 {
            return None;
        }
        Rc::into_inner(stored.swap_remove(at))
    }

    /// Whether another call may be writing something out.
    fn is_out(&self) -> bool {
        self.writers.get() > 0 || self.engines.borrow().iter().any(|engine| engine.job.is_some())
    }

    #[track_caller]
    fn same(&self, block: RamBlock<PAGE>, bytes: &[u8]) {
        assert!(block[..] == *bytes, "other bytes");
        self.source.free(block);
    }

    fn write_out(&self) {
        let engine = self.engines.borrow_mut().pop_front();
        let max = 1 + self.random(3 * PAGE as u64) as usize;
        self.writers.set(self.writers.get() + 1);
        match engine {
            Some(mut engine) if self.random(4) > 0 => {
                engine.short = self.random(3) == 0;
                let _ = self.region.write_out(&mut engine, max, &mut |b| self.source.free(b));
                self.engines.borrow_mut().push_back(engine);
            }
            _ => {
                self.engines.borrow_mut().extend(engine);
                let budget = Pages::new(max.div_ceil(PAGE));
                self.region.settle(budget, Context::THREAD, &mut |b| self.source.free(b));
            }
        }
        self.writers.set(self.writers.get() - 1);
    }

    fn work(&self) {
        self.depth.set(self.depth.get() + 1);
        let said = self.one_call();
        *self.tally.borrow_mut().entry(said).or_default() += 1;
        self.depth.set(self.depth.get() - 1);
    }

    fn one_call(&self) -> String {
        let region = self.region;
        match self.random(12) {
            0..=2 => {
                let (block, bytes) = self.block(4);
                match region.transfer(block, None) {
                    Ok(handle) => self.keep(handle, bytes),
                    Err(Refused { item, why }) => {
                        assert!(matches!(why, StoreError::Full | StoreError::Backlog), "{why:?}");
                        self.same(item, &bytes);
                        return format!("transfer {why:?}");
                    }
                }
                "transfer".into()
            }
            3 => {
                let (block, bytes) = self.block(4);
                let part = order(self.random(u64::from(block.order().get()) + 1) as u8);
                let saved = region.save(&block, part, None, Context::THREAD);
                let said = format!("save {:?}", saved.as_ref().err());
                match saved {
                    Ok(handle) => self.keep(handle, bytes[..part.pages().get() * PAGE].to_vec()),
                    Err(why) => {
                        assert!(matches!(why, StoreError::Full | StoreError::TooLarge), "{why:?}");
                        assert!(why == StoreError::Full || part > Order::PAGE);
                    }
                }
                self.same(block, &bytes);
                said
            }
            4..=5 => {
                let Some(Stored { handle, bytes }) = self.any() else { return "none".into() };
                match region.take_back(handle, Context::INTERRUPT) {
                    Ok(block) => self.same(block, &bytes),
                    Err(Refused { item, why }) => {
                        let busy = why == StoreError::Busy && self.is_out();
                        assert!(busy || why == StoreError::WrongKind, "{why:?}");
                        self.keep(item, bytes);
                        return format!("take_back {why:?}");
                    }
                }
                "take_back".into()
            }
            6 => {
                let Some(Stored { handle, bytes }) = self.any() else { return "none".into() };
                match region.discard(handle) {
                    Ok(Some(block)) => self.same(block, &bytes),
                    Ok(None) => return "discard stored".into(),
                    Err(refused) => panic!("{:?}", refused.why),
                }
                "discard".into()
            }
            7 => {
                let Some(Stored { handle, bytes }) = self.any() else { return "none".into() };
                match region.split(handle) {
                    Ok((lower, upper)) => {
                        let (first, second) = bytes.split_at(bytes.len() / 2);
                        self.keep(lower, first.to_vec());
                        self.keep(upper, second.to_vec());
                    }
                    Err(Refused { item, why }) => {
                        let legal = match why {
                            StoreError::TooLarge => item.order() == Order::PAGE,
                            StoreError::Busy => self.is_out(),
                            why => why == StoreError::WrongKind,
                        };
                        assert!(legal, "{why:?}");
                        self.keep(item, bytes);
                        return format!("split {why:?}");
                    }
                }
                "split".into()
            }
            8..=9 => {
                let at = self.random(self.stored.borrow().len().max(1) as u64) as usize;
                let Some(stored) = self.stored.borrow().get(at).cloned() else { return "none".into() };
                let read_elsewhere = Rc::strong_count(&stored) > 2;
                let mut block =
                    self.source.allocate(AllocRequest::new(stored.handle.order()), Context::THREAD).unwrap();
                let loaded = region.load(&stored.handle, &mut block, Pages::ZERO, Context::THREAD);
                match loaded {
                    Ok(()) => assert!(block[..] == stored.bytes[..], "other bytes"),
                    Err(StoreError::Busy) => assert!(read_elsewhere || self.is_out()),
                    Err(why) => assert_eq!(why, StoreError::WrongKind),
                }
                self.source.free(block);
                format!("load {:?}", loaded.err())
            }
            10 => {
                self.write_out();
                "write_out".into()
            }
            _ => {
                let space = region.space();
                assert!(space.transfers <= ENTRIES);
                assert!(space.pages <= region.total(), "{space:?} of {:?}", region.total());
                assert!(region.pending() <= region.total());
                "space".into()
            }
        }
    }

    /// No other call runs any more: everything is there, byte by byte, and then all is free.
    fn end(&self) {
        while self.region.pending() > Pages::ZERO || self.is_out() {
            self.write_out();
        }
        assert_eq!(self.region.space().transfers, ENTRIES);
        let mut pages = self.region.space().pages;
        for stored in self.stored.take() {
            let Stored { handle, bytes } = Rc::into_inner(stored).expect("no call reads it");
            let mut block = self.source.allocate(AllocRequest::new(handle.order()), Context::THREAD).unwrap();
            assert_eq!(self.region.load(&handle, &mut block, Pages::ZERO, Context::THREAD), Ok(()));
            self.same(block, &bytes);
            pages += handle.order().pages();
            assert!(self.region.discard(handle).is_ok_and(|block| block.is_none()));
            assert_eq!(self.region.space().pages, pages);
        }
        assert_eq!((pages, self.source.unused()), (self.region.total(), self.source.total()));
    }
}

/// Rule: whatever call runs between two steps of whatever other call, each handle stands for its contents, an error is one that its
/// call may give, and in the end all room is free, in one piece.
#[test]
fn calls_between_the_steps_of_others() {
    let mut tally = BTreeMap::new();
    for seed in 0..100 {
        let pages = [16, 32, 64, 128][seed as usize % 4];
        let source = Ram::new();
        source.add(leak(1024 * PAGE, 0), words(Source::metadata_words(1024 * PAGE))).expect("good memory");
        let core: &'static Core = Box::leak(Box::new(Core {
            source,
            region: region::<RamBlock<PAGE>, ENTRIES>(pages),
            stored: RefCell::default(),
            engines: RefCell::new([Dma::default(), Dma::default()].into()),
            writers: Cell::new(0),
            depth: Cell::new(0),
            rng: RefCell::new(Rng::new(seed)),
            tally: RefCell::default(),
        }));
        INTERRUPTED.set(Some(core));
        for _ in 0..300 {
            core.work();
        }
        INTERRUPTED.set(None);
        core.end();
        let whole = core.region.total().get().ilog2() as u8;
        let big = core.source.allocate(AllocRequest::new(order(whole)), Context::THREAD).unwrap();
        let _ = core.region.transfer(big, None).expect("all of it, in one piece");
        for (what, n) in core.tally.take() {
            *tally.entry(what).or_insert(0) += n;
        }
    }
    let often = |what| tally.get(what).is_some_and(|n| *n > 100);
    assert!(
        ["split Busy", "take_back Busy", "load Some(Busy)", "transfer Backlog"].into_iter().all(often),
        "{tally:#?}"
    );
}
