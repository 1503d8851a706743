//! Page sources and backing stores for [`forebay`]. No heap: all metadata is the caller's, sized by `const fn`.
//!
//! | platform | blocks | metadata | for |
//! | --- | --- | --- | --- |
//! | [`Ram`] | [`RamBlock`]: bytes | two bits a page, in words of the caller | RAM in pieces of any size |
//! | [`HeapSource`] | [`HeapBlock`]: bytes, never split | in the free memory itself | a program with such a heap |
//!
//! | store | copy | transfer | take back | split | contents end up |
//! | --- | --- | --- | --- | --- | --- |
//! | [`Region`] | yes | yes | until written out | yes | in slow RAM |
//! | [`Tiered`] | as its two stores | | | | wherever the first one was willing, then the second |
//! | [`Null`] | no | no | no | no | nowhere |
//!
//! Around either: [`Faulty`] fails calls on purpose, [`Traced`] reports every call. [`RamForebay`] is a pool over
//! fast RAM, a region over slow RAM and what joins them, in one `static`.
#![no_std]
#![deny(unsafe_code)]

mod facade;
mod middleware;
mod null;
mod ram;
mod region;
mod tiered;

pub use facade::{InitError, InitErrorKind, RamBuffer, RamForebay};
pub use middleware::{Event, Faults, Faulty, Sink, Traced};
pub use null::Null;
pub use ram::{HeapBlock, HeapSource, MemoryError, MemoryRefused, Ram, RamBlock};
pub use region::{CopyEngine, Cpu, Job, RamRegion, Region};
pub use tiered::Tiered;
