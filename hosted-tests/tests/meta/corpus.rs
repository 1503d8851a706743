//! What the fuzzer found worth keeping, and what it would find, on stable Rust.
#![cfg(target_os = "linux")] // its machines may have an arena

use hosted_tests::fuzzing::{self, Plant, ownership_transfer_with};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// The fuzz targets: each has a folder of inputs.
type Target = (&'static str, fn(&[u8]));
const TARGETS: [Target; 5] = [
    ("ownership_transfer", fuzzing::ownership_transfer),
    ("panics", fuzzing::panics),
    ("lies", fuzzing::lies),
    ("nested", fuzzing::nested),
    ("lobby", fuzzing::lobby),
];

/// Rule: every input that was ever interesting runs without a violation; those of old bugs too.
#[test]
fn every_committed_input_runs_clean() {
    for (name, target) in TARGETS {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(&corpus)
            .unwrap_or_else(|e| panic!("{}: {e}", corpus.display()))
            .map(|entry| entry.expect("a readable directory").path())
            .collect();
        files.sort();
        assert!(files.len() >= 10, "the corpus is missing: {}", corpus.display());
        for file in files {
            let data = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            if catch_unwind(|| target(&data)).is_err() {
                panic!("{} breaks a rule; see above", file.display());
            }
        }
    }
}

/// Rule: so does a batch of random inputs.
#[test]
fn pseudo_random_inputs_run_clean() {
    for (name, target) in TARGETS {
        for (seed, data) in inputs(300) {
            if catch_unwind(|| target(&data)).is_err() {
                panic!("the input of seed {seed} breaks a rule of {name}; see above");
            }
        }
    }
}

/// Rule: the harness can fail. A machine with one small bug is found by the same inputs.
#[test]
fn planted_bugs_are_found() {
    let plants = [
        Plant::FlipsABit,
        Plant::FlipsPastTheOracle,
        Plant::LosesABlock,
        Plant::SwapsHalves,
        Plant::CountsNothing,
        Plant::TakesBackAnother,
        Plant::LosesHalfABlock,
        Plant::SettlesNothing,
        Plant::WritesLate,
        Plant::ForgetsAnExport,
        Plant::MissesABit,
        Plant::GivesUpAtABusyOne,
        Plant::CountsAPageMore,
        Plant::DropsWhatIsNeeded,
        Plant::PromisesMemory,
        Plant::KeepsRoom,
        Plant::LosesRoom,
    ];
    for plant in plants {
        let found = inputs(1000).find_map(|(_, data)| {
            catch_unwind(AssertUnwindSafe(|| ownership_transfer_with(&data, plant))).err()
        });
        let why = found.unwrap_or_else(|| panic!("{plant:?} is not found"));
        let text = why.downcast_ref::<String>().map(String::as_str).or(why.downcast_ref::<&str>().copied());
        println!("{plant:?}: {}", text.unwrap_or("?"));
    }
}

/// Inputs of 512 bytes, the same every time.
fn inputs(count: u64) -> impl Iterator<Item = (u64, Vec<u8>)> {
    (1..=count).map(|seed| {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // splitmix64 (Steele, Lea, Flood 2014)
        let mut next = || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        (seed, (0..64).flat_map(|_| next().to_le_bytes()).collect())
    })
}
