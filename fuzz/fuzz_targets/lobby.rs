//! Any operations on a forebay with a lobby, whose stores are small and fail now and then.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hosted_tests::fuzzing::lobby(data));
