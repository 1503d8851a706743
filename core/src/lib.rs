//! An embedded-style allocator of page blocks with a pluggable backing store. No heap, no allocation after initialisation.
//!
//! A forebay is the pool of water in front of a larger body. This one keeps physically contiguous, naturally aligned blocks of
//! pages ready by caching mode ([`pool::Pool`]). Under memory pressure it moves the contents of idle [`Buffer`]s to a
//! [`BackingStore`], and brings them back when they are accessed.
//!
//! There are three ways out, tried in this order as far as the caller permits ([`Evict`]):
//!
//! 1. **transfer**: the store takes the block itself. Copies nothing, allocates nothing, O(1), fit for an interrupt;
//! 2. **copy** the block whole, at its own order;
//! 3. **split** it, and copy it in parts, returning each part to the source at once.
//!
//! There are two ways back: **take back** the same block, or **load** a copy into a fresh one. Contents that their owner does not
//! need may be **purged** instead ([`Buffer::set_purgeable`]), and a buffer may begin with stored contents
//! ([`Buffer::attach_stored`]). A refusal hands the block back unharmed ([`Refused`]). A partly evicted buffer is in an ordinary
//! state.
//!
//! # Where to begin
//! | you write | begin with |
//! | --- | --- |
//! | firmware with fast and slow RAM | `RamForebay` of the crate `forebay-backends`; no trait to implement |
//! | a program on Linux, such as a virtual machine monitor | `shmem::Arena` of that crate, in an `Arc` |
//! | a kernel or driver with its own frames | a [`FrameSource`] and an [`OwnedBlock`], as below; then the other [`port`]s, as needed |
//!
//! Then [`Buffer`] is what a program works with, [`Forebay::reclaim`] what it calls under pressure,
//! [`Forebay::or_reclaim`] around something that runs out of memory, and [`Forebay::stats`] what it looks at.
//!
//! ```
//! use forebay::port::{BackingStore, OwnedBlock};
//! use forebay::sync::NoopRawMutex;
//! use forebay::*;
//!
//! /// Frames of this machine: the number of the first, and the bytes.
//! struct Frames(usize, Vec<u8>);
//!
//! impl OwnedBlock for Frames {
//!     const PAGE: usize = 4096;
//!     fn pfn(&self) -> Pfn {
//!         Pfn(self.0)
//!     }
//!     fn order(&self) -> Order {
//!         Order::for_pages(Pages::new(self.1.len() / 4096)).expect("a block")
//!     }
//!     fn split(self) -> Result<(Self, Self), Self> {
//!         Err(self) // these stay whole
//!     }
//!     fn read_at(&self, at: usize, to: &mut [u8]) -> usize {
//!         self.1.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
//!     }
//!     fn write_at(&mut self, at: usize, from: &[u8]) -> usize {
//!         self.1.iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
//!     }
//! }
//!
//! struct Machine;
//!
//! impl FrameSource for Machine {
//!     type Block = Frames;
//!     type RawMutex = NoopRawMutex;
//!     fn allocate(&self, request: AllocRequest, _: Context) -> Result<Frames, AllocError> {
//!         Ok(Frames(0, vec![0; 4096 * request.order.pages().get()]))
//!     }
//!     fn free(&self, frames: Frames) {
//!         drop(frames);
//!     }
//! }
//! # struct Disk;
//! # impl BackingStore<Frames> for Disk {
//! #     fn ids(&self) -> port::StoreIds { port::StoreIds::empty() }
//! #     fn discard(&self, handle: Handle) -> Result<Option<Frames>, Refused<Handle, StoreError>> {
//! #         Err(Refused { item: handle, why: StoreError::WrongStore })
//! #     }
//! # }
//!
//! let home = Forebay::new(Machine, Disk); // a store of yours, or one of `forebay-backends`
//! let buffer = Buffer::new(&home, Order::PAGE);
//! buffer.write()?.write_at(0, b"contents");
//! let report = home.reclaim(&[&buffer], Pages::new(1), Evict::ANY, Context::THREAD);
//! # assert_eq!(report.outcome, Outcome::Nothing);
//! # Ok::<(), AccessError>(())
//! ```
//!
//! # Features
//! None is on by default. `alloc`: `Arc` and `Rc` as handles, `Vec` and `Box` for slots. `spin`, `critical-section`,
//! `embassy-sync`, `mutex-traits`: raw mutexes over those crates. `defmt`: `defmt::Format` for every public type, and events
//! through `defmt`. `log`: events through `log`, with the target `forebay`. The last two exclude each other.
//!
//! What a buffer did is a trace message, what a reclaim, a settle or a trim did a debug message, a loss a warning. An event is
//! sent by the call that it is about, in its context, perhaps an interrupt, and never under a lock.
#![no_std]
#![deny(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod buffer;
mod forebay;
pub mod frame;
pub mod pool;
pub mod port;
pub mod reclaim;
pub mod stats;
pub mod sync;

pub use buffer::{AttachError, Buffer, Evictable, ReadGuard, Slot, WriteGuard};
pub use forebay::{AsForebay, Forebay, Home};
pub use frame::{
    AllocError, AllocRequest, BufferId, Busy, Caching, Context, Evict, Order, Pages, Pfn, Refused, Zones,
};
pub use port::{BackingStore, FrameSource, Handle, OwnedBlock, Platform, StoreError, StoreId};
pub use reclaim::{Candidates, ReclaimTarget};
pub use stats::{AccessError, Outcome, Report};
