//! Any operations on a forebay over a forebay.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hosted_tests::fuzzing::nested(data));
