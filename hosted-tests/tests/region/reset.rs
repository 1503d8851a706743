//! Engines that are reset, and lose what they had.

use super::*;

/// Rule (R11): a job that an engine lost is given up by a call: its contents are gone and its handle is free, everything else goes on,
/// and what is out of use is counted. If the job turns up after all, block and room are in use again.
#[test]
fn a_lost_job_is_given_up() {
    let (source, region) = (source(), region::<2>(8));
    for turns_up in [false, true] {
        let before = (source.unused(), region.space().pages, region.lost());
        let (lost, waits) = (transferred(&region, &source, 1, 1), transferred(&region, &source, 1, 2));
        let mut engine = Dma { polls: 3, ..Dma::default() };
        assert!(region.write_out(&mut engine, PAGE, &mut |_| panic!("not done")).is_pending());
        let job = engine.job.take().expect("it was started");
        let job = turns_up.then_some(job); // else it is dropped
        let lost = region.take_back(lost, Context::THREAD).unwrap_err();
        assert_eq!(lost.why, StoreError::Busy, "nothing is known of it");
        assert_eq!(region.engine_was_reset(), Pages::new(2));
        assert_eq!(region.engine_was_reset(), Pages::ZERO, "once");
        assert_eq!((region.pending(), region.lost()), (Pages::new(2), before.2 + Pages::new(2)));
        let lost = region.take_back(lost.item, Context::THREAD).unwrap_err();
        assert_eq!(lost.why, StoreError::NotStored);
        assert_eq!(region.discard(lost.item).unwrap_err().why, StoreError::NotStored);
        // The other one is written out, and there is an entry for a third.
        let third = transferred(&region, &source, 0, 3);
        drain(&region, &mut Dma::default(), usize::MAX, &source);
        assert_eq!(region.pending(), Pages::ZERO);
        for (handle, seed) in [(waits, 2), (third, 3)] {
            holds(&region, &source, &handle, seed);
            region.discard(handle).unwrap();
        }
        let Some(job) = job else {
            let two = Pages::new(2);
            let after = (source.unused() + two, region.space().pages + two, region.lost() - two);
            assert_eq!(after, before, "out of use, and counted");
            continue;
        };
        let mut back = Vec::new();
        region.finish(job, &mut |block| back.push(block)).expect("its own");
        back.into_iter().for_each(|block| source.free(block));
        assert_eq!((source.unused(), region.space().pages, region.lost()), before);
    }
}

/// Rule: what the CPU copies meanwhile is not lost by that.
#[test]
fn the_cpu_is_no_engine() {
    thread_local! {
        static REGION: RefCell<Option<&'static Region<SpinRawMutex, Asks, PAGE, 4>>> = const { RefCell::new(None) };
    }
    /// A block that says that the engine was reset while it is copied.
    struct Asks(Block);
    impl OwnedBlock for Asks {
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
            REGION.with_borrow(|region| {
                assert_eq!(region.map(|region| region.engine_was_reset()), Some(Pages::ZERO))
            });
            self.0.read_at(at, to)
        }
        fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
            self.0.write_at(at, from)
        }
    }
    let source = source();
    let region: &'static Region<SpinRawMutex, Asks, PAGE, 4> =
        Box::leak(Box::new(Region::new(StoreId::DEFAULT)));
    region.init(leak(8 * PAGE, 0), words(Slow::<4>::metadata_words(8 * PAGE))).unwrap();
    REGION.set(Some(region));
    let handle = region.transfer(Asks(block(&source, 1, 4)), None).map_err(|_| ()).expect("there is room");
    assert_eq!(region.write_out_now(usize::MAX, &mut |block| source.free(block.0)), 2 * PAGE);
    let mut back = Asks(block(&source, 1, 5));
    assert_eq!(region.load(&handle, &mut back, Pages::ZERO, Context::THREAD), Ok(()));
    assert!(content(&back) == pattern(4, 2 * PAGE));
    region.discard(handle).map_err(|_| ()).expect("it is stored");
}
