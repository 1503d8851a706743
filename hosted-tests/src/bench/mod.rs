//! The benches: the same workloads for forebay (`lab bench`) and for other allocators beside it (`hosted-tests/rivals`).
//!
//! All that is compared runs in one process, in turns, on the same seeded traces. A duration is the mean of a batch of operations;
//! the median and the 99th percentile are of these means. The loop around an operation is the same for all allocators. Durations
//! include it, instruction counts of W1 to W4 do not. Callgrind runs one thread at a time: a count of W4 with two threads has no
//! waiting.
//!
//! | id | what it does, in an arena of 4 KiB pages |
//! | --- | --- |
//! | `W1` | half of the arena is held in blocks of one order; allocate a block and free it, again and again |
//! | `W1+1` | the same with one more block held, so that no block is split or joined |
//! | `W2-alloc`, `W2-free` | allocate half of the arena; free it in shuffled order |
//! | `W3` | half is held; free a random block and allocate another |
//! | `W4` | W3 on one thread, and on two at once, each with a quarter of the arena |
//! | `W5` | a mix of orders fills 90 %, then half of the arena is freed: how much of the free half is blocks of order 9 and 10 |
//! | `W9` | the same, where evictions free half of the arena |
//! | `evict-*`, `write-out` | buffers leave memory, beside a loop of `memcpy` |
//! | `reclaim`, `purge` | a reclaim of one page, among very many buffers |
//!
//! | | |
//! | --- | --- |
//! | [`rng`] | the seeded generator |
//! | [`row`] | what is printed |
//! | [`options`] | what may be chosen |
//! | [`progress`] | the progress bar |
//! | [`arena`](mod@arena) | memory |
//! | [`subject`] | an allocator, and what it holds |
//! | [`forebay`] | forebay as such an allocator |
//! | [`meter`] | durations of batches |
//! | [`window`] | instructions of batches, by callgrind |
//! | [`speed`] | W1 to W3 |
//! | [`threads`] | W4 |
//! | [`mix`] | the traces of W5 |
//! | [`frag`] | W5 and W9 |
//! | [`evict`] | evictions beside `memcpy` |
//! | [`reclaim`] | reclaims among very many buffers |
//! | [`shmem`] | evictions, restores and drops of shmem beside copies |
//! | [`table`] | the rows as a table |
//!
//! Each uses only those above it.

pub mod arena;
pub mod evict;
pub mod forebay;
pub mod frag;
pub mod meter;
pub mod mix;
pub mod options;
pub mod progress;
pub mod reclaim;
pub mod rng;
pub mod row;
#[cfg(target_os = "linux")]
pub mod shmem;
pub mod speed;
pub mod subject;
pub mod table;
pub mod threads;
pub mod window;

/// Bytes of a page.
pub const PAGE: usize = 4096;
