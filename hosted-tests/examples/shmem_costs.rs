//! What transferring 2 MiB and taking them back cost beside copying them, on this machine as it is set: one process,
//! cases in turn, medians of CPU time, and ratios. `cargo run --release -p hosted-tests --example shmem_costs`

use forebay::{
    AllocRequest, BackingStore, Context, FrameSource, Order, OwnedBlock, Pages, StoreId, sync::SpinRawMutex,
};
use forebay_backends::shmem::Arena;
use forebay_backends::{Ram, RamBlock};
use hosted_tests::memory::{leak, words};

const THREAD: Context = Context::THREAD;
const HUGE: Order = Order::new(9).expect("2 MiB");
const BLOCKS: usize = 64;
const ROUNDS: usize = 9;

/// CPU time of this thread, in nanoseconds.
fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes the time there.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) }, 0);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[derive(Default)]
struct Case {
    name: &'static str,
    samples: Vec<u64>,
}

impl Case {
    fn time<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let start = now();
        let result = f();
        self.samples.push((now() - start) / BLOCKS as u64);
        result
    }

    fn median(&mut self) -> u64 {
        self.samples.sort_unstable();
        self.samples[self.samples.len() / 2]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arena = Arena::builder(256 << 20).create()?;
    let other = Arena::builder(256 << 20).create()?;
    let copies = other.copies(StoreId::DEFAULT);
    let ram = Ram::<SpinRawMutex, 4096>::new();
    let bytes = (BLOCKS + 1) << 21;
    ram.add(leak(bytes, 0), words(Ram::<SpinRawMutex, 4096>::metadata_words(bytes)))
        .map_err(|refused| refused.why)?;
    let take_ram = || {
        (0..BLOCKS)
            .map(|_| ram.allocate(AllocRequest::new(HUGE), THREAD).expect("there is room"))
            .collect::<Vec<_>>()
    };
    let mut plain = take_ram();
    plain.iter_mut().for_each(|block| block.fill(1));
    let mut cases =
        ["memcpy", "transfer", "settle", "take back", "copy in", "settle of copies", "copy back", "drop"]
            .map(|name| Case { name, ..Case::default() });
    let [memcpy, transfer, settle, take_back, save, settle_copies, load, drop] = &mut cases;
    for _ in 0..ROUNDS {
        let mut blocks: Vec<_> = (0..BLOCKS)
            .map(|_| arena.allocate(AllocRequest::new(HUGE), THREAD).expect("there is room"))
            .collect();
        blocks.iter_mut().zip(&plain).for_each(|(to, from)| assert_eq!(to.write_at(0, from), from.len()));
        memcpy.time(|| {
            let (to, from) = plain.split_at_mut(BLOCKS / 2);
            for _ in 0..2 {
                to.iter_mut().zip(from.iter()).for_each(|(to, from)| to.copy_from_slice(from));
            }
        });
        let handles: Vec<_> = transfer.time(|| {
            blocks.into_iter().map(|block| arena.transfer(block, None).expect("it takes all")).collect()
        });
        let settled = settle.time(|| arena.settle(Pages::ZERO, THREAD, &mut |_| {}));
        assert_eq!(settled.reclaimable, Pages::new(BLOCKS << 9));
        let back: Vec<_> = take_back.time(|| {
            handles.into_iter().map(|h| arena.take_back(h, THREAD).expect("it is stored")).collect()
        });
        let handles: Vec<_> = save.time(|| {
            plain.iter().map(|b| copies.save(b, HUGE, None, THREAD).expect("there is room")).collect()
        });
        settle_copies
            .time(|| BackingStore::<RamBlock<4096>>::settle(&copies, Pages::ZERO, THREAD, &mut |_| {}));
        load.time(|| {
            for (handle, block) in handles.iter().zip(&mut plain) {
                copies.load(handle, block, Pages::ZERO, THREAD).expect("it is stored");
            }
        });
        drop.time(|| {
            for handle in handles {
                let gone: Option<RamBlock<4096>> = copies.discard(handle).expect("it is stored");
                assert!(gone.is_none());
            }
            BackingStore::<RamBlock<4096>>::settle(&copies, Pages::ZERO, THREAD, &mut |_| {});
        });
        back.into_iter().for_each(|block| arena.free(block));
        arena.settle(Pages::ZERO, THREAD, &mut |_| {});
    }
    println!("{}\n", arena.host_report());
    let base = cases[0].median();
    for case in &mut cases {
        let ns = case.median();
        println!("{:18} {ns:>9} ns for 2 MiB {:>9.3} x memcpy", case.name, ns as f64 / base as f64);
    }
    Ok(())
}
