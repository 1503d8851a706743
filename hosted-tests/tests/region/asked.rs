//! Asking back what an engine has: who asks gets it next, and no block waits for ever for that.

use super::*;

fn no(block: Block) {
    panic!("{block:?} is not written out to its end");
}

fn busy<const N: usize>(region: &Slow<N>, handle: Handle) -> Handle {
    let refused = region.take_back(handle, Context::THREAD).unwrap_err();
    assert_eq!(refused.why, StoreError::Busy);
    refused.item
}

fn after(polls: u32) -> Dma {
    Dma { polls, ..Dma::default() }
}

/// Rule: what was asked back while the engine had it is passed over by the next write-out, so that taking back
/// wins: the same block, with its bytes, and the room is free.
#[test]
fn who_asked_gets_it_when_the_engine_is_done_with_the_piece() {
    let (source, region) = (source(), region::<4>(8));
    for asked in 1..3 {
        let one = block(&source, 2, 1);
        let pfn = one.pfn();
        let mut handle = region.transfer(one, None).unwrap();
        let mut engine = after(2);
        assert!(region.write_out(&mut engine, PAGE, &mut no).is_pending());
        for _ in 0..asked {
            handle = busy(&region, handle);
        }
        assert!(region.write_out(&mut engine, PAGE, &mut no).is_pending());
        let done = region.write_out(&mut engine, PAGE, &mut no);
        assert!(
            matches!(done, Poll::Pending),
            "there is more to do, but nothing else than what was asked for"
        );
        assert_eq!(engine.log, [(pfn, 0, PAGE)]);
        let back = region.take_back(handle, Context::THREAD).unwrap();
        assert!(back.pfn() == pfn && content(&back) == pattern(1, 4 * PAGE));
        source.free(back);
        assert_eq!((region.pending(), region.space().pages), (Pages::ZERO, region.total()));
        assert_eq!(drain(&region, &mut engine, PAGE, &source), 1);
    }
}

/// Rule: it is passed over once: if it is not fetched, the write-out goes on where it stopped.
#[test]
fn if_it_is_not_fetched_it_is_written_out_later() {
    let (source, region) = (source(), region::<4>(8));
    for by_cpu in [false, true] {
        let mut handle = transferred(&region, &source, 1, 2);
        let mut engine = after(1);
        assert!(region.write_out(&mut engine, 100, &mut no).is_pending());
        handle = busy(&region, handle);
        assert!(region.write_out(&mut engine, 100, &mut no).is_pending());
        assert_eq!((engine.log.len(), region.pending()), (1, Pages::new(2)));
        if by_cpu {
            let rest = region.write_out_now(usize::MAX, &mut |block| source.free(block));
            assert_eq!(rest, 2 * PAGE - 100);
        } else {
            drain(&region, &mut engine, PAGE, &source);
            let pieces: Vec<_> = engine.log.iter().map(|(_, at, len)| (*at, *len)).collect();
            assert_eq!(pieces, [(0, 100), (100, PAGE), (100 + PAGE, PAGE - 100)]);
        }
        holds(&region, &source, &handle, 2);
        region.discard(handle).unwrap();
        assert_eq!(source.unused(), source.total());
    }
}

/// Rule: several may be asked for at once; each is passed over, and what was not asked for goes out meanwhile.
#[test]
fn several_are_passed_over_at_once() {
    let (source, region) = (source(), region::<4>(16));
    let mut handles: Vec<_> = (0..4).map(|seed| transferred(&region, &source, 1, seed)).collect();
    let mut engines = [after(1), after(1), after(1)];
    for engine in &mut engines {
        assert!(region.write_out(engine, PAGE, &mut no).is_pending());
    }
    // The engines have 0 to 2, one piece each. 0 and 2 are asked for.
    let two = busy(&region, handles.remove(2));
    let zero = busy(&region, handles.remove(0));
    let mut engine = after(0);
    let mut freed = Vec::new();
    for done in &mut engines {
        let Poll::Ready(Some(job)) = done.poll() else { panic!("its one poll is over") };
        region.finish(job, &mut no).expect("its own");
    }
    // 1, which was begun, and 3 are not asked for.
    for _ in 0..3 {
        assert!(region.write_out(&mut engine, PAGE, &mut |block| freed.push(block.pfn())).is_pending());
    }
    for _ in 0..2 {
        assert!(region.write_out(&mut engine, PAGE, &mut no).is_pending(), "0 and 2 are passed over, both");
    }
    assert_eq!(region.pending(), Pages::new(4), "1 and 3 are out");
    let back = [(zero, 0), (two, 2)].map(|(handle, seed)| {
        let block = region.take_back(handle, Context::THREAD).expect("passed over");
        assert!(content(&block) == pattern(seed, 2 * PAGE));
        block
    });
    assert_eq!((freed.len(), region.pending()), (2, Pages::ZERO));
    for (handle, seed) in handles.into_iter().zip([1, 3]) {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
    back.into_iter().for_each(|block| source.free(block));
    assert_eq!(region.space().pages, region.total());
}

/// Rule: passed over once for each time it was out, so it is never starved: one who always asks too early, and never
/// comes, delays the write-out by a call for each piece, and no more.
#[test]
fn who_always_asks_and_never_comes_starves_no_block() {
    let (source, region) = (source(), region::<4>(16));
    let one = block(&source, 2, 3);
    let pfn = one.pfn();
    let (mut first, other) = (region.transfer(one, None).unwrap(), transferred(&region, &source, 2, 4));
    let mut engine = after(1);
    let mut calls = 0;
    while region.pending() > Pages::ZERO {
        calls += 1;
        assert!(calls < 50, "it never ends");
        let _ = region.write_out(&mut engine, PAGE, &mut |block| source.free(block)).is_pending();
        // Only while the engine has that one.
        if engine.job.as_ref().is_some_and(|job| job.from().pfn() == pfn) {
            first = match region.take_back(first, Context::THREAD) {
                Ok(block) => panic!("{block:?} came back after all"),
                Err(refused) => refused.item,
            };
        }
    }
    assert_eq!(engine.log.len(), 8, "each piece once");
    for (handle, seed) in [(first, 3), (other, 4)] {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
}

/// Rule: who asks for the last piece too late finds a copy, and loads it.
#[test]
fn after_the_last_piece_there_is_a_copy() {
    let (source, region) = (source(), region::<4>(8));
    let handle = transferred(&region, &source, 0, 5);
    let mut engine = after(1);
    assert!(region.write_out(&mut engine, PAGE, &mut no).is_pending());
    let handle = busy(&region, handle);
    drain(&region, &mut engine, PAGE, &source);
    let refused = region.take_back(handle, Context::THREAD).unwrap_err();
    assert_eq!((refused.why, source.unused()), (StoreError::WrongKind, source.total()));
    holds(&region, &source, &refused.item, 5);
    region.discard(refused.item).unwrap();
}

/// Rule: an engine that copies at once has nothing to keep, so one may be made for each call: nothing is lost with it.
#[test]
fn an_engine_may_be_made_for_one_call() {
    let (source, region) = (source(), region::<4>(8));
    let handles = [6, 7].map(|seed| transferred(&region, &source, 1, seed));
    let mut freed = 0;
    for pieces in 1..=4 {
        let mut engine = Cpu::IDLE;
        let step = region.write_out(&mut engine, PAGE, &mut |block| {
            freed += 1;
            source.free(block);
        });
        assert!(step.is_pending(), "there may be more");
        assert_eq!((region.pending(), freed), (Pages::new(4 - pieces / 2 * 2), pieces / 2));
    }
    assert!(matches!(region.write_out(&mut { Cpu::IDLE }, PAGE, &mut no), Poll::Ready(Ok(()))));
    assert_eq!((source.unused(), region.space().transfers), (source.total(), 4));
    for (handle, seed) in handles.into_iter().zip(6..) {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
}

/// Fails on one block, again and again.
struct Bad(Pfn, Option<Job<Block, PAGE>>);

impl CopyEngine<Block, PAGE> for Bad {
    fn start(&mut self, mut job: Job<Block, PAGE>) {
        if job.from().pfn() == self.0 {
            job.fell_short(0);
        } else {
            job.copy();
        }
        self.1 = Some(job);
    }
    fn poll(&mut self) -> Poll<Option<Job<Block, PAGE>>> {
        Poll::Ready(self.1.take())
    }
}

/// Rule: a block on which the engine fails waits behind the others, which go out; it stays pending, and comes back.
#[test]
fn a_block_that_fails_does_not_keep_the_others_waiting() {
    let (source, region) = (source(), region::<4>(8));
    let one = block(&source, 1, 8);
    let mut engine = Bad(one.pfn(), None);
    let bad = region.transfer(one, None).unwrap();
    let good = [9, 10].map(|seed| transferred(&region, &source, 1, seed));
    for _ in 0..10 {
        assert!(region.write_out(&mut engine, PAGE, &mut |block| source.free(block)).is_pending());
    }
    assert_eq!(region.pending(), Pages::new(2), "two blocks of two pieces each, and tries of the bad one");
    for (handle, seed) in good.into_iter().zip(9..) {
        holds(&region, &source, &handle, seed);
        region.discard(handle).unwrap();
    }
    let back = region.take_back(bad, Context::THREAD).unwrap();
    assert!(back.pfn() == engine.0 && content(&back) == pattern(8, 2 * PAGE));
    source.free(back);
}
