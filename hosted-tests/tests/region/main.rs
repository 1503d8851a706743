//! The RAM swap region: what is its own beyond the port, which is above all writing out.

use forebay::{
    AllocRequest, BackingStore, Context, FrameSource, Handle, Order, OwnedBlock, Pages, Pfn, Refused,
    StoreError, StoreId, sync::SpinRawMutex,
};
use forebay_backends::{CopyEngine, Cpu, Job, Ram, RamBlock, RamRegion, Region};
use hosted_tests::conformance::{content, fill, order, pattern};
use hosted_tests::memory::{leak, words};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::Poll;

mod asked;
mod init;
mod misbehave;
mod reset;
mod room;
mod steps;
mod sums;

const PAGE: usize = 512;
type Source = Ram<SpinRawMutex, PAGE>;
type Block = RamBlock<PAGE>;
type Slow<const N: usize> = RamRegion<SpinRawMutex, PAGE, N>;

fn source() -> Source {
    let ram = Source::new();
    ram.add(leak(64 * PAGE, 0), words(Source::metadata_words(64 * PAGE))).expect("good memory");
    ram
}

fn region<const N: usize>(pages: usize) -> Slow<N> {
    let region = Slow::new(StoreId::DEFAULT);
    let meta = words(Slow::<N>::metadata_words(pages * PAGE));
    region.init(leak(pages * PAGE, 0), meta).expect("good memory");
    region
}

fn block(source: &Source, k: u8, seed: u64) -> Block {
    let mut block =
        source.allocate(AllocRequest::new(order(k)), Context::THREAD).expect("the source has enough");
    fill(&mut block, seed);
    block
}

fn transferred<const N: usize>(region: &Slow<N>, source: &Source, k: u8, seed: u64) -> Handle {
    region.transfer(block(source, k, seed), None).expect("there is room")
}

/// Loads and compares.
#[track_caller]
fn holds<const N: usize>(region: &Slow<N>, source: &Source, handle: &Handle, seed: u64) {
    let mut block = block(source, handle.order().get(), 0xf111);
    assert_eq!(region.load(handle, &mut block, Pages::ZERO, Context::THREAD), Ok(()));
    assert!(content(&block) == pattern(seed, block.bytes()), "{handle:?} has other bytes");
    source.free(block);
}

/// A controller that is at work for some polls, and may fall short.
#[derive(Default)]
struct Dma {
    job: Option<Job<Block, PAGE>>,
    /// Polls until the present job is done.
    left: u32,
    /// Polls that each job takes.
    polls: u32,
    /// Bytes that arrive of the next jobs; of those after them, all.
    arrive: VecDeque<usize>,
    /// Each job that was started: of which block, from which byte, and how many.
    log: Vec<(Pfn, usize, usize)>,
}

impl CopyEngine<Block, PAGE> for Dma {
    fn start(&mut self, job: Job<Block, PAGE>) {
        assert!(self.job.is_none(), "started before the last job was fetched");
        assert!(job.len() > 0 && job.at() + job.len() <= job.from().bytes());
        self.log.push((job.from().pfn(), job.at(), job.len()));
        self.left = self.polls;
        self.job = Some(job);
    }

    fn poll(&mut self) -> Poll<Option<Job<Block, PAGE>>> {
        if self.left > 0 {
            self.left -= 1;
            return Poll::Pending;
        }
        let Some(mut job) = self.job.take() else { return Poll::Ready(None) };
        job.copy();
        if let Some(arrived) = self.arrive.pop_front() {
            // What did not arrive is rubbish.
            if let Some(rest) = job.to().get_mut(arrived..) {
                rest.fill(0xdb);
            }
            job.fell_short(arrived);
        }
        Poll::Ready(Some(job))
    }
}

/// Polls until nothing is left; returns how often it was called.
fn drain<const N: usize>(region: &Slow<N>, engine: &mut Dma, max: usize, source: &Source) -> usize {
    (1..)
        .find(|calls| {
            assert!(*calls < 10_000, "it never ends");
            let step = region.write_out(engine, max, &mut |block| source.free(block));
            match step {
                Poll::Pending => false,
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(job)) => panic!("{job:?} is of another region"),
            }
        })
        .unwrap_or_default()
}

/// Rule: full, backlog and busy are three answers, and each says what helps.
#[test]
fn full_backlog_and_busy_are_distinct() {
    let (source, region) = (source(), region::<2>(4));
    let (a, b) = (transferred(&region, &source, 0, 1), transferred(&region, &source, 0, 2));
    let Refused { item, why } = region.transfer(block(&source, 0, 3), None).unwrap_err();
    assert_eq!((why, region.space().transfers), (StoreError::Backlog, 0));
    assert_eq!(region.space().pages, Pages::new(2), "a refused transfer reserves nothing");
    // Writing out makes an entry free, but no room.
    assert_eq!(region.write_out_now(usize::MAX, &mut |block| source.free(block)), 2 * PAGE);
    let c = region.transfer(item, None).unwrap();
    let Refused { item, why } = region.transfer(block(&source, 1, 4), None).unwrap_err();
    assert_eq!(why, StoreError::Full, "room for a page is no room for two: transfers don't split");
    assert_eq!(region.space().transfers, 1, "and the table is not the reason");
    source.free(item);
    // With an engine: busy, and only for the block that is under way.
    let mut engine = Dma { polls: 1, ..Dma::default() };
    assert!(region.write_out(&mut engine, PAGE, &mut |_| ()).is_pending());
    let refused = region.take_back(c, Context::THREAD).unwrap_err();
    assert_eq!(refused.why, StoreError::Busy);
    drain(&region, &mut engine, PAGE, &source);
    for (handle, seed) in [(a, 1), (b, 2), (refused.item, 3)] {
        holds(&region, &source, &handle, seed);
        assert!(matches!(region.discard(handle), Ok(None)));
    }
    assert_eq!((source.unused(), region.space().pages), (source.total(), region.total()));
}

/// Rule: a step copies at most what it was allowed, may stop inside a block, and frees it at its end, not before.
#[test]
fn writing_out_stops_inside_a_block() {
    let (source, region) = (source(), region::<4>(16));
    let handle = transferred(&region, &source, 2, 1);
    let free = source.unused();
    let mut copied = 0;
    for step in [1, 100, PAGE, 3] {
        assert_eq!(region.write_out_now(step, &mut |_| panic!("not done yet")), step);
        copied += step;
        assert_eq!((region.pending(), source.unused()), (Pages::new(4), free), "until then nothing is freed");
    }
    assert_eq!(region.write_out_now(0, &mut |_| panic!("no budget")), 0);
    let mut freed = Pages::ZERO;
    let last = region.write_out_now(usize::MAX, &mut |block| {
        freed += block.order().pages();
        source.free(block);
    });
    assert_eq!((copied + last, freed, region.pending()), (4 * PAGE, Pages::new(4), Pages::ZERO));
    holds(&region, &source, &handle, 1);
    region.discard(handle).unwrap();
    assert_eq!(region.space().pages, region.total());
}

/// Rule: an engine gets pieces that are no longer than the limit, one after the other, and one byte for a limit of 0.
#[test]
fn an_engine_works_in_pieces() {
    let (source, region) = (source(), region::<4>(16));
    for (max, pieces) in [(100, 11), (PAGE, 2), (usize::MAX, 1), (0, 2 * PAGE)] {
        let mut engine = Dma { polls: 2, ..Dma::default() };
        let one = block(&source, 1, max as u64);
        let pfn = one.pfn();
        let handle = region.transfer(one, None).unwrap();
        let calls = drain(&region, &mut engine, max, &source);
        assert_eq!(
            (engine.log.len(), calls),
            (pieces, 2 * pieces + 1),
            "two polls each are pending, one of them in the call that starts it"
        );
        let mut at = 0;
        for (from, begins, len) in engine.log {
            assert!(from == pfn && begins == at && len <= max.max(1));
            at += len;
        }
        assert_eq!(at, 2 * PAGE);
        holds(&region, &source, &handle, max as u64);
        region.discard(handle).unwrap();
    }
}

/// Rule: what waits longest is written first, a block that was begun is finished first, and leaving in the
/// middle changes nothing for the others.
#[test]
fn the_oldest_is_written_first() {
    let (source, region) = (source(), region::<4>(16));
    let mut handles = Vec::new();
    let mut frames = Vec::new();
    for seed in 0..4 {
        let one = block(&source, 1, seed);
        frames.push(one.pfn());
        handles.push(region.transfer(one, None).unwrap());
    }
    let second = region.take_back(handles.remove(1), Context::THREAD).unwrap();
    assert_eq!(second.pfn(), frames[1]);
    region.write_out_now(1, &mut |_| panic!("not done yet"));
    handles.push(region.transfer(second, None).unwrap()); // now the youngest
    let mut engine = Dma::default();
    drain(&region, &mut engine, PAGE, &source);
    let order: Vec<_> = engine.log.iter().map(|(pfn, at, _)| (*pfn, *at)).collect();
    let [f0, f1, f2, f3] = <[Pfn; 4]>::try_from(frames).unwrap();
    let (start, middle) = ((f0, 1), (f0, 1 + PAGE));
    assert_eq!(order, [start, middle, (f2, 0), (f2, PAGE), (f3, 0), (f3, PAGE), (f1, 0), (f1, PAGE)]);
    for (handle, seed) in handles.into_iter().zip([0, 2, 3, 1]) {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
}

/// Rule: taking back cancels the write-out, half copied or not; the bytes are right and the room is free again.
#[test]
fn taking_back_half_way_frees_the_room() {
    let (source, region) = (source(), region::<4>(4));
    for copied in [0, 1, PAGE + 7, 4 * PAGE - 1] {
        let handle = transferred(&region, &source, 2, 5);
        assert_eq!(region.space().pages, Pages::ZERO);
        region.write_out_now(copied, &mut |_| panic!("not done yet"));
        let block = region.take_back(handle, Context::THREAD).unwrap();
        assert!(content(&block) == pattern(5, 4 * PAGE));
        assert_eq!((region.pending(), region.space().pages), (Pages::ZERO, region.total()));
        assert_eq!(region.write_out_now(usize::MAX, &mut |_| panic!("it was taken back")), 0);
        source.free(block);
        // Transferred again it is written from its start: new bytes at the old place.
        let handle = transferred(&region, &source, 2, copied as u64 + 100);
        region.write_out_now(usize::MAX, &mut |block| source.free(block));
        holds(&region, &source, &handle, copied as u64 + 100);
        region.discard(handle).unwrap();
    }
}

/// Rule: while the block is with an engine, every way to its bytes is busy, and nothing changes by asking.
#[test]
fn what_is_with_the_engine_is_busy() {
    let (source, region) = (source(), region::<4>(16));
    let handle = transferred(&region, &source, 1, 6);
    let mut engine = Dma { polls: 1, ..Dma::default() };
    assert!(region.write_out(&mut engine, usize::MAX, &mut |_| ()).is_pending());
    let handle = region.take_back(handle, Context::THREAD).unwrap_err();
    assert_eq!(handle.why, StoreError::Busy);
    let handle = region.split(handle.item).unwrap_err();
    assert_eq!(handle.why, StoreError::Busy);
    let handle = handle.item;
    let mut target = block(&source, 1, 7);
    assert_eq!(region.load(&handle, &mut target, Pages::ZERO, Context::THREAD), Err(StoreError::Busy));
    assert!(content(&target) == pattern(7, 2 * PAGE));
    source.free(target);
    assert_eq!(region.pending(), Pages::new(2), "until it is done, pending");
    drain(&region, &mut engine, usize::MAX, &source);
    holds(&region, &source, &handle, 6);
    region.discard(handle).unwrap();
}

/// Rule: a discard succeeds while the engine has the block: it is freed when the engine gives it back, whole or not, and only
/// then the room is free.
#[test]
fn discarding_what_is_with_the_engine() {
    let (source, region) = (source(), region::<4>(16));
    for arrive in [None, Some(0), Some(9)] {
        let handle = transferred(&region, &source, 1, 8);
        let stale = Handle::new(handle.store(), handle.order(), handle.value()).unwrap();
        let again = Handle::new(handle.store(), handle.order(), handle.value()).unwrap();
        let free = source.unused();
        let mut engine = Dma { polls: 1, arrive: arrive.into_iter().collect(), ..Dma::default() };
        assert!(region.write_out(&mut engine, PAGE, &mut |_| ()).is_pending());
        assert!(matches!(region.discard(handle), Ok(None)), "the engine has it");
        assert_eq!(region.take_back(stale, Context::THREAD).unwrap_err().why, StoreError::NotStored);
        assert_eq!(region.discard(again).unwrap_err().why, StoreError::NotStored);
        assert_eq!((region.pending(), region.space().transfers), (Pages::new(2), 3), "it is not freed yet");
        assert_eq!((region.space().pages, source.unused()), (Pages::new(14), free));
        assert_eq!(region.write_out_now(usize::MAX, &mut |_| ()), 0, "no other write-out has it");
        drain(&region, &mut engine, PAGE, &source);
        assert_eq!(engine.log.len(), 1, "the rest of what was discarded is not copied");
        assert_eq!((region.pending(), region.space().transfers), (Pages::ZERO, 4));
        assert_eq!((region.space().pages, source.unused()), (region.total(), source.total()));
    }
}

/// Rule: what did not arrive stays pending and is tried again from there, as often as it takes.
#[test]
fn what_fell_short_is_tried_again() {
    let (source, region) = (source(), region::<4>(16));
    let one = block(&source, 1, 9);
    let pfn = one.pfn();
    let handle = region.transfer(one, None).unwrap();
    let mut engine = Dma { arrive: [0, 0, 10, 0, PAGE].into(), ..Dma::default() };
    let calls = drain(&region, &mut engine, PAGE, &source);
    assert_eq!(calls, 7);
    assert!(engine.log.iter().all(|(from, ..)| *from == pfn));
    let pieces: Vec<_> = engine.log.iter().map(|(_, at, len)| (*at, *len)).collect();
    let (again, from_10) = ((0, PAGE), (10, PAGE));
    assert_eq!(pieces, [again, again, again, from_10, from_10, (PAGE + 10, PAGE - 10)]);
    holds(&region, &source, &handle, 9);
    region.discard(handle).unwrap();
}

/// Rule: a job that an engine gives back to the wrong region is returned, and its own region finishes it.
#[test]
fn two_regions_share_an_engine() {
    let (source, one, other) = (source(), region::<4>(8), region::<2>(8));
    let (a, b) = (transferred(&one, &source, 1, 21), transferred(&other, &source, 1, 22));
    let free = &mut |block| source.free(block);
    let mut engine = Dma { polls: 1, ..Dma::default() };
    assert!(one.write_out(&mut engine, usize::MAX, free).is_pending());
    let Poll::Ready(Err(job)) = other.write_out(&mut engine, usize::MAX, free) else {
        panic!("it is not the other's")
    };
    assert_eq!(other.pending(), Pages::new(2), "and the other's own block was not begun");
    let job = other.finish(job, free).expect_err("still not");
    assert_eq!(one.pending(), Pages::new(2));
    one.finish(job, free).expect("its own");
    assert_eq!(one.pending(), Pages::ZERO);
    drain(&other, &mut engine, 100, &source);
    holds(&one, &source, &a, 21);
    holds(&other, &source, &b, 22);
    one.discard(a).unwrap();
    other.discard(b).unwrap();
    assert_eq!(source.unused(), source.total());
}

/// Rule: pages pending are those that were transferred and not written out, whatever has them.
#[test]
fn pending_is_exact() {
    let (source, region) = (source(), region::<4>(32));
    let [a, b, c] = [(2, 1), (0, 2), (1, 3)].map(|(k, seed)| transferred(&region, &source, k, seed));
    let pages = |n| Pages::new(n);
    let settled = |budget: usize, cx| {
        let s = region.settle(pages(budget), cx, &mut |block| source.free(block));
        (s.freed, s.pending)
    };
    assert_eq!(region.pending(), pages(7));
    assert_eq!(settled(usize::MAX, Context::INTERRUPT), (pages(0), pages(7)));
    assert_eq!(settled(3, Context::THREAD), (pages(0), pages(7)), "three quarters of a block free nothing");
    assert_eq!(settled(1, Context::THREAD), (pages(4), pages(3)));
    let saved = block(&source, 1, 4);
    let d = region.save(&saved, order(1), None, Context::THREAD).unwrap();
    source.free(saved);
    assert_eq!(region.pending(), pages(3), "a copy is never pending");
    source.free(region.take_back(b, Context::THREAD).unwrap());
    assert_eq!(region.pending(), pages(2));
    source.free(region.discard(c).unwrap().expect("it waits"));
    assert_eq!(settled(usize::MAX, Context::THREAD), (pages(0), pages(0)));
    for handle in [a, d] {
        assert!(matches!(region.discard(handle), Ok(None)));
    }
    assert_eq!((source.unused(), region.space().pages), (source.total(), region.total()));
}

/// Rule: the engine that every machine has needs two calls a piece.
#[test]
fn the_cpu_is_an_engine() {
    let (source, region) = (source(), region::<4>(8));
    let handle = transferred(&region, &source, 1, 30);
    let mut cpu = Cpu::IDLE;
    let free = &mut |block| source.free(block);
    assert!(region.write_out(&mut cpu, 600, free).is_pending());
    assert!(region.write_out(&mut cpu, 600, free).is_pending());
    assert!(matches!(region.write_out(&mut cpu, 600, free), Poll::Ready(Ok(()))));
    holds(&region, &source, &handle, 30);
    region.discard(handle).unwrap();
}

/// Rule: several engines work at once, each on a block of its own.
#[test]
fn two_engines_at_once() {
    let (source, region) = (source(), region::<4>(16));
    let handles: Vec<_> = (0..3).map(|seed| transferred(&region, &source, 2, seed)).collect();
    let mut engines = [Dma { polls: 3, ..Dma::default() }, Dma { polls: 1, ..Dma::default() }];
    let free = &mut |block| source.free(block);
    let mut rounds = 0;
    while region.pending() > Pages::ZERO {
        rounds += 1;
        assert!(rounds < 1000, "it never ends");
        for engine in &mut engines {
            assert!(!matches!(region.write_out(engine, 300, free), Poll::Ready(Err(_))));
        }
    }
    for (handle, seed) in handles.into_iter().zip(0..) {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
    assert_eq!(source.unused(), source.total());
}

/// Rule ([`Handle`]): a store checks every value it is given. A handle of another order
/// does not reach what is with the engine, as it does not reach what waits.
#[test]
fn a_forged_order_does_not_reach_what_is_with_the_engine() {
    let (source, region) = (source(), region::<4>(16));
    let handle = transferred(&region, &source, 1, 6);
    let mut engine = Dma { polls: 1, ..Dma::default() };
    assert!(region.write_out(&mut engine, usize::MAX, &mut |_| ()).is_pending());
    let forged = || Handle::new(handle.store(), order(0), handle.value()).unwrap();
    assert_eq!(region.discard(forged()).unwrap_err().why, StoreError::NotStored);
    let why = region.take_back(forged(), Context::THREAD).unwrap_err().why;
    drain(&region, &mut engine, usize::MAX, &source);
    holds(&region, &source, &handle, 6);
    assert_eq!(why, StoreError::NotStored);
    region.discard(handle).unwrap();
}

/// A block whose next `write_at` first does something else: what another thread does meanwhile, in a known order.
struct Slowly(Block);

thread_local! {
    static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
    static ANSWER: Cell<Option<Result<(), StoreError>>> = const { Cell::new(None) };
}

impl OwnedBlock for Slowly {
    const PAGE: usize = PAGE;
    fn pfn(&self) -> Pfn {
        self.0.pfn()
    }
    fn order(&self) -> Order {
        self.0.order()
    }
    fn split(self) -> Result<(Self, Self), Self> {
        self.0.split().map(|(a, b)| (Slowly(a), Slowly(b))).map_err(Slowly)
    }
    fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
        self.0.read_at(at, to)
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        if let Some(meanwhile) = MEANWHILE.take() {
            meanwhile();
        }
        self.0.write_at(at, from)
    }
}

/// Rule (`BackingStore`: every method may be called from several threads; `NotStored`:
/// nothing is stored under it): while one thread loads from a handle, another that loads from it too may be told
/// to try again, but not that the contents are gone.
#[test]
fn two_loads_of_one_handle_at_once() {
    let source: &'static Source = Box::leak(Box::new(source()));
    let region: &'static Region<SpinRawMutex, Slowly, PAGE, 4> =
        Box::leak(Box::new(Region::new(StoreId::DEFAULT)));
    let meta = words(Slow::<4>::metadata_words(8 * PAGE));
    region.init(leak(8 * PAGE, 0), meta).unwrap();
    let first = Slowly(block(source, 1, 40));
    let handle: &'static Handle =
        Box::leak(Box::new(region.save(&first, order(1), None, Context::THREAD).unwrap()));
    let (mut one, mut other) = (Slowly(block(source, 1, 41)), Slowly(block(source, 1, 42)));
    MEANWHILE.set(Some(Box::new(move || {
        ANSWER.set(Some(region.load(handle, &mut other, Pages::ZERO, Context::THREAD)));
        source.free(other.0);
    })));
    assert_eq!(region.load(handle, &mut one, Pages::ZERO, Context::THREAD), Ok(()));
    assert!(content(&one) == pattern(40, 2 * PAGE));
    let answer = ANSWER.take().unwrap();
    assert!(matches!(answer, Ok(()) | Err(StoreError::Busy)), "{answer:?}");
}
