//! Any operations on pool, buffers and stores, in which ports and blocks say what is not so.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hosted_tests::fuzzing::lies(data));
