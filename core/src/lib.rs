//! An embedded-style allocator of page blocks with a pluggable backing store. No heap, no allocation after
//! initialisation.
//!
//! A forebay is the pool of water that stands in front of a larger body. This one keeps physically contiguous,
//! naturally aligned blocks of pages ready by caching mode ([`Pool`]). Under memory pressure it moves the
//! contents of idle [`Buffer`]s to a [`BackingStore`], and brings them back when somebody looks.
//!
//! There are three ways out, tried in this order as far as the caller permits ([`Evict`]):
//!
//! 1. **transfer**: the store takes the block itself. Copies nothing, allocates nothing, O(1), fit for an
//!    interrupt;
//! 2. **copy** the block whole, at its own order;
//! 3. **split** it, and copy it piece by piece, sending each piece home at once.
//!
//! and two ways back: **take back** the same block, or **load** a copy into a fresh one. What its owner does not need may
//! be **purged** instead ([`Buffer::advise`]), and a buffer may begin stored ([`Buffer::begin_stored`]). A refusal hands the
//! block back unharmed ([`Refused`]), and a buffer that is partly evicted is in an ordinary state.
//!
//! # Where to begin
//! | you have | begin with |
//! | --- | --- |
//! | plain RAM, fast and slow: a firmware | `RamForebay` of the crate `forebay-backends`; no trait to implement |
//! | Linux | `shmem::Arena` of that crate |
//! | frames of your own, caching modes, zones | [`Platform`] and [`OwnedBlock`], as [below](#what-an-integrator-provides); [`Pool::new`] says how many places it needs |
//! | a device, clients who pay | [`Addressed`], [`Charged`] |
//! | many thousands of buffers | [`Roster`] |
//! | buffers that come and go while others reclaim | [`Berth`] |
//! | a store of your own | [`BackingStore`] |
//!
//! Then [`Buffer`] is what one works with, [`Forebay::reclaim`] what one calls under pressure ([`Forebay::or_reclaim`] around
//! what runs out of memory, [`Forebay::keep_free`] ahead of it), [`Forebay::snapshot`] what one looks at, and [`Pool::trim_within`] what an outer shrinker calls.
//!
//! # The layers
//! Each file uses only those above it.
//!
//! | | |
//! | --- | --- |
//! | `frame` `context` `mode` `refused` `ask` `dma` `charge` `class` `want` | plain values |
//! | `block` `lock` `platform` `handle` `store` | the ports that an integrator may implement |
//! | `cell` `pooled` `shelf` `pin` `stay` `report` `event` `pool` `slot` `beside` `state` `step` `candidates` | mechanism |
//! | `forebay` `guard` `buffer` `born` | pool and store joined, and what one does with buffers |
//! | `mapping` `purge` `ladder` `evict` `restore` | the two directions: mostly private methods of a buffer |
//! | `reclaim` `roster` `berth` | many buffers: memory for others, which of them to look at, places for those that come and go |
//! | `show` `snapshot` | counters, for people |
//!
//! # Devices, and who pays
//! A buffer that a device uses keeps the address of each slot in an array of the caller's ([`Addressed`]); one whose
//! contents somebody pays for keeps a token for each ([`Charged`]). [`Buffer::of`] takes either, or both.
//!
//! # What an integrator provides
//! A [`Platform`] (where blocks come from) and a [`BackingStore`] (where contents go), or those of the crate
//! `forebay-backends` for plain RAM. `unsafe` is needed for neither; only a lock of one's own is an unsafe
//! trait.
//!
//! ```
//! use forebay::*;
//!
//! /// Frames of this machine: their first number, and the bytes.
//! struct Frames(usize, Vec<u8>);
//!
//! impl OwnedBlock for Frames {
//!     const PAGE: usize = 4096;
//!     fn pfn(&self) -> Pfn {
//!         Pfn::new(self.0)
//!     }
//!     fn order(&self) -> Order {
//!         Order::holding(Pages::new(self.1.len() / 4096)).expect("a block")
//!     }
//!     fn split(self) -> Result<(Self, Self), Self> {
//!         Err(self) // these stay whole
//!     }
//!     fn copy_out(&self, at: usize, to: &mut [u8]) -> usize {
//!         self.1.iter().skip(at).zip(to).map(|(from, to)| *to = *from).count()
//!     }
//!     fn copy_in(&mut self, at: usize, from: &[u8]) -> usize {
//!         self.1.iter_mut().skip(at).zip(from).map(|(to, from)| *to = *from).count()
//!     }
//! }
//!
//! struct Machine;
//!
//! impl Platform for Machine {
//!     type Block = Frames;
//!     type Lock = NoLock;
//!     type Mode = ();
//!     fn allocate(&self, order: Order, _: Context) -> Result<Frames, OutOfFrames> {
//!         Ok(Frames(0, vec![0; 4096 * order.pages().get()]))
//!     }
//!     fn release(&self, frames: Frames) {
//!         drop(frames);
//!     }
//! }
//!
//! let pool: &Pool<Machine> = &Pool::<_, [Place<Machine>; 2]>::new(Machine, 2); // keeps two single pages
//! let page = pool.take(Order::PAGE, (), Context::THREAD)?;
//! pool.give(page, Context::THREAD).expect("there is one caching mode");
//! assert_eq!(pool.ready(), Pages::new(1));
//! # Ok::<(), TakeError>(())
//! ```
//!
//! # Features
//! None is on by default: `spin` and `critical-section` give a lock each; `defmt` implements `defmt::Format` for every
//! public type and tells events through `defmt`; `log` tells them through `log`, with the target `forebay`. Those two exclude each other.
//!
//! What a buffer did is a trace, what a reclaim, a settle or a trim did a debug message, a loss a warning. An event is
//! told by the call that it is about, in its context, perhaps an interrupt, and never under a lock. What did nothing is
//! not told, except for a reclaim.
//!
//! # Who owns a block
//! A block is a move-only value, in exactly one place: the source, a shelf of the pool, a slot of a buffer, the
//! store, or a copy engine. Every call that could fail gives it back. See [`BackingStore`] for the phases.
#![no_std]
#![deny(unsafe_code)]

mod ask;
mod block;
mod charge;
mod class;
mod context;
mod dma;
mod frame;
mod handle;
mod lock;
mod mode;
mod platform;
mod refused;
mod store;
mod want;

mod beside;
mod candidates;
mod cell;
mod event;
mod pin;
mod pool;
mod pooled;
mod report;
mod shelf;
mod slot;
mod state;
mod stay;
mod step;

mod berth;
mod born;
mod buffer;
mod evict;
mod forebay;
mod guard;
mod ladder;
mod mapping;
mod purge;
mod reclaim;
mod restore;
mod roster;
mod show;
mod snapshot;

pub use ask::{Ask, Effort, Zone, Zones};
pub use berth::{Berth, Guest};
pub use beside::{Addressed, Charged, TooShort};
pub use block::OwnedBlock;
pub use born::BornError;
pub use buffer::{Buffer, Residency};
pub use candidates::{Candidates, Evictable};
pub use charge::{Charge, OverLimit};
pub use class::Class;
pub use context::Context;
pub use dma::{DmaAddr, MapRefused, Segment};
pub use forebay::Forebay;
pub use frame::{Order, Pages, Pfn};
pub use guard::{Read, Write};
pub use handle::{Handle, StoreId, StoreIds};
#[cfg(feature = "critical-section")]
pub use lock::CriticalSection;
#[cfg(feature = "spin")]
pub use lock::Spin;
pub use lock::{Locked, NoLock, RawLock, Section};
pub use mode::{Caching, Mode};
pub use pin::PinError;
pub use platform::{BufferId, Busy, ModeRefused, OutOfFrames, Platform};
pub use pool::{Pool, Wipe};
pub use pooled::{Keep, Pooled, TakeError, Wiped};
pub use purge::{Advice, Retained};
pub use reclaim::Shortage;
pub use refused::Refused;
pub use report::{Evict, Evicted, Report, Restored, Stats};
pub use roster::{Listed, NoSeat, Roster};
pub use shelf::{Place, Places, Shelf, ShelfStats};
pub use show::PoolTable;
pub use slot::{OneSlot, Parts, Slot, Slots};
pub use snapshot::Snapshot;
pub use stay::{Refusals, StayReason};
pub use step::Step;
pub use store::{BackingStore, Capabilities, Settled, Space, StoreError};
pub use want::{Outcome, Want};
