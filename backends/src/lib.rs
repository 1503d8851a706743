//! Sources and backing stores for [`forebay`]. No heap, except for Linux shmem: all metadata is the caller's, sized by `const fn`.
//!
//! | source | blocks | metadata | for |
//! | --- | --- | --- | --- |
//! | [`Ram`] | [`RamBlock`]: bytes | two bits a page, in words of the caller | RAM in ranges of any size |
//! | `HeapSource` (feature `heap`) | bytes, never split | in the free memory itself | a program with such a heap |
//! | `shmem::Arena` (Linux, feature `shmem`) | `shmem::ArenaBlock`: copies only | its own, a byte a page | monitors and other programs |
//!
//! | store | copy | transfer | take back | split | contents end up |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Region`] | yes | yes | until written out | yes | in slow RAM |
//! | `shmem::Arena` | no | yes | yes | yes | where they are, unmapped; in swap, if there is any |
//! | `shmem::Copies` | yes | no | no | yes | in an arena |
//! | [`Tiered`] | as its two stores | | | | in the first that takes them |
//! | [`Rom`] | out only | no | no | yes | where they were: flash, a mapped file |
//! | [`Null`] | no | no | no | no | nowhere |
//!
//! Around a source or a store: [`Faulty`] fails calls on purpose, [`Traced`] reports every call. Around a store: a [`Gate`] that is closed
//! while its memory can't be reached.
//!
//! **For firmware: [`RamForebay`]** is a pool over fast RAM, a region over slow RAM and the forebay that joins them, in one
//! `static`; no trait to implement. The same, made from its parts:
//!
//! ```
//! use forebay::{Buffer, Context, Evict, Forebay, Order, Pages, StoreId, sync::NoopRawMutex};
//! use forebay_backends::{Ram, RamRegion};
//!
//! # fn memory(bytes: usize) -> &'static mut [u8] { vec![0; bytes].leak() }
//! # fn words(n: usize) -> &'static mut [usize] { vec![0; n].leak() }
//! # fn main() -> Result<(), forebay::AccessError> {
//! type Fast = Ram<NoopRawMutex, 512>; // one thread, pages of 512 bytes
//! type Slow = RamRegion<NoopRawMutex, 512, 4>; // four blocks may wait to be written out
//!
//! let fast = Fast::new();
//! fast.add(memory(16 * 1024), words(Fast::metadata_words(16 * 1024))).expect("whole pages");
//! let slow = Slow::new(StoreId::DEFAULT);
//! slow.init(memory(64 * 1024), words(Slow::metadata_words(64 * 1024))).expect("whole pages");
//! let home = Forebay::new(fast, slow);
//!
//! let tile = Buffer::new(&home, Order::new(2).unwrap()); // 2 KiB, contiguous
//! tile.write()?.fill(7);
//!
//! // Under pressure the region takes the block itself; its frames are free once it is written out.
//! let report = home.reclaim(&[&tile], Pages::new(4), Evict::TRANSFER, Context::INTERRUPT);
//! assert_eq!((report.evicted.transferred, report.evicted.copied), (Pages::new(4), Pages::ZERO));
//! assert_eq!(home.settle(Pages::MAX, Context::THREAD).freed, Pages::new(4));
//!
//! assert!(tile.read()?.iter().all(|byte| *byte == 7)); // and back
//! # Ok(())
//! # }
//! ```
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(feature = "shmem", target_os = "linux"))]
extern crate std;

mod facade;
mod frames;
mod middleware;
mod ram;
mod region;
#[cfg(all(feature = "shmem", target_os = "linux"))]
pub mod shmem;
mod sizes;
mod stores;

pub use facade::{InitError, InitErrorKind, RamBuffer, RamForebay};
pub use middleware::{Closed, Event, Faults, Faulty, Gate, Sink, Traced};
#[cfg(feature = "heap")]
pub use ram::{HeapBlock, HeapSource};
pub use ram::{MemoryError, MemoryRefused, Ram, RamBlock};
pub use region::{Checksum, CopyEngine, Cpu, Job, RamRegion, Region, RegionBacked};
pub use stores::{Null, Rom, Tiered};
