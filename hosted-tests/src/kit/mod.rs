//! What the tests of the core share: memory, bytes to compare, a machine with caching modes and hooks, a store that answers
//! as a test tells it, unusual blocks, and a log of calls.
//!
//! One import is enough: `use hosted_tests::kit::*;` brings everything of forebay and the oracle too.

mod blocks;
mod bytes;
mod crc;
mod home;
mod log;
mod machine;
mod scripted;
mod sweep;
pub mod walkers;
mod wrong;

pub use crate::{Contents, Watched, World};
pub use blocks::*;
pub use bytes::*;
pub use crc::*;
pub use forebay::{buffer::*, frame::*, pool::*, port::*, reclaim::*, stats::*, sync::*, *};
pub use home::*;
pub use log::*;
pub use machine::*;
pub use scripted::*;
pub use sweep::*;
pub use wrong::*;

use forebay_backends::{Ram, RamRegion};

/// The page size.
pub const PAGE: usize = 512;
/// A thread that may do anything.
pub const CX: Context = Context::THREAD;
/// As many pages as there are.
pub const ALL: Pages = Pages::MAX;
/// No page.
pub const NONE: Pages = Pages::ZERO;
/// Each method of an eviction alone, and what programs combine.
pub const METHODS: [Evict; 6] = [
    Evict::TRANSFER,
    Evict::COPY,
    Evict::SPLIT,
    Evict::COPY.union(Evict::SPLIT),
    Evict::TRANSFER.union(Evict::COPY),
    Evict::ANY,
];

/// Plain RAM, where blocks come from.
pub type Near = Ram<SpinRawMutex, PAGE, 2>;
/// The store: other RAM.
pub type Far = RamRegion<SpinRawMutex, PAGE, 16>;

/// An order.
///
/// # Panics
/// If it is too large.
pub fn order(n: u8) -> Order {
    Order::new(n).unwrap()
}

/// `n` pages.
pub fn pages(n: usize) -> Pages {
    Pages::new(n)
}

/// One request to one buffer, as a reclaim makes it.
pub trait EvictIfIdle: Evictable {
    /// The result; nothing if the buffer was skipped.
    fn evict_if_idle(&self, request: &EvictRequest) -> Evicted {
        let mut sum = Evicted::default();
        self.evict_or_skip(request, &mut sum);
        sum
    }
}
impl<E: Evictable + ?Sized> EvictIfIdle for E {}

/// What several sources have together.
pub fn together(parts: impl Iterator<Item = Supply>) -> Supply {
    let none = Supply { free: Some(NONE), ready: Some(false), ever: Some(NONE) };
    parts.fold(none, |sum, part| Supply {
        free: sum.free.zip(part.free).map(|(sum, part)| sum + part),
        ready: sum.ready.zip(part.ready).map(|(sum, part)| sum || part),
        ever: sum.ever.zip(part.ever).map(|(sum, part)| sum + part),
    })
}

/// Pages whose frames are in the source again after a reclaim.
pub fn freed(report: &Report) -> Pages {
    report.evicted.moved() - report.evicted.transferred + report.settled.freed
}

/// Where a device finds byte `at` of a buffer.
pub fn dma_address<H: Home, T: Slots<Platform = H::Platform>, A: Access>(
    guard: &Guard<'_, H, T, A>,
    at: usize,
) -> Option<DmaAddr> {
    let segment = guard.segments().find(|s| (s.at..s.at + s.bytes).contains(&at))?;
    DmaAddr::new(segment.address.get() + (at - segment.at) as u64)
}
