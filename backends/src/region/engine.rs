//! Copying by another device: a DMA controller in two calls.

use super::room::Room;
use core::fmt;
use core::task::Poll;
use forebay::OwnedBlock;

/// A part of a write-out that is being copied. It owns both ends until the engine hands it back, so nothing can take memory away
/// under a DMA transfer, and nothing can touch it meanwhile.
#[must_use = "it owns two blocks: hand it back"]
pub struct Job<B, const PAGE: usize> {
    pub(super) from: B,
    pub(super) to: Room<PAGE>,
    pub(super) at: usize,
    pub(super) len: usize,
    pub(super) entry: usize,
}

impl<B: OwnedBlock, const PAGE: usize> Job<B, PAGE> {
    /// The block to copy from; bytes [`at`](Job::at)` .. at + len`.
    pub fn from(&self) -> &B {
        &self.from
    }

    /// The memory to copy to: [`len`](Job::len) bytes, one behind the other.
    pub fn to(&mut self) -> &mut [u8] {
        self.to.bytes_mut(self.at..self.at + self.len)
    }

    /// Both ends at once, for an engine that copies a part at a time.
    pub fn ends(&mut self) -> (&B, &mut [u8]) {
        (&self.from, self.to.bytes_mut(self.at..self.at + self.len))
    }

    /// Where the part begins, in bytes from the start of the block.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a job is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Copies it with the CPU. A block that says that it gave more than it was asked for gave nothing.
    pub fn copy(&mut self) {
        let to = self.to.bytes_mut(self.at..self.at + self.len);
        let copied = self.from.read_at(self.at, to);
        self.len = if copied <= to.len() { copied } else { 0 };
    }

    /// For an engine that failed: only this many bytes, from the start of the part, arrived. The rest stays pending and is tried
    /// again.
    pub fn fell_short(&mut self, copied: usize) {
        self.len = self.len.min(copied);
    }
}

impl<B, const PAGE: usize> fmt::Debug for Job<B, PAGE> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("to", &self.to)
            .field("at", &self.at)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "defmt")]
impl<B, const PAGE: usize> defmt::Format for Job<B, PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "Job({=usize} bytes at {=usize} to page {=usize})",
            self.len,
            self.at,
            self.to.head()
        );
    }
}

/// A device that copies by itself.
///
/// The region calls [`poll`](CopyEngine::poll) first, and [`start`](CopyEngine::start) only after `poll` was ready, never under a
/// lock. Where caches are not coherent, the engine cleans what the device will read and invalidates what it wrote, before it
/// starts and after it ends.
///
/// ```
/// use core::task::Poll;
/// use forebay::OwnedBlock;
/// use forebay_backends::{CopyEngine, Job, RamBlock};
///
/// /// A controller that copies while the program does something else, and interrupts when it is done.
/// struct Dma(Option<Job<RamBlock<512>, 512>>);
///
/// impl CopyEngine<RamBlock<512>, 512> for Dma {
///     fn start(&mut self, mut job: Job<RamBlock<512>, 512>) {
///         let bytes = job.at()..job.at() + job.len();
///         let (from, to) = job.ends();
///         start_channel(&from[bytes], to);
///         self.0 = Some(job); // both ends are the controller's until it is done
///     }
///     fn poll(&mut self) -> Poll<Option<Job<RamBlock<512>, 512>>> {
///         if self.0.is_some() && channel_is_busy() { Poll::Pending } else { Poll::Ready(self.0.take()) }
///     }
/// }
/// # fn start_channel(from: &[u8], to: &mut [u8]) { to.copy_from_slice(from) }
/// # fn channel_is_busy() -> bool { false }
/// ```
///
/// The idle loop calls `RAM.store().write_out(&mut dma, 4096, &mut |block| RAM.free_settled(block))`, which returns finished blocks
/// to their source, and sleeps until the interrupt while that is `Pending` and the controller works.
pub trait CopyEngine<B, const PAGE: usize> {
    /// Begins a job. Must not wait for its end.
    fn start(&mut self, job: Job<B, PAGE>);

    /// `Pending`: at work. `Ready(Some)`: done; the job is handed back, whole or cut by [`Job::fell_short`]. `Ready(None)`: idle.
    fn poll(&mut self) -> Poll<Option<Job<B, PAGE>>>;
}

/// The engine that every machine has: `start` copies.
#[derive(Debug)]
pub struct Cpu<B, const PAGE: usize>(Option<Job<B, PAGE>>);

impl<B, const PAGE: usize> Cpu<B, PAGE> {
    /// Without a job.
    pub const IDLE: Self = Cpu(None);
}

#[cfg(feature = "defmt")]
impl<B, const PAGE: usize> defmt::Format for Cpu<B, PAGE> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match &self.0 {
            Some(job) => defmt::write!(f, "Cpu({})", job),
            None => defmt::write!(f, "Cpu(idle)"),
        }
    }
}

impl<B: OwnedBlock, const PAGE: usize> CopyEngine<B, PAGE> for Cpu<B, PAGE> {
    fn start(&mut self, mut job: Job<B, PAGE>) {
        job.copy();
        self.0 = Some(job);
    }
    fn poll(&mut self) -> Poll<Option<Job<B, PAGE>>> {
        Poll::Ready(self.0.take())
    }
}
