//! The operations that the fuzzer drives.
