//! What a reclaim of one page costs among many buffers: over a slice, and over the same with an index.
//!
//!     cargo run --release -p hosted-tests --example reclaim_costs [BUFFERS]
//!     cargo run --release -p hosted-tests --example reclaim_costs BUFFERS slice|index evict|purge ROUNDS
//!
//! The first: nanoseconds, in one process, both in turn, by the same random sequence; medians. The second does one thing in the
//! window that callgrind counts; `cargo xtask reclaims` runs it.

use forebay::buffer::Slots;
use forebay::reclaim::Candidates;
use forebay::sync::SpinRawMutex;
use forebay_backends::Ram;
use hosted_tests::many::{Many, over_a_slice, over_an_index, window};
use std::cell::Cell;
use std::time::Instant;

type Fast = Ram<SpinRawMutex, 256>;

const ROUNDS: usize = 401;
const GUARDS: usize = 1000;

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long each of these takes in nanoseconds, once.
fn timed<C: Candidates, T: Slots<Platform = Fast>>(many: &mut Many<C, T>) -> [f64; 3] {
    let nanos = Cell::new(0.0);
    let mut measure = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        nanos.set(start.elapsed().as_nanos() as f64);
    };
    many.use_one(&mut measure);
    let evict = nanos.get();
    many.purge_one(&mut measure);
    let purge = nanos.get();
    many.guards(GUARDS, &mut measure);
    [evict, purge, nanos.get() / GUARDS as f64]
}

fn measure(many: usize, resident: usize) {
    let (mut plain, mut indexed) = (over_a_slice(many, resident), over_an_index(many, resident));
    let mut samples: [[Vec<f64>; 2]; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (side, figures) in [timed(&mut plain), timed(&mut indexed)].into_iter().enumerate() {
            samples.iter_mut().zip(figures).for_each(|(samples, nanos)| samples[side].push(nanos));
        }
    }
    println!("{many} buffers, {resident} resident; nanoseconds, medians of {ROUNDS}");
    println!("{:36}{:>12}{:>12}{:>12}", "", "slice", "index", "ratio");
    let names = ["reclaim one page, by copying", "purge the one that is not needed", "take and drop a guard"];
    for (what, [plain, indexed]) in names.into_iter().zip(&mut samples) {
        let (plain, indexed) = (median(plain), median(indexed));
        println!("{what:36}{plain:>12.0}{indexed:>12.0}{:>12.4}", indexed / plain);
    }
}

/// One thing only, in the window.
fn counted<C: Candidates, T: Slots<Platform = Fast>>(mut many: Many<C, T>, what: &str, rounds: usize) {
    (0..rounds).for_each(|_| many.use_one(&mut |f| f())); // until the hand was once round
    for _ in 0..rounds {
        match what {
            "purge" => many.purge_one(&mut |f| window(f)),
            _ => many.use_one(&mut |f| window(f)),
        }
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok());
    let many = number(0).unwrap_or(1_000_000);
    match (words.get(1).map(String::as_str), words.get(2), number(3)) {
        (Some("slice"), Some(what), Some(rounds)) => counted(over_a_slice(many, many / 100), what, rounds),
        (Some("index"), Some(what), Some(rounds)) => counted(over_an_index(many, many / 100), what, rounds),
        _ => [many / 4, many / 100].into_iter().for_each(|resident| measure(many, resident.max(1))),
    }
}
