//! A machine whose caches are not coherent with its devices, simulated: so that a clean or an invalidate that is missing,
//! or comes at the wrong moment, shows in the bytes.
//!
//! Each cache line has two views: what memory has, and what the CPU's cache has, if it has the line. The bytes of a
//! [`CachedBlock`] go through the cache, or, in a mode that is not cached, past it. A [`Device`] sees memory only, and only
//! at addresses that [`NonCoherent`] has mapped; each mapping has addresses that no other had before, so a stale one is caught.
//! A [`DmaEngine`] copies for a store, and sees memory only too.
//!
//! With a seed there is an [`Adversary`]: before and after whatever happens, lines are fetched, written back and evicted
//! unasked, as a CPU is free to do.
//!
//! What a store keeps in memory of its own is not simulated: to the CPU and to an engine it looks the same.
//!
//! | file | subject |
//! | --- | --- |
//! | `cache` | lines, their two views, and the adversary |
//! | `iommu` | which memory a device finds where |
//! | `board` | both, behind one lock; what is left out ([`Forget`]) and refused ([`Refuse`]) |
//! | `block` `platform` | what forebay sees |
//! | `device` `engine` | what sees memory only |

mod block;
mod board;
mod cache;
mod device;
mod engine;
mod iommu;
mod platform;

pub use block::CachedBlock;
pub use board::{Forget, Refuse};
pub use cache::Adversary;
pub use device::Device;
pub use engine::DmaEngine;
pub use platform::NonCoherent;
