//! Any operations on pool, buffers and stores, of which some end in a panic of a port or of a block.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hosted_tests::fuzzing::panics(data));
