//! Any operations on pool, buffers and every store, with the oracle beside them.
//!
//! `cargo +nightly fuzz run ownership_transfer`. What the bytes mean is in `hosted_tests::fuzzing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hosted_tests::fuzzing::ownership_transfer(data));
