//! Adding memory: what a machine does once, when it starts. The memory itself is not touched.

use crate::frames;
use ::forebay::Order;
use hosted_tests::bench::forebay;
use hosted_tests::bench::meter::{Key, Meter};
use hosted_tests::bench::options::Scale;
use hosted_tests::bench::progress::Progress;
use hosted_tests::memory::address_space;
use std::hint::black_box;

/// Adds all of this memory.
type Add = fn(&'static mut [u8]);

const SUBJECTS: [(&str, Add); 2] = [
    ("forebay-source", |memory| drop(black_box(forebay::added(memory)))),
    ("frame-alloc", |memory| drop(black_box(frames::added(memory)))),
];

/// Rounds, at most: each takes other address space.
const ROUNDS: usize = 15;

/// An operation is all of 64 GiB; each time other address space, in turn.
pub fn run(scale: &Scale, meter: &mut dyn Meter, progress: &mut Progress) {
    let pace = meter.pace();
    let (bytes, rounds) =
        (if scale.quick { 4 << 30 } else { 64 << 30 }, pace.warm_up + pace.rounds.min(ROUNDS));
    progress.begin("add", rounds);
    for round in 0..rounds {
        meter.counts_from_now(round);
        for (who, add) in SUBJECTS {
            let mut memory = Some(address_space(bytes));
            meter
                .batch(&Key::new("add", Order::TEN, who), 1, &mut || memory.take().into_iter().for_each(add));
        }
        progress.step();
    }
    progress.end();
}
