//! Checksums: memory that changes its bytes is noticed, whatever way the contents took (N9).
#![allow(unsafe_code)]

use super::*;
use hosted_tests::kit::Crc32;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

type Summed<B = Block> = Region<SpinRawMutex, B, PAGE, 4, Crc32>;

/// A region, and its memory, which the test changes as a broken chip would.
struct Chip<B: OwnedBlock = Block> {
    region: Summed<B>,
    memory: *mut u8,
}

impl<B: OwnedBlock> Chip<B> {
    fn new() -> Self {
        let region = Summed::new(StoreId::DEFAULT);
        let memory = leak(16 * PAGE, 0).as_mut_ptr();
        // SAFETY: it is leaked, and reached by the region, and by `flip` while no call of the region runs.
        let lent = unsafe { std::slice::from_raw_parts_mut(memory, 16 * PAGE) };
        assert_eq!(Summed::<B>::metadata_words(16 * PAGE), 32);
        assert_eq!(region.init(lent, words(32)).unwrap(), 16 * PAGE);
        Chip { region, memory }
    }

    /// Changes a bit.
    fn flip(&self, byte: usize) {
        assert!(byte < 16 * PAGE);
        // SAFETY: inside the memory; see `new`.
        unsafe { *self.memory.add(byte) ^= 0x10 };
    }
}

/// Loads behind a page; what the memory had, or why not.
fn load(region: &Summed, source: &Source, handle: &Handle) -> Result<Vec<u8>, StoreError> {
    let mut block = block(source, handle.order().get() + 1, 0xf111);
    let at = Pages::new(1);
    let result = region.load(handle, &mut block, at, Context::THREAD).map(|()| {
        let bytes = PAGE << handle.order().get();
        content(&block)[PAGE..PAGE + bytes].to_vec()
    });
    source.free(block);
    result
}

/// Rule: a changed bit anywhere in the contents makes a load fail, and the same contents are loaded again once the bit is right. It
/// does not matter whether they were saved, written out in parts, copied by a controller, or lie in pieces; nor whether they are in
/// room that was reserved. Other contents are not touched by it.
#[test]
fn a_changed_bit_is_noticed() {
    let (source, chip) = (source(), Chip::<Block>::new());
    let region = &chip.region;
    let (free, mut handles) = (source.unused(), Vec::new());
    // In pieces: every other page is taken.
    let single: Vec<_> = (0..8).map(|n| save(region, &source, 0, n)).collect();
    for (n, handle) in single.into_iter().enumerate() {
        match n % 2 {
            0 => handles.push((handle, n as u64)),
            _ => assert!(region.discard(handle).unwrap().is_none()),
        }
    }
    handles.push((save(region, &source, 2, 20), 20));
    // Written out by the CPU, in parts that end inside of pages.
    let handle = region.transfer(block(&source, 1, 21), None).unwrap();
    let mut parts = 0;
    while region.write_out_now(100, &mut |block| source.free(block)) > 0 {
        parts += 1;
    }
    assert_eq!((parts, region.pending()), (11, Pages::ZERO));
    handles.push((handle, 21));
    // By a controller.
    let handle = region.transfer(block(&source, 1, 22), None).unwrap();
    let mut dma = Dma { arrive: [70, PAGE, 3].into(), ..Dma::default() };
    while region.write_out(&mut dma, 300, &mut |block| source.free(block)).is_pending() {}
    handles.push((handle, 22));
    // Into room of its own, once saved and once transferred.
    let rooms = region.rooms().unwrap();
    let room = rooms.reserve(order(0)).unwrap();
    let saved = block(&source, 0, 23);
    assert_eq!(rooms.save_into(&room, &saved, Context::THREAD), Ok(()));
    source.free(saved);
    handles.push((room, 23));
    let room = rooms.reserve(order(1)).unwrap();
    let room = rooms.transfer_into(room, block(&source, 1, 24)).unwrap();
    region.write_out_now(usize::MAX, &mut |block| source.free(block));
    handles.push((room, 24));
    assert_eq!((source.unused(), region.space().pages), (free, Pages::new(16 - 4 - 4 - 2 - 2 - 1 - 2)));

    let is_right = |handle: &Handle, seed| {
        load(region, &source, handle) == Ok(pattern(seed, PAGE << handle.order().get()))
    };
    for byte in (0..16 * PAGE).step_by(97) {
        chip.flip(byte);
        let wrong: Vec<_> = handles.iter().filter(|(handle, seed)| !is_right(handle, *seed)).collect();
        let whys: Vec<_> = wrong.iter().map(|(handle, _)| load(region, &source, handle)).collect();
        assert!(whys.iter().all(|why| *why == Err(StoreError::Io)), "byte {byte}: {whys:?}");
        assert!(wrong.len() <= 1, "a byte belongs to one");
        chip.flip(byte);
        assert!(handles.iter().all(|(handle, seed)| is_right(handle, *seed)), "byte {byte}");
    }
    let noticed = |byte| {
        chip.flip(byte);
        let noticed = handles.iter().any(|(handle, seed)| !is_right(handle, *seed));
        chip.flip(byte);
        noticed
    };
    assert_eq!((0..16).filter(|page| noticed(page * PAGE + 7)).count(), 15, "all pages that are in use");

    // Halves of what lies in pieces have the sums of their pages.
    let (whole, _) = handles.remove(4);
    let (lower, upper) = region.split(whole).unwrap();
    let bytes = pattern(20, 4 * PAGE);
    let is = || {
        [(&lower, 0), (&upper, 2)]
            .map(|(half, at)| load(region, &source, half) == Ok(bytes[at * PAGE..(at + 2) * PAGE].to_vec()))
    };
    assert_eq!(is(), [true; 2]);
    let (mut of_lower, mut of_upper) = (0, 0);
    for page in 0..16 {
        chip.flip(page * PAGE + 500);
        let [lower, upper] = is();
        of_lower += usize::from(!lower);
        of_upper += usize::from(!upper);
        assert!(lower || upper);
        chip.flip(page * PAGE + 500);
    }
    assert_eq!((of_lower, of_upper), (2, 2));
    for handle in handles.into_iter().map(|(handle, _)| handle).chain([lower, upper]) {
        region.discard(handle).unwrap();
    }
    assert_eq!((source.unused(), region.space().pages), (source.total(), region.total()));
}

fn save(region: &Summed, source: &Source, k: u8, seed: u64) -> Handle {
    let block = block(source, k, seed);
    let handle = region.save(&block, order(k), None, Context::THREAD).unwrap();
    source.free(block);
    handle
}

/// Rule: a controller that writes a wrong byte is found out, as the sum is of the memory that it read.
#[test]
fn a_controller_that_writes_wrong_bytes() {
    struct Wrong(Option<Job<Block, PAGE>>);
    impl CopyEngine<Block, PAGE> for Wrong {
        fn start(&mut self, mut job: Job<Block, PAGE>) {
            job.copy();
            job.to()[9] ^= 1;
            self.0 = Some(job);
        }
        fn poll(&mut self) -> Poll<Option<Job<Block, PAGE>>> {
            Poll::Ready(self.0.take())
        }
    }
    let (source, chip) = (source(), Chip::<Block>::new());
    let handle = chip.region.transfer(block(&source, 1, 1), None).unwrap();
    let mut wrong = Wrong(None);
    while chip.region.write_out(&mut wrong, usize::MAX, &mut |block| source.free(block)).is_pending() {}
    assert_eq!(load(&chip.region, &source, &handle), Err(StoreError::Io));
    assert!(chip.region.discard(handle).unwrap().is_none(), "it can be given up");
}

/// Rule: a job of another region changes no sum: it is handed back.
#[test]
fn a_job_of_another_region() {
    let (source, chip, other) = (source(), Chip::<Block>::new(), Chip::<Block>::new());
    let mine = save(&chip.region, &source, 0, 1);
    let handle = other.region.transfer(block(&source, 0, 2), None).unwrap();
    let mut dma = Dma { polls: 1, ..Dma::default() };
    assert!(other.region.write_out(&mut dma, PAGE, &mut |_| ()).is_pending());
    let mut job = dma.job.take().expect("it was started");
    job.copy();
    let job = chip.region.finish(job, &mut |_| panic!("not its own")).unwrap_err();
    assert_eq!(load(&chip.region, &source, &mine), Ok(pattern(1, PAGE)));
    other.region.finish(job, &mut |block| source.free(block)).unwrap();
    assert_eq!(load(&other.region, &source, &handle), Ok(pattern(2, PAGE)));
}

thread_local! {
    /// How many reads of a [`Moody`] succeed; the next one panics or gives nothing.
    static READS: Cell<usize> = const { Cell::new(usize::MAX) };
    static PANICS: Cell<bool> = const { Cell::new(false) };
}

/// A block that can't always be read.
struct Moody(Block);

impl OwnedBlock for Moody {
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
        let left = READS.get();
        READS.set(left.saturating_sub(1));
        match left {
            0 if PANICS.get() => resume_unwind(Box::new("read")), // no message
            0 => 0,
            _ => self.0.read_at(at, to),
        }
    }
    fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
        self.0.write_at(at, from)
    }
}

/// Rule: a block that panics while it is summed up, or gives too little, is still pending, and is written out when it can be read: with
/// the CPU, and after a controller copied it.
#[test]
fn a_block_that_cannot_be_summed_up() {
    for panics in [false, true] {
        for by_cpu in [false, true] {
            let (source, chip) = (source(), Chip::<Moody>::new());
            let region = &chip.region;
            let handle = region.transfer(Moody(block(&source, 0, 7)), None).map_err(|_| ()).unwrap();
            PANICS.set(panics);
            READS.set(3); // the copy, and the first parts of the sum
            let mut free = |block: Moody| source.free(block.0);
            let mut cpu = Cpu::IDLE;
            let tried = catch_unwind(AssertUnwindSafe(|| match by_cpu {
                true => drop(region.write_out_now(PAGE, &mut free)),
                false => drop(region.write_out(&mut cpu, PAGE, &mut free)),
            }));
            assert_eq!((tried.is_err(), region.pending()), (panics, Pages::new(1)), "by CPU: {by_cpu}");
            READS.set(usize::MAX);
            assert_eq!(region.write_out_now(PAGE, &mut |block| source.free(block.0)), PAGE);
            let mut back = Moody(block(&source, 0, 1));
            assert_eq!(region.load(&handle, &mut back, Pages::ZERO, Context::THREAD), Ok(()));
            assert!(content(&back.0) == pattern(7, PAGE));
            source.free(back.0);
            assert!(region.discard(handle).map_err(|_| ()).unwrap().is_none());
            assert_eq!((source.unused(), region.space().pages), (source.total(), region.total()));
        }
    }
}

/// Rule: metadata for sums is asked for.
#[test]
fn sums_need_metadata() {
    let region = Summed::<Block>::new(StoreId::DEFAULT);
    let refused = region.init(leak(4 * PAGE, 0), words(7)).unwrap_err();
    assert_eq!(refused.why, forebay_backends::MemoryError::Metadata { words: 8 });
    assert_eq!(region.init(leak(4 * PAGE, 0), words(8)).unwrap(), 4 * PAGE);
}
