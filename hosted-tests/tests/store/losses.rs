//! What stores and engines lose or leave out: which contents that costs, and that no old byte is shown.

use forebay::{
    AccessError, BackingStore, Buffer, Context, Evict, Forebay, Handle, Order, OwnedBlock, Pages, Refused,
    StoreError, StoreId,
    frame::Charge,
    port::{Capabilities, StoreIds},
    sync::SpinRawMutex,
};
use forebay_backends::{CopyEngine, Job, Ram, RamBlock, RamRegion};
use hosted_tests::conformance::pattern;
use hosted_tests::memory::{leak, words};
use std::task::Poll;

const PAGE: usize = 512;
const T: Context = Context::THREAD;
type Source = Ram<SpinRawMutex, PAGE>;

fn source(pages: usize) -> Source {
    let ram = Source::new();
    ram.add(leak(pages * PAGE, 0), words(Source::metadata_words(pages * PAGE))).expect("good memory");
    ram
}

/// Takes everything, and its loads write only this number of bytes.
struct Short(usize);

impl BackingStore<RamBlock<PAGE>> for Short {
    fn ids(&self) -> StoreIds {
        StoreId::DEFAULT.into()
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::COPY
    }
    fn save(
        &self,
        _: &RamBlock<PAGE>,
        order: Order,
        _: Option<Charge>,
        _: Context,
    ) -> Result<Handle, StoreError> {
        Handle::new(StoreId::DEFAULT, order, 0).ok_or(StoreError::Full)
    }
    fn load(&self, _: &Handle, block: &mut RamBlock<PAGE>, at: Pages, _: Context) -> Result<(), StoreError> {
        block.write_at(at.get() * PAGE, &vec![0x77; self.0]);
        Ok(())
    }
    fn discard(&self, _: Handle) -> Result<Option<RamBlock<PAGE>>, Refused<Handle, StoreError>> {
        Ok(None)
    }
}

/// Rule (N3): whatever a store writes and says, no byte of a frame's former owner is ever read: what it left out is zero.
#[test]
fn a_short_load_shows_no_old_bytes() {
    for written in [0, 1, PAGE, 4 * PAGE - 1, 4 * PAGE] {
        let home = Forebay::new(source(8), Short(written));
        let secret = Buffer::new(&home, Order::new(3).unwrap());
        secret.write().unwrap().fill(0xee);
        secret.purge(T).unwrap();
        let buffer = Buffer::new(&home, Order::new(2).unwrap());
        buffer.write().unwrap().fill(0x55);
        assert_eq!(buffer.evict(Pages::MAX, Evict::COPY, T).unwrap().copied, Pages::new(4));
        secret.write().unwrap().fill(0xee); // the frames of the other, too
        secret.purge(T).unwrap();
        let guard = buffer.read().unwrap();
        let (is, left_out) = guard.split_at(written);
        assert!(is.iter().all(|byte| *byte == 0x77) && left_out.iter().all(|byte| *byte == 0), "{written}");
    }
}

/// An engine that loses its first job.
#[derive(Default)]
struct Loses(usize);

impl CopyEngine<RamBlock<PAGE>, PAGE> for Loses {
    fn start(&mut self, job: Job<RamBlock<PAGE>, PAGE>) {
        self.0 += 1;
        drop(job);
    }
    fn poll(&mut self) -> Poll<Option<Job<RamBlock<PAGE>, PAGE>>> {
        if self.0 == 1 { Poll::Pending } else { Poll::Ready(None) }
    }
}

/// Rule (R11): a buffer whose block an engine lost is `Busy` until the region is told, then `Lost`, and usable again after a purge.
#[test]
fn a_buffer_that_an_engine_lost() {
    let region = RamRegion::<SpinRawMutex, PAGE, 4>::new(StoreId::DEFAULT);
    region.init(leak(8 * PAGE, 0), words(8)).unwrap();
    let home = Forebay::new(source(8), region);
    let [lost, other] = [0, 1].map(|seed| {
        let buffer = Buffer::new(&home, Order::new(1).unwrap());
        buffer.write().unwrap().copy_from_slice(&pattern(seed, 2 * PAGE));
        buffer.evict(Pages::MAX, Evict::TRANSFER, T).unwrap();
        buffer
    });
    assert!(home.store().write_out(&mut Loses::default(), usize::MAX, &mut drop).is_pending());
    assert_eq!(lost.read().map(drop), Err(AccessError::Busy));
    assert_eq!(home.store().engine_was_reset(), Pages::new(2));
    for _ in 0..2 {
        assert_eq!(lost.read().map(drop), Err(AccessError::Lost));
    }
    assert!(other.read().unwrap()[..] == pattern(1, 2 * PAGE));
    lost.purge(T).unwrap();
    lost.write().unwrap().copy_from_slice(&pattern(2, 2 * PAGE));
    assert!(lost.read().unwrap()[..] == pattern(2, 2 * PAGE));
    assert_eq!(home.store().lost(), Pages::new(2));
}
