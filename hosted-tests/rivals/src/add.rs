//! Adding memory: what a machine does once, when it starts. The memory itself is not touched.

use crate::frames;
use hosted_tests::bench::forebay;
use hosted_tests::bench::meter::{Durations, Key};
use hosted_tests::bench::options::Scale;
use hosted_tests::bench::progress::Progress;
use hosted_tests::memory::address_space;
use std::hint::black_box;
use std::time::Instant;

/// Who is asked, and how it adds all of the memory.
const SUBJECTS: [(&str, fn(&'static mut [u8])); 2] = [
    ("forebay-source", |memory| drop(black_box(forebay::added(memory)))),
    ("frame-alloc", |memory| drop(black_box(frames::added(memory)))),
];

/// An operation is all of 64 GiB; each time other address space, in turn.
pub fn run(scale: &Scale, durations: &mut Durations, progress: &mut Progress) {
    let (bytes, rounds) = if scale.quick { (4 << 30, 3) } else { (64 << 30, 15) };
    progress.begin("add", rounds);
    for round in 0..=rounds {
        for (who, add) in SUBJECTS {
            let memory = address_space(bytes);
            let begin = Instant::now();
            add(memory);
            let time = begin.elapsed();
            if round > 0 {
                let key =
                    Key { workload: "add".into(), order: 10, threads: 1, locked: true, who: who.into() };
                durations.add(&key, time.as_nanos() as f64);
            }
        }
        progress.step();
    }
    progress.end();
}
