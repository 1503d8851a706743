//! The kit, under the name that `shmem_surroundings` has for it.

pub(crate) use hosted_tests::kit::*;
