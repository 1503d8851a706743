//! What a reclaim of one page costs among many buffers: over a slice, and over the same with an index.
//!
//!     cargo run --release -p hosted-tests --example reclaim_costs [BUFFERS]
//!
//! One process, both in turn, by the same random sequence; medians. Each time a buffer is used, for which a page has to leave.

use forebay::buffer::Slots;
use forebay::reclaim::{Candidates, EvictionIndex, IndexFull};
use forebay::{Buffer, Context, Evict, Order, Outcome, Pages, Slot, sync::SpinRawMutex};
use forebay_backends::{Ram, RamForebay};
use hosted_tests::memory::{leak, words};
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

const PAGE: usize = 256;
const ROUNDS: usize = 401;
const CX: Context = Context::THREAD;

type Home = RamForebay<SpinRawMutex, PAGE, 64>;
type Fast = Ram<SpinRawMutex, PAGE>;
type One<T = [Slot<Fast>; 1]> = Buffer<&'static Home, T>;

/// Pages of fast RAM, and pages behind it.
fn home(fast: usize, slow: usize) -> Result<&'static Home, Box<dyn Error>> {
    let home: &Home = Box::leak(Box::new(Home::new()));
    let meta = words(Home::metadata_words(fast * PAGE));
    home.init(leak(fast * PAGE, 0), leak(slow * PAGE, 0), meta)?;
    Ok(home)
}

/// Buffers, and how they are walked.
struct Side<'b, C, T: Slots<Platform = Fast>> {
    home: &'static Home,
    candidates: C,
    buffers: &'b [One<T>],
}

impl<C: Candidates, T: Slots<Platform = Fast>> Side<'_, C, T> {
    fn reclaim(&self, how: Evict) {
        let report = self.home.reclaim(&self.candidates, Pages::new(1), how, CX);
        assert_eq!(report.outcome, Outcome::Reached, "{report}");
    }

    /// Uses one, and says how long it took to make room for it, if there was none.
    fn turn(&self, n: usize) -> Option<f64> {
        let buffer = &self.buffers[n];
        if buffer.read().is_ok() {
            return None;
        }
        let start = Instant::now();
        self.reclaim(Evict::COPY);
        let nanos = start.elapsed().as_nanos() as f64;
        assert!(buffer.write().is_ok());
        Some(nanos)
    }

    /// How long it takes to find the one that is not needed.
    fn purge(&self, n: usize) -> Result<f64, Box<dyn Error>> {
        let buffer = &self.buffers[n];
        while buffer.write().is_err() {
            self.reclaim(Evict::COPY);
        }
        let _ = buffer.set_purgeable(true)?;
        let start = Instant::now();
        self.reclaim(Evict::PURGE);
        let nanos = start.elapsed().as_nanos() as f64;
        let _ = buffer.set_purgeable(false)?;
        Ok(nanos)
    }

    /// How long a guard takes of what is resident.
    fn guard(&self, n: usize) -> Result<f64, Box<dyn Error>> {
        let buffer = &self.buffers[n];
        while buffer.read().is_err() {
            self.reclaim(Evict::COPY);
        }
        let start = Instant::now();
        for _ in 0..1000 {
            drop(black_box(buffer.read()?));
        }
        Ok(start.elapsed().as_nanos() as f64 / 1000.0)
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

/// A number below `n`.
fn random(seed: &mut u64, n: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % n
}

fn measure(many: usize, resident: usize) -> Result<(), Box<dyn Error>> {
    let (plain_home, indexed_home) = (home(resident, many)?, home(resident, many)?);
    let index = EvictionIndex::<SpinRawMutex, _>::new(words(EvictionIndex::<SpinRawMutex>::words(many)));
    let plain: Vec<One> = (0..many).map(|_| Buffer::new(plain_home, Order::PAGE)).collect();
    let indexed = |n| {
        let slots = index.indexed(n, [Slot::EMPTY]).map_err(|refused| refused.why)?;
        Ok(Buffer::with_slots(indexed_home, slots, Order::PAGE))
    };
    let indexed: Vec<_> = (0..many).map(indexed).collect::<Result<_, IndexFull>>()?;
    let plain = Side { home: plain_home, candidates: &plain, buffers: &plain };
    let indexed = Side { home: indexed_home, candidates: index.candidates(&indexed), buffers: &indexed };

    let mut seed = 1;
    let (mut evict, mut purge, mut guard) = ([vec![], vec![]], [vec![], vec![]], [vec![], vec![]]);
    for n in 0..resident {
        let n = n * (many / resident);
        drop((plain.buffers[n].write()?, indexed.buffers[n].write()?));
    }
    while evict[0].len() < ROUNDS {
        let n = random(&mut seed, many);
        evict[0].extend(plain.turn(n));
        evict[1].extend(indexed.turn(n));
    }
    for _ in 0..ROUNDS {
        let n = random(&mut seed, many);
        purge[0].push(plain.purge(n)?);
        purge[1].push(indexed.purge(n)?);
        guard[0].push(plain.guard(n)?);
        guard[1].push(indexed.guard(n)?);
    }
    println!("{many} buffers, {resident} resident; nanoseconds, medians of {ROUNDS}");
    println!("{:36}{:>12}{:>12}{:>12}", "", "slice", "index", "ratio");
    for (what, [plain, indexed]) in [
        ("reclaim one page, by copying", &mut evict),
        ("purge the one that is not needed", &mut purge),
        ("take and drop a guard", &mut guard),
    ] {
        let (plain, indexed) = (median(plain), median(indexed));
        println!("{what:36}{plain:>12.0}{indexed:>12.0}{:>12.4}", indexed / plain);
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let many = std::env::args().nth(1).map_or(Ok(1_000_000), |n| n.parse())?;
    for resident in [many / 4, many / 100] {
        measure(many, resident.max(1))?;
    }
    Ok(())
}
